"""The loss of logits that are a matrix product, with the logits of a few rows stored at a time.

A scan goes over chunks of rows, each with all classes. For a sum of losses, the same scan computes
the gradients, if they are needed: three matrix products per chunk, as with stored logits. For one
loss per row, the gradients need its cotangent: the backward pass computes the logits again.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rwwce_jax._numerics.arithmetic import is_zero
from rwwce_jax._numerics.blocks import TermsOf
from rwwce_jax._numerics.categorical import categorical_loss

_Result = TypeVar("_Result")

# The most logits in a chunk. On a CPU more are hardly faster (`make bench-linear`). On accelerators
# they take a fifth of the memory of all logits at 32768 x 128256 (`make aot-linear`).
_MOST_ON_CPU, _MOST_ON_ACCELERATORS = 2**22, 2**28


def default_chunk_size(num_classes: int) -> int:
    """The number of rows per chunk, a power of two."""
    most = _MOST_ON_CPU if jax.default_backend() == "cpu" else _MOST_ON_ACCELERATORS
    return 1 << max(0, (most // num_classes).bit_length() - 1)


class Chunks(NamedTuple):
    """How rows are cut into chunks.

    Rows are cut into ``groups`` of neighbours, which may be on a device each, and each group into
    ``number`` parts of ``size`` rows, the last one padded. A chunk is one part of every group: no
    row moves between devices, and sums over rows are kept per group until the end.
    """

    rows: int
    groups: int
    number: int
    size: int

    @classmethod
    def of(cls, rows: int, most: int, groups: int) -> "Chunks":
        """Chunks of at most ``most`` rows, but at least one row of each group."""
        if type(rows) is not int or rows <= most:  # in an exported program it may be a symbol
            return cls(rows, 1, 1, rows)
        groups = math.gcd(rows, groups)
        each = rows // groups
        number = -(-each // max(1, most // groups))
        return cls(rows, groups, number, -(-each // number))

    @property
    def leading(self) -> tuple[int, ...]:
        """The leading axes of a chunk: one for the groups, if there are several."""
        return () if self.groups == 1 else (self.groups,)

    def split(self, x: jax.Array) -> jax.Array:
        """(rows, ...) as (number, *leading, size, ...), padded with zeros."""
        x = x.reshape(self.groups, self.rows // self.groups, *x.shape[1:])
        padding = self.number * self.size - x.shape[1]
        x = jnp.pad(x, [(0, padding if axis == 1 else 0) for axis in range(x.ndim)])
        x = jnp.moveaxis(x.reshape(self.groups, self.number, self.size, *x.shape[2:]), 1, 0)
        return x.reshape(self.number, *self.leading, *x.shape[2:])

    def join(self, x: jax.Array) -> jax.Array:
        """The inverse of ``split``."""
        x = x.reshape(self.number, self.groups, *x.shape[1 + len(self.leading) :])
        x = jnp.moveaxis(x, 0, 1)
        x = x.reshape(self.groups, self.number * self.size, *x.shape[3:])
        return x[:, : self.rows // self.groups].reshape(self.rows, *x.shape[2:])


class Rows(NamedTuple):
    """The data of each row."""

    hidden: jax.Array  # (rows, H), of the kernel's dtype
    selected: jax.Array  # (rows,): the mask of what counts
    others: Any  # the data of the terms


def _product(a: jax.Array, b: jax.Array, axes: tuple[int, int], batch: int = 0) -> jax.Array:
    """The product over these axes, given from the end, in at least float32."""
    leading = tuple(range(batch))
    dimensions = (((a.ndim + axes[0],), (b.ndim + axes[1],)), (leading, leading))
    wide = np.promote_types(a.dtype, np.float32)
    return lax.dot_general(a, b, dimensions, preferred_element_type=wide)


def loss_of_products(
    terms_of: TermsOf,
    chunks: Chunks,
    kernel: jax.Array,
    bias: jax.Array,
    rows: Rows,
    shared: Any,
    *,
    summed: bool,
) -> jax.Array:
    """``categorical_loss`` of ``hidden @ kernel + bias``, (rows,), or its sum.

    ``bias`` has the dtype of the logits, float32 or more.
    """
    # One copy per group. Their gradients are sums, in the dtype of the logits.
    kernels = jnp.broadcast_to(kernel.astype(bias.dtype), (*chunks.leading, *kernel.shape))
    biases = jnp.broadcast_to(bias, (*chunks.leading, 1, *bias.shape))
    losses = partial(_losses_of_chunks, terms_of, chunks)
    if not summed:
        return losses(kernel, kernels, rows, (biases, shared))
    total = jax.custom_jvp(lambda *arguments: jnp.sum(losses(*arguments)))
    total.defjvp(partial(_sum_jvp, terms_of, chunks), symbolic_zeros=True)
    return total(kernel, kernels, rows, (biases, shared))


def _losses(terms_of: TermsOf, products: jax.Array, rows: Rows, common: Any) -> jax.Array:
    """The losses of a chunk, (*leading, size)."""
    biases, shared = common
    selected = rows.selected[..., None]
    weights, costs = (
        terms._replace(each=jnp.where(selected, terms.each, 0))
        for terms in terms_of(rows.others, shared, products.shape[-1])
    )
    return categorical_loss(jnp.where(selected, products + biases, 0), weights, costs)


def _unless_empty(rows: Rows, compute: Callable[[], _Result], zero: jax.Array) -> _Result:
    """Computes a chunk, or zeros if no row in it is selected.

    The condition keeps its branch inside the loop. Without it, JAX moves constants and masks, as
    large as the logits of the chunk, out of the loop.
    """

    def zeros() -> _Result:
        return _zeros_like(jax.eval_shape(compute), zero)

    return lax.cond(jnp.any(rows.selected), compute, zeros)


def _losses_of_chunks(
    terms_of: TermsOf,
    chunks: Chunks,
    kernel: jax.Array,
    kernels: jax.Array,
    rows: Rows,
    common: Any,
) -> jax.Array:
    @partial(jax.checkpoint, prevent_cse=False)  # not needed inside a scan
    def of_chunk(rows: Rows) -> jax.Array:
        # Outside the condition, which would store the gradient of the kernel once more.
        products = _products(rows.hidden, kernel, kernels)
        return _unless_empty(rows, lambda: _losses(terms_of, products, rows, common), zero)

    zero = _zero((kernel, rows, common))
    return chunks.join(lax.map(of_chunk, jax.tree.map(chunks.split, rows)))


@jax.custom_jvp
def _products(hidden: jax.Array, kernel: jax.Array, _: jax.Array) -> jax.Array:
    """``hidden @ kernel``, (*leading, size, K), differentiated by the copies of the kernel."""
    return _product(hidden, kernel, (-1, -2))


@_products.defjvp
def _products_jvp(
    primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]
) -> tuple[jax.Array, jax.Array]:
    (hidden, kernel, kernels), (d_hidden, _, d_kernels) = primals, tangents
    # Tangents are rounded to the operands' dtype: in reverse mode, these are the cotangents, before
    # they are multiplied. The gradient of the kernel is summed over chunks without rounding.
    axes = (((hidden.ndim - 1,), (0,)), ((), ()))
    by_hidden = lax.dot_general(d_hidden, kernel, axes)
    by_kernel = _product(hidden.astype(kernels.dtype), d_kernels, (-1, -2), kernels.ndim - 2)
    by_kernel = by_kernel.astype(hidden.dtype)
    products = _products(hidden, kernel, kernels)
    return products, by_hidden.astype(products.dtype) + by_kernel.astype(products.dtype)


def _sum_jvp(
    terms_of: TermsOf, chunks: Chunks, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[jax.Array, jax.Array]:
    kernel, kernels, rows, common = primals
    _, d_kernels, d_rows, d_common = tangents
    pick_others, put_others = _changing(rows.others, d_rows.others)
    pick_common, put_common = _changing(common, d_common)
    batch = len(chunks.leading)
    by_hidden, by_kernels = not is_zero(d_rows.hidden), not is_zero(d_kernels)

    def of_chunk(sums: Any, rows: Rows) -> tuple[Any, Any]:
        def total(
            products: jax.Array, others: list[jax.Array], costs: list[jax.Array]
        ) -> jax.Array:
            changed = rows._replace(others=put_others(rows.others, others))
            return jnp.sum(_losses(terms_of, products, changed, put_common(common, costs)))

        def slopes() -> tuple[jax.Array, tuple[Any, ...]]:
            products = _product(rows.hidden, kernel, (-1, -2))
            return jax.value_and_grad(total, (0, 1, 2))(
                products, pick_others(rows.others), pick_common(common)
            )

        loss, (slope, of_others, of_common) = _unless_empty(rows, slopes, zero)
        slope, unit = _narrow(slope, kernel.dtype)
        of_hidden = unit * _product(slope, kernel, (-1, -1)) if by_hidden else None
        of_kernels = _sum_over_rows(rows.hidden, slope, unit, batch) if by_kernels else None
        sums = jax.tree.map(jnp.add, sums, (loss, of_kernels, of_common))
        return sums, (of_hidden, of_others)

    zero = _zero(primals)
    sums = (zero.astype(kernels.dtype), kernels if by_kernels else None, pick_common(common))
    (loss, of_kernels, of_common), of_rows = lax.scan(
        of_chunk,
        _zeros_like(sums, zero),
        jax.tree.map(chunks.split, rows),
    )
    derivatives = (of_kernels, of_common, jax.tree.map(chunks.join, of_rows))
    changes = (
        d_kernels if by_kernels else None,
        pick_common(d_common),
        (d_rows.hidden if by_hidden else None, pick_others(d_rows.others)),
    )
    products = jax.tree.map(lambda x, dx: jnp.sum(x * dx.astype(x.dtype)), derivatives, changes)
    return loss, jax.tree.reduce(jnp.add, products, jnp.zeros_like(loss))


def _changing(
    tree: Any, tangents: Any
) -> tuple[Callable[[Any], list[jax.Array]], Callable[[Any, list[jax.Array]], Any]]:
    """For trees like this one: takes out the arrays that have a tangent; replaces them."""
    structure = jax.tree.structure(tree)
    at = [i for i, x in enumerate(jax.tree.leaves(tangents)) if not is_zero(x)]

    def pick(tree: Any) -> list[jax.Array]:
        leaves = jax.tree.leaves(tree)
        return [leaves[i] for i in at]

    def put(tree: Any, arrays: list[jax.Array]) -> Any:
        leaves = jax.tree.leaves(tree)
        for i, array in zip(at, arrays, strict=True):
            leaves[i] = array
        return jax.tree.unflatten(structure, leaves)

    return pick, put


def _narrow(slope: jax.Array, dtype: np.dtype) -> tuple[jax.Array, jax.Array | int]:
    """The gradient by the logits, in the operands' dtype, in a unit per row; and these units."""
    if dtype != np.float16:
        return slope.astype(dtype), 1
    # Before the mean is taken, costs may exceed 65504, the largest float16. One row may cost
    # thousands of times what another does, whose gradient would underflow in a common unit.
    units = _unit(slope, (-1,))
    return (slope / units).astype(dtype), units


