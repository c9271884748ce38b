"""The mean, the sum, or no reduction over the examples."""

import jax
import jax.numpy as jnp

from rwwce_jax._checks.types import Reduction


def reduce(values: jax.Array, where: jax.Array | None, reduction: Reduction) -> jax.Array:
    """Masks one number per example, then averages, sums or keeps them.

    The mean divides by the number of selected examples, never by a sum of weights (the 1/M of the
    paper). Over no examples it is 0.
    """
    if where is not None:
        values = jnp.where(where, values, 0)
    if reduction == "none":
        return values
    total = jnp.sum(values)
    return total if reduction == "sum" else mean(total, values.size, where)


def mean(total: jax.Array, size: int, where: jax.Array | None) -> jax.Array:
    """The mean of the selected values, or of all ``size``, from their sum."""
    count = size if where is None else jnp.sum(where)
    return total / jnp.maximum(count, 1).astype(total.dtype)


def reduce_labels(values: jax.Array, known: jax.Array | None, reduction: Reduction) -> jax.Array:
    """Sums the known labels of each example, then reduces the examples that have one."""
    if known is None:
        return reduce(jnp.sum(values, axis=-1), None, reduction)
    values = jnp.where(known, values, 0)
    return reduce(jnp.sum(values, axis=-1), jnp.any(known, axis=-1), reduction)
