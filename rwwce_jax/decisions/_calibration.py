"""Calibrated probabilities: one temperature, fitted on held-out examples."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from rwwce_jax._checks import Counted, arguments, compiled
from rwwce_jax._checks.labels import binary_labels, class_labels
from rwwce_jax.decisions._decide import TOLERANCE, refuse_sums

# The temperature is searched between this share of the largest logit gap and its inverse.
LOWEST = 1e-6


def fit_temperature(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    where: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> jax.Array:
    r"""The temperature that best fits the probabilities of a trained model to held-out labels.

    .. math::
        T = \arg\min_{T > 0} -\sum_m \log p_{m, y_m}, \quad p_m = softmax(z_m / T)

    An overconfident network, as most are after long training, gets T > 1. Decide with
    ``jax.nn.softmax(logits / T)`` or ``jax.nn.sigmoid(logits / T)``. The order of the logits stays
    the same, but ``rwwce.decide`` and ``rwwce.bayes_threshold`` may decide differently. Fit on
    examples that the model was not trained on, and evaluate on a third set.

    Args:
        logits: Logits z of a model that was trained with plain cross-entropy, of a floating dtype:
            one per example, ``(N,)``, for two classes; or ``(..., K)`` for K >= 2 classes.
        labels: The truth. For two classes of the logits' shape: 0 or 1 of any dtype, or
            probabilities in [0, 1]. Otherwise integer class ids, of the logits' shape without the
            last axis; or class probabilities, floats or booleans of the logits' shape.
        where: Boolean mask over the examples, of the shape of their class ids. Examples that it
            leaves out do not count, whatever they hold. Default: all examples.
        weights: One number per example, 0 or more, likewise: an example of weight w counts as w
            examples. Default: 1 each.

    Returns:
        The temperature, a scalar: float32 for logits of 32 bits or fewer, float64 for float64. It
        is a constant to ``jax.grad``: its derivatives are zero. For several networks use
        ``jax.vmap``.

    Raises:
        TypeError: if the logits are not floating-point, or the labels not real numbers, or not
            integers where they are class ids.
        ValueError: if the labels have neither shape, or mask or weights not that of the examples;
            or if the class probabilities of an example do not add up to 1 within 0.02, such as
            several labels at once.

    Note:
        Let g be the largest gap between any logit and that of its example's label (for two classes,
        the largest logit; for probabilities, the gap to the mean logit under them). T is
        between 1e-6 g and 1e6 g. It is the lower bound if no logit is above that of the label, as
        in separable data: then a lower T always fits better. It is the upper bound if equal
        probabilities fit best: the logits are wrong more often than right. It is 1 if there is
        nothing to fit: no example selected, no weight, or equal logits everywhere. A logit of -inf
        makes its class impossible and has no other effect. The result is NaN if the label is such a
        class, because the loss is then infinite at every T, unless the weight is 0. NaN, +inf among
        the logits of several classes, a label out of range, or a weight that is negative or not
        finite give NaN too, and so do sums other than 1 where compiled code cannot refuse them.

    Example:
        The logits promise 98 %, but only three of four are right.

        >>> import jax
        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> logits, labels = jnp.array([4.0, 4.0, -4.0, 4.0]), jnp.array([1, 1, 0, 0])
        >>> temperature = rwwce.fit_temperature(logits, labels)
        >>> print(f"{temperature:.2f}")
        3.64
        >>> print(jax.nn.sigmoid(logits / temperature).round(2))
        [0.75 0.75 0.25 0.75]

    References:
        C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, "On Calibration of Modern Neural Networks",
        ICML 2017, section 4.2.
    """
    scores = arguments.logits("logits", logits)
    given = arguments.as_array("labels", labels)
    shape, examples = given.shape, scores.shape[:-1]
    if shape == scores.shape and scores.ndim < 2:
        truth = binary_labels("labels", given, shape, scores.dtype)
        return _fit(scores, truth, None, Counted.of(where, weights, shape, scores.dtype))
    if shape == scores.shape and jnp.issubdtype(given.dtype, jnp.integer):
        raise ValueError(
            f"labels must be class ids, got the logits' shape {shape}: of one-hot labels take "
            "labels.argmax(-1); of several labels at once logits.ravel() and labels.ravel()."
        )
    if scores.ndim == 0 or shape not in (scores.shape, examples):
        raise ValueError(
            f"labels must have the logits' shape {scores.shape}, or be class ids without its last "
            f"axis, got shape {shape}."
        )
    axis = arguments.class_axis("logits", scores.shape, -1, "fit_temperature of logits[..., 0]")
    truth, valid = class_labels("labels", given, scores.shape, axis, scores.dtype)
    counted = Counted.of(where, weights, examples, scores.dtype)
    if valid is None:
        remedy = "of several labels at once take logits.ravel() and labels.ravel()"
        refuse_sums("labels", truth, counted.where, remedy)
    return _fit(scores, truth, valid, counted)


@compiled
def _fit(
    logits: jax.Array, labels: jax.Array, valid: jax.Array | None, counted: Counted
) -> jax.Array:
    """Bisects the derivative of ``sum(weights * log(sum(exp(b * gaps))))``, which grows with b.

    Gaps are differences from the label's logit, (..., C), including its own 0. With them nothing
    cancels: where a label is nearly certain, the terms of the others are small.
    """
    if valid is None:
        if logits.ndim < 2:
            # Two logits with the difference z, neither of which is +inf.
            logits = jnp.minimum(jnp.stack([-logits, logits], axis=-1), 0)
            labels = jnp.stack([1 - labels, labels], axis=-1)
        # The gaps to the mean logit of the labels have the derivative that is wanted.
        total = jnp.sum(labels, axis=-1, keepdims=True)
        valid = jnp.abs(total - 1)[..., 0] <= TOLERANCE
        logits -= jnp.max(logits, axis=-1, keepdims=True)  # their mean rounds, relative to them
        means = jnp.where(labels == 0, 0, labels / total * logits)
        gaps = logits - jnp.sum(means, axis=-1, keepdims=True)
    else:
        gaps = logits - jnp.take_along_axis(logits, labels[..., None], axis=-1)
    weights = counted.select(counted.weigh(jnp.ones_like(gaps[..., 0])))
    gaps, weights = lax.stop_gradient((gaps, weights))
    # A gap without weight must not count, such as one to an impossible label.
    unused = weights == 0
    valid &= jnp.isfinite(weights) & jnp.all(logits < jnp.inf, axis=-1)
    valid &= unused | jnp.all(gaps < jnp.inf, axis=-1)
    gaps = jnp.where((valid & ~unused)[..., None], gaps, 0)
    impossible = gaps == -jnp.inf
    finite = jnp.where(impossible, 0, gaps)
    largest = jnp.max(jnp.abs(finite), initial=0)
    is_given = largest > 0
    scale = jnp.where(is_given, largest, 1)
    finite /= scale

    def slope(b: jax.Array) -> jax.Array:
        p = jax.nn.softmax(jnp.where(impossible, -jnp.inf, b * finite), axis=-1)
        return jnp.sum(weights * jnp.sum(p * finite, axis=-1))

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = jnp.sqrt(low * high)
        falls = slope(middle) <= 0
        return jnp.where(falls, middle, low), jnp.where(falls, high, middle)

    info = np.finfo(gaps.dtype)
    ends = [jnp.where(is_given, end, 1).astype(gaps.dtype) for end in (LOWEST, 1 / LOWEST)]
    # The ends are 40 doublings apart: six halvings bring them within one, each more adds a bit.
    low, high = lax.fori_loop(0, info.nmant + 6, halve, (ends[0], ends[1]))
    temperature = jnp.clip(scale / jnp.sqrt(low * high), info.tiny, info.max)
    return jnp.where(jnp.all(valid, where=counted.where), temperature, jnp.nan)
