"""Whether predicted probabilities are observed."""

import numpy as np
from jax.typing import ArrayLike
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from rwwce_jax._checks import CostsLike, arguments
from rwwce_jax._checks.labels import binary_labels, class_ids
from rwwce_jax.decisions import bayes_threshold
from rwwce_jax.plot._canvas import BLUE, INK, ORANGE, axes, short

NUM_BINS = 10


def reliability(
    probs: ArrayLike,
    labels: ArrayLike,
    *,
    fn: CostsLike | None = None,
    fp: CostsLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws the observed share of positives against the predicted probability.

    The probabilities are put in ten bins. The x axis shows the mean probability of each bin, the y
    axis its share of positives with a 95 % interval (Wilson's), and the top axis its number of
    examples. Points below the diagonal are overconfident. With several classes, every probability
    counts as one of two classes: that class or any other.

    Args:
        probs: Probabilities of the positive class, of any shape and floating dtype; or of K >= 2
            classes, ``(..., K)``.
        labels: The truth, of the shape of the probabilities: 0 or 1 of any dtype, or probabilities
            in [0, 1]. For several classes integer class ids, of that shape without its last axis.
        fn: Marginal cost of a false negative, for two classes: a scalar, or one cost per example.
            With ``fp`` it marks the Bayes threshold, near which the probabilities must be right; or
            the middle 90 % of the thresholds, if costs differ between examples.
        fp: Marginal cost of a false positive, likewise.
        ax: Where to draw. Default: a new figure.

    Returns:
        The axes.

    Raises:
        TypeError: if the probabilities are not floating-point, or the labels not real numbers.
        ValueError: if a shape does not fit; if a probability or label is outside [0, 1], or a class
            id outside [0, K); if there is no example; if only one of ``fn`` and ``fp`` is given, or
            if they are given for several classes, where ``rwwce.decide`` has no threshold.

    Example:
        >>> import jax.numpy as jnp
        >>> from rwwce_jax import plot
        >>> probs, labels = jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([0, 0, 1, 1])
        >>> ax = plot.reliability(probs, labels, fn=20.0, fp=1.0)
        >>> print(*(text.get_text() for text in ax.get_legend().get_texts()), sep="; ")
        as predicted; Bayes threshold 0.0476; observed, 95 % interval
    """
    given, truth, of_classes = _forecasts(probs, labels)
    if (fn is None) != (fp is None) or (fn is not None and of_classes):
        raise ValueError("fn and fp must be given together, and for two classes only.")
    ax = axes(ax, height=4.6)
    place = np.minimum((given * NUM_BINS).astype(int), NUM_BINS - 1)
    counts, *sums = (np.bincount(place, x, NUM_BINS) for x in (None, given, truth))
    used = counts > 0
    across, up = (x[used] / counts[used] for x in sums)
    ax.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1, label="as predicted")
    reach = _wilson(up, counts[used])
    label = "observed, 95 % interval"
    ax.errorbar(across, up, reach, fmt="o-", color=BLUE, capsize=3, linewidth=1.2, label=label)
    if fn is not None and fp is not None:
        _mark_thresholds(ax, fn, fp)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    ax.set_xlabel("predicted probability" + (" of a class" if of_classes else ""))
    ax.set_ylabel("share of examples of the class" if of_classes else "share of positives")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    above = ax.secondary_xaxis("top")
    middles = (np.arange(NUM_BINS) + 0.5) / NUM_BINS
    above.set_xticks(middles, labels=[short(n) for n in counts], fontsize=8)
    above.tick_params(length=0)
    above.set_xlabel("examples × classes" if of_classes else "examples", fontsize=8)
    ax.legend(loc="best", frameon=False, fontsize=9)
    return ax


def _forecasts(probs: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray, bool]:
    """Each probability, its truth, and whether they are those of several classes."""
    numbers = arguments.floats("probs", probs)
    given = np.asarray(numbers, np.float64)
    truth = np.asarray(arguments.as_array("labels", labels))
    of_classes = given.ndim > 0 and truth.shape == given.shape[:-1]
    if of_classes:
        arguments.class_axis("probs", numbers.shape, -1, "plot.reliability of probs[..., 0]")
        ids, valid = map(np.asarray, class_ids("labels", truth, truth.shape, given.shape[-1]))
        truth = np.where(valid[..., None], np.eye(given.shape[-1])[ids], np.nan)
    else:
        truth = np.asarray(binary_labels("labels", truth, given.shape, np.float32))
    if given.size == 0 or not np.all((given >= 0) & (given <= 1)):
        raise ValueError(
            "probs must be one probability in [0, 1] or more; of logits take jax.nn.sigmoid, or "
            "jax.nn.softmax for several classes."
        )
    if np.isnan(truth).any():
        raise ValueError("labels must be in [0, 1], or class ids from 0 to K - 1.")
    return given.ravel(), truth.ravel(), of_classes


def _wilson(share: np.ndarray, count: np.ndarray) -> np.ndarray:
    """How far the 95 % interval goes below and above a share, which may be 0 or 1 too."""
    z = 1.959964
    middle = share + z**2 / (2 * count)
    half = z * np.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    ends = (middle + np.outer([-1, 1], half)) / (1 + z**2 / count)
    return np.abs(ends - share)


def _mark_thresholds(ax: Axes, fn: CostsLike, fp: CostsLike) -> None:
    thresholds = np.asarray(bayes_threshold(fn, fp))
    low, high = np.quantile(thresholds, [0.05, 0.95])
    if np.ptp(thresholds) == 0:
        label = f"Bayes threshold {low:.3g}"
        ax.axvline(low, color=ORANGE, linestyle="--", linewidth=1.2, label=label)
    else:
        label = f"Bayes thresholds, {low:.2g} to {high:.2g}"
        ax.axvspan(low, high, color=ORANGE, alpha=0.15, linewidth=0, label=label)
