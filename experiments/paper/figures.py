"""Figure 1, and the costs of all methods with their intervals."""

from collections.abc import Collection
from pathlib import Path

from matplotlib.figure import Figure

from experiments.paper.section7 import Section7
from experiments.paper.statistics import Methods, interval, ranking

INK, BAR, OURS, PAPER = "#333333", "#d5d8dc", "#8fc1a9", "#b5483a"


def figure_1(result: Section7, file: Path) -> None:
    """The loss J at every p, and the p that training reached."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained", dpi=130)
    axis = figure.subplots()
    axis.plot(*zip(*result.curve, strict=True), color=INK)
    height = dict(result.curve)[0.9]
    axis.plot(result.probability, height, "o", color=PAPER)
    axis.annotate(
        f"trained: p = {result.probability:.4f}",
        (result.probability, height),
        (0.62, height + 5),
        arrowprops={"arrowstyle": "-", "color": PAPER},
        color=PAPER,
    )
    axis.set_xlabel("p")
    axis.set_ylabel("J(p)")
    axis.set_title("One head that wins 9, one tail that wins 1", loc="left", fontsize=11)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(file)


def costs(
    methods: Methods,
    paper: dict[str, dict[str, float]],
    coloured: Collection[str],
    title: str,
    file: Path,
) -> None:
    """The Real World Cost of every method, cheapest first, with its 95 % confidence interval."""
    names = ranking(methods)
    figure = Figure(figsize=(10, 1.4 + 0.36 * len(names)), layout="constrained", dpi=130)
    axis = figure.subplots()
    for row, name in enumerate(names):
        values = methods[name]["cost"]
        mean, (low, high) = values.mean(), interval(values)
        axis.barh(row, mean, color=OURS if name in coloured else BAR, height=0.62)
        axis.plot([low, high], [row, row], color=INK)
        axis.text(high, row, f"  {mean:.4g}", va="center", fontsize=9, color=INK)
        if name in paper:
            axis.plot(paper[name]["cost"], row, "D", color=PAPER, markersize=5)
    axis.plot([], [], "D", color=PAPER, markersize=5, label="the paper's mean")
    axis.plot([], [], color=INK, label="95 % confidence interval of the mean here")
    figure.legend(frameon=False, loc="outside lower left", ncols=2, fontsize=9)
    axis.set_yticks(range(len(names)), labels=names, fontsize=9)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.set_xlabel("Real World Cost (cost per example)")
    axis.set_title(title, loc="left", fontsize=11)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    figure.savefig(file)
