"""The loss of many rows, in blocks of rows where that is faster.

A CPU maps new memory for each temporary array of 32 MB or more, and such arrays leave its caches. A
block gathers its costs, and computes its loss and gradient; only the gradient is stored.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from rwwce_jax._numerics import platforms
from rwwce_jax._numerics.arithmetic import is_zero
from rwwce_jax._numerics.categorical import Terms, categorical_loss, loss_and_gradient
from rwwce_jax._numerics.platforms import row_sum

# Rows per block, and the bytes of logits above which blocks are faster: both are measured.
ROWS = 512
LEAST_BYTES = 8 * 2**20

# Weights and costs, from the data of each row, the data of all rows, and the number of classes.
TermsOf = Callable[[Any, Any, int], tuple[Terms, Terms]]


def uses_blocks(logits: jax.Array) -> bool:
    """Whether a program for a CPU splits these logits into blocks.

    Only in a process with one device: blocks of a sharded batch would move between devices.
    """
    return (
        logits.ndim == 2
        and type(logits.size) is int  # in an exported program it may be a symbol
        and logits.shape[0] >= 2 * ROWS
        and logits.size * logits.dtype.itemsize > LEAST_BYTES
        and jax.device_count() == 1
    )


def loss_of_rows(terms_of: TermsOf, logits: jax.Array, rows: Any, shared: Any) -> jax.Array:
    """``categorical_loss`` of logits (..., K) with ``terms_of(rows, shared, K)``, (...)."""
    _, costs = jax.eval_shape(lambda a, b: terms_of(a, b, logits.shape[-1]), rows, shared)
    loss = partial(_of_rows, categorical_loss, terms_of)
    # Costs of a few classes need only one temporary array of the logits' size.
    if costs.classes is not None or not uses_blocks(logits):
        return loss(logits, rows, shared)
    in_blocks = jax.custom_jvp(partial(_in_blocks, loss))
    in_blocks.defjvp(partial(_in_blocks_jvp, terms_of), symbolic_zeros=True)
    return in_blocks(logits, rows, shared)


def _of_rows(
    function: Callable[..., Any], terms_of: TermsOf, logits: jax.Array, rows: Any, shared: Any
) -> Any:
    return function(logits, *terms_of(rows, shared, logits.shape[-1]))


def _in_blocks_jvp(
    terms_of: TermsOf, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[jax.Array, jax.Array]:
    d_logits, *d_costs = tangents
    if all(map(is_zero, jax.tree.leaves(d_costs, is_leaf=is_zero))):
        loss, gradient = _in_blocks(partial(_of_rows, loss_and_gradient, terms_of), *primals)
        if is_zero(d_logits):
            return loss, jnp.zeros_like(loss)
        return loss, row_sum(gradient * d_logits)[..., 0]
    # Derivatives by the costs take all rows at once: a row may have as many costs as classes.
    whole = partial(_of_rows, categorical_loss, terms_of)
    return jax.jvp(whole, primals, jax.tree.map(_instantiate, tangents, is_leaf=is_zero))


def _instantiate(x: Any) -> Any:
    return np.zeros(x.shape, x.dtype) if is_zero(x) else x


def _in_blocks(function: Callable[..., Any], logits: jax.Array, rows: Any, shared: Any) -> Any:
    def whole(logits: jax.Array, rows: Any) -> Any:
        return function(logits, rows, shared)

    def blocks(logits: jax.Array, rows: Any) -> Any:
        size = logits.shape[0] // ROWS * ROWS

        def split(x: jax.Array) -> jax.Array:
            return x[:size].reshape(-1, ROWS, *x.shape[1:])

        parts = jax.tree.map(split, (logits, rows))
        shapes = jax.eval_shape(whole, *jax.tree.map(lambda x: x[0], parts))

        def one(numbered: Any) -> Any:
            number, block = numbered
            # The condition always holds. Without it, XLA computes arrays of one constant before the
            # loop, stores them, and reads them again in each block.
            return lax.cond(
                number >= 0, whole, lambda *_: jax.tree.map(jnp.zeros_like, shapes), *block
            )

        results = lax.map(one, (jnp.arange(size // ROWS), parts))
        results = jax.tree.map(lambda x: x.reshape(size, *x.shape[2:]), results)
        if size == logits.shape[0]:
            return results
        rest = whole(*jax.tree.map(lambda x: x[size:], (logits, rows)))
        return jax.tree.map(lambda *x: jnp.concatenate(x), results, rest)

    return platforms.by_platform(logits, rows, cpu=blocks, default=whole)
