"""From one number per example to the number that was asked for."""

import jax
import jax.numpy as jnp


def reduce(values: jax.Array, where: jax.Array | None, reduction: str) -> jax.Array:
    """Drop what the mask leaves out, then average, sum or keep.

    The mean divides by the number of the selected examples, never by a sum of weights (the 1/M of
    the paper); over no examples it is 0.
    """
    if where is not None:
        values = jnp.where(where, values, 0)
    if reduction == "none":
        return values
    total = jnp.sum(values)
    return total if reduction == "sum" else mean(total, values.size, where)


def mean(total: jax.Array, size: int, where: jax.Array | None) -> jax.Array:
    """The mean of so many values, or of those that are selected, from their sum."""
    count = size if where is None else jnp.sum(where)
    return total / jnp.maximum(count, 1).astype(total.dtype)
