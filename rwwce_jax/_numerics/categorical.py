"""The loss of each row of logits, equation 6, for any labels and any costs, and its gradient.

Labels and costs come as ``Terms``: weights of -log(p) and costs of -log(1 - p), of all classes or
of a few.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rwwce_jax._numerics.arithmetic import clip_to_finite, minus_log1m, times, with_derivatives
from rwwce_jax._numerics.platforms import is_class, pick, row_sum, scale_and_put
from rwwce_jax._numerics.split import split


class Terms(NamedTuple):
    """Weights of -log(p), or costs of -log(1 - p): of all classes, or of a few of each row."""

    each: jax.Array  # (..., K) or (..., F)
    classes: jax.Array | None = None  # (..., F): all different; K or more is none, of weight 0


def categorical_loss(logits: jax.Array, weights: Terms, costs: Terms) -> jax.Array:
    """``-sum(weights * log p) - sum(costs * log(1 - p))``, (...), with p the softmax of the logits.

    Weights of a few classes are of one, the label, for which the costs have 0 or nothing. With
    weights of all classes, costs are of all or of none.
    """
    return loss_and_gradient(logits, weights, costs)[0]


def loss_and_gradient(
    logits: jax.Array, weights: Terms, costs: Terms
) -> tuple[jax.Array, jax.Array]:
    """``categorical_loss``, (...), and its gradient by the logits, (..., K).

    With weights a and costs w, odds o = p / (1 - p) and A the class alone at the top (``split``),
    the derivative by z_j is ``p_j (sum(a) - sum(w o)) + w_j o_j - a_j``. Here o_A may overflow. It
    only occurs in ``p_j w_A o_A``, which is ``w_A p_A`` times the softmax without A. In the
    derivative by z_A, the terms of A cancel to
    ``p_A (sum(other a) + w_A - sum(other w o)) - a_A (1 - p_A)``.
    """
    parts = split(logits, weights.classes, costs.classes)
    top, alone, is_alone, reference, each, rest, p = parts
    scale = jnp.exp(reference - top)
    odds_of_rest = scale * rest
    total = 1 + odds_of_rest
    to_p, p_alone = scale / total, 1 / total
    # With no others, log(1 - p) is -inf and its derivative 0. Where the split let the others
    # underflow, no cost uses log(1 - p), and its derivatives would overflow.
    no_others = rest < np.finfo(rest.dtype).eps ** 2
    safe_rest = jnp.where(no_others, 1, rest)
    log_odds = jnp.where(no_others, jnp.inf, (top - reference) - jnp.log(safe_rest))

    def of(terms: Terms) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """The mask of A, logits relative to the top, exponentials and p; the last two 0 for A."""
        if terms.classes is None:
            return is_alone, logits - top, each, p
        found = jnp.where(terms.classes < logits.shape[-1], pick(logits, terms.classes), -jnp.inf)
        mask = found == alone
        few = jnp.exp(jnp.where(mask, -jnp.inf, found) - reference)
        return mask, found - top, few, to_p * few

    weights_mask, weights_logits, weights_each, _ = of(weights)
    costs_mask, _, costs_each, costs_p = of(costs)
    log_loss = jnp.log1p(odds_of_rest) - weights_logits
    log_others, log_others_alone = minus_log1m(costs_p), jax.nn.softplus(log_odds)
    # One stored array for two sums: w o of the others, which is not negative, so that |x| - x is 0
    # for them, and -w_A of A.
    marked = costs.each * jnp.where(costs_mask, -1, costs_p / (1 - costs_p))
    cost = row_sum(jnp.abs(marked) - marked) / 2
    cost = with_derivatives(row_sum, cost, (costs.each,), (costs_mask.astype(cost.dtype),))
    difference = row_sum(marked)
    cost_odds = difference + cost
    loss = (
        row_sum(times(weights.each, log_loss))
        + row_sum(costs.each * log_others)
        + times(cost, log_others_alone)
    )

    weight = row_sum(jnp.where(weights_mask, weights.each, 0))
    other_weights = row_sum(jnp.where(weights_mask, 0, weights.each))
    slope_of_costs = cost_odds * to_p + cost * p_alone / safe_rest
    slope_of_weights = (weight + other_weights) * to_p
    at_alone = p_alone * (other_weights - difference) - weight * (to_p * rest)
    # Costs of classes that tie for the top cancel. The weights are added after that: before it,
    # large costs would round them away.
    at_costs = (marked - costs_each * slope_of_costs) + costs_each * slope_of_weights
    if weights.classes is None or costs.classes is None:
        gradient = each * slope_of_weights if costs.classes is not None else at_costs
        if weights.classes is None:
            gradient -= weights.each
        else:
            gradient -= jnp.where(is_class(logits, weights.classes), weights.each, 0)
        gradient = jnp.where(is_alone, at_alone, gradient)
    else:
        slope = slope_of_weights - slope_of_costs
        at_weights = weights_each * slope - weights.each
        classes = jnp.concatenate([costs.classes, weights.classes], axis=-1)
        mask = jnp.concatenate([costs_mask, weights_mask], axis=-1)
        values = jnp.concatenate([at_costs, at_weights], axis=-1)
        values = jnp.where(mask, at_alone, values)
        gradient = scale_and_put(each, slope, classes, values)
    by_costs = jnp.where(costs_mask, log_others_alone, log_others)
    loss = with_derivatives(
        row_sum,
        loss,
        (logits, weights.each, costs.each),
        (gradient, clip_to_finite(log_loss), clip_to_finite(by_costs)),
    )
    return loss[..., 0], gradient
