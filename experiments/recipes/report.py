"""The tables, what they show in words, and the picture."""

import io
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from experiments.recipes import recipes
from experiments.recipes.recipes import AVERAGED, BASE, CONSTANT, RECIPES, TREES
from experiments.recipes.training import MEMBERS

RECOMMENDED = AVERAGED  # what docs/decisions.md opens with
NO_NETWORK = (TREES, CONSTANT)
TWO, EACH = "2 CE averaged, decide", "1 CE and 1 RWWCE averaged, decide"
TRAINED_WITH_COSTS = (recipes.RWWCE_ARGMAX, recipes.RWWCE_POSTERIOR)
INK, BAR, LEAST = "#333333", "#9aa3ad", "#3c8c6a"


class Ratio(NamedTuple):
    """A ratio of costs with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        """As in the tables."""
        if not np.isfinite(self.high):
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def is_less(self) -> bool:
        """Whether all of the interval is below 1."""
        return self.high < 1

    @property
    def is_more(self) -> bool:
        """Whether all of the interval is above 1."""
        return self.low > 1


@dataclass(frozen=True, eq=False)
class Pair:
    """One task, model and number of training examples, and what each recipe cost there."""

    task: str
    title: str
    model: str
    size: int | None
    folds: int
    costs: dict[str, np.ndarray]  # (S,), of every split

    @property
    def name(self) -> str:
        """The column of a table."""
        return f"{self.model}, {self.size or 'all'}"


def pairs(parts: list[dict[str, Any]]) -> list[Pair]:
    """Every model with what was measured of it and, without a network, of its task."""
    others = {(part["task"], part["size"]): part for part in parts if part["model"] == "none"}

    def pair(part: dict[str, Any]) -> Pair:
        costs = part["costs"] | others[part["task"], part["size"]]["costs"]
        arrays = {recipe: np.array(costs[recipe]) for recipe in RECIPES if recipe in costs}
        of = (part[name] for name in ("task", "title", "model", "size", "folds"))
        return Pair(*of, arrays)

    return [pair(part) for part in parts if part["model"] != "none"]


def compared(some: Iterable[Pair], recipe: str, other: str = BASE) -> Ratio:
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


def overall(some: Iterable[Pair], recipe: str, other: str = BASE) -> Ratio:
    """Geometric mean over tasks, each with its mean, and the t interval over the tasks.

    What is measured on one task shares its data and is one number here, not several.
    """
    by_task = [compared(group, recipe, other).mean for group in _by_task(some, recipe).values()]
    logs = np.log(by_task)
    if len(logs) < 2:
        return Ratio(float(np.exp(logs.mean())), 0.0, float("inf"))
    error = logs.std(ddof=1) / np.sqrt(len(logs))
    return _ratio(logs.mean(), stats.t.ppf(0.975, len(logs) - 1) * error)


def _ratio(log: float, reach: float) -> Ratio:
    return Ratio(*(float(np.exp(log + sign * reach)) for sign in (0, -1, 1)))


def _by_task(some: Iterable[Pair], recipe: str = BASE) -> dict[str, list[Pair]]:
    found: dict[str, list[Pair]] = {}
    for pair in some:
        if recipe in pair.costs:
            found.setdefault(pair.title, []).append(pair)
    return found


def text(parts: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    """Returns all tables and the verdict, as Markdown."""
    every = pairs(parts)
    tasks = _by_task(every)
    said = (
        f"{len(every)} pairs of task, model and number of training examples. Real World Cost on"
        " test examples, relative to cross-entropy with `decide` (1 is the same, less is cheaper),"
        f" with 95 % intervals. Measured in {facts['minutes']} minutes on {facts['cores']} cores,"
        f" with what else ran there; seed {facts['seed']}."
    )
    sections = ["# Which recipe costs least, measured", "<!-- tables -->", textwrap.fill(said, 100)]
    sections += ["## Verdict", verdict(every)]
    sections += ["## Recipe by task", task_table(every), "## Geometric means", mean_table(every)]
    if facts["times"]:
        sections += ["## Time to train", time_table(facts["times"])]
    sections += ["## Every pair"]
    for title, group in tasks.items():
        sections += [f"### {title}", pair_table(group)]
    return "\n\n".join(sections) + "\n"


def task_table(every: list[Pair]) -> str:
    """Recipes by tasks: geometric means over models and sizes."""
    return _table(_by_task(every), compared)


def mean_table(every: list[Pair]) -> str:
    """Recipes by models and sizes: geometric means over tasks."""
    groups = {"all pairs": every}
    for pair in every:
        groups.setdefault(pair.model, []).append(pair)
    for pair in every:
        groups.setdefault(f"{pair.size or 'all'} examples", []).append(pair)
    return _table(groups, overall)


def pair_table(group: list[Pair]) -> str:
    """Recipes by models and sizes, of one task; in brackets what an example costs."""
    return _table({pair.name: [pair] for pair in group}, compared)


def _table(groups: dict[str, list[Pair]], ratio: Callable[[list[Pair], str], Ratio]) -> str:
    def cell(group: list[Pair], recipe: str) -> str:
        some = [pair for pair in group if recipe in pair.costs]
        if not some:
            return ""
        if recipe == BASE:  # of one pair also what it costs
            return f"1 ({some[0].costs[BASE].mean():.4g})" if len(some) == 1 else "1"
        return str(ratio(some, recipe))

    rows = [(recipe, *(cell(group, recipe) for group in groups.values())) for recipe in RECIPES]
    return _markdown([("recipe", *groups), *(row for row in rows if any(row[1:]))])


def time_table(times: list[dict[str, Any]]) -> str:
    """What five networks side by side take, against one."""
    rows = [("task", "model", "examples", "one, s", f"{MEMBERS} side by side, s", "ratio")]
    for one in times:
        seconds = one["one"], one["members"]
        shown = (*(f"{taken:.2f}" for taken in seconds), f"{seconds[1] / seconds[0]:.1f}")
        rows.append((one["title"], one["model"], f"{one['fitted']:,}", *shown))
    return _markdown(rows)


def _markdown(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def verdict(every: list[Pair]) -> str:
    """Returns what the numbers say, in sentences that follow from them alone."""
    trained = [recipe for recipe in RECIPES if recipe not in NO_NETWORK]
    everywhere = [one for one in trained if all(one in pair.costs for pair in every)]
    means = {recipe: overall(every, recipe) for recipe in everywhere}
    least = min(means, key=lambda recipe: means[recipe].mean)
    sentences = [
        f"Least on average of what trains networks: {least}, {means[least]}.",
        f"Recommended is {RECOMMENDED}: {means[RECOMMENDED]}, {_said(means[RECOMMENDED])}.",
        _cheapest(_by_task(every), "tasks"),
        _cheapest({f"{pair.title} ({pair.name})": [pair] for pair in every}, "pairs"),
    ]
    for recipe in TRAINED_WITH_COSTS:
        found = {pair: compared([pair], recipe) for pair in every}
        less = {pair: ratio for pair, ratio in found.items() if ratio.is_less}
        more = sum(ratio.is_more for ratio in found.values())
        sentences.append(
            f"{recipe}, against {BASE}: {means[recipe]} on average; clearly less on {len(less)} of"
            f" {len(found)} pairs, clearly more on {more}.{_listed(less)}"
        )
    sentences.append(
        f"{EACH}, against {TWO}: {overall(every, EACH, TWO)}, {_said(overall(every, EACH, TWO))}."
    )
    sentences += [
        f"{recipe}: {means[recipe]}, {_said(means[recipe])}."
        for recipe in ("CE, temperature, decide", "CE, tuned offsets")
    ]
    with_trees = [pair for pair in every if TREES in pair.costs]
    if with_trees:
        for other in (BASE, RECOMMENDED):
            one = overall(with_trees, TREES, other)
            sentences.append(f"{TREES}, on tables, against {other}: {one}, {_said(one)}.")
    sentences.append(
        "One interval in twenty is expected to miss: among so many, one that barely leaves out 1 is"
        " weak evidence, and the tasks with images share them."
    )
    return "\n".join(
        textwrap.fill(f"- {sentence}", 100, subsequent_indent="  ", break_on_hyphens=False)
        for sentence in sentences
    )


def exceptions(groups: dict[str, list[Pair]]) -> dict[str, tuple[str, Ratio]]:
    """Where another recipe is clearly cheaper than the recommended one, and the cheapest such."""
    found = {}
    for name, group in groups.items():
        others = [one for one in group[0].costs if one not in (RECOMMENDED, *NO_NETWORK)]
        ratios = {one: compared(group, one, RECOMMENDED) for one in others}
        less = {one: ratio for one, ratio in ratios.items() if ratio.is_less}
        if less:
            best = min(less, key=lambda one: less[one].mean)
            found[name] = (best, less[best])
    return found


def _cheapest(groups: dict[str, list[Pair]], kind: str) -> str:
    found = exceptions(groups)
    sentence = (
        f"On {len(groups) - len(found)} of {len(groups)} {kind} no other recipe with networks is"
        f" clearly cheaper than {RECOMMENDED}"
    )
    if not found:
        return f"{sentence}."
    listed = "; ".join(f"{name}: {recipe} {ratio}" for name, (recipe, ratio) in found.items())
    return f"{sentence}. One is, relative to it, on {listed}."


def _said(ratio: Ratio) -> str:
    if ratio.is_less:
        return "clearly cheaper"
    return "clearly costlier" if ratio.is_more else "which cannot be told apart"


def _listed(found: dict[Pair, Ratio]) -> str:
    if not found:
        return ""
    return (
        " Less: "
        + "; ".join(f"{pair.title} ({pair.name}) {ratio}" for pair, ratio in found.items())
        + "."
    )


def draw(parts: list[dict[str, Any]]) -> bytes:
    """Draws the geometric means with their intervals, a dot for each task; returns a PNG."""
    every = pairs(parts)
    shown = [recipe for recipe in RECIPES if recipe not in (BASE, CONSTANT)]
    shown = [recipe for recipe in shown if _by_task(every, recipe)]
    figure = Figure(figsize=(9, 0.36 * len(shown) + 1.4), layout="constrained", dpi=130)
    axis = figure.subplots()
    for row, recipe in enumerate(reversed(shown)):
        tasks = [compared(group, recipe).mean for group in _by_task(every, recipe).values()]
        ratio = overall(every, recipe)
        color = LEAST if ratio.is_less else BAR
        axis.plot(tasks, [row + 0.27] * len(tasks), "o", ms=4, color=INK, alpha=0.5, mew=0)
        axis.plot([ratio.low, ratio.high], [row, row], color=color, lw=4, solid_capstyle="butt")
        axis.plot(ratio.mean, row, "D", ms=7, color=color, mec=INK, mew=0.8)
    axis.set_yticks(range(len(shown)), labels=reversed(shown))
    axis.axvline(1, color=INK, lw=0.8)
    axis.set_xscale("log")
    ticks = [0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.7, 2]
    axis.set_xticks(ticks, labels=map(str, ticks))
    axis.minorticks_off()
    axis.set_title("Real World Cost relative to cross-entropy with decide", loc="left", fontsize=11)
    axis.set_xlabel("geometric mean over tasks with its 95 % interval; a dot for each task")
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
