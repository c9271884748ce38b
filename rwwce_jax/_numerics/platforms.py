"""Operations on whole rows of logits: what is fast on a CPU is slow on an accelerator.

A CPU pays for each pass over the logits, and its reductions are fast only if nothing is fused into
them. On accelerators, XLA fuses all operations on a row unless one gathers or scatters: there,
several sums are one pass. Only this module and ``split`` know the platform.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# Up to this many logits, starting kernels costs more than passes over the logits.
_SMALL = 2**14
# Up to this many classes per row, accelerators compare with an iota and do not scatter.
_MOST_COMPARED = 16


def by_platform(*arguments: Any, cpu: Callable[..., Any], default: Callable[..., Any]) -> Any:
    """Calls the function for the platform of the program. Both have the same result."""
    return lax.platform_dependent(*arguments, cpu=cpu, default=default)


def is_small(x: jax.Array) -> bool:
    """Whether starting kernels costs more than passes."""
    # In an exported program the size may be a symbol, which cannot be compared.
    return type(x.size) is int and x.size <= _SMALL


def row_sum(x: jax.Array) -> jax.Array:
    """The sum over the last axis, (..., 1)."""
    if not is_small(x):
        return jnp.sum(x, axis=-1, keepdims=True)
    return by_platform(
        x,
        # XLA's CPU reductions of short rows are scalar loops, its matrix products are not.
        cpu=lambda x: jnp.matmul(x, jnp.ones((x.shape[-1], 1), x.dtype), precision="highest"),
        default=lambda x: jnp.sum(x, axis=-1, keepdims=True),
    )


def row_max(x: jax.Array) -> jax.Array:
    """The maximum over the last axis, (..., 1), -inf if it is empty."""
    return jnp.max(x, axis=-1, keepdims=True, initial=-jnp.inf)


def is_class(x: jax.Array, classes: jax.Array) -> jax.Array:
    """The mask of one class per row, given as (..., 1). It is free in an elementwise kernel."""
    return lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1) == classes


def pick(x: jax.Array, classes: jax.Array) -> jax.Array:
    """The numbers of a few classes of each row, (..., F); any number for an id that is no class."""

    def gather(x: jax.Array, classes: jax.Array) -> jax.Array:
        return jnp.take_along_axis(x, classes, axis=-1, mode="clip")

    if classes.shape[-1] != 1:
        return gather(x, classes)
    return by_platform(
        x,
        classes,
        cpu=gather,
        default=lambda x, classes: row_sum(jnp.where(is_class(x, classes), x, 0)),
    )


def scale_and_put(
    x: jax.Array, slope: jax.Array, classes: jax.Array, values: jax.Array
) -> jax.Array:
    """``slope * x``, with these values for a few classes of each row."""
    few = classes.shape[-1]
    # If the batch is sharded, a scatter of one class first gathers the classes of all rows.
    cpu = _compare_and_put if few == 1 and jax.device_count() > 1 else _scatter
    default = _compare_and_put if few <= _MOST_COMPARED else _scatter
    return by_platform(x, slope, classes, values, cpu=cpu, default=default)


def _compare_and_put(
    x: jax.Array, slope: jax.Array, classes: jax.Array, values: jax.Array
) -> jax.Array:
    x = slope * x
    for i in range(classes.shape[-1]):
        x = jnp.where(is_class(x, classes[..., i : i + 1]), values[..., i : i + 1], x)
    return x


@jax.custom_jvp
def _scatter(x: jax.Array, slope: jax.Array, classes: jax.Array, values: jax.Array) -> jax.Array:
    """Puts ``values / slope``, and multiplies all by the slope.

    XLA fuses a multiplication with what follows, but not a scatter. A slope of 0 is replaced by a
    number so small that its products are below the rounding error of the largest value.
    """
    info = np.finfo(x.dtype)
    largest = row_max(jnp.abs(values))
    nearest = largest * info.eps**4 + info.tiny
    divisor = jnp.where(jnp.abs(slope) < nearest, nearest, slope)
    slope = jnp.where(largest == 0, slope, divisor)
    return slope * _put(x, classes, values / divisor)


@_scatter.defjvp
def _scatter_jvp(
    primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]
) -> tuple[jax.Array, jax.Array]:
    """Does not divide: near a slope of 0, the derivative of the quotient overflows."""
    x, slope, classes, _ = primals
    d_x, d_slope, _, d_values = tangents
    return _scatter(*primals), _put(d_slope * x + slope * d_x, classes, d_values)


def _put(x: jax.Array, classes: jax.Array, values: jax.Array) -> jax.Array:
    """``x``, with these values for a few classes of each row."""
    few, num_classes = classes.shape[-1], x.shape[-1]
    rows = x.reshape(-1, num_classes)
    row = lax.broadcasted_iota(jnp.int32, (rows.shape[0], few), 0)
    values = values.reshape(-1, few)
    classes = classes.reshape(-1, few)
    rows = rows.at[row, classes].set(values, mode="drop", unique_indices=True)
    return rows.reshape(x.shape)
