"""Tables I and II, Figure 1 and section VII of the paper, and ways to save that it did not try."""

import numpy as np
from matplotlib.figure import Figure

from examples import datasets
from experiments import command
from experiments.paper import data, section7, statistics, table1, table2
from experiments.paper.statistics import compare, learned_nothing, ranking
from experiments.report import INK, interval, picture, png, table

CHANCE = 0.05  # from this p-value on it is a likely explanation
BAR, OURS, PAPER = "#d5d8dc", "#8fc1a9", "#b5483a"
COLUMNS_1 = {
    "fn": ("FN", "{:.1f}"),
    "fp": ("FP", "{:.1f}"),
    "error_of_negatives": ("error / negatives", "{:.2%}"),
    "error": ("top-1 error", "{:.2%}"),
    "cost": ("Real World Cost", "{:.2f}"),
}
MORE_1 = {"f1": ("F1", "{:.3f}"), "updates": ("updates", "{:,.0f}")}
COLUMNS_2 = {
    "high_cost": ("high-cost mistakes", "{:.2f}"),
    "error": ("top-1 error", "{:.2%}"),
    "cost": ("Real World Cost", "{:.4f}"),
}


def run(quick, seed, perform):
    plan = data.QUICK if quick else data.FULL
    source = "digits" if datasets.mnist("auto" if quick else "mnist").name == "digits" else "mnist"
    seeds = range(seed, seed + 1 + plan.more_seeds)
    of_seeds = {f"Table I, {arm}": (arm, seed) for arm in table1.ARMS}
    of_seeds |= {f"Table I, seed {n}, {table1.PAPERS}": (table1.PAPERS, n) for n in seeds[1:]}
    jobs = {job: (table1.run, arm, source, plan, of) for job, (arm, of) in of_seeds.items()}
    jobs |= {f"Table II, {arm}": (table2.run, arm, source, plan, seed) for arm in table2.ARMS}
    found, seconds = perform(jobs)
    by_seed = {of: {} for of in seeds}
    for job, (_, of) in of_seeds.items():
        by_seed[of] |= found.pop(job)
    second = {method: outcome for part in found.values() for method, outcome in part.items()}
    how = (
        f"`make paper{'-quick' if quick else ''} ARGS=--seed={seed}` on {command.machine()}.\n\n"
        "Seconds of each arm (the compilation included):\n\n"
        + "".join(f"- {name}: {each:.0f}\n" for name, each in seconds.items())
        + f"\nAll arms: {sum(seconds.values()):.0f} s."
    )
    section = section7.run()
    titles = "Table I: means over the data sets", "Table II: means over the pairs"
    return {
        "report.md": write(by_seed, second, section, full=not quick, how=how),
        "figure1.png": _figure_1(section),
        "table1.png": _costs(by_seed[seed], statistics.PAPER_1, table1.RWWCE, titles[0]),
        "table2.png": _costs(second, statistics.PAPER_2, table2.RWWCE, titles[1]),
    }


REPORT = """\
{headline}

## Table I: rare digits

{table_1}

{significance_1}

*Error / negatives* is the paper's: its Table I divides the mistakes by the number of negatives. \
*Top-1 error* divides them by that of all examples. Control 2 tunes its threshold on the split it \
is judged by. The data sets share most of their negatives, and those of Table II are all splits of \
the same images. So they are not independent, and intervals and p-values are smaller than they \
should be: the paper's, too.

{untrained}

## Table II: one costly mistake

{table_2}

{significance_2}

## What must come out

{bands}

## Table I with other seeds

The networks of the paper once more: other splits, initial weights and orders of the examples.

{seeds}

## All methods of Table I, cheapest first

![The Real World Cost of every method of Table I, with its interval](table1.png)

{ranked_1}

*On the test split* means tuned on the examples it is judged by: the paper's way with F1, a bound \
with cost, no method to use. *Updates* are how often the weights change: all train for as many \
epochs, but undersampling leaves few examples, and oversampling and SMOTE double them.

## All methods of Table II, cheapest first

![The Real World Cost of every method of Table II, with its interval](table2.png)

{ranked_2}

## Section VII

![Figure 1: the loss at every p, least at 0.9](figure1.png)

- The model of one parameter is trained to p = {section[probability]:.5f}; the paper proves 0.9.

- Costs of 100 and 5 against samples repeated 100 and 5 times: likelihoods differ by \
{section[likelihood]:.0e}, gradients by {section[gradient]:.0e} (relative, in double precision).

## How this was made

{how}
"""
REDUCED = "**A reduced run: it shows that the code works, not what the paper says.**\n\n"


