"""Weighted cross-entropy with integer labels, equation 4."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from rwwce_jax._numerics.arithmetic import at_label, finite, is_label, row_sum, times


def _cross_entropy(
    logits: jax.Array, labels: jax.Array, weight: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The loss of each row, shape (..., 1), and its gradient, shape (..., K)."""
    top = lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    label = is_label(logits, labels)
    # Summed without the label: 1 - p of a confident label would be lost in 1 + rest.
    others = jnp.where(label, 0, jnp.exp(logits - top))
    rest = row_sum(others)
    shifted_label = at_label(logits, labels) - top
    total = rest + jnp.exp(shifted_label)
    log_total = jnp.where(shifted_label == 0, jnp.log1p(rest), jnp.log(total))
    slope = weight / total
    gradient = jnp.where(label, -rest * slope, others * slope)
    return times(weight, log_total - shifted_label), gradient


@jax.custom_jvp
def cross_entropy(logits: jax.Array, labels: jax.Array, weight: jax.Array) -> jax.Array:
    """``-weight * log(softmax(logits))[label]``: weight (..., 1), result (...)."""
    return _cross_entropy(logits, labels, weight)[0][..., 0]


@partial(cross_entropy.defjvp, symbolic_zeros=True)
def _cross_entropy_jvp(
    primals: tuple[jax.Array, ...], tangents: tuple[jax.Array | SymbolicZero, ...]
) -> tuple[jax.Array, jax.Array]:
    logits, labels, weight = primals
    d_logits, _, d_weight = tangents
    # The function itself, not its arithmetic: differentiated once more, it has the same rule.
    loss = cross_entropy(logits, labels, weight)
    tangent = jnp.zeros_like(loss)[..., None]
    if not isinstance(d_logits, SymbolicZero):
        tangent += row_sum(_cross_entropy(logits, labels, weight)[1] * d_logits)
    if not isinstance(d_weight, SymbolicZero):
        by_weight = cross_entropy(logits, labels, jnp.ones_like(weight))
        tangent += finite(by_weight)[..., None] * d_weight
    return loss, tangent[..., 0]
