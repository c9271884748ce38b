"""Sums over the classes, and functions of one number that keep their head at 0 and infinity."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# Up to this many logits, what starting each kernel costs outweighs the passes over the logits.
_SMALL = 2**14


def is_small(x: jax.Array) -> bool:
    # The size of an exported program may be a symbol, which compares with nothing.
    return type(x.size) is int and x.size <= _SMALL


def row_sum(x: jax.Array) -> jax.Array:
    """The sum over the classes."""
    if not is_small(x):
        return jnp.sum(x, axis=-1, keepdims=True)
    return lax.platform_dependent(
        x,
        # XLA's CPU reductions of short rows are scalar loops, its matrix products are not.
        cpu=lambda x: jnp.matmul(x, jnp.ones((x.shape[-1], 1), x.dtype), precision="highest"),
        default=lambda x: jnp.sum(x, axis=-1, keepdims=True),
    )


def times(weight: jax.Array, value: jax.Array) -> jax.Array:
    """``weight * value`` for a value in [0, inf], where a weight of zero wins: 0 * inf = 0."""
    return jnp.where((weight == 0) & (value == jnp.inf), 0, weight * value)


def two_sum(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``a + b``, and exactly what its rounding took off, by Knuth's error-free addition."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def is_label(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The mask of each row's label. A comparison with an iota is free in an elementwise kernel."""
    return lax.broadcasted_iota(jnp.int32, logits.shape, logits.ndim - 1) == labels[..., None]


def sum_of_others(x: jax.Array) -> jax.Array:
    """For each class the sum of all other classes' numbers, none of them negative.

    The difference from the total is exact enough but for a number that is more than half of it.
    """
    total = row_sum(x)
    dominant = x > total / 2
    return jnp.where(dominant, row_sum(jnp.where(dominant, 0, x)), total - x)


def minus_log1m(p: jax.Array) -> jax.Array:
    """``-log(1 - p)`` for p <= 1/2."""
    if p.dtype == jnp.float64:
        # XLA's float64 log1p on a CPU is off by 128 ulps near -0.41, but not for positive numbers.
        return jnp.log1p(p / (1 - p))
    return -jnp.log1p(-p)


def at_label(x: jax.Array, labels: jax.Array) -> jax.Array:
    return lax.platform_dependent(
        x,
        labels,
        cpu=lambda x, labels: jnp.take_along_axis(x, labels[..., None], axis=-1, mode="clip"),
        # A gather would split the one kernel into which XLA can fuse all that is done to a row.
        default=lambda x, labels: row_sum(jnp.where(is_label(x, labels), x, 0)),
    )


def finite(derivative: jax.Array) -> jax.Array:
    """A derivative by a weight or cost is infinite where a class is impossible.

    As the largest finite number instead, times a zero it is zero.
    """
    return jnp.minimum(derivative, np.finfo(derivative.dtype).max)


@jax.custom_jvp
def inverse_or_0(x: jax.Array) -> jax.Array:
    """``1 / x``, and 0 for 0: the share of each of several impossible classes."""
    return jnp.where(x == 0, 0, 1 / jnp.where(x == 0, 1, x))


@inverse_or_0.defjvp
def _inverse_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    value = inverse_or_0(*primals)
    # In this order: the square of the inverse of a tiny number would overflow.
    return value, -value * (value * tangents[0])


@jax.custom_jvp
def log_flat_at_0(x: jax.Array) -> jax.Array:
    """The logarithm, flat at 0: its derivative there is asked for only to be multiplied by 0."""
    return jnp.log(x)


@log_flat_at_0.defjvp
def _log_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    return log_flat_at_0(*primals), inverse_or_0(*primals) * tangents[0]
