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
    derivatives = (
        negative * jax.nn.sigmoid(logits) - positive * jax.nn.sigmoid(-logits),
        finite(jax.nn.softplus(-logits)),
        finite(jax.nn.softplus(logits)),
    )
    tangent = jnp.zeros_like(logits)
    for derivative, change in zip(derivatives, tangents, strict=True):
        if not isinstance(change, SymbolicZero):
            tangent += derivative * change
    return binary_loss(logits, positive, negative), tangent