def _sum_over_rows(
    hidden: jax.Array, slope: jax.Array, units: jax.Array | int, batch: int
) -> jax.Array:
    """The gradient by the kernel, of ``slope`` times the units of its rows."""
    if isinstance(units, int):
        return _product(hidden, slope, (-2, -2), batch)
    # The hidden states are multiplied by the units, and are then in a common one.
    weighted = hidden.astype(units.dtype) * units
    unit = _unit(weighted, (-2, -1))
    return unit * _product((weighted / unit).astype(hidden.dtype), slope, (-2, -2), batch)


def _unit(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """A unit in which float16 holds the largest finite number, and the most of the small ones.

    It is a power of two: to divide by it rounds nothing.
    """
    largest = jnp.max(jnp.where(jnp.isfinite(x), jnp.abs(x), 0), axes, keepdims=True, initial=0)
    _, exponent = jnp.frexp(lax.stop_gradient(largest))
    return jnp.ldexp(jnp.ones_like(largest), jnp.maximum(exponent, -100) - 15)


def _zeros_like(arrays: Any, zero: jax.Array) -> Any:
    return jax.tree.map(lambda x: jnp.broadcast_to(zero.astype(x.dtype), x.shape), arrays)


def _zero(arrays: Any) -> jax.Array:
    """Zero, of the type that a result of these arrays has inside ``jax.shard_map``.

    There the type tells whether devices may hold different values. The first and last sums of a
    scan must have the same type, and so must both results of a condition.
    """
    nothing = [jnp.sum(x.ravel()[:0].astype(jnp.float32)) for x in jax.tree.leaves(arrays)]
    return sum(nothing, jnp.zeros((), jnp.float32))
