"""Equation 6 where false positives cost only in a few of very many classes.

The argument is that of ``real_world``: only the dominant class, with p > 1/2, needs care. Here only
the label and the few costly classes have a ``1 - p``; so the work on all K classes is that of a
cross-entropy, one exponential each, and the rest is done on the few, gathered.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero

from rwwce_jax._numerics.arithmetic import (
    finite,
    inverse_or_0,
    is_label,
    is_small,
    minus_log1m,
    row_sum,
    times,
)

# Up to this many classes of a row are looped over in Python, for XLA to fuse what is done to each.
_MOST_UNROLLED = 16


class _Others(NamedTuple):
    """The exponentials of all classes but the one kept apart."""

    each: jax.Array  # (..., K): exp(logits - top - shift), 0 for the class kept apart
    rest: jax.Array  # (..., 1): their sum
    shift: jax.Array  # (..., 1): 0, or below 0 where they would have underflowed


def _exponentials(logits: jax.Array, top: jax.Array, apart: jax.Array) -> jax.Array:
    return jnp.where(is_label(logits, apart), 0, jnp.exp(logits - top))


def _relative_to_runner_up(
    logits: jax.Array, top: jax.Array, apart: jax.Array, far: jax.Array
) -> _Others:
    """Where ``far``, the largest exponential becomes 1, however far below the top it is."""
    below = jnp.where(is_label(logits, apart), -jnp.inf, logits)
    runner_up = lax.stop_gradient(jnp.max(below, axis=-1, keepdims=True))
    far &= runner_up > -jnp.inf
    # Differences of logits first: their sum may be out of reach of a float.
    shift = jnp.where(far, runner_up - top, 0)
    each = jnp.where(is_label(logits, apart), 0, jnp.exp(logits - jnp.where(far, runner_up, top)))
    return _Others(each, row_sum(each), shift)


def _frugal_others(
    logits: jax.Array, top: jax.Array, apart: jax.Array, costly: jax.Array
) -> _Others:
    """For a CPU, where each pass over the logits costs: only if it matters, a second try."""
    if is_small(logits):
        return _relative_to_runner_up(logits, top, apart, costly)
    each = _exponentials(logits, top, apart)
    rest = row_sum(each)
    # Where 1 + rest rounds to 1, rest may have underflowed. It matters to the cost of the class.
    lost = costly & (1 + rest == 1)
    return lax.cond(
        jnp.any(lost),
        lambda: _relative_to_runner_up(logits, top, apart, lost),
        lambda: _Others(each, rest, jnp.zeros_like(rest)),
    )


class _Sparse(NamedTuple):
    """What the loss and its gradient are made of; the few are the costly classes and the label."""

    others: jax.Array  # (..., K)
    few: jax.Array  # (P + 1, ...): 0 for the dominant class, else like the others
    dominant: jax.Array  # (P + 1, ...): mask of the dominant class, if among the few
    to_p: jax.Array  # (1, ...): p = to_p * others
    to_share: jax.Array  # (1, ...): p / (1 - p of the dominant class) = to_share * others
    p: jax.Array  # (P + 1, ...): 0 for the dominant class
    p_of_dominant: jax.Array  # (1, ...)
    rest: jax.Array  # (1, ...): 1 - p_of_dominant
    log_loss: jax.Array  # (1, ...): -log(p) of the label
    log_others: jax.Array  # (P, ...): -log(1 - p) of the costly classes


def _as_column(row: jax.Array) -> jax.Array:
    """(1, ...) as (..., 1), to go with the logits."""
    return row[0][..., None]


def _as_row(column: jax.Array) -> jax.Array:
    return column[..., 0][None]


def _total(few: jax.Array) -> jax.Array:
    """The sum over the few classes, (1, ...)."""
    return jnp.sum(few, axis=0, keepdims=True)


def _gather(logits: jax.Array, classes: jax.Array) -> jax.Array:
    """The logits of these classes, (P, ...) like them."""
    found = jnp.take_along_axis(logits, jnp.moveaxis(classes, 0, -1), axis=-1, mode="clip")
    return jnp.moveaxis(found, -1, 0)


def _sparse(logits: jax.Array, classes: jax.Array) -> _Sparse:
    """``classes`` are the costly ones, then the label; what is no class is K or more."""
    num_classes = logits.shape[-1]
    column_top = lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    top = _as_row(column_top)
    shifted = _gather(logits, classes) - top
    shifted = jnp.where(classes < num_classes, shifted, -jnp.inf)
    # Kept apart is the one of the few that may be dominant, or else the label.
    apart = jnp.max(jnp.where(shifted == 0, classes, -1), axis=0, keepdims=True)
    if classes.shape[0] <= _MOST_UNROLLED:
        apart = classes[-1:]
        for i in range(classes.shape[0] - 1):
            apart = jnp.where(shifted[i : i + 1] == 0, classes[i : i + 1], apart)
    else:
        apart = jnp.where(apart < 0, classes[-1:], apart)
    shifted_apart = _gather(logits, apart) - top
    apart_on_top = shifted_apart == 0
    others = lax.platform_dependent(
        logits,
        column_top,
        apart[0],
        _as_column(apart_on_top & (apart != classes[-1:])),
        cpu=_frugal_others,
        default=_relative_to_runner_up,
    )
    # Not 1, even at the top: what is a constant has no derivative.
    scaled_apart = jnp.exp(shifted_apart)
    shift, scaled_rest = _as_row(others.shift), _as_row(others.rest)
    scale = jnp.exp(shift)
    rest = scale * scaled_rest
    total = scaled_apart + rest
    log_total = jnp.where(
        apart_on_top,
        jnp.log1p(rest / jnp.where(apart_on_top, scaled_apart, 1)) + shifted_apart,
        jnp.log(total),
    )
    # A tie for the top makes the total at least 2, exactly: then no class is dominant.
    dominant = (classes == apart) & (apart_on_top & (total < 2))
    few = jnp.exp(jnp.where(dominant, -jnp.inf, shifted - shift))
    to_p = scale / total
    p = to_p * few
    log_rest = jnp.log(scaled_rest) + shift
    return _Sparse(
        others.each,
        few,
        dominant,
        to_p,
        inverse_or_0(scaled_rest),
        p,
        scaled_apart / total,
        rest / total,
        log_total - shifted[-1:],
        jnp.where(dominant, log_total - log_rest, minus_log1m(p))[:-1],
    )


def _loss(sparse: _Sparse, weight: jax.Array, costs: jax.Array) -> jax.Array:
    return times(weight, sparse.log_loss) + _total(times(costs, sparse.log_others))


def _gradient(
    sparse: _Sparse, classes: jax.Array, weight: jax.Array, costs: jax.Array
) -> jax.Array:
    """The gradient by the logits, (..., K): that of ``real_world``, mostly of zero costs."""
    costs = jnp.concatenate([costs, jnp.zeros_like(weight)])
    weights = jnp.concatenate([jnp.zeros_like(costs[:-1]), weight])
    of_odds = costs * (sparse.p / (1 - sparse.p))
    cost_of_odds = _total(of_odds)
    cost = _total(jnp.where(sparse.dominant, costs, 0))
    of_costs = cost_of_odds * sparse.to_p + cost * sparse.p_of_dominant * sparse.to_share
    of_weights = weight * sparse.to_p
    # The costs of classes that tie for the top cancel: before the weights join, lest they be lost.
    at_few = (of_odds - sparse.few * of_costs) + sparse.few * of_weights - weights
    other_weight = jnp.where(sparse.dominant[-1:], 0, weight)
    at_dominant = (
        sparse.p_of_dominant * (other_weight + cost - cost_of_odds) - weights * sparse.rest
    )
    at_few = jnp.where(sparse.dominant, at_dominant, at_few)
    slope = of_weights - of_costs
    if classes.shape[0] > _MOST_UNROLLED:
        return _scattered(sparse.others, slope, classes, at_few)
    return lax.platform_dependent(
        sparse.others, slope, classes, at_few, cpu=_scattered, default=_compared
    )


def _compared(
    others: jax.Array, slope: jax.Array, classes: jax.Array, at_few: jax.Array
) -> jax.Array:
    """``slope * others`` with these values of each row's few classes, by comparing an iota."""
    gradient = others * _as_column(slope)
    for i in range(classes.shape[0]):
        gradient = jnp.where(is_label(others, classes[i]), at_few[i][..., None], gradient)
    return gradient


