"""The cost of every threshold."""

import math

import numpy as np
from jax.typing import ArrayLike
from matplotlib.axes import Axes

from rwwce_jax._checks import CostsLike
from rwwce_jax.decisions import bayes_threshold, best_threshold
from rwwce_jax.metrics import binary_real_world_cost
from rwwce_jax.plot._canvas import BLUE, GREEN, INK, ORANGE, axes, short


def cost_curve(
    scores: ArrayLike,
    labels: ArrayLike,
    fn: CostsLike,
    fp: CostsLike,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draws the Real World Cost of ``scores > threshold`` for every threshold.

    Marks the cheapest threshold and the two decisions without a model (all positive, all negative).
    If all scores are in [0, 1], so that they can be probabilities, it also marks the Bayes
    threshold. If costs differ from example to example, each example has its own Bayes threshold,
    and a horizontal line shows the cost of deciding by those.

    Args:
        scores: Probabilities or any other scores of the positive class, of any shape and floating
            dtype.
        labels: The truth, of the scores' shape: 0 or 1 of any dtype, or probabilities in [0, 1].
        fn: Marginal cost of a false negative: a scalar, or one cost per example.
        fp: Marginal cost of a false positive, likewise.
        ax: Where to draw. Default: a new figure.

    Returns:
        The axes.

    Raises:
        TypeError, ValueError: as ``rwwce.best_threshold``.
        ValueError: if there is no example; if a score is NaN, a label outside [0, 1] or a cost NaN
            or infinite.

    Example:
        >>> import jax.numpy as jnp
        >>> from rwwce_jax import plot
        >>> probs, labels = jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([0, 0, 1, 1])
        >>> ax = plot.cost_curve(probs, labels, fn=20.0, fp=1.0)
        >>> for text in ax.get_legend().get_texts():
        ...     print(text.get_text())
        one threshold
        cheapest, at 0.225: 0.25
        Bayes, at 0.0476: 0.5
        all positive: 0.5
        all negative: 10
    """
    cheapest = float(best_threshold(scores, labels, fn, fp))
    values = np.asarray(scores)
    if values.size == 0 or math.isnan(cheapest):
        raise ValueError(
            "scores must be of one example or more and hold no NaN, labels must be in [0, 1], and "
            "fn and fp finite."
        )

    def priced(name: str, decided: np.ndarray) -> tuple[float, str]:
        """What decisions of this name cost, and their entry in the legend."""
        cost = float(binary_real_world_cost(decided, labels, fn, fp))
        return cost, f"{name}: {short(cost)}"

    ax = axes(ax, height=4.2)
    thresholds, costs = _costs_of_thresholds(values, labels, fn, fp)
    probable = bool(np.all((values >= 0) & (values <= 1)))
    finite = thresholds[np.isfinite(thresholds)]
    left, right = (0.0, 1.0) if probable else (finite.min(initial=0), finite.max(initial=0))
    margin = 0.03 * (right - left) or 1.0
    view = ax.set_xlim(left - margin, right + margin)
    inside = np.clip([-np.inf, *thresholds, np.inf], *view)
    ax.step(inside, [*costs, costs[-1]], where="post", color=INK, label="one threshold")

    constant = "all positive" if cheapest < 0 else "all negative"
    named = f"at {cheapest:.3g}" if math.isfinite(cheapest) else constant
    least, label = priced(f"cheapest, {named}", values > cheapest)
    ax.plot(np.clip(cheapest, *view), least, "o", color=GREEN, clip_on=False, label=label)
    if probable:
        bayes = np.asarray(bayes_threshold(fn, fp))
        if np.ptp(bayes) == 0:
            _, label = priced(f"Bayes, at {bayes.flat[0]:.3g}", values > bayes)
            ax.axvline(bayes.flat[0], color=BLUE, linestyle="--", label=label)
        else:
            height, label = priced("each its own Bayes", values > bayes)
            ax.axhline(height, color=BLUE, linestyle="--", label=label)
    for name, decision, style in (("positive", True, ":"), ("negative", False, "-.")):
        height, label = priced(f"all {name}", np.full(values.shape, decision))
        ax.axhline(height, color=ORANGE, linestyle=style, linewidth=1.2, label=label)
    ax.set_ylim(bottom=0)
    ax.set(xlabel="threshold: positive above it", ylabel="Real World Cost (per example)")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=9)
    return ax


def _costs_of_thresholds(
    scores: np.ndarray, labels: ArrayLike, fn: CostsLike, fp: CostsLike
) -> tuple[np.ndarray, np.ndarray]:
    """The different scores, ascending; and the cost below all of them and from each of them on."""
    truth = np.asarray(labels, np.float64)
    misses, alarms = np.asarray(fn, np.float64) * truth, np.asarray(fp, np.float64) * (1 - truth)
    thresholds, place = np.unique(scores.astype(np.float64), return_inverse=True)
    # The change of cost when the threshold reaches the score and the decision turns negative.
    change = np.bincount(place.ravel(), (misses - alarms).ravel())
    return thresholds, (np.sum(alarms) + np.cumsum([0, *change])) / scores.size
