"""The confusion matrix, in money."""

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from jax.typing import ArrayLike
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm

from rwwce_jax._checks import CostsLike
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
    actions: CostsLike | None = None,
    class_names: Sequence[str] | None = None,
    action_names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws the cost of each kind of mistake, summed over the examples.

    Args:
        confusion: Counts ``(K, K)`` from ``rwwce.confusion_matrix``, or ``(K, K + A)`` with A
            actions, or their means over several runs: rows are the truth, columns the prediction.
        fn: Cost of a false negative, by true class: a scalar or ``(K,)``. See ``rwwce.Costs``.
        fp: Extra cost of a false positive: a scalar, ``(K, K)``, or ``rwwce.pair_costs``. Binary
            costs are ``fn=[0, fn]`` and ``fp=[[0, fp], [0, 0]]``.
        actions: What decisions that are no class cost over the right decision, by true class:
            ``(K, A)``, or a scalar for one action. Default: no actions.
        class_names: The names of the K classes. Default: 0 to K - 1.
        action_names: The names of the A actions. Default: K to K + A - 1.
        ax: Where to draw. Default: a new figure.

    Returns:
        The axes. If the cells are too small for numbers, a colour bar is beside them.

    Raises:
        ValueError: if the confusion matrix is not ``(K, K + A)`` or a count is negative or NaN, if
            the costs do not fit it or are not finite, or if there are not K names, or A.

    Example:
        >>> import rwwce_jax as rwwce
        >>> from rwwce_jax import plot
        >>> confusion = [[90, 10], [2, 98]]
        >>> ax = plot.confusion_in_money(confusion, [0, 2000], [[0, 100], [0, 0]])
        >>> print(ax.get_title(loc="left"))
        Real World Cost 25 per example, 5,000 in all
        most: 4,000 for true 1 predicted 0
    """
    mean = real_world_cost_from_confusion(confusion, fn, fp, actions=actions)
    counts = np.asarray(confusion, np.float64)
    if counts.ndim != 2:
        raise ValueError(f"confusion must have shape (K, K), got shape {counts.shape}.")
    if not np.isfinite(mean):
        raise ValueError("confusion must hold counts >= 0, and fn and fp finite costs.")
    size, width = counts.shape
    names = _names("class_names", class_names, range(size))
    decisions = names + _names("action_names", action_names, range(size, width))
    # The expected cost under a certain truth is the cost of the mistake.
    certain = np.eye(size, dtype=np.float32)
    money = counts * np.asarray(expected_cost(certain, fn, fp, actions=actions))

    ax = axes(ax, height=5.6)
    right = np.eye(size, width, dtype=bool)
    # Close to a logarithm, so that small costs are visible beside large ones, but defined at 0.
    norm = PowerNorm(0.35, vmin=0, vmax=money.max() or 1)
    image = ax.imshow(np.ma.masked_array(money, right), norm=norm, cmap=MONEY)
    _name_classes(ax, names, decisions)
    ax.set(xlabel="prediction", ylabel="truth")
    ax.spines[:].set_color(GREY)
    title = f"Real World Cost {short(float(mean))} per example, {short(money.sum())} in all"
    if money.any():
        row, column = np.unravel_index(money.argmax(), money.shape)
        most = f"true {names[row]} predicted {decisions[column]}"
        separator = " for " if len(most) < 40 else ":\n"
        title += f"\nmost: {short(money.max())}{separator}{most}"
    ax.set_title(title, loc="left", fontsize=9, parse_math=False)

    root_figure(ax).draw_without_rendering()  # cells shrink by the room that names take
    font = min(10.0, _cell(ax, width) / 3)
    if font < 5:
        ax.figure.colorbar(image, ax=ax, label="cost", shrink=0.8)
        return ax
    for row, column in np.argwhere(money > 0):
        number = short(money[row, column], digits=2)
        ax.text(column, row, number, ha="center", va="center", fontsize=font, color=INK)
    return ax


def _names(argument: str, given: Sequence[str] | None, ids: range) -> list[str]:
    """The names, or else the ids, cut to a length that fits."""
    names = [str(k) for k in (ids if given is None else given)]
    if len(names) != len(ids):
        raise ValueError(f"{argument} must be {len(ids)} names, got {len(names)}.")
    return [n if len(n) <= LONGEST_NAME else f"{n[: LONGEST_NAME - 1]}…" for n in names]


def _cell(ax: Axes, number: int) -> float:
    """The width of one of so many cells in a row, in points."""
    return ax.get_window_extent().width * 72 / ax.figure.dpi / number


def _name_classes(ax: Axes, rows: list[str], columns: list[str]) -> None:
    """Writes the names at the ticks, as large as fits, and as many as are readable."""
    cell = _cell(ax, len(columns))
    font = min(10.0, max(5.0, 0.85 * cell))
    step = math.ceil(font / cell)
    shown = columns[::step]
    across = 0.65 * font * max(map(len, shown)) < cell
    ticks = range(0, len(columns), step)
    # A $ in a name is no formula.
    ax.set_xticks(ticks, labels=shown, rotation=0 if across else 90, parse_math=False)
    ax.set_yticks(range(0, len(rows), step), labels=rows[::step], parse_math=False)
    ax.tick_params(length=0, labelsize=font)
