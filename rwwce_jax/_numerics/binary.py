"""The binary loss, equation 5."""

import jax
import jax.numpy as jnp

from rwwce_jax._numerics.arithmetic import clip_to_finite, times, with_derivatives


def binary_loss(logits: jax.Array, positive: jax.Array, negative: jax.Array) -> jax.Array:
    """``-positive * log(sigmoid(logits)) - negative * log(1 - sigmoid(logits))``, elementwise."""
    # Both logarithms and both probabilities from one exponential. At 0, JAX takes 1 for the
    # derivative of `jnp.abs`: 0 must count as positive.
    is_positive, size = logits >= 0, jnp.abs(logits)
    exp = jnp.exp(-size)
    log_of_total = jnp.log1p(exp)
    if_positive = jnp.where(is_positive, 0, size) + log_of_total
    if_negative = jnp.where(is_positive, size, 0) + log_of_total
    p = jnp.where(is_positive, 1, exp) / (1 + exp)
    one_minus_p = jnp.where(is_positive, exp, 1) / (1 + exp)
    loss = times(positive, if_positive) + times(negative, if_negative)
    derivatives = [
        (logits, negative * p - positive * one_minus_p),
        (positive, clip_to_finite(if_positive)),
        (negative, clip_to_finite(if_negative)),
    ]
    return with_derivatives(lambda x: x, loss, derivatives)
