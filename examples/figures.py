"""Pictures of confusion in money."""

import io

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from examples.cheques import ARGMAX, COSTLY_READ, COSTLY_TRUE, FN, FP, Outcome
from rwwce_jax import plot

INK, BAR, LEAST = "#333333", "#d5d8dc", "#8fc1a9"


def draw(results: list[Outcome], title: str) -> bytes:
    """Draws both trainings' confusion matrices in money, and the cost of all four ways.

    Args:
        results: Two outcomes per training, as ``examples.cheques.outcomes`` returns them.
        title: What is said above the picture.

    Returns:
        The picture as the bytes of a PNG file.
    """
    figure = Figure(figsize=(14.5, 5.6), layout="constrained", dpi=130)
    figure.suptitle(title, fontsize=13, x=0.01, ha="left")
    axes = figure.subplots(1, 3, width_ratios=[1, 1, 0.85])
    shown = [result for result in results if result.decision == ARGMAX]
    for axis, result in zip(axes, shown, strict=False):
        plot.confusion_in_money(result.confusion.mean(0), FN, FP, ax=axis)
        corner = (COSTLY_READ - 0.5, COSTLY_TRUE - 0.5)
        axis.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=INK, lw=1.8, clip_on=False))
        axis.set_xlabel("read as")
        axis.set_ylabel("")
        images = result.confusion[0].sum()
        axis.set_title(
            f"{result.name}\n"
            f"{result.cost.mean() * images:.0f} per {images:,} cheques:"
            f" Real World Cost {result.cost.mean():.4f}",
            fontsize=11,
            loc="left",
        )
    # One scale of colours for both.
    pictures = [axis.images[0] for axis in axes[: len(shown)]]
    highest = max(picture.norm.vmax for picture in pictures)
    for picture in pictures:
        picture.norm.vmax = highest
    axes[0].set_ylabel("true digit")
    _costs(axes[2], results)
    return _png(figure)


def _costs(axis: Axes, results: list[Outcome]) -> None:
    means = [result.cost.mean() for result in results]
    rows = range(len(results))
    colors = [LEAST if mean == min(means) else BAR for mean in means]
    bars = axis.barh(rows, means, color=colors, height=0.62)
    axis.bar_label(bars, fmt=" {:.4f}", label_type="edge", padding=-44, fontsize=10, color=INK)
    for row, result in zip(rows, results, strict=True):
        axis.plot(result.cost, [row + 0.2] * len(result.cost), "o", ms=4, color=INK, alpha=0.6)
    names = [f"{result.training},\n{result.decision}" for result in results]
    axis.set_yticks(rows, labels=names)
    axis.invert_yaxis()
    axis.set_title("The four ways: mean, and one dot per run", fontsize=11, loc="left")
    axis.set_xlabel("Real World Cost (cost per cheque)")
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
