"""The table, what it shows in words, and the picture."""

import io
import textwrap
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from examples.credit.contest import HALF, POSTERIOR, RWWCE, Way

INK, BAR, LEAST = "#333333", "#d5d8dc", "#8fc1a9"


class Result(NamedTuple):
    """All that was measured on one data set."""

    name: str
    facts: dict[str, Any]
    folds: int
    savings: dict[Way, np.ndarray]  # of every fold

    @property
    def best(self) -> Way:
        """The way that saves most, on average."""
        return max(self.savings, key=lambda way: self.savings[way].mean())


class Gap(NamedTuple):
    """What one way saves less than another, fold by fold."""

    mean: float
    low: float  # of the 95 % confidence interval
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def gap(one: np.ndarray, other: np.ndarray, folds: int) -> Gap:
    """Returns ``one - other`` with Nadeau and Bengio's corrected interval.

    The folds' training sets overlap, so the plain standard error is too small. Their correction
    adds the ratio of test to training customers, 1 / (folds - 1), to the 1 / n of the variance.
    """
    differences = one - other
    count = len(differences)
    error = differences.std(ddof=1) * np.sqrt(1 / count + 1 / (folds - 1))
    reach = stats.t.ppf(0.975, count - 1) * error
    mean = differences.mean()
    return Gap(mean, mean - reach, mean + reach)


def table(result: Result) -> str:
    """Returns a Markdown table, the way that saves most first."""
    rows = [("model", "trained with", "decided by", "savings", "less than the best")]
    best = result.savings[result.best]
    for way, savings in sorted(result.savings.items(), key=lambda item: -item[1].mean()):
        less = "–"
        if way != result.best:
            behind = gap(best, savings, result.folds)
            less = f"{behind.mean:.3f} [{behind.low:.3f}, {behind.high:.3f}]"
        spread = f"{savings.mean():.3f} ± {savings.std(ddof=1):.3f}"
        rows.append((*way, spread, less))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def verdict(result: Result) -> str:
    """Returns who won, and what cannot be told from it, in a few sentences."""
    best = result.best
    behind = {
        way: gap(result.savings[best], savings, result.folds)
        for way, savings in result.savings.items()
        if way != best
    }
    tied = [way for way, one in behind.items() if not one.is_clear]
    sentences = [
        f"Most is saved by {_name(best)}: {result.savings[best].mean():.3f}.",
        f"Of the {len(behind)} other ways, {len(behind) - len(tied)} save clearly less;"
        f" {len(tied)} cannot be told from it"
        + (f": {'; '.join(map(_name, tied))}." if tied else "."),
    ]
    for model in dict.fromkeys(way[0] for way in result.savings if way[1] == RWWCE):
        costly = result.savings[model, RWWCE, POSTERIOR]
        plain = result.savings[model, "cross-entropy", "Bayes threshold"]
        one = gap(costly, plain, result.folds)
        doubt = "" if one.is_clear else ", which may be chance"
        sentences.append(
            f"The {model}, both with the Bayes threshold: rwwce.binary saves"
            f" {abs(one.mean):.3f} {'more' if one.mean > 0 else 'less'} than cross-entropy"
            f" [{one.low:.3f}, {one.high:.3f}]{doubt}."
        )
    return "\n".join(
        textwrap.fill(f"- {sentence}", width=100, subsequent_indent="  ", break_on_hyphens=False)
        for sentence in sentences
    )


def _name(way: Way) -> str:
    model, training, decision = way
    return f"{model}, {training}, {decision}"


def text(results: list[Result]) -> str:
    """Returns the tables and what they show, as Markdown."""
    parts = []
    for result in results:
        parts += [f"### {result.name}", textwrap.fill(_said(result.facts), 100)]
        parts += [table(result), verdict(result)]
    return "\n\n".join(parts)


def _said(facts: dict[str, Any]) -> str:
    return (
        f"{facts['customers']:,} customers, of whom {facts['positive_share']:.1%} are positive"
        f" (the customer {facts['positive']}). A miss costs {facts['mean_fn']:.2f} on average, a"
        f" false alarm {facts['mean_fp']:.2f}, in {facts['unit']}; nothing for"
        f" {facts['zero_fn_share']:.1%} and {facts['zero_fp_share']:.1%} of the customers."
    )


def plain(result: Result) -> dict[str, Any]:
    """Returns the result as plain data, the savings of every fold included."""
    ways = [
        {"model": model, "trained_with": training, "decided_by": decision, "savings": list(savings)}
        for (model, training, decision), savings in result.savings.items()
    ]
    return {"name": result.name, "folds": result.folds, "facts": result.facts, "ways": ways}


def restored(data: dict[str, Any]) -> Result:
    """Returns the result that ``plain`` wrote."""
    ways = {
        (way["model"], way["trained_with"], way["decided_by"]): np.array(way["savings"])
        for way in data["ways"]
    }
    return Result(data["name"], data["facts"], data["folds"], ways)


def draw(results: list[Result], title: str) -> bytes:
    """Draws the savings of every way, a panel for each data set, and returns a PNG."""
    figure = Figure(figsize=(7.4 * len(results), 5.4), layout="constrained", dpi=130)
    figure.suptitle(title, fontsize=12, x=0.01, ha="left")
    axes = figure.subplots(1, len(results), squeeze=False)[0]
    for axis, result in zip(axes, results, strict=True):
        ordered = sorted(result.savings.items(), key=lambda item: item[1].mean())
        means = [savings.mean() for _, savings in ordered]
        colors = [LEAST if way == result.best else BAR for way, _ in ordered]
        axis.barh(range(len(ordered)), means, color=colors, height=0.68)
        furthest = max(savings.max() for _, savings in ordered)
        for row, (_, savings) in enumerate(ordered):
            axis.plot(savings, [row] * len(savings), "o", ms=3.5, color=INK, alpha=0.45, mew=0)
            axis.text(furthest * 1.04, row, f"{savings.mean():.3f}", va="center", color=INK)
        names = [f"{way[0]}, {way[1]}\n{_decision(way)}" for way, _ in ordered]
        axis.set_yticks(range(len(ordered)), labels=names, fontsize=9)
        axis.set_title(result.name, loc="left", fontsize=11)
        axis.set_xlabel("savings over the best constant decision (dots: folds)")
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(axis="y", length=0)
        axis.axvline(0, color=INK, lw=0.8)
        axis.set_xlim(right=furthest * 1.16)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _decision(way: Way) -> str:
    return f"decided by {way[2]}" if way[2] != HALF else "decided at 0.5"