def _scattered(
    others: jax.Array, slope: jax.Array, classes: jax.Array, at_few: jax.Array
) -> jax.Array:
    """The same by a scatter, before the multiplication: XLA fuses that with what comes after.

    So the values are divided by the slope, which is moved away from 0 by less than rounding takes
    off the largest of them.
    """
    info = np.finfo(others.dtype)
    nearest = jnp.max(jnp.abs(at_few), axis=0, keepdims=True) * info.eps**4 + info.tiny
    slope = jnp.where(jnp.abs(slope) < nearest, nearest, slope)
    few, num_classes = classes.shape[0], others.shape[-1]
    rows = others.reshape(-1, num_classes)
    each = jnp.arange(rows.shape[0], dtype=jnp.int32)[None]
    rows = rows.at[each, classes.reshape(few, -1)].set(
        (at_few / slope).reshape(few, -1), mode="drop", unique_indices=True
    )
    return rows.reshape(others.shape) * _as_column(slope)


@jax.custom_jvp
def sparse_loss(
    logits: jax.Array, classes: jax.Array, weight: jax.Array, costs: jax.Array
) -> jax.Array:
    """``-weight * log(p)[label] - sum(costs * log(1 - p)[costly])``, p the softmax of the logits.

    Classes are (P + 1, ...), all different: the P costly ones, then the label; K or more stand for
    none and cost 0. Costs are (P, ...), weight is (1, ...). With the few along the first axis, each
    of their operations is a loop over the rows.
    """
    return _loss(_sparse(logits, classes), weight, costs)[0]


@partial(sparse_loss.defjvp, symbolic_zeros=True)
def _sparse_loss_jvp(
    primals: tuple[jax.Array, ...], tangents: tuple[jax.Array | SymbolicZero, ...]
) -> tuple[jax.Array, jax.Array]:
    logits, classes, weight, costs = primals
    d_logits, _, d_weight, d_costs = tangents
    sparse = _sparse(logits, classes)
    loss = _loss(sparse, weight, costs)
    tangent = jnp.zeros_like(loss)
    if not isinstance(d_logits, SymbolicZero):
        tangent += _as_row(row_sum(_gradient(sparse, classes, weight, costs) * d_logits))
    if not isinstance(d_weight, SymbolicZero):
        tangent += finite(sparse.log_loss) * d_weight
    if not isinstance(d_costs, SymbolicZero):
        tangent += _total(finite(sparse.log_others) * d_costs)
    return loss[0], tangent[0]
