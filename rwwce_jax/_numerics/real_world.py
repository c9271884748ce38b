"""Real-World-Weight Cross-Entropy with a cost for each class, equation 6."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from rwwce_jax._numerics.arithmetic import (
    at_label,
    finite,
    is_label,
    minus_log1m,
    row_sum,
    times,
)
from rwwce_jax._numerics.softmax import Softmax, split_softmax


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


class _Weights(NamedTuple):
    """The weights of -log(p): of one label, or of all classes."""

    each: jax.Array  # (..., K)
    dominant: jax.Array  # (..., 1): that of the dominant class, if any
    others: jax.Array  # (..., 1): the sum of the others
    log_loss: jax.Array  # (..., 1) or (..., K): -log(p) of the label, or of all classes


def _weights(
    softmax: Softmax, logits: jax.Array, labels: jax.Array | None, weight: jax.Array
) -> _Weights:
    log_loss_of_dominant = minus_log1m(jnp.where(softmax.has_dominant, softmax.rest, 0))
    log_total = jnp.log(softmax.total)
    if labels is None:
        return _Weights(
            weight,
            row_sum(jnp.where(softmax.dominant, weight, 0)),
            row_sum(jnp.where(softmax.dominant, 0, weight)),
            jnp.where(softmax.dominant, log_loss_of_dominant, log_total - (logits - softmax.top)),
        )
    below_top = at_label(logits, labels) - softmax.top
    is_dominant = (below_top == 0) & softmax.has_dominant
    return _Weights(
        jnp.where(is_label(logits, labels), weight, 0),
        jnp.where(is_dominant, weight, 0),
        jnp.where(is_dominant, 0, weight),
        jnp.where(is_dominant, log_loss_of_dominant, log_total - below_top),
    )


def _real_world(
    softmax: Softmax, weights: _Weights, weight: jax.Array, costs: jax.Array, cost: jax.Array
) -> jax.Array:
    """The loss of each row (..., 1), where ``cost`` (..., 1) is that of the dominant class."""
    return (
        row_sum(times(weight, weights.log_loss))
        + row_sum(costs * minus_log1m(softmax.p))
        + times(cost, -softmax.log_rest)
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
    softmax = split_softmax(logits, labels)
    weights = _weights(softmax, logits, labels, weight)
    # One array, and two sums of it, for two quantities: with the sign as the mark of the dominant
    # class, sum(w o) over the others and w_D are half the sum and half the difference of the two.
    marked = costs * jnp.where(softmax.dominant, -1, softmax.p / (1 - softmax.p))
    difference = row_sum(marked)
    total = row_sum(_without_mark(marked, softmax.dominant))
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
    by_costs = jnp.where(softmax.dominant, -softmax.log_rest, minus_log1m(softmax.p))
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
    d_loss = row_sum(row.gradient * d_logits) + row_sum(row.by_weight * d_weight)
    d_loss += row_sum(row.by_costs * d_costs)
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
    softmax = split_softmax(logits, labels)
    weights = _weights(softmax, logits, labels, weight)
    # floor(scaled) is 1 at the maximum, else 0: XLA's CPU reductions can fuse it, not a select.
    cost = row_sum(costs * jnp.floor(softmax.scaled))
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
            tangent += row_sum(derivative * change)
    return row.loss[..., 0], tangent[..., 0]
