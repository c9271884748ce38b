"""Small systems of linear equations, solved without LAPACK.

``jnp.linalg.solve`` can deadlock where its batch is sharded over several CPU devices (seen with
jaxlib 0.10.2, 8 devices on two cores, 256 systems of 41 equations). LAPACK is also slower for fewer
than about 20 equations.
"""

import jax
import jax.numpy as jnp
from jax import lax


def solve(matrix: jax.Array, right_side: jax.Array) -> jax.Array:
    """The solutions of ``matrix @ x = right_side``, (..., n), for matrices (..., n, n).

    Differentiable in forward and reverse mode. A singular matrix gives NaN or infinities.
    """
    return jnp.vectorize(_solve, signature="(n,n),(n)->(n)")(matrix, right_side)


def _solve(matrix: jax.Array, right_side: jax.Array) -> jax.Array:
    # Both sides must have the type of the solution: inside `jax.shard_map`, types tell that devices
    # differ.
    right_side = jnp.where(False, matrix[0], right_side)
    # The derivative of a solution solves such a system too: no elimination is differentiated.
    return lax.custom_linear_solve(
        lambda x: jnp.matmul(matrix, x, precision=lax.Precision.HIGHEST),
        right_side,
        lambda _, b: _eliminate(matrix, b),
        transpose_solve=lambda _, b: _eliminate(matrix.T, b),
    )


def _eliminate(matrix: jax.Array, right_side: jax.Array) -> jax.Array:
    """Gauss-Jordan elimination with partial pivoting.

    Rows are not swapped: ``column_of`` is the column whose pivot each row is, n for none yet.
    """
    size = right_side.size
    rows = jnp.arange(size)
    rest = jnp.concatenate([matrix, right_side[:, None]], axis=1)
    # Of the type of the loop's result: inside `jax.shard_map`, types tell that devices differ.
    column_of = jnp.full_like(rest[:, 0], size, dtype=rows.dtype)
    # Finished columns are cut off once per block: cutting in each step would unroll the loop.
    width = max(32, -(-size // 4))

    def step(i: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        rest, column_of = carry
        cut_off = size + 1 - rest.shape[1]
        column = rest[:, i - cut_off]
        pivot = jnp.argmax(jnp.where(column_of == size, jnp.abs(column), -1))
        is_pivot = rows == pivot
        pivot_row = rest[pivot] / column[pivot]
        others = rest - column[:, None] * pivot_row[None]
        rest = jnp.where(is_pivot[:, None], pivot_row[None], others)
        return rest, jnp.where(is_pivot, i, column_of)

    for start in range(0, size, width):
        stop = min(start + width, size)
        rest, column_of = lax.fori_loop(start, stop, step, (rest, column_of))
        rest = rest[:, stop - start :]
    solution = rest[:, 0]
    return jnp.zeros_like(solution).at[column_of].set(solution, unique_indices=True)
