"""Probabilities to decide with: one temperature, fitted on held-out examples."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from rwwce_jax import _arguments
from rwwce_jax._sharding import compiled

# Between this share of the largest logit gap and its inverse the temperature is looked for.
LOWEST = 1e-6


def fit_temperature(
    logits: ArrayLike, labels: ArrayLike, *, where: ArrayLike | None = None
) -> jax.Array:
    r"""The temperature that makes the probabilities of a trained model fit held-out labels best.

    .. math::
        T = \arg\min_{T > 0} -\sum_m \log p_{m, y_m}, \quad p_m = softmax(z_m / T)

    An overconfident network, as most are that were trained for long, gets T > 1. Decide with
    ``jax.nn.softmax(logits / T)``, or with ``jax.nn.sigmoid(logits / T)``. No order of the logits
    changes, but ``rwwce.decide`` and ``rwwce.bayes_threshold`` may decide otherwise. Fit on
    examples that the model was not trained with, and judge it by others again.

    Args:
        logits: Logits z of a model that was trained by plain cross-entropy, of a floating dtype:
            one per example, of any shape, for two classes; or ``(..., K)`` for K >= 2 classes.
        labels: The truth. Of the logits' shape for two classes: 0 or 1 of any dtype, or
            probabilities in [0, 1]. Else integer class ids, of the logits' shape without the last
            axis. The shape decides: one-hot labels are K labels, each with a sigmoid of its own.
        where: Boolean mask over the examples, of the labels' shape. What it leaves out does not
            count, whatever it holds. Default: all examples.

    Returns:
        The temperature, a scalar: float32 for logits of 32 bits or fewer, float64 for float64. It
        is a constant to ``jax.grad``: its derivatives are zero. A network each: ``jax.vmap``.

    Raises:
        TypeError: if the logits are not floating-point, or the labels not real numbers, or not
            integers where they are class ids.
        ValueError: if the labels have neither shape, or the mask not that of the labels.

    Note:
        Let g be the largest gap between any logit and that of its example's label (for two classes,
        the largest logit). T is between 1e-6 g and 1e6 g. It is the lower bound where colder is
        always better, because no logit is above that of the label: separable data, one example that
        is right. It is the upper bound where equal probabilities are best: the logits are wrong
        more often than right. With nothing to fit, an empty selection or equal logits everywhere,
        it is 1. A logit of -inf makes its class impossible and counts no further. Where the loss is
        infinite at every T, because such a class is the label, the result is NaN; so it is for NaN,
        for +inf among the logits of several classes, and for a label out of range.

    Example:
        The logits claim 98 %, but three of four are right.

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
    scores = _arguments.logits("logits", logits)
    shape = _arguments.as_array("labels", labels).shape
    if shape == scores.shape:
        truth = _arguments.binary_labels("labels", labels, shape, scores.dtype)
        return _fit_binary(scores, truth, _arguments.mask("where", where, shape))
    if scores.ndim == 0 or shape != scores.shape[:-1]:
        raise ValueError(
            f"labels must have the logits' shape {scores.shape}, or be class ids without its last "
            f"axis, got shape {shape}."
        )
    _arguments.class_axis("logits", scores, -1, "fit_temperature of logits[..., 0]")
    ids, valid = _arguments.class_ids("labels", labels, shape, scores.shape[-1])
    return _fit_categorical(scores, ids, valid, _arguments.mask("where", where, shape))


@compiled()
def _fit_binary(logits: jax.Array, labels: jax.Array, where: jax.Array | None) -> jax.Array:
    """A positive is an example of two classes with the gap -z, a negative one with the gap z."""
    gaps = jnp.stack([-logits, logits], axis=-1)
    weights = jnp.stack([labels, 1 - labels], axis=-1)
    valid = (labels >= 0)[..., None]
    # What does not count is not looked at: an infinite logit is wrong for the other class.
    gaps, valid = jnp.where(weights == 0, 0, gaps), jnp.broadcast_to(valid, gaps.shape)
    gaps = jnp.stack([jnp.zeros_like(gaps), gaps], axis=-1)
    selected = None if where is None else jnp.broadcast_to(where[..., None], valid.shape)
    return _fit(gaps, weights, valid, selected)


@compiled()
def _fit_categorical(
    logits: jax.Array, labels: jax.Array, valid: jax.Array, where: jax.Array | None
) -> jax.Array:
    gaps = logits - jnp.take_along_axis(logits, labels[..., None], axis=-1)
    return _fit(gaps, jnp.ones_like(gaps[..., 0]), valid, where)


def _fit(
    gaps: jax.Array, weights: jax.Array, valid: jax.Array, where: jax.Array | None
) -> jax.Array:
    """Bisects the derivative of ``sum(weights * log(sum(exp(b * gaps))))``, which grows with b.

    Gaps from the label's logit, its own 0 among them, (..., C), rather than the logits: where a
    label is nearly certain, the terms of the others are small, and nothing cancels.
    """
    gaps, weights = lax.stop_gradient((gaps, weights))
    valid &= jnp.all(gaps < jnp.inf, axis=-1)
    if where is not None:
        valid |= ~where
        gaps, weights = jnp.where(where[..., None], gaps, 0), jnp.where(where, weights, 0)
    gaps = jnp.where(valid[..., None], gaps, 0)
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
    # The ends are 40 doublings apart: six halvings bring them within one, and each more is a bit.
    low, high = lax.fori_loop(0, info.nmant + 6, halve, (ends[0], ends[1]))
    temperature = jnp.clip(scale / jnp.sqrt(low * high), info.tiny, info.max)
    return jnp.where(jnp.all(valid), temperature, jnp.nan)
