"""The loss of each row of logits, equation 6, for any labels and any costs, and its gradient.

The gradient is in closed form, as a ``custom_jvp``, which reverse mode, forward mode and any
nesting of the two can use. Labels and costs come as ``Terms``: weights of -log(p) and costs of
-log(1 - p), of all classes or of a few.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from rwwce_jax._numerics.arithmetic import finite, minus_log1m, times
from rwwce_jax._numerics.platforms import (
    Apart,
    is_class,
    others,
    pick,
    row_max,
    row_sum,
    scale_and_put,
)


class Terms(NamedTuple):
    """Weights of -log(p), or costs of -log(1 - p): of all classes, or of a few of each row."""

    each: jax.Array  # (..., K) or (..., F)
    classes: jax.Array | None = None  # (..., F): all different; K or more is none, of weight 0


def _keep_apart(logits: jax.Array, weights: Terms, costs: Terms) -> Apart:
    """Keeps apart what may hold more than half: the top one of the classes that count."""
    highest = row_max(logits)
    top = lax.stop_gradient(highest)
    if weights.classes is None or costs.classes is None:
        # A tie for the top makes the total at least 2, exactly: then no class needs care.
        total = row_sum(jnp.exp(logits - top))
        return Apart(top, jnp.where(total < 2, highest - top, -jnp.inf), None, total)
    if costs.classes.shape[-1] == 0:
        return Apart(top, pick(logits, weights.classes) - top, weights.classes, None)
    classes = jnp.concatenate([weights.classes, costs.classes], axis=-1)
    few = jnp.where(classes < logits.shape[-1], pick(logits, classes), -jnp.inf) - top
    at_top = few == lax.stop_gradient(row_max(few))
    label = jnp.max(jnp.where(at_top, classes, 0), axis=-1, keepdims=True)
    return Apart(top, row_sum(jnp.where(classes == label, few, 0)), label, None)


def _must_be_exact(logits: jax.Array, apart: Apart, weights: Terms, costs: Terms) -> jax.Array:
    """The rows, (..., 1), in which the class kept apart may have a cost: a label has none."""
    if costs.classes is None:
        if weights.classes is None:
            return jnp.ones_like(apart.top, dtype=bool)
        return pick(logits, weights.classes) < apart.top
    if apart.label is None:
        return jnp.zeros_like(apart.top, dtype=bool)
    return jnp.any(costs.classes == apart.label, axis=-1, keepdims=True)


class _Row(NamedTuple):
    """The loss of each row and its derivatives."""

    loss: jax.Array  # (..., 1)
    gradient: jax.Array  # (..., K), by the logits
    by_weights: jax.Array  # as the weights
    by_costs: jax.Array  # as the costs


class _View(NamedTuple):
    """What is known of the classes of some terms: of all, (..., K), or of a few, (..., F)."""

    apart: jax.Array  # the mask of the class kept apart
    shifted: jax.Array  # logits relative to the top
    scaled: jax.Array  # in proportion to p, and 0 for the class kept apart
    p: jax.Array  # likewise


@jax.custom_jvp
def _without_mark(marked: jax.Array, _: jax.Array) -> jax.Array:
    """Costs again of which that of the class kept apart is negative: linear, even at 0."""
    return jnp.abs(marked)


@_without_mark.defjvp
def _without_mark_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    marked, apart = primals
    return _without_mark(marked, apart), jnp.where(apart, -tangents[0], tangents[0])


def _arithmetic(logits: jax.Array, weights: Terms, costs: Terms) -> _Row:
    """The arguments are those of ``categorical_loss``.

    With weights a and costs w, odds o = p / (1 - p) and A the class kept apart, the derivative by
    z_j is ``p_j (sum(a) - sum(w o)) + w_j o_j - a_j``. There o_A may overflow. Where it stands, in
    ``p_j w_A o_A``, it is ``w_A p_A`` times j's share of all but A; in the derivative by z_A, the
    terms of A itself cancel to ``p_A (sum(other a) + w_A - sum(other w o)) - a_A (1 - p_A)``.
    """
    apart = _keep_apart(logits, weights, costs)
    exact = _must_be_exact(logits, apart, weights, costs)
    each, mask, scaled_rest, shift = others(logits, apart, exact)
    scale = jnp.exp(shift)
    if apart.total is None:
        # Not 1, even at the top: what is a constant has no derivative.
        scaled_apart = jnp.exp(apart.shifted)
        total = scaled_apart + scale * scaled_rest
        to_p = scale / total
        rest, p_apart = to_p * scaled_rest, scaled_apart / total
    else:
        total = apart.total
        to_p = scale / total
        rest = to_p * scaled_rest
        p_apart = 1 - rest

    def view(terms: Terms) -> _View:
        if terms.classes is None:
            scaled, p = (jnp.where(mask, 0, x) for x in (each, to_p * each))
            return _View(mask, logits - apart.top, scaled, p)
        found = jnp.where(terms.classes < logits.shape[-1], pick(logits, terms.classes), -jnp.inf)
        shifted = found - apart.top
        if apart.label is None:
            is_apart = (shifted == 0) & (apart.shifted == 0)
        else:
            is_apart = terms.classes == apart.label
        scaled = jnp.exp(jnp.where(is_apart, -jnp.inf, shifted - shift))
        return _View(is_apart, shifted, scaled, to_p * scaled)

    of_weights, of_costs = view(weights), view(costs)

    dominant = (apart.shifted == 0) & (total < 2)
    log_total = jnp.where(
        dominant, minus_log1m(jnp.where(dominant, rest, 0)) + apart.shifted, jnp.log(total)
    )
    log_loss = log_total - of_weights.shifted
    log_others = minus_log1m(of_costs.p)
    # Without any others log(1 - p) is -inf, and flat. Where it is not asked for, it is anything.
    alone = scaled_rest == 0
    safe_rest = jnp.where(exact & ~alone, scaled_rest, 1)
    log_rest = jnp.log(safe_rest) + jnp.where(alone, -jnp.inf, shift)
    log_others_apart = jnp.where(
        dominant, log_total - log_rest, minus_log1m(jnp.where(dominant, 0, p_apart))
    )
    # One array, and two sums of it, for two quantities: with the sign as the mark of the class kept
    # apart, sum(w o) over the others and w_A are half the sum and half the difference of the two.
    marked = costs.each * jnp.where(of_costs.apart, -1, of_costs.p / (1 - of_costs.p))
    difference, both = row_sum(marked), row_sum(_without_mark(marked, of_costs.apart))
    cost, sum_odds = (both - difference) / 2, (both + difference) / 2
    loss = (
        row_sum(times(weights.each, log_loss))
        + row_sum(costs.each * log_others)
        + times(cost, log_others_apart)
    )

    weight = row_sum(jnp.where(of_weights.apart, weights.each, 0))
    other_weights = row_sum(jnp.where(of_weights.apart, 0, weights.each))
    slope_of_costs = sum_odds * to_p + cost * p_apart / safe_rest
    slope_of_weights = (weight + other_weights) * to_p
    at_apart = p_apart * (other_weights - difference) - weight * rest
    # The costs of classes that tie for the top cancel: before the weights join, lest they be lost.
    at_costs = (marked - of_costs.scaled * slope_of_costs) + of_costs.scaled * slope_of_weights
    if weights.classes is None or costs.classes is None:
        gradient = of_weights.scaled * slope_of_weights if costs.classes is not None else at_costs
        if weights.classes is None:
            gradient -= weights.each
        else:
            gradient -= jnp.where(is_class(logits, weights.classes), weights.each, 0)
        gradient = jnp.where(mask, at_apart, gradient)
    else:
        slope = slope_of_weights - slope_of_costs
        at_weights = of_weights.scaled * slope - weights.each
        classes = jnp.concatenate([costs.classes, weights.classes], axis=-1)
        values = jnp.concatenate(
            [
                jnp.where(of_costs.apart, at_apart, at_costs),
                jnp.where(of_weights.apart, at_apart, at_weights),
            ],
            axis=-1,
        )
        gradient = scale_and_put(each, slope, classes, values)
    by_costs = jnp.where(of_costs.apart, log_others_apart, log_others)
    return _Row(loss, gradient, finite(log_loss), finite(by_costs))


@jax.custom_jvp
def _row(logits: jax.Array, weights: Terms, costs: Terms) -> _Row:
    """As ``_arithmetic``, but the loss is differentiated by the derivatives, not by autodiff."""
    return _arithmetic(logits, weights, costs)


@_row.defjvp
def _row_jvp(
    primals: tuple[jax.Array, Terms, Terms], tangents: tuple[jax.Array, Terms, Terms]
) -> tuple[_Row, _Row]:
    logits, weights, costs = primals
    d_logits, d_weights, d_costs = tangents
    row = _row(logits, weights, costs)
    d_loss = row_sum(row.gradient * d_logits) + row_sum(row.by_weights * d_weights.each)
    d_loss += row_sum(row.by_costs * d_costs.each)
    _, d_row = jax.jvp(
        lambda z, a, w: _arithmetic(z, weights._replace(each=a), costs._replace(each=w)),
        (logits, weights.each, costs.each),
        (d_logits, d_weights.each, d_costs.each),
    )
    return row, d_row._replace(loss=d_loss)


@jax.custom_jvp
def categorical_loss(logits: jax.Array, weights: Terms, costs: Terms) -> jax.Array:
    """``-sum(weights * log p) - sum(costs * log(1 - p))``, (...), with p the softmax of the logits.

    Weights of a few classes are those of one, the label, whose cost is 0 or not among the costs.
    Beside weights of all classes, costs are of all or of none.
    """
    return _arithmetic(logits, weights, costs).loss[..., 0]


@partial(categorical_loss.defjvp, symbolic_zeros=True)
def _categorical_loss_jvp(
    primals: tuple[jax.Array, Terms, Terms], tangents: tuple[jax.Array, Terms, Terms]
) -> tuple[jax.Array, jax.Array]:
    row = _row(*primals)
    d_logits, d_weights, d_costs = tangents
    tangent = jnp.zeros_like(row.loss)
    changes = (d_logits, d_weights.each, d_costs.each)
    for derivative, change in zip(row[1:], changes, strict=True):
        if not isinstance(change, SymbolicZero):
            tangent += row_sum(derivative * change)
    return row.loss[..., 0], tangent[..., 0]


def loss_and_gradient(
    logits: jax.Array, weights: Terms, costs: Terms
) -> tuple[jax.Array, jax.Array]:
    """``categorical_loss``, (...), and its gradient by the logits, (..., K)."""
    row = _row(logits, weights, costs)
    return row.loss[..., 0], row.gradient
