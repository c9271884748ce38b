"""The losses of single examples, exact and finite: the only place where stability is argued.

Every function here works on rows of logits in float32 or float64, with the classes along the last
axis, and returns one loss per row. Each carries its gradient in closed form as a ``custom_jvp``,
which reverse mode, forward mode and any nesting of the two can use.

Why not autodiff of the formula: ``log(1 - p)`` is -inf, and its gradient NaN, as soon as the
softmax rounds to 1 (a logit gap of 17 in float32). Only a class that holds more than half of the
probability can suffer that, and a row has at most one. So that *dominant* class is kept apart:
``1 - p`` of it is the sum of all other probabilities, and nothing cancels. For the others
``log1p(-p)`` and ``1 - p`` are safe, because p <= 1/2.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero

# Up to this many logits, what starting each kernel costs outweighs the passes over the logits.
_SMALL = 2**14


def _is_small(x: jax.Array) -> bool:
    # The size of an exported program may be a symbol, which compares with nothing.
    return type(x.size) is int and x.size <= _SMALL


def _sum(x: jax.Array) -> jax.Array:
    """The sum over the classes."""
    if not _is_small(x):
        return jnp.sum(x, axis=-1, keepdims=True)
    return lax.platform_dependent(
        x,
        # XLA's CPU reductions of short rows are scalar loops, its matrix products are not.
        cpu=lambda x: jnp.matmul(x, jnp.ones((x.shape[-1], 1), x.dtype), precision="highest"),
        default=lambda x: jnp.sum(x, axis=-1, keepdims=True),
    )


def _times(weight: jax.Array, value: jax.Array) -> jax.Array:
    """``weight * value`` for a value in [0, inf], where a weight of zero wins: 0 * inf = 0."""
    return jnp.where((weight == 0) & (value == jnp.inf), 0, weight * value)


def two_sum(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``a + b``, and exactly what its rounding took off, by Knuth's error-free addition."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def is_label(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The mask of each row's label. A comparison with an iota is free in an elementwise kernel."""
    return lax.broadcasted_iota(jnp.int32, logits.shape, logits.ndim - 1) == labels[..., None]


def sum_of_others(x: jax.Array) -> jax.Array:
    """For each class the sum of all other classes' numbers, none of them negative.

    The difference from the total is exact enough but for a number that is more than half of it.
    """
    total = _sum(x)
    dominant = x > total / 2
    return jnp.where(dominant, _sum(jnp.where(dominant, 0, x)), total - x)


def _minus_log1m(p: jax.Array) -> jax.Array:
    """``-log(1 - p)`` for p <= 1/2."""
    if p.dtype == jnp.float64:
        # XLA's float64 log1p on a CPU is off by 128 ulps near -0.41, but not for positive numbers.
        return jnp.log1p(p / (1 - p))
    return -jnp.log1p(-p)


def _at_label(x: jax.Array, labels: jax.Array) -> jax.Array:
    return lax.platform_dependent(
        x,
        labels,
        cpu=lambda x, labels: jnp.take_along_axis(x, labels[..., None], axis=-1, mode="clip"),
        # A gather would split the one kernel into which XLA can fuse all that is done to a row.
        default=lambda x, labels: _sum(jnp.where(is_label(x, labels), x, 0)),
    )


def finite(derivative: jax.Array) -> jax.Array:
    """A derivative by a weight or cost is infinite where a class is impossible.

    As the largest finite number instead, times a zero it is zero.
    """
    return jnp.minimum(derivative, np.finfo(derivative.dtype).max)


# --- Binary, equation 5 ---------------------------------------------------------------------------


@jax.custom_jvp
def binary_loss(logits: jax.Array, positive: jax.Array, negative: jax.Array) -> jax.Array:
    """``-positive * log(sigmoid(logits)) - negative * log(1 - sigmoid(logits))``, elementwise."""
    return _times(positive, jax.nn.softplus(-logits)) + _times(negative, jax.nn.softplus(logits))


@partial(binary_loss.defjvp, symbolic_zeros=True)
def _binary_loss_jvp(
    primals: tuple[jax.Array, ...], tangents: tuple[jax.Array | SymbolicZero, ...]
) -> tuple[jax.Array, jax.Array]:
    logits, positive, negative = primals
    d_logits, d_positive, d_negative = tangents
    tangent = jnp.zeros_like(logits)
    if not isinstance(d_logits, SymbolicZero):
        slope = negative * jax.nn.sigmoid(logits) - positive * jax.nn.sigmoid(-logits)
        tangent += slope * d_logits
    if not isinstance(d_positive, SymbolicZero):
        tangent += finite(jax.nn.softplus(-logits)) * d_positive
    if not isinstance(d_negative, SymbolicZero):
        tangent += finite(jax.nn.softplus(logits)) * d_negative
    return binary_loss(logits, positive, negative), tangent


