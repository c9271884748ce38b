"""The weights of the examples, and the mean, the sum, or no reduction over them."""

import jax
import jax.numpy as jnp

from rwwce_jax._checks.types import Reduction


def weigh(values: jax.Array, where: jax.Array | None, weights: jax.Array | None) -> jax.Array:
    """The values times the weights of their examples. The weights of masked ones are not used."""
    if weights is None:
        return values
    weights = jnp.expand_dims(weights, range(weights.ndim, values.ndim))
    if where is not None:
        where = jnp.expand_dims(where, range(where.ndim, values.ndim))
        weights = jnp.where(where, weights, 0)
    return values * weights


def reduce(
    values: jax.Array, where: jax.Array | None, weights: jax.Array | None, reduction: Reduction
) -> jax.Array:
    """Masks one number per example, times its weight already, then averages, sums or keeps them.

    The mean divides by the number of selected examples (the 1/M of the paper), or by the sum of
    their weights, never by a sum of costs. Over no examples it is 0.
    """
    if where is not None:
        values = jnp.where(where, values, 0)
    if reduction == "none":
        return values
    total = jnp.sum(values)
    return total if reduction == "sum" else mean(total, values.size, where, weights)


def mean(
    total: jax.Array, size: int, where: jax.Array | None, weights: jax.Array | None
) -> jax.Array:
    """The mean of the selected values, or of all ``size``, from their sum."""
    if weights is None:
        count = size if where is None else jnp.sum(where)
        return total / jnp.maximum(count, 1).astype(total.dtype)
    weight = jnp.sum(weights, where=where)
    # Without any weight the mean is 0, and so are its derivatives. Too much to add up gives NaN.
    return total / jnp.select([weight == 0, weight == jnp.inf], [jnp.inf, jnp.nan], weight)


def reduce_labels(
    values: jax.Array, known: jax.Array | None, weights: jax.Array | None, reduction: Reduction
) -> jax.Array:
    """Sums the known labels of each example, then reduces the examples that have one."""
    where = None
    if known is not None:
        values, where = jnp.where(known, values, 0), jnp.any(known, axis=-1)
    return reduce(jnp.sum(values, axis=-1), where, weights, reduction)