def write(by_seed, second, section, *, full, how):
    """Returns the report; the bands are for the ``full`` experiment only."""
    first = next(iter(by_seed.values()))
    checked = "\n".join(statistics.bands(first | second))
    return REPORT.format(
        headline=("" if full else REDUCED) + _headline(by_seed, second),
        table_1=_beside("mean", first, statistics.PAPER_1, COLUMNS_1),
        significance_1=_beside(
            "paired p-value", first, statistics.PAPER_P_1, COLUMNS_1, table1.RWWCE
        ),
        untrained=_untrained(first),
        table_2=_beside("mean", second, statistics.PAPER_2, COLUMNS_2),
        significance_2=_beside(
            "paired p-value", second, statistics.PAPER_P_2, COLUMNS_2, table2.RWWCE
        ),
        bands=checked if full else "- not checked in a reduced run",
        seeds=_of_seeds(by_seed, full),
        ranked_1=_ranked(first, COLUMNS_1 | MORE_1, table1.RWWCE),
        ranked_2=_ranked(second, COLUMNS_2, table2.RWWCE),
        section=section,
        how=how,
    )


def _headline(by_seed, second):
    first, everything = next(iter(by_seed.values())), statistics.averaged(list(by_seed.values()))
    title = f"Table I, mean of {len(by_seed)} seeds"
    sentences = [
        _winner(title, everything, table1),
        _cheapest(first, table1),
        _winner("Table II", second, table2),
        _cheapest(second, table2),
    ]
    return " ".join(filter(None, sentences))


def _winner(title, methods, of):
    best = next(method for method in ranking(methods) if method in of.POST_HOC)
    cost, rwwce = methods[best]["cost"], methods[of.RWWCE]["cost"]
    difference, p, said = compare(cost, rwwce, best_of=len(of.POST_HOC))
    if p >= CHANCE:
        verdict = "no clear difference between deciding with the costs and training with them"
    elif difference < 0:
        verdict = "deciding with the costs after training beats training with them"
    else:
        verdict = "training with the costs beats deciding with them after training"
    return (
        f"**{title}: {verdict}.** The best such decision, *{best}*, costs {cost.mean():.3g} per"
        f" example, *{of.RWWCE}* {rwwce.mean():.3g} {said}."
    )


def _cheapest(methods, of):
    honest = [method for method in ranking(methods) if method not in table1.PEEKING]
    if honest[0] in (*of.POST_HOC, of.RWWCE):
        return ""
    cost, rwwce = methods[honest[0]]["cost"], methods[of.RWWCE]["cost"]
    _, p, said = compare(cost, rwwce, best_of=len(honest) - 1)
    doubt = "" if p < CHANCE else ", which may be chance"
    return (
        f"The cheapest method of all, *{honest[0]}*, costs {cost.mean():.3g}, RWWCE on the same"
        f" data sets {rwwce.mean():.3g} {said}{doubt}."
    )


def _untrained(methods):
    failed = learned_nothing(methods)
    text = (
        f"On {failed.sum()} of the {len(failed)} data sets control 1 learned so little that the"
        " best F1 is to call most images positive."
    )
    if not failed.any() or failed.all():
        return text
    text += " They count everywhere in this report. Without them the mean costs would be: "
    shown = (*statistics.PAPER_1, *table1.POST_HOC, table1.ORACLE)
    means = (f"{each} {methods[each]['cost'][~failed].mean():.2f}" for each in shown)
    return f"{text}{'; '.join(means)}."


