"""Compares training with costs, deciding with costs and averaging networks on eight tasks."""

import textwrap
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy import stats

from experiments import command
from experiments.recipes import recipes, tasks
from experiments.recipes.recipes import BASE, NETWORKS, RECIPES, TABM, TREES, TWO
from experiments.report import INK, picture, png, table

RECOMMENDED = recipes.AVERAGED  # what docs/decisions.md opens with
CHALLENGERS = (recipes.BEST_TWO, recipes.COOLED, TABM, TREES)
BAR, LEAST = "#9aa3ad", "#3c8c6a"
SETTINGS = ((400, "small"), (2000, "small"), (400, "large"))  # training examples, and the model
QUICK = ((tasks.credit, tasks.scheduling), SETTINGS[:1], 2, ())
# The tasks and their settings, the folds, and the tasks on which processor time is measured.
FULL = (tasks.TASKS, SETTINGS, 3, (tasks.scheduling, tasks.one_pair))


def run(quick, seed, perform):
    measured, settings, folds, timed = QUICK if quick else FULL
    jobs = {
        f"{task.__name__}, {size}, {model}": (recipes.pair, task, size, model, folds, seed)
        for task, (size, model) in product(measured, settings)
    }
    timings = {f"times, {task.__name__}": (recipes.times, task, folds, seed) for task in timed}
    found, seconds = perform(jobs | timings)
    times = [one for job in timings for one in found.pop(job)]
    how = f"`make experiment NAME=recipes ARGS=--seed={seed}` on {command.machine()}"
    how += f", in {sum(seconds.values()) / 60:.0f} minutes with what else ran there."
    pairs = list(found.values())
    return {"recipes.md": text(pairs, times, how), "recipes.png": draw(pairs)}


class Ratio(NamedTuple):
    mean: float
    low: float
    high: float

    def __str__(self):
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def said(self):
        if self.high < 1:
            return f"{self}, clearly cheaper"
        return f"{self}, clearly costlier" if self.low > 1 else f"{self}, which may be chance"


def compared(some, recipe, other=BASE):
    """Geometric mean of the recipe's cost over the other's, for pairs of one task.

    Training sets of the S folds overlap, so the plain standard error is too small: Nadeau and
    Bengio add the ratio of test to training examples, 1 / (S - 1), to the 1 / S of the variance.
    """
    costs = [(pair.costs[recipe], pair.costs[other]) for pair in some]
    logs = np.mean([np.log(one.mean() / base.mean()) for one, base in costs])
    apart = np.mean([one / one.mean() - base / base.mean() for one, base in costs], axis=0)
    count = len(apart)
    error = apart.std(ddof=1) * np.sqrt(1 / count + 1 / (count - 1))
    return _ratio(logs, stats.t.ppf(0.975, count - 1) * error)


def overall(some, recipe, other=BASE):
    """Geometric mean and t interval over tasks: the pairs of one share its data, and count once."""
    by_task = [compared(group, recipe, other).mean for group in _by_task(some, recipe).values()]
    logs = np.log(by_task)
    return _ratio(logs.mean(), stats.t.ppf(0.975, len(logs) - 1) * stats.sem(logs))


def _ratio(log, reach):
    return Ratio(*(float(np.exp(log + sign * reach)) for sign in (0, -1, 1)))


def _by_task(some, recipe=BASE):
    found = {}
    for pair in some:
        if recipe in pair.costs:
            found.setdefault(pair.task, []).append(pair)
    return found


def text(every, times, how):
    of_task = _by_task(every)
    said = (
        f"{len(every)} pairs of task, model and number of training examples. Real World Cost on"
        " test examples, relative to cross-entropy with `decide` (1 is the same, less is cheaper),"
        f" with 95 % intervals. {how}"
    )
    groups = {"all pairs": every}
    for named in ("{0.model}", "{0.size} examples"):
        for pair in every:
            groups.setdefault(named.format(pair), []).append(pair)
    sections = ["# Which recipe costs least, measured", "<!-- tables -->", textwrap.fill(said, 100)]
    sections += ["## Verdict", verdict(every)]
    sections += ["## Recipe by task", _table(of_task, compared)]
    sections += ["## Geometric means", _table(groups, overall)]
    if times:
        sections += ["## Processor time to train", time_table(times)]
    sections += ["## Every pair"]
    for title, group in of_task.items():
        sections += [f"### {title}", _table({pair.name: [pair] for pair in group}, compared)]
    return "\n\n".join(sections) + "\n"


