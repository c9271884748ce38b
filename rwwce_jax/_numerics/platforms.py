"""Operations on whole rows of logits: what is fast on a CPU is slow on an accelerator.

A CPU pays for each pass over the logits, and its reductions are fast only if nothing is fused into
them. On accelerators, XLA fuses all operations on a row unless one gathers or scatters: there,
several sums are one pass. Only this module and ``split`` know the platform.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_Function: TypeAlias = Callable[..., Any]

# Up to this many logits, starting kernels costs more than passes over the logits.
_SMALL = 2**14
# Up to this many classes, a CPU sums rows by a product with ones. At 262144 x 4,
# `sum(w * log1p(-p))` takes 0.7 ms so, and 1.5 to 2.3 in a reduction, a scalar loop; at 10 classes
# both take as long.
_MOST_SUMMED_BY_PRODUCT = 8
# Up to this many numbers, a plain sum is accurate. Many equal ones, added to a larger one, are all
# rounded in the same direction.
_MOST_IN_ORDER = 12
# Up to this many classes per row, accelerators compare with an iota and do not scatter.
_MOST_COMPARED = 16
# Up to this many classes, a TPU takes rows of a matrix by a product, and finds labels by one. Value
# and gradient of dense costs, in cycles that the compiler estimates (`make aot`), by Optax's loss:
#
#                                      8192x10  65536x21  16384x128  8192x256  4096x512  4096x1000
#     gather, compare                     4.98      7.09       1.55      1.21      1.11       1.20
#     rows by a product, compare          0.74      0.77       0.75      0.90      1.13       1.57
#     gather, labels by a product            -         -          -      0.81      0.86       0.91
#
# The estimate leaves out what the gather reads. A scalar takes 0.80, 0.77, 1.53, 1.13 and 0.84 (at
# 4096x1000) with compared labels, and 0.78, 0.72, 0.70, 0.79 and 0.83 with those of a product: it
# makes the compiler keep the examples in lanes, where sums over classes and numbers of examples are
# cheap. Costs of pairs are a matrix first: else they take 4.37, 5.08, 3.89, 2.65, 1.82 and 1.21.
MOST_ROWS_AS_PRODUCT, MOST_LABELS_AS_PRODUCT = 256, 1024
# Up to this many classes, a CPU takes costs of pairs for a matrix, too. Value and gradient of eight
# pairs per class took 3.2, 1.4 and 1.3 times as long as those of a matrix (`make bench`; 262144x4,
# 8192x10, 65536x21), and 0.6 at 1024x1000.
MOST_PAIRS_AS_MATRIX = 32


def by_platform(
    *arguments: Any, cpu: _Function, default: _Function, tpu: _Function | None = None
) -> Any:
    """Calls the function for the platform of the program. All have the same result."""
    return lax.platform_dependent(*arguments, cpu=cpu, tpu=tpu or default, default=default)


def is_small(x: jax.Array) -> bool:
    """Whether starting kernels costs more than passes."""
    return is_few(x.size, _SMALL)


def is_few(number: int, most: int) -> bool:
    """Whether the number is known while tracing and at most ``most``."""
    # In an exported program the number may be a symbol, which cannot be compared.
    return type(number) is int and number <= most


def row_sum(x: jax.Array) -> jax.Array:
    """The sum over the last axis, (..., 1)."""
    if x.shape[-1] == 1:  # a kernel of its own on a CPU
        return x
    total = partial(jnp.sum, axis=-1, keepdims=True)
    if is_small(x) or is_few(x.shape[-1], _MOST_SUMMED_BY_PRODUCT):
        # XLA's CPU reductions of short rows are scalar loops, its matrix products are not.
        return by_platform(x, cpu=_sum_by_product, default=total)
    return total(x)


def _sum_by_product(x: jax.Array) -> jax.Array:
    if _MOST_IN_ORDER < x.shape[-1] <= 8 * _MOST_IN_ORDER:  # then eight at a time first
        block = np.arange(x.shape[-1]) // 8
        x = jnp.matmul(x, jax.nn.one_hot(block, block[-1] + 1, dtype=x.dtype), precision="highest")
    return jnp.matmul(x, jnp.ones((x.shape[-1], 1), x.dtype), precision="highest")


def row_max(x: jax.Array) -> jax.Array:
    """The maximum over the last axis, (..., 1), -inf if it is empty."""
    return jnp.max(x, axis=-1, keepdims=True, initial=-jnp.inf)


def is_class(x: jax.Array, classes: jax.Array) -> jax.Array:
    """The mask of one class per row, given as (..., 1). It is free in an elementwise kernel."""
    return lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1) == classes


def is_label(x: jax.Array, labels: jax.Array) -> jax.Array:
    """``is_class`` for the labels of rows, (...)."""

    def compared(labels: jax.Array) -> jax.Array:
        return is_class(x, labels[..., None])

    def as_product(labels: jax.Array) -> jax.Array:
        classes = jnp.eye(x.shape[-1], dtype=jnp.bfloat16)
        return jnp.matmul(compared(labels).astype(jnp.bfloat16), classes) > 0

    if not is_few(x.shape[-1], MOST_LABELS_AS_PRODUCT):
        return compared(labels)
    return by_platform(labels, cpu=compared, default=compared, tpu=as_product)


@jax.custom_jvp
def take_rows(matrix: jax.Array, rows: jax.Array) -> jax.Array:
    """``matrix[rows]``, or the entries of a vector: the same bits on every platform."""
    if matrix.dtype != jnp.float32 or not is_few(matrix.shape[0], MOST_ROWS_AS_PRODUCT):
        return _gather_rows(matrix, rows)
    return by_platform(matrix, rows, cpu=_gather_rows, default=_gather_rows, tpu=_multiply_rows)


def _gather_rows(matrix: jax.Array, rows: jax.Array) -> jax.Array:
    return matrix.at[rows].get(mode="promise_in_bounds")


def _take_rows_jvp(d_matrix: jax.Array, *value_matrix_rows: jax.Array) -> jax.Array:
    # Transposed, it is a scatter: in a product, NaN of one example would reach all rows.
    return _gather_rows(d_matrix, value_matrix_rows[-1])


take_rows.defjvps(_take_rows_jvp, None)


def _multiply_rows(matrix: jax.Array, rows: jax.Array) -> jax.Array:
    """By products with rows of one 1. Of the bits as integers, for 0 * inf is NaN.

    24 bits are exact in float32, and 8 in bfloat16, to which products of default precision round.
    """
    hot = jax.nn.one_hot(rows, matrix.shape[0], dtype=matrix.dtype)
    bits = lax.bitcast_convert_type(matrix, jnp.int32)
    low, high = (x.astype(matrix.dtype) for x in (bits & 0xFFFFFF, bits >> 24))
    low = jnp.matmul(hot, low, precision=lax.Precision.HIGHEST).astype(jnp.int32)
    high = jnp.matmul(hot, high).astype(jnp.int32)
    return lax.bitcast_convert_type((high << 24) | low, matrix.dtype)


def pick(x: jax.Array, classes: jax.Array) -> jax.Array:
    """The numbers of a few classes of each row, (..., F); any number for an id that is no class."""

    def compare(x: jax.Array, classes: jax.Array) -> jax.Array:
        return row_sum(jnp.where(is_class(x, classes), x, 0))

    gather = partial(jnp.take_along_axis, axis=-1, mode="clip")
    if classes.shape[-1] == 1:
        return by_platform(x, classes, cpu=gather, default=compare)
    return gather(x, classes)


def scale_and_put(
    x: jax.Array, slope: jax.Array, classes: jax.Array, values: jax.Array
) -> jax.Array:
    """``slope * x``, with these values for a few classes of each row."""
    default = _compare_and_put if classes.shape[-1] <= _MOST_COMPARED else _scatter
    return by_platform(x, slope, classes, values, cpu=_scatter, default=default)


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

    # Mapped over rows, not flattened: XLA on a CPU would store a copy. Nor by indices of rows: it
    # would move the classes of all rows to each device.
    def of_row(x: jax.Array, classes: jax.Array, values: jax.Array) -> jax.Array:
        return x.at[classes].set(values, mode="drop", unique_indices=True)

    return jnp.vectorize(of_row, signature="(k),(f),(f)->(k)")(x, classes, values)