# --- Weighted cross-entropy with integer labels, equation 4 ---------------------------------------


def _cross_entropy(
    logits: jax.Array, labels: jax.Array, weight: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The loss of each row, shape (..., 1), and its gradient, shape (..., K)."""
    top = lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    label = is_label(logits, labels)
    # Summed without the label: 1 - p of a confident label would be lost in 1 + rest.
    others = jnp.where(label, 0, jnp.exp(logits - top))
    rest = _sum(others)
    shifted_label = _at_label(logits, labels) - top
    total = rest + jnp.exp(shifted_label)
    log_total = jnp.where(shifted_label == 0, jnp.log1p(rest), jnp.log(total))
    slope = weight / total
    gradient = jnp.where(label, -rest * slope, others * slope)
    return _times(weight, log_total - shifted_label), gradient


@jax.custom_jvp
def cross_entropy(logits: jax.Array, labels: jax.Array, weight: jax.Array) -> jax.Array:
    """``-weight * log(softmax(logits))[label]``: weight (..., 1), result (...)."""
    return _cross_entropy(logits, labels, weight)[0][..., 0]


@partial(cross_entropy.defjvp, symbolic_zeros=True)
def _cross_entropy_jvp(
    primals: tuple[jax.Array, ...], tangents: tuple[jax.Array | SymbolicZero, ...]
) -> tuple[jax.Array, jax.Array]:
    logits, labels, weight = primals
    d_logits, _, d_weight = tangents
    # The function itself, not its arithmetic: differentiated once more, it has the same rule.
    loss = cross_entropy(logits, labels, weight)
    tangent = jnp.zeros_like(loss)[..., None]
    if not isinstance(d_logits, SymbolicZero):
        tangent += _sum(_cross_entropy(logits, labels, weight)[1] * d_logits)
    if not isinstance(d_weight, SymbolicZero):
        by_weight = cross_entropy(logits, labels, jnp.ones_like(weight))
        tangent += finite(by_weight)[..., None] * d_weight
    return loss, tangent[..., 0]


# --- Real-World-Weight Cross-Entropy, equation 6 --------------------------------------------------


class _Softmax(NamedTuple):
    """The softmax of rows with the dominant class, the one with p > 1/2 if any, kept apart."""

    top: jax.Array  # (..., 1): the maximum of the logits
    total: jax.Array  # (..., 1): sum of exp(logits - top)
    has_dominant: jax.Array  # (..., 1)
    dominant: jax.Array  # (..., K): mask of the dominant class
    scaled: jax.Array  # (..., K): proportional to p on the other classes, 1 on the dominant one
    to_p: jax.Array  # (..., 1): p = to_p * scaled
    p: jax.Array  # (..., K): probabilities of the other classes, 0 on the dominant one
    rest: jax.Array  # (..., 1): their sum, which is 1 - p of the dominant class
    log_rest: jax.Array  # (..., 1): its logarithm, also where rest underflows
    to_share: jax.Array  # (..., 1): p / rest = to_share * scaled, also where rest underflows


@jax.custom_jvp
def _inverse(x: jax.Array) -> jax.Array:
    """``1 / x``, and 0 for 0: the share of each of several impossible classes."""
    return jnp.where(x == 0, 0, 1 / jnp.where(x == 0, 1, x))


@_inverse.defjvp
def _inverse_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    inverse = _inverse(*primals)
    # In this order: the square of the inverse of a tiny number would overflow.
    return inverse, -inverse * (inverse * tangents[0])


@jax.custom_jvp
def _log(x: jax.Array) -> jax.Array:
    """The logarithm, flat at 0: its derivative there is asked for only to be multiplied by 0."""
    return jnp.log(x)


@_log.defjvp
def _log_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    return _log(*primals), _inverse(*primals) * tangents[0]


@jax.custom_jvp
def _without_mark(marked: jax.Array, _: jax.Array) -> jax.Array:
    """Costs again of which that of the dominant class had its sign changed: linear, even at 0."""
    return jnp.abs(marked)


@_without_mark.defjvp
def _without_mark_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    marked, dominant = primals
    return _without_mark(marked, dominant), jnp.where(dominant, -tangents[0], tangents[0])


def _runner_up(shifted: jax.Array) -> jax.Array:
    """The largest of the logits below their maximum, relative to it."""
    below = jnp.where(shifted < 0, shifted, -jnp.inf)
    return lax.stop_gradient(jnp.max(below, axis=-1, keepdims=True))


def _softmax(logits: jax.Array, labels: jax.Array | None) -> _Softmax:
    return lax.platform_dependent(logits, labels, cpu=_frugal_softmax, default=_fusible_softmax)


def _fusible_softmax(logits: jax.Array, _: jax.Array | None) -> _Softmax:
    """For accelerators, where XLA fuses the arithmetic and computes several sums in one pass.

    Relative to a far maximum the other exponentials would underflow. Where there is a dominant
    class, they are relative to the runner-up instead, which becomes 1/e.
    """
    top = lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    shifted = logits - top
    runner_up = _runner_up(shifted)
    total = _sum(jnp.exp(shifted))
    # A tie for the top makes the total at least 2, exactly: then no class is dominant.
    has_dominant = total < 2
    dominant = (shifted == 0) & has_dominant
    shift = jnp.where(has_dominant & (runner_up > -jnp.inf), runner_up + 1, 0)
    scaled = jnp.exp(jnp.where(dominant, 0, shifted - shift))
    others = jnp.where(dominant, 0, scaled)
    scaled_rest = _sum(others)
    to_p = jnp.exp(shift) / total
    log_rest = _log(scaled_rest) + (shift - jnp.log(total))
    return _Softmax(
        top,
        total,
        has_dominant,
        dominant,
        scaled,
        to_p,
        to_p * others,
        to_p * scaled_rest,
        log_rest,
        _inverse(scaled_rest),
    )


def _frugal_softmax(logits: jax.Array, labels: jax.Array | None) -> _Softmax:
    """For a CPU, where each pass over the logits costs: exponentials relative to the maximum.

    Only if some of them may have underflowed, and it matters, are these rows computed again.
    """
    top = lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    scaled = jnp.exp(logits - top)
    total = _sum(scaled)
    has_dominant = total < 2
    # Where 1 + rest rounds to 1, rest may be lost. It matters to the cost of a dominant class; a
    # label has no such cost.
    lost = total == 1
    if labels is not None:
        lost &= _at_label(logits, labels) < top

    def rescue(
        logits: jax.Array, top: jax.Array, scaled: jax.Array, lost: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        shifted = logits - top
        runner_up = _runner_up(shifted)
        shift = jnp.where(lost & (runner_up > -jnp.inf), runner_up + 1, 0)
        others = lost & (shifted < 0)
        relative = jnp.exp(jnp.where(others, shifted - shift, -jnp.inf))
        return jnp.where(others, relative, scaled), _sum(relative), shift

    rows = (logits, top, scaled, lost)
    if _is_small(logits):
        scaled, rescued, shift = rescue(*rows)
    else:
        unchanged = (scaled, jnp.zeros_like(top), jnp.zeros_like(top))
        scaled, rescued, shift = lax.cond(jnp.any(lost), rescue, lambda *_: unchanged, *rows)
    dominant = (scaled == 1) & has_dominant
    to_p = jnp.exp(shift) / total
    p = jnp.where(dominant, 0, to_p * scaled)
    rest = _sum(p)
    log_rest = _log(jnp.where(lost, rescued, rest))
    log_rest += jnp.where(lost, shift - jnp.log(total), 0)
    to_share = _inverse(jnp.where(lost, rescued, rest * total))
    return _Softmax(top, total, has_dominant, dominant, scaled, to_p, p, rest, log_rest, to_share)


class _Weights(NamedTuple):
    """The weights of -log(p): of one label, or of all classes."""

    each: jax.Array  # (..., K)
    dominant: jax.Array  # (..., 1): that of the dominant class, if any
    others: jax.Array  # (..., 1): the sum of the others
    log_loss: jax.Array  # (..., 1) or (..., K): -log(p) of the label, or of all classes


def _weights(
    softmax: _Softmax, logits: jax.Array, labels: jax.Array | None, weight: jax.Array
) -> _Weights:
    log_loss_of_dominant = _minus_log1m(jnp.where(softmax.has_dominant, softmax.rest, 0))
    log_total = jnp.log(softmax.total)
    if labels is None:
        return _Weights(
            weight,
            _sum(jnp.where(softmax.dominant, weight, 0)),
            _sum(jnp.where(softmax.dominant, 0, weight)),
            jnp.where(softmax.dominant, log_loss_of_dominant, log_total - (logits - softmax.top)),
        )
    below_top = _at_label(logits, labels) - softmax.top
    is_dominant = (below_top == 0) & softmax.has_dominant
    return _Weights(
        jnp.where(is_label(logits, labels), weight, 0),
        jnp.where(is_dominant, weight, 0),
        jnp.where(is_dominant, 0, weight),
        jnp.where(is_dominant, log_loss_of_dominant, log_total - below_top),
    )


def _real_world(
    softmax: _Softmax, weights: _Weights, weight: jax.Array, costs: jax.Array, cost: jax.Array
) -> jax.Array:
    """The loss of each row (..., 1), where ``cost`` (..., 1) is that of the dominant class."""
    return (
        _sum(_times(weight, weights.log_loss))
        + _sum(costs * _minus_log1m(softmax.p))
        + _times(cost, -softmax.log_rest)
    )


class _Row(NamedTuple):
    """The loss of each row and its derivatives."""

    loss: jax.Array  # (..., 1)
    gradient: jax.Array  # (..., K), by the logits
    by_weight: jax.Array  # as the weight
    by_costs: jax.Array  # (..., K)


def _arithmetic(
    logits: jax.Array, labels: jax.Array | None, weight: jax.Array, costs: jax.Array
) -> _Row:
    """The arguments are those of ``real_world_loss``.

    With weights a and costs w, odds o = p / (1 - p) and D the dominant class, the derivative by
    z_j is ``p_j (sum(a) - sum(w o)) + w_j o_j - a_j``. There o_D may overflow. Where it stands, in
    ``p_j w_D o_D``, it is ``w_D p_D`` times j's share of all but D; in the derivative by z_D, the
    terms of D itself cancel to ``p_D (sum(other a) + w_D - sum(other w o)) - a_D rest``.
    """
    softmax = _softmax(logits, labels)
    weights = _weights(softmax, logits, labels, weight)
    # One array, and two sums of it, for two quantities: with the sign as the mark of the dominant
    # class, sum(w o) over the others and w_D are half the sum and half the difference of the two.
    marked = costs * jnp.where(softmax.dominant, -1, softmax.p / (1 - softmax.p))
    difference = _sum(marked)
    total = _sum(_without_mark(marked, softmax.dominant))
    cost = (total - difference) / 2
    cost_of_odds = (total + difference) / 2
    loss = _real_world(softmax, weights, weight, costs, cost)

    p_of_dominant = 1 - softmax.rest
    of_costs = cost_of_odds * softmax.to_p + cost * p_of_dominant * softmax.to_share
    of_weights = (weights.dominant + weights.others) * softmax.to_p
    # The costs of classes that tie for the top cancel: before the weights join, lest they be lost.
    at_others = (marked - softmax.scaled * of_costs) + softmax.scaled * of_weights - weights.each
    at_dominant = p_of_dominant * (weights.others - difference) - weights.dominant * softmax.rest
    gradient = jnp.where(softmax.dominant, at_dominant, at_others)
    by_costs = jnp.where(softmax.dominant, -softmax.log_rest, _minus_log1m(softmax.p))
    return _Row(loss, gradient, finite(weights.log_loss), finite(by_costs))


@jax.custom_jvp
def _row(logits: jax.Array, labels: jax.Array | None, weight: jax.Array, costs: jax.Array) -> _Row:
    """As ``_arithmetic``, but the loss is differentiated by the derivatives, not by autodiff."""
    return _arithmetic(logits, labels, weight, costs)


@_row.defjvp
def _row_jvp(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> tuple[_Row, _Row]:
    logits, labels, weight, costs = primals
    d_logits, _, d_weight, d_costs = tangents
    row = _row(logits, labels, weight, costs)
    d_loss = _sum(row.gradient * d_logits) + _sum(row.by_weight * d_weight)
    d_loss += _sum(row.by_costs * d_costs)
    _, d_row = jax.jvp(
        lambda *args: _arithmetic(args[0], labels, *args[1:]),
        (logits, weight, costs),
        (d_logits, d_weight, d_costs),
    )
    return row, d_row._replace(loss=d_loss)


@jax.custom_jvp
def real_world_loss(
    logits: jax.Array, labels: jax.Array | None, weight: jax.Array, costs: jax.Array
) -> jax.Array:
    """``-sum(weight * log p) - sum(costs * log(1 - p))`` with p the softmax of the logits.

    Costs are (..., K). With integer labels (...), weight is (..., 1), that of the label, and the
    label's cost is 0. Without labels, weight is (..., K).
    """
    softmax = _softmax(logits, labels)
    weights = _weights(softmax, logits, labels, weight)
    # floor(scaled) is 1 at the maximum, else 0: XLA's CPU reductions can fuse it, not a select.
    cost = _sum(costs * jnp.floor(softmax.scaled))
    cost = jnp.where(softmax.has_dominant, cost, 0)
    return _real_world(softmax, weights, weight, costs, cost)[..., 0]


@partial(real_world_loss.defjvp, symbolic_zeros=True)
def _real_world_jvp(
    primals: tuple[jax.Array, ...], tangents: tuple[jax.Array | SymbolicZero, ...]
) -> tuple[jax.Array, jax.Array]:
    row = _row(*primals)
    d_logits, _, d_weight, d_costs = tangents
    tangent = jnp.zeros_like(row.loss)
    for derivative, change in (
        (row.gradient, d_logits),
        (row.by_weight, d_weight),
        (row.by_costs, d_costs),
    ):
        if not isinstance(change, SymbolicZero):
            tangent += _sum(derivative * change)
    return row.loss[..., 0], tangent[..., 0]
