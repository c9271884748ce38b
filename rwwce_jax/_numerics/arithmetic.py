"""Arithmetic that is right at 0 and infinity, exact sums, and derivatives in closed form."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from rwwce_jax._numerics.platforms import row_sum


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def with_derivatives(
    total: Callable[[jax.Array], jax.Array],
    value: jax.Array,
    arguments: tuple[jax.Array, ...],
    derivatives: tuple[jax.Array, ...],
) -> jax.Array:
    """``value``, whose derivatives by these arguments are given and not left to autodiff.

    It changes by the sum of ``total(derivative * change of the argument)``. Reverse mode, forward
    mode and any nesting of the two can use it; higher derivatives are those of ``derivatives``.
    """
    return value


@partial(with_derivatives.defjvp, symbolic_zeros=True)
def _with_derivatives_jvp(
    total: Callable[[jax.Array], jax.Array], primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[jax.Array, jax.Array]:
    value, _, derivatives = primals
    tangent = jnp.zeros_like(value)
    for derivative, change in zip(derivatives, tangents[1], strict=True):
        if not isinstance(change, SymbolicZero):
            tangent += total(derivative * change)
    return with_derivatives(total, *primals), tangent


def times(weight: jax.Array, value: jax.Array) -> jax.Array:
    """``weight * value`` for a value in [0, inf], where a weight of zero wins: 0 * inf = 0."""
    return jnp.where((weight == 0) & (value == jnp.inf), 0, weight * value)


def minus_log1m(p: jax.Array) -> jax.Array:
    """``-log(1 - p)`` for p <= 1/2."""
    if p.dtype == jnp.float64:
        # XLA's float64 log1p on a CPU is off by 128 ulps near -0.41, but not for positive numbers.
        return jnp.log1p(p / (1 - p))
    return -jnp.log1p(-p)


def clip_to_finite(derivative: jax.Array) -> jax.Array:
    """A derivative by a weight or cost is infinite where a class is impossible.

    As the largest finite number instead, times a zero it is zero.
    """
    return jnp.minimum(derivative, np.finfo(derivative.dtype).max)


def two_sum(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``a + b``, and exactly what its rounding took off, by Knuth's error-free addition."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def sum_of_others(x: jax.Array) -> jax.Array:
    """For each class the sum of all other classes' numbers, none of them negative.

    The difference from the total is exact enough but for a number that is more than half of it.
    """
    total = row_sum(x)
    dominant = x > total / 2
    return jnp.where(dominant, row_sum(jnp.where(dominant, 0, x)), total - x)