def _with_interval(values, written):
    low, high = map(written.format, interval(values))
    return f"{written.format(values.mean())} ({low} to {high})"


def _beside(kind, methods, paper, columns, rwwce=None):
    """Means, or with the name of RWWCE the p-values of the differences from it, by method."""
    rows = []
    for method, figures in paper.items():
        said, here = [], []
        for name, (_, written) in columns.items():
            values = methods[method][name]
            if rwwce:
                written = "{:.1e}"
                here.append(written.format(statistics.p_value(values, methods[rwwce][name])))
            else:
                here.append(_with_interval(values, written))
            said.append(written.format(figures[name]) if name in figures else "–")
        rows.append([f"{method}{' and RWWCE' if rwwce else ''}: paper", *said])
        rows.append(["here" if rwwce else "here (95 % interval)", *here])
    return table([kind, *(title for title, _ in columns.values())], rows)


def _of_seeds(by_seed, full):
    everything = statistics.averaged(list(by_seed.values()))
    columns = [*by_seed.values(), everything]
    rows = [
        [method, *(f"{each[method]['cost'].mean():.2f}" for each in columns)]
        for method in ranking(everything)
    ]
    failed = [f"{learned_nothing(methods).sum()}" for methods in by_seed.values()]
    rows.append(["data sets on which control 1 learned nothing", *failed, "–"])
    if full:  # the bands are for the means of one seed
        held = [statistics.bands(methods).values() for methods in by_seed.values()]
        rows.append(["bands held", *(f"{sum(each)} of {len(each)}" for each in held), "–"])
    return table(["mean Real World Cost", *(f"seed {seed}" for seed in by_seed), "mean"], rows)


def _ranked(methods, columns, rwwce):
    title, written = columns["cost"]
    others = [each for each in columns.items() if each[0] not in ("cost", "error_of_negatives")]
    rows = []
    for method in ranking(methods):
        measures = methods[method]
        difference = measures["cost"] - methods[rwwce]["cost"]
        sign = "+" if difference.mean() > 0 else ""
        cells = [each.format(measures[name].mean()) for name, (_, each) in others]
        cells += [_with_interval(measures["cost"], written)]
        cells += [written.format(np.median(measures["cost"]))]
        cells += ["–" if method == rwwce else sign + _with_interval(difference, written)]
        rows.append([method, *cells])
    titles = [each for _, (each, _) in others]
    return table(["method", *titles, title, "its median", "less RWWCE's, paired"], rows)


def _figure_1(section):
    figure = Figure(figsize=(6.4, 4.2), layout="constrained", dpi=130)
    axis = figure.subplots()
    axis.plot(section["curve"].keys(), section["curve"].values(), color=INK)
    probability, height = section["probability"], section["curve"][0.9]
    axis.plot(probability, height, "o", color=PAPER)
    axis.annotate(f"trained: p = {probability:.4f}", (0.62, height + 5), color=PAPER)
    axis.set(xlabel="p", ylabel="J(p)")
    axis.set_title("One head that wins 9, one tail that wins 1", loc="left", fontsize=11)
    axis.spines[["top", "right"]].set_visible(False)
    return png(figure)


def _costs(methods, paper, coloured, title):
    names = ranking(methods)
    figure, axis = picture(names, 10, title, "Real World Cost (cost per example)")
    for row, name in enumerate(names):
        values = methods[name]["cost"]
        mean, (low, high) = values.mean(), interval(values)
        axis.barh(row, mean, color=OURS if name == coloured else BAR, height=0.62)
        axis.plot([low, high], [row, row], color=INK)
        axis.text(high, row, f"  {mean:.4g}", va="center", fontsize=9, color=INK)
        if name in paper:
            axis.plot(paper[name]["cost"], row, "D", color=PAPER, markersize=5)
    axis.plot([], [], "D", color=PAPER, markersize=5, label="the paper's mean")
    axis.plot([], [], color=INK, label="95 % confidence interval of the mean here")
    figure.legend(frameon=False, loc="outside lower left", ncols=2, fontsize=9)
    axis.margins(x=0.12)
    return png(figure)
