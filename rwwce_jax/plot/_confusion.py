"""The confusion matrix, in money."""

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from jax.typing import ArrayLike
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm

from rwwce_jax._checks.types import CostsLike
from rwwce_jax.costs import PairCosts
from rwwce_jax.decisions import expected_cost
from rwwce_jax.metrics import real_world_cost_from_confusion
from rwwce_jax.plot._canvas import GREY, INK, axes, root_figure, short

# Lightness falls monotonically, and dark text is readable on every colour.
MONEY = LinearSegmentedColormap.from_list(
    "money", ["white", *matplotlib.colormaps["YlOrRd"](np.linspace(0.1, 0.65, 8))], 256
).with_extremes(bad=GREY)
LONGEST_NAME = 20


def confusion_in_money(
    confusion: ArrayLike | Sequence[Sequence[float]],
    fn: CostsLike,
    fp: CostsLike | PairCosts,
    *,
    class_names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws the cost of each kind of mistake, summed over the examples.

    Args:
        confusion: Counts ``(K, K)`` from ``rwwce.confusion_matrix``, or their means over several
            runs: rows are the truth, columns the prediction.
        fn: Cost of a false negative, by true class: a scalar or ``(K,)``. See ``rwwce.Costs``.
        fp: Extra cost of a false positive: a scalar, ``(K, K)``, or ``rwwce.pair_costs``. Binary
            costs are ``fn=[0, fn]`` and ``fp=[[0, fp], [0, 0]]``.
        class_names: The names of the K classes. Default: 0 to K - 1.
        ax: Where to draw. Default: a new figure.

    Returns:
        The axes. If the cells are too small for numbers, a colour bar is beside them.

    Raises:
        ValueError: if the confusion matrix is not ``(K, K)`` or a count is negative or NaN, if the
            costs do not fit it or are not finite, or if there are not K names.

    Example:
        >>> import rwwce_jax as rwwce
        >>> from rwwce_jax import plot
        >>> confusion = [[90, 10], [2, 98]]
        >>> ax = plot.confusion_in_money(confusion, [0, 2000], [[0, 100], [0, 0]])
        >>> print(ax.get_title(loc="left"))
        Real World Cost 25 per example, 5,000 in all
        most: 4,000 for true 1 predicted 0
    """
    mean = real_world_cost_from_confusion(confusion, fn, fp)
    counts = np.asarray(confusion, np.float64)
    if counts.ndim != 2:
        raise ValueError(f"confusion must have shape (K, K), got shape {counts.shape}.")
    if not np.isfinite(mean):
        raise ValueError("confusion must hold counts >= 0, and fn and fp finite costs.")
    size = len(counts)
    names = [str(k) for k in (range(size) if class_names is None else class_names)]
    if len(names) != size:
        raise ValueError(f"class_names must be {size} names, got {len(names)}.")
    names = [n if len(n) <= LONGEST_NAME else f"{n[: LONGEST_NAME - 1]}…" for n in names]
    # The expected cost under a certain truth is the cost of the mistake.
    money = counts * np.asarray(expected_cost(np.eye(size, dtype=np.float32), fn, fp))

    ax = axes(ax, height=5.6)
    right = np.eye(size, dtype=bool)
    # Close to a logarithm, so that small costs are visible beside large ones, but defined at 0.
    norm = PowerNorm(0.35, vmin=0, vmax=money.max() or 1)
    image = ax.imshow(np.ma.masked_array(money, right), norm=norm, cmap=MONEY)
    _name_classes(ax, names)
    ax.set_xlabel("prediction")
    ax.set_ylabel("truth")
    ax.spines[:].set_color(GREY)
    title = f"Real World Cost {short(float(mean))} per example, {short(money.sum())} in all"
    if money.any():
        row, column = np.unravel_index(money.argmax(), money.shape)
        most = f"true {names[row]} predicted {names[column]}"
        separator = " for " if len(most) < 40 else ":\n"
        title += f"\nmost: {short(money.max())}{separator}{most}"
    ax.set_title(title, loc="left", fontsize=9)

    root_figure(ax).draw_without_rendering()  # cells shrink by the room that names take
    font = min(10.0, _cell(ax, size) / 3)
    if font < 5:
        ax.figure.colorbar(image, ax=ax, label="cost", shrink=0.8)
        return ax
    for row, column in np.argwhere(money > 0):
        number = short(money[row, column], digits=2)
        ax.text(column, row, number, ha="center", va="center", fontsize=font, color=INK)
    return ax


def _cell(ax: Axes, size: int) -> float:
    """The width of one of ``size`` cells, in points."""
    return ax.get_window_extent().width * 72 / ax.figure.dpi / size


def _name_classes(ax: Axes, names: list[str]) -> None:
    """Writes the names at the ticks, as large as fits, and as many as are readable."""
    cell = _cell(ax, len(names))
    font = min(10.0, max(5.0, 0.85 * cell))
    shown = range(0, len(names), math.ceil(font / cell))
    labels = [names[k] for k in shown]
    across = 0.65 * font * max(map(len, labels)) < cell
    ax.set_xticks(shown, labels=labels, rotation=0 if across else 90, fontsize=font)
    ax.set_yticks(shown, labels=labels, fontsize=font)
    ax.tick_params(length=0)
