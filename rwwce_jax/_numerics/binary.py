"""The binary loss, equation 5."""

import jax

from rwwce_jax._numerics.arithmetic import clip_to_finite, times, with_derivatives


def binary_loss(logits: jax.Array, positive: jax.Array, negative: jax.Array) -> jax.Array:
    """``-positive * log(sigmoid(logits)) - negative * log(1 - sigmoid(logits))``, elementwise."""
    if_positive, if_negative = jax.nn.softplus(-logits), jax.nn.softplus(logits)
    return with_derivatives(
        lambda x: x,
        times(positive, if_positive) + times(negative, if_negative),
        (logits, positive, negative),
        (
            negative * jax.nn.sigmoid(logits) - positive * jax.nn.sigmoid(-logits),
            clip_to_finite(if_positive),
            clip_to_finite(if_negative),
        ),
    )
