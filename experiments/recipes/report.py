"""The tables, what they show in words, and the picture."""

import textwrap
from typing import NamedTuple

import numpy as np
from scipy import stats

from experiments.recipes.recipes import (
    AVERAGED,
    BASE,
    BEST_TWO,
    CONSTANT,
    COOLED,
    EACH,
    NO_MODEL,
    RECIPES,
    RWWCE_ARGMAX,
    RWWCE_POSTERIOR,
    TABM,
    TREES,
    TWO,
)
from experiments.report import INK, picture, png, table

RECOMMENDED = AVERAGED  # what docs/decisions.md opens with
CHALLENGERS = (BEST_TWO, COOLED, TABM)
BAR, LEAST = "#9aa3ad", "#3c8c6a"


class Ratio(NamedTuple):
    """A ratio of costs with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self):
        """As in the tables."""
        if not np.isfinite(self.high):
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def said(self):
        """In words."""
        if self.high < 1:
            return f"{self}, clearly cheaper"
        return f"{self}, clearly costlier" if self.low > 1 else f"{self}, which may be chance"


class Pair(NamedTuple):
    """One task, model and number of training examples, and what each recipe cost there."""

    task: str
    model: str
    size: int
    folds: int
    costs: dict[str, np.ndarray]  # (S,), of every split

    @property
    def name(self):
        """The column of a table."""
        return f"{self.model}, {self.size}"


def pairs(parts):
    """Every model with what was measured of it and, without a network, of its task."""
    others = {(part["task"], part["size"]): part for part in parts if part["model"] == NO_MODEL}

    def pair(part):
        costs = part["costs"] | others[part["task"], part["size"]]["costs"]
        arrays = {recipe: np.array(costs[recipe]) for recipe in RECIPES if recipe in costs}
        return Pair(part["task"], part["model"], part["size"], part["folds"], arrays)

    return [pair(part) for part in parts if part["model"] != NO_MODEL]


def compared(some, recipe, other=BASE):
    """Geometric mean of the recipe's cost over the other's, for pairs of one task.

    The interval is that of Nadeau and Bengio, for the mean of the pairs on each split. Training
    sets of the folds overlap, so the plain standard error is too small: they add the ratio of test
    to training examples, 1 / (folds - 1), to the 1 / S of the variance. To first order, the
    logarithm of a ratio of means is the mean of the splits' relative differences.
    """
    some = list(some)
    costs = [(pair.costs[recipe], pair.costs[other]) for pair in some]
    logs = np.mean([np.log(one.mean() / base.mean()) for one, base in costs])
    apart = np.mean([one / one.mean() - base / base.mean() for one, base in costs], axis=0)
    count = len(apart)
    error = apart.std(ddof=1) * np.sqrt(1 / count + 1 / (some[0].folds - 1))
    return _ratio(logs, stats.t.ppf(0.975, count - 1) * error)


def overall(some, recipe, other=BASE):
    """Geometric mean over tasks, each with its mean, and the t interval over the tasks.

    What is measured on one task shares its data and is one number here, not several.
    """
    by_task = [compared(group, recipe, other).mean for group in _by_task(some, recipe).values()]
    logs = np.log(by_task)
    if len(logs) < 2:
        return Ratio(float(np.exp(logs.mean())), 0.0, float("inf"))
    error = logs.std(ddof=1) / np.sqrt(len(logs))
    return _ratio(logs.mean(), stats.t.ppf(0.975, len(logs) - 1) * error)


def _ratio(log, reach):
    return Ratio(*(float(np.exp(log + sign * reach)) for sign in (0, -1, 1)))


def _by_task(some, recipe=BASE):
    found = {}
    for pair in some:
        if recipe in pair.costs:
            found.setdefault(pair.task, []).append(pair)
    return found


def text(parts, times, how):
    """Returns all tables and the verdict, as Markdown."""
    every = pairs(parts)
    tasks = _by_task(every)
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
    sections += ["## Recipe by task", _table(tasks, compared)]
    sections += ["## Geometric means", _table(groups, overall)]
    if times:
        sections += ["## Processor time to train", time_table(times)]
    sections += ["## Every pair"]
    for title, group in tasks.items():
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
    """Processor seconds for one network, and what the others take relative to it."""
    first, *others = dict.fromkeys(name for one in times for name in one["seconds"])
    rows = []
    for one in times:
        taken = one["seconds"]
        facts = [one["task"], one["model"], f"{one['fitted']:,}", f"{one['columns']}"]
        ratios = [f"{taken[name] / taken[first]:.1f}" if name in taken else "" for name in others]
        rows.append([*facts, f"{taken[first]:.2f}", *ratios])
    head = ["task", "model", "examples", "columns", f"{first}, s"]
    return table([*head, *(f"{name}, of it" for name in others)], rows)


def verdict(every):
    """Returns what the numbers say, in sentences that follow from them alone."""
    networks = _recipes_of_all(every) - {TREES, CONSTANT}
    means = {recipe: overall(every, recipe) for recipe in RECIPES if recipe in networks}
    least = min(means, key=lambda recipe: means[recipe].mean)
    sentences = [
        f"Least on average of what trains networks: {least}, {means[least]}.",
        f"Recommended is {RECOMMENDED}: {means[RECOMMENDED].said}.",
        _cheapest(_by_task(every), "tasks"),
        _cheapest({f"{pair.task} ({pair.name})": [pair] for pair in every}, "pairs"),
    ]
    for recipe in (RWWCE_ARGMAX, RWWCE_POSTERIOR):
        found = [(pair, compared([pair], recipe)) for pair in every]
        less = [f"{pair.task} ({pair.name}) {one}" for pair, one in found if one.high < 1]
        more = sum(ratio.low > 1 for _, ratio in found)
        sentences.append(
            f"{recipe}, against {BASE}: {means[recipe]} on average; clearly less on {len(less)} of"
            f" {len(found)} pairs, clearly more on {more}."
            + (f" Less: {'; '.join(less)}." if less else "")
        )
    against = [(EACH, TWO), *((each, RECOMMENDED) for each in (*CHALLENGERS, TREES))]
    for recipe, other in [*against, (BEST_TWO, TWO), (TABM, BASE), (TREES, BASE)]:
        some = [pair for pair in every if recipe in pair.costs]
        if some:
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


def _recipes_of_all(every):
    return set.intersection(*(set(pair.costs) for pair in every))


def exceptions(groups):
    """Where another recipe is clearly cheaper than the recommended one, and the cheapest such."""
    found = {}
    for name, group in groups.items():
        others = _recipes_of_all(group) - {RECOMMENDED, TREES, CONSTANT}
        ratios = {one: compared(group, one, RECOMMENDED) for one in RECIPES if one in others}
        less = {one: ratio for one, ratio in ratios.items() if ratio.high < 1}
        if less:
            best = min(less, key=lambda one: less[one].mean)
            found[name] = (best, less[best])
    return found


def _cheapest(groups, kind):
    found = exceptions(groups)
    listed = "; ".join(f"{name}: {recipe} {ratio}" for name, (recipe, ratio) in found.items())
    return (
        f"On {len(groups) - len(found)} of {len(groups)} {kind} no other recipe with networks is"
        f" clearly cheaper than {RECOMMENDED}."
        + (f" One is, relative to it, on {listed}." if found else "")
    )


def draw(parts):
    """Draws the geometric means with their intervals, a dot for each task; returns a PNG."""
    every = pairs(parts)
    shown = [one for one in RECIPES if one not in (BASE, CONSTANT)]
    shown = [recipe for recipe in shown if _by_task(every, recipe)]
    title = "Real World Cost relative to cross-entropy with decide"
    label = "geometric mean over tasks with its 95 % interval; a dot for each task"
    figure, axis = picture(shown, 9, title, label)
    for row, recipe in enumerate(shown):
        tasks = [compared(group, recipe).mean for group in _by_task(every, recipe).values()]
        ratio = overall(every, recipe)
        color = LEAST if ratio.high < 1 else BAR
        axis.plot(tasks, [row - 0.27] * len(tasks), "o", ms=4, color=INK, alpha=0.5, mew=0)
        axis.plot([ratio.low, ratio.high], [row, row], color=color, lw=4, solid_capstyle="butt")
        axis.plot(ratio.mean, row, "D", ms=7, color=color, mec=INK, mew=0.8)
    axis.axvline(1, color=INK, lw=0.8)
    axis.set_xscale("log")
    ticks = [0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.7, 2]
    axis.set_xticks(ticks, labels=map(str, ticks))
    axis.minorticks_off()
    return png(figure)
