"""What is done to whole rows of logits, and how: what is fast on a CPU is slow on an accelerator.

A CPU pays for each pass over the logits, and its reductions are fast only where nothing is fused
into them. XLA's compilers for accelerators fuse all that is done to a row as long as nothing is
gathered or scattered; there, several sums are one pass. This is the only module that knows.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# Up to this many logits, what starting each kernel costs outweighs the passes over the logits.
_SMALL = 2**14
# Up to this many classes of a row, accelerators compare with an iota.
_MOST_COMPARED = 16


def by_platform(*arguments: Any, cpu: Callable[..., Any], default: Callable[..., Any]) -> Any:
    """Calls one of two functions of the same result, by what the program is compiled for."""
    return lax.platform_dependent(*arguments, cpu=cpu, default=default)


def is_small(x: jax.Array) -> bool:
    """Whether kernels count for more than passes."""
    # The size of an exported program may be a symbol, which compares with nothing.
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
    """The maximum over the last axis, (..., 1), and -inf of nothing."""
    return jnp.max(x, axis=-1, keepdims=True, initial=-jnp.inf)


def is_class(x: jax.Array, classes: jax.Array) -> jax.Array:
    """The mask of one class of each row, (..., 1). It is free in an elementwise kernel."""
    return lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1) == classes


def pick(x: jax.Array, classes: jax.Array) -> jax.Array:
    """The numbers of a few classes of each row, (..., F): anything for what is no class."""

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
    """``slope * x`` with these values in the places of a few classes of each row."""
    if classes.shape[-1] == 1 and jax.device_count() > 1:
        # Of a batch that may be sharded, a scatter gathers the classes of all rows first.
        return _compare_and_put(x, slope, classes, values)
    if classes.shape[-1] > _MOST_COMPARED:
        return _scatter(x, slope, classes, values)
    return by_platform(x, slope, classes, values, cpu=_scatter, default=_compare_and_put)


def _compare_and_put(
    x: jax.Array, slope: jax.Array, classes: jax.Array, values: jax.Array
) -> jax.Array:
    x = slope * x
    for i in range(classes.shape[-1]):
        x = jnp.where(is_class(x, classes[..., i : i + 1]), values[..., i : i + 1], x)
    return x


def _scatter(x: jax.Array, slope: jax.Array, classes: jax.Array, values: jax.Array) -> jax.Array:
    """Before the multiplication: XLA fuses that with what comes after.

    So the values are divided by the slope, which is moved away from 0 by less than rounding takes
    off the largest of them.
    """
    info = np.finfo(x.dtype)
    largest = row_max(jnp.abs(values))
    nearest = largest * info.eps**4 + info.tiny
    divisor = jnp.where(jnp.abs(slope) < nearest, nearest, slope)
    slope = jnp.where(largest == 0, slope, divisor)
    few, num_classes = classes.shape[-1], x.shape[-1]
    rows = x.reshape(-1, num_classes)
    each = lax.broadcasted_iota(jnp.int32, (rows.shape[0], few), 0)
    rows = rows.at[each, classes.reshape(-1, few)].set(
        (values / divisor).reshape(-1, few), mode="drop", unique_indices=True
    )
    return slope * rows.reshape(x.shape)


class Apart(NamedTuple):
    """The class of each row that is kept apart from the others, if any."""

    top: jax.Array  # (..., 1): the maximum of the logits, not to be differentiated
    shifted: jax.Array  # (..., 1): its logit relative to the top, -inf if there is none
    label: jax.Array | None  # (..., 1): its class; or None, where it is the one at the top
    total: jax.Array | None  # (..., 1): then also the sum of exp(logits - top)

    def mask(self, logits: jax.Array) -> jax.Array:
        """(..., K), free in an elementwise kernel."""
        if self.label is not None:
            return is_class(logits, self.label)
        return logits == jnp.where(self.shifted == 0, self.top, jnp.inf)


Others = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


def others(logits: jax.Array, apart: Apart, exact: jax.Array) -> Others:
    """The exponentials of all classes of each row but the one kept apart, in proportion.

    Args:
        logits: (..., K).
        apart: The class kept apart.
        exact: The rows, (..., 1), that must be right however far the others are below the top: in
            the rest, exponentials may underflow.

    Returns:
        ``exp(logits - top - shift)``, (..., K), and anything for the class kept apart; its mask;
        the sum of the exponentials of the others, (..., 1); and the shift, (..., 1).
    """
    return by_platform(logits, apart, exact, cpu=_frugal, default=_fusible)


def _fusible(logits: jax.Array, apart: Apart, exact: jax.Array) -> Others:
    """Relative to the runner-up where it matters: there, the largest exponential is 1."""
    mask = apart.mask(logits)
    below = jnp.where(mask, -jnp.inf, logits)
    if apart.label is None:
        # Not by the mask, which needs the total: so the two are found in one pass.
        runner_up = row_max(jnp.where(logits < apart.top, logits, -jnp.inf))
        exact &= apart.shifted == 0
    else:
        runner_up = row_max(below)
    runner_up = lax.stop_gradient(runner_up)
    far = exact & (runner_up > -jnp.inf)
    # Differences of logits first: their sum may be out of reach of a float.
    shift = jnp.where(far, runner_up - apart.top, 0)
    each = jnp.exp(below - jnp.where(far, runner_up, apart.top))
    return each, mask, row_sum(each), shift


def _frugal(logits: jax.Array, apart: Apart, exact: jax.Array) -> Others:
    """Relative to the top, which is known; only if a row may be lost by it, once again."""
    if is_small(logits):
        return _fusible(logits, apart, exact)
    each = jnp.exp(logits - apart.top)
    if apart.total is None:
        mask = apart.mask(logits)
        each = jnp.where(mask, 0, each)
        rest = row_sum(each)
        lost = exact & (1 + rest == 1)
        each, rest, shift = lax.cond(
            jnp.any(lost),
            lambda: _without_mask(_fusible(logits, apart, lost)),
            lambda: (each, rest, jnp.zeros_like(rest)),
        )
        return each, mask, rest, shift

    lost = exact & (apart.total == 1)

    def again() -> tuple[jax.Array, jax.Array, jax.Array]:
        """The same, but less than 1 where it is not the top."""
        again, mask, rest, shift = _fusible(logits, apart, lost)
        half = jnp.where(lost, 0.5, 1).astype(logits.dtype)
        return jnp.where(mask, 1, half * again), half * rest, shift - jnp.log(half)

    zeros = jnp.zeros_like(apart.total)
    each, rest, shift = lax.cond(jnp.any(lost), again, lambda: (each, zeros, zeros))
    # Cheaper than to read the logits once more.
    mask = each == jnp.where(apart.shifted == 0, 1, jnp.inf)
    # The probabilities are needed anyhow, and what is stored sums up fast.
    p = jnp.where(mask, 0, jnp.exp(shift) / apart.total * each)
    rest = jnp.where(shift == 0, row_sum(p) * apart.total, rest)
    return each, mask, rest, shift


def _without_mask(others: Others) -> tuple[jax.Array, jax.Array, jax.Array]:
    each, _, rest, shift = others
    return each, rest, shift