def _table(groups, ratio):
    def cell(group, recipe):
        some = [pair for pair in group if recipe in pair.costs]
        if not some:
            return ""
        if recipe == BASE:  # of one pair also what an example costs
            return f"1 ({some[0].costs[BASE].mean():.4g})" if len(some) == 1 else "1"
        return str(ratio(some, recipe))

    rows = [[recipe, *(cell(group, recipe) for group in groups.values())] for recipe in RECIPES]
    return table(["recipe", *groups], [row for row in rows if any(row[1:])])


def time_table(times):
    rows = []
    for facts, seconds in times:
        first, *others = seconds.values()
        rows.append([*facts, f"{first:.2f}", *(f"{other / first:.1f}" for other in others)])
    first, *others = times[0][1]
    head = ["task", "model", "examples", "columns", f"{first}, s"]
    return table([*head, *(f"{name}, of it" for name in others)], rows)


def verdict(every):
    means = {recipe: overall(every, recipe) for recipe in NETWORKS}
    least = min(means, key=lambda recipe: means[recipe].mean)
    sentences = [
        f"Least on average of what trains networks: {least}, {means[least]}.",
        f"Recommended is {RECOMMENDED}: {means[RECOMMENDED].said}.",
        _cheapest(_by_task(every), "tasks"),
        _cheapest({f"{pair.task} ({pair.name})": [pair] for pair in every}, "pairs"),
    ]
    for recipe in (recipes.RWWCE_ARGMAX, recipes.RWWCE_POSTERIOR):
        found = [(pair, compared([pair], recipe)) for pair in every]
        less = [f"{pair.task} ({pair.name}) {one}" for pair, one in found if one.high < 1]
        more = sum(ratio.low > 1 for _, ratio in found)
        clear = f"clearly less on {len(less)} of {len(found)} pairs, clearly more on {more}."
        listed = f" Less: {'; '.join(less)}." if less else ""
        sentences.append(f"{recipe}, against {BASE}: {means[recipe]} on average; {clear}{listed}")
    against = [(recipes.EACH, TWO), *((recipe, RECOMMENDED) for recipe in CHALLENGERS)]
    for recipe, other in [*against, (recipes.BEST_TWO, TWO), (TABM, BASE), (TREES, BASE)]:
        some = [pair for pair in every if recipe in pair.costs]
        tables = [pair for pair in some if TREES in pair.costs]
        ratio, on_tables = overall(some, recipe, other), overall(tables, recipe, other)
        shown = "" if len(tables) == len(some) else f"; on tables {on_tables}"
        sentences.append(f"{recipe}, against {other}: {ratio.said}{shown}.")
    sentences.append(
        "One interval in twenty is expected to miss: among so many, one that barely leaves out 1 is"
        " weak evidence, and the tasks with images share them."
    )
    return "\n".join(
        textwrap.fill(f"- {sentence}", 100, subsequent_indent="  ", break_on_hyphens=False)
        for sentence in sentences
    )


def exceptions(groups):
    found = {}
    for name, group in groups.items():
        ratios = {one: compared(group, one, RECOMMENDED) for one in NETWORKS}
        less = [one for one in NETWORKS if ratios[one].high < 1]
        if less:
            best = min(less, key=lambda one: ratios[one].mean)
            found[name] = (best, ratios[best])
    return found


def _cheapest(groups, kind):
    found = exceptions(groups)
    listed = "; ".join(f"{name}: {recipe} {ratio}" for name, (recipe, ratio) in found.items())
    least = f"On {len(groups) - len(found)} of {len(groups)} {kind} no other recipe with networks"
    some = f" One is, relative to it, on {listed}." if found else ""
    return f"{least} is clearly cheaper than {RECOMMENDED}.{some}"


def draw(every):
    shown = [recipe for recipe in (*NETWORKS, TREES) if recipe != BASE]
    title = "Real World Cost relative to cross-entropy with decide"
    label = "geometric mean over tasks with its 95 % interval; a dot for each task"
    figure, axis = picture(shown, 9, title, label)
    for row, recipe in enumerate(shown):
        dots = [compared(group, recipe).mean for group in _by_task(every, recipe).values()]
        ratio = overall(every, recipe)
        color = LEAST if ratio.high < 1 else BAR
        axis.plot(dots, [row - 0.27] * len(dots), "o", ms=4, color=INK, alpha=0.5, mew=0)
        axis.plot([ratio.low, ratio.high], [row, row], color=color, lw=4, solid_capstyle="butt")
        axis.plot(ratio.mean, row, "D", ms=7, color=color, mec=INK, mew=0.8)
    axis.axvline(1, color=INK, lw=0.8)
    axis.set_xscale("log")
    ticks = [0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.7, 2]
    axis.set_xticks(ticks, labels=map(str, ticks))
    axis.minorticks_off()
    return png(figure)
