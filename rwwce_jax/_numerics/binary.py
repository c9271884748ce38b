"""The binary loss, equation 5."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from rwwce_jax._numerics.arithmetic import finite, times


@jax.custom_jvp
def binary_loss(logits: jax.Array, positive: jax.Array, negative: jax.Array) -> jax.Array:
    """``-positive * log(sigmoid(logits)) - negative * log(1 - sigmoid(logits))``, elementwise."""
    return times(positive, jax.nn.softplus(-logits)) + times(negative, jax.nn.softplus(logits))


@partial(binary_loss.defjvp, symbolic_zeros=True)
def _binary_loss_jvp(
    primals: tuple[jax.Array, ...], tangents: tuple[jax.Array | SymbolicZero, ...]
) -> tuple[jax.Array, jax.Array]:
    logits, positive, negative = primals
    d_logits, d_positive, d_negative = tangents
    tangent = jnp.zeros_like(logits)
    if not isinstance(d_logits, SymbolicZero):
        slope = negative * jax.nn.sigmoid(logits) - positive * jax.nn.sigmoid(-logits)
        tangent += slope * d_logits
    if not isinstance(d_positive, SymbolicZero):
        tangent += finite(jax.nn.softplus(-logits)) * d_positive
    if not isinstance(d_negative, SymbolicZero):
        tangent += finite(jax.nn.softplus(logits)) * d_negative
    return binary_loss(logits, positive, negative), tangent
