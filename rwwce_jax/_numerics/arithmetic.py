"""Arithmetic that is right at 0 and infinity, exact sums, and derivatives in closed form."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero

from rwwce_jax._numerics.platforms import is_few, row_sum

# Up to this many classes, sums over all others are a product.
_MOST_BY_PRODUCT = 64


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def with_derivatives(
    total: Callable[[jax.Array], jax.Array],
    value: jax.Array,
    derivatives: list[tuple[jax.Array, jax.Array]],
) -> jax.Array:
    """Gives ``value`` these derivatives: pairs of an argument and the derivative by it.

    Its tangent is the sum of ``total(derivative * tangent of the argument)``, in forward and
    reverse mode and in any nesting of the two. Higher derivatives are those of ``derivatives``.
    The value must depend on all that these depend on: see ``depending_on``.
    """
    return value


@partial(with_derivatives.defjvp, symbolic_zeros=True)
def _with_derivatives_jvp(
    total: Callable[[jax.Array], jax.Array], primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[jax.Array, jax.Array]:
    tangent = jnp.zeros_like(primals[0])
    for (_, derivative), (change, _) in zip(primals[1], tangents[1], strict=True):
        if not is_zero(change):
            tangent += total(derivative * change)
    return with_derivatives(total, *primals), tangent


def is_zero(tangent: Any) -> bool:
    """Whether the tangent is that of a constant."""
    return isinstance(tangent, SymbolicZero)


def depending_on(value: jax.Array, other: jax.Array) -> jax.Array:
    """``value``, made to depend on ``other``, which broadcasts to it. XLA removes this again.

    The value of a ``jax.custom_jvp`` must depend on all that its tangent depends on. Where ``vmap``
    maps an argument that only changes the tangent, JAX (0.7.2, 0.10.2 and 0.12.0.1) sums the
    tangents of all that are mapped, and takes the sum for each of them, if the function is called
    in ``jit``. The gradient is then a multiple of the right one, or fails on shapes.
    """
    return jnp.where(other == 0, value, value)


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
    """The largest finite number in place of infinity: times a zero it is zero.

    A derivative by a weight or a cost is infinite where a class is impossible.
    """
    return jnp.minimum(derivative, np.finfo(derivative.dtype).max)


def two_sum(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``a + b`` and its exact rounding error, by Knuth's error-free addition."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def sum_of_others(x: jax.Array) -> jax.Array:
    """For each class the sum over all other classes.

    ``total - x`` is accurate, except for a number of more than half of all size: it needs its own
    sum. With few classes, a product is accurate too, and on a CPU takes a sixth of the time.
    """
    if is_few(x.shape[-1], _MOST_BY_PRODUCT):
        others = 1 - jnp.eye(x.shape[-1], dtype=x.dtype)
        return jnp.matmul(x, others, precision=lax.Precision.HIGHEST)
    size = jnp.abs(x)
    dominant = 2 * size > row_sum(size)
    return jnp.where(dominant, row_sum(jnp.where(dominant, 0, x)), row_sum(x) - x)
