"""The loss of logits that are a matrix product, with the logits of a few rows stored at a time.

A scan goes over chunks of rows, each with all classes. For a sum of losses, the same scan computes
the gradients, if they are needed: three matrix products per chunk, as with stored logits. For one
loss per row, the gradients need its cotangent: the backward pass computes the logits again.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import compress
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rwwce_jax._numerics.arithmetic import is_zero
from rwwce_jax._numerics.categorical import Terms, categorical_loss

_Result = TypeVar("_Result")

# The most logits in a chunk. On a CPU more are hardly faster (`make bench-linear`). On accelerators
# they take a fifth of the memory of all logits at 32768 x 128256 (`make aot-linear`).
_MOST_ON_CPU, _MOST_ON_ACCELERATORS = 2**22, 2**28


def default_chunk_size(num_classes: int) -> int:
    """The number of rows per chunk, a power of two."""
    most = _MOST_ON_CPU if jax.default_backend() == "cpu" else _MOST_ON_ACCELERATORS
    return 1 << max(0, (most // num_classes).bit_length() - 1)


class Chunks(NamedTuple):
    """How rows, of the leading axes ``batch``, are cut into chunks.

    Rows are cut into groups of ``each`` neighbours, which may be on a device each, and each group
    into ``number`` parts of ``size`` rows, the last one padded. A chunk is one part of every group:
    no row moves between devices, and sums over rows are kept per group until the end.
    """

    batch: tuple[int, ...]
    leading: tuple[int, ...]  # the axes of a chunk before its rows: of groups, if there are several
    each: int
    number: int
    size: int

    @classmethod
    def of(cls, batch: tuple[int, ...], most: int, groups: int) -> "Chunks":
        """Chunks of at most ``most`` rows, but at least one row of each group."""
        rows = math.prod(batch)
        if type(rows) is not int or rows <= most:  # in an exported program it may be a symbol
            return cls(batch, (), rows, 1, rows)
        groups = math.gcd(rows, groups)
        each = rows // groups
        number = -(-each // max(1, most // groups))
        leading = () if groups == 1 else (groups,)
        return cls(batch, leading, each, number, -(-each // number))

    def split(self, x: jax.Array) -> jax.Array:
        """(*batch, ...) as (number, *leading, size, ...), padded with zeros."""
        axis, padding = len(self.leading), self.number * self.size - self.each
        x = x.reshape(*self.leading, self.each, *x.shape[len(self.batch) :])
        x = jnp.pad(x, [(0, padding if i == axis else 0) for i in range(x.ndim)])
        x = x.reshape(*self.leading, self.number, self.size, *x.shape[axis + 1 :])
        return jnp.moveaxis(x, axis, 0)

    def join(self, x: jax.Array) -> jax.Array:
        """The inverse of ``split``."""
        axis = len(self.leading)
        x = jnp.moveaxis(x, 0, axis)
        x = x.reshape(*self.leading, self.number * self.size, *x.shape[axis + 2 :])
        x = lax.slice_in_dim(x, 0, self.each, axis=axis)
        return x.reshape(*self.batch, *x.shape[axis + 1 :])


class Layer(NamedTuple):
    """The last layer: ``hidden @ kernel + bias``, below a soft cap, if there is one."""

    kernel: jax.Array  # (H, K)
    bias: jax.Array  # (K,), of the dtype of the logits
    cap: jax.Array | None  # ()


class Examples(Protocol):
    """A pytree of the labels, mask and costs of rows."""

    @property
    def where(self) -> jax.Array | None:
        """The mask of the rows that count."""

    def terms(self, num_classes: int) -> tuple[Terms, Terms, jax.Array | None]:
        """The weights, costs and z-loss of the rows."""

    def has_rows(self) -> list[bool]:
        """Of each array: are its leading axes those of the rows, or do all rows share it?"""


def _take(tree: Any, flags: np.ndarray) -> list[jax.Array]:
    """The arrays of a pytree whose flag is set."""
    return list(compress(jax.tree.leaves(tree), flags))


def _put(tree: Any, flags: np.ndarray, arrays: list[jax.Array]) -> Any:
    """Puts these arrays into the tree, in place of those whose flag is set."""
    leaves, structure = jax.tree.flatten(tree)
    for i, array in zip(np.flatnonzero(flags), arrays, strict=True):
        leaves[i] = array
    return jax.tree.unflatten(structure, leaves)


def _einsum(subscripts: str, a: jax.Array, b: jax.Array) -> jax.Array:
    """``jnp.einsum`` in at least float32."""
    wide = np.promote_types(a.dtype, np.float32)
    return jnp.einsum(subscripts, a, b, preferred_element_type=wide)


def loss_of_products(
    chunks: Chunks, hidden: jax.Array, layer: Layer, examples: Examples, *, summed: bool
) -> jax.Array:
    """``categorical_loss`` of the logits of a layer, (*batch,), or its sum.

    ``hidden``, (*batch, H), has the dtype of the kernel, and the logits float32 or more. The mask
    of the examples is not None.
    """
    kernel, bias, cap = layer
    # One copy per group. Their gradients are sums, in the dtype of the logits.
    kernels = jnp.broadcast_to(kernel.astype(bias.dtype), (*chunks.leading, *kernel.shape))
    copies = Layer(kernels, jnp.broadcast_to(bias, (*chunks.leading, 1, *bias.shape)), cap)
    losses = partial(_losses_of_chunks, chunks)
    if not summed:
        return losses(hidden, kernel, copies, examples)
    total = jax.custom_jvp(lambda *arguments: jnp.sum(losses(*arguments)))
    total.defjvp(partial(_sum_jvp, chunks), symbolic_zeros=True)
    return total(hidden, kernel, copies, examples)


def _losses(
    products: jax.Array, bias: jax.Array, cap: jax.Array | None, examples: Examples
) -> jax.Array:
    """The losses of a chunk, (*leading, size)."""
    logits = products + bias
    if cap is not None:
        logits = cap * jnp.tanh(logits / cap)
    selected = jnp.asarray(examples.where)[..., None]
    terms = examples.terms(logits.shape[-1])
    return categorical_loss(jnp.where(selected, logits, 0), *terms)


def _unless_empty(selected: jax.Array, compute: Callable[[], _Result], zero: jax.Array) -> _Result:
    """Computes a chunk, or zeros if no row in it is selected.

    The condition keeps its branch inside the loop. Without it, JAX moves constants and masks, as
    large as the logits of the chunk, out of the loop.
    """
    zeros = partial(_zeros_like, jax.eval_shape(compute), zero)
    return lax.cond(jnp.any(selected), compute, zeros)


def _losses_of_chunks(
    chunks: Chunks, hidden: jax.Array, kernel: jax.Array, copies: Layer, examples: Examples
) -> jax.Array:
    kernels, bias, cap = copies
    has_rows = np.array(examples.has_rows())

    @partial(jax.checkpoint, prevent_cse=False)  # not needed inside a scan
    def of_chunk(rows: tuple[jax.Array, list[jax.Array]]) -> jax.Array:
        chunk = _put(examples, has_rows, rows[1])
        # Outside the condition: inside, the gradient of the kernel would be stored once more.
        products = _products(rows[0], kernel, kernels)
        return _unless_empty(chunk.where, partial(_losses, products, bias, cap, chunk), zero)

    zero = _zero((hidden, kernel, bias, cap, examples))
    rows = jax.tree.map(chunks.split, (hidden, _take(examples, has_rows)))
    return chunks.join(lax.map(of_chunk, rows))


@jax.custom_jvp
def _products(hidden: jax.Array, kernel: jax.Array, _: jax.Array) -> jax.Array:
    """``hidden @ kernel``, (*leading, size, K), differentiated by the copies of the kernel."""
    return _einsum("...nh,hk->...nk", hidden, kernel)


@_products.defjvp
def _products_jvp(
    primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]
) -> tuple[jax.Array, jax.Array]:
    (hidden, kernel, kernels), (d_hidden, _, d_kernels) = primals, tangents
    # Tangents are rounded to the operands' dtype: in reverse mode, these are the cotangents, before
    # they are multiplied. The gradient of the kernel is summed over chunks without rounding.
    by_hidden = jnp.matmul(d_hidden, kernel)
    by_kernel = _einsum("...nh,...hk->...nk", hidden.astype(kernels.dtype), d_kernels)
    by_kernel = by_kernel.astype(hidden.dtype)
    products = _products(hidden, kernel, kernels)
    return products, by_hidden.astype(products.dtype) + by_kernel.astype(products.dtype)


def _sum_jvp(
    chunks: Chunks, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[jax.Array, jax.Array]:
    hidden, kernel, (kernels, bias, cap), examples = primals
    d_hidden, _, (d_kernels, d_bias, d_cap), d_examples = tangents
    by_hidden, by_kernels = not is_zero(d_hidden), not is_zero(d_kernels)
    common, d_common = (bias, cap, examples), (d_bias, d_cap, d_examples)
    has_rows = np.array([False] * len(jax.tree.leaves((bias, cap))) + examples.has_rows())
    has_tangent = np.array([not is_zero(x) for x in jax.tree.leaves(d_common)])
    # What has a tangent: bias and shared costs, whose gradients are sums; and data of the rows.
    shared, own = has_tangent & ~has_rows, has_tangent & has_rows
    is_own = own[has_tangent]

    def of_chunk(sums: Any, data: tuple[jax.Array, list[jax.Array]]) -> tuple[Any, Any]:
        states, chunk = data[0], _put(common, has_rows, data[1])

        def total(products: jax.Array, arrays: list[jax.Array]) -> jax.Array:
            return jnp.sum(_losses(products, *_put(chunk, has_tangent, arrays)))

        def slopes() -> tuple[jax.Array, tuple[Any, ...]]:
            products = _einsum("...nh,hk->...nk", states, kernel)
            return jax.value_and_grad(total, (0, 1))(products, _take(chunk, has_tangent))

        loss, (slope, of_arrays) = _unless_empty(chunk[-1].where, slopes, zero)
        slope, unit = _narrow(slope, kernel.dtype)
        of_hidden = unit * _einsum("...nk,hk->...nh", slope, kernel) if by_hidden else None
        of_kernels = unit * _einsum("...nh,...nk->...hk", states, slope) if by_kernels else None
        sums = jax.tree.map(jnp.add, sums, (loss, (of_kernels, _take(of_arrays, ~is_own))))
        return sums, (of_hidden, _take(of_arrays, is_own))

    zero = _zero(primals)
    sums = (zero.astype(kernels.dtype), (kernels if by_kernels else None, _take(common, shared)))
    data = jax.tree.map(chunks.split, (hidden, _take(common, has_rows)))
    (loss, of_shared), of_rows = lax.scan(of_chunk, _zeros_like(sums, zero), data)
    derivatives = (of_shared, jax.tree.map(chunks.join, of_rows))
    d_shared = (d_kernels if by_kernels else None, _take(d_common, shared))
    d_own = (d_hidden if by_hidden else None, _take(d_common, own))
    changes = (d_shared, d_own)
    products = jax.tree.map(lambda x, dx: jnp.sum(x * dx.astype(x.dtype)), derivatives, changes)
    return loss, jax.tree.reduce(jnp.add, products, jnp.zeros_like(loss))


def _narrow(slope: jax.Array, dtype: np.dtype) -> tuple[jax.Array, jax.Array | int]:
    """The gradient by the logits in the operands' dtype, and the unit that it is in.

    Before the mean is taken, costs may exceed 65504, the largest float16. In this unit the largest
    number is near that, so that rows that cost a ten-thousandth of it do not underflow. It is a
    power of two: to divide by it rounds nothing.
    """
    if dtype != np.float16:
        return slope.astype(dtype), 1
    size = jnp.where(jnp.isfinite(slope), jnp.abs(slope), 0)
    largest = jnp.max(size, (-2, -1), keepdims=True, initial=0)
    _, exponent = jnp.frexp(lax.stop_gradient(largest))
    unit = jnp.ldexp(jnp.ones_like(largest), jnp.maximum(exponent, -100) - 15)
    return (slope / unit).astype(dtype), unit


def _zeros_like(arrays: Any, zero: jax.Array) -> Any:
    return jax.tree.map(lambda x: jnp.broadcast_to(zero.astype(x.dtype), x.shape), arrays)


def _zero(arrays: Any) -> jax.Array:
    """Zero, of the type that a result of these arrays has inside ``jax.shard_map``.

    There the type tells whether devices may hold different values. The first and last sums of a
    scan must have the same type, and so must both results of a condition.
    """
    nothing = [jnp.sum(x.ravel()[:0].astype(jnp.float32)) for x in jax.tree.leaves(arrays)]
    return sum(nothing, jnp.zeros((), jnp.float32))
