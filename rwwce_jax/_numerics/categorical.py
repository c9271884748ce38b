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
from rwwce_jax._numerics.split import split_off_leader


class Terms(NamedTuple):
    """Weights of -log(p), or costs of -log(1 - p): of all classes, or of a few of each row."""

    each: jax.Array  # (..., K) or (..., F)
    classes: jax.Array | None = None  # (..., F): all different; K or more is none, of weight 0


def categorical_loss(
    logits: jax.Array, weights: Terms, costs: Terms, z_loss: jax.Array | None = None
) -> jax.Array:
    """``-sum(weights * log p) - sum(costs * log(1 - p))``, (...), with p the softmax of the logits.

    Weights of a few classes are of one, the label, for which the costs have 0 or nothing. With
    weights of all classes, costs are of all or of none. ``z_loss``, (..., 1), adds this many times
    the square of the logarithm L of the sum of the exponentials.

    With weights a, costs w, the softmax p and the odds o = p / (1 - p), the derivative by the logit
    z_j, without the square of L, is

        p_j (sum(a) - sum(w o)) + w_j o_j - a_j

    Only the odds of the leader t (``Split``) may overflow. In the derivative by another z_j, they
    only occur in p_j w_t o_t, which is w_t p_t times the softmax without t. In the derivative by
    z_t, what holds o_t cancels to w_t p_t. With a', w', o' of all classes but t, it is

        p_t (sum(a') - (sum(w' o') - w_t)) - a_t (1 - p_t)

    The square of L adds 2 ``z_loss`` L p_j to each.
    """
    (a, labels), (w, costly) = weights, costs
    parts = split_off_leader(logits, labels, costly)
    top, leader, is_t, reference, exps, rest, p = parts
    scale = jnp.exp(reference - top)
    odds_of_rest = scale * rest
    total = 1 + odds_of_rest
    p_of_exp, p_t = scale / total, 1 / total  # p is p_of_exp * exps
    # With no others, log(1 - p_t) is -inf and its derivative 0. Where the split let the others
    # underflow, no cost uses log(1 - p_t), and its derivatives would overflow.
    no_others = rest < np.finfo(rest.dtype).eps ** 2
    safe_rest = jnp.where(no_others, 1, rest)
    log_o_t = jnp.where(no_others, jnp.inf, (top - reference) - jnp.log(safe_rest))

    def of(classes: jax.Array | None) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """Which class is t; logits relative to the top, exponentials and p, the latter 0 for t."""
        if classes is None:
            return is_t, logits - top, exps, p
        z = jnp.where(classes < logits.shape[-1], pick(logits, classes), -jnp.inf)
        few_exps = jnp.exp(jnp.where(z == leader, -jnp.inf, z) - reference)
        return z == leader, z - top, few_exps, p_of_exp * few_exps

    a_is_t, a_logits, a_exps, _ = of(labels)
    w_is_t, _, w_exps, w_p = of(costly)
    log_of_total = jnp.log1p(odds_of_rest)
    minus_log_p = log_of_total - a_logits
    minus_log1m_p, minus_log1m_p_t = minus_log1m(w_p), jax.nn.softplus(log_o_t)
    a_t, other_a = row_sum(jnp.where(a_is_t, a, 0)), row_sum(jnp.where(a_is_t, 0, a))
    w_t, other_wo = row_sum(jnp.where(w_is_t, w, 0)), w * (w_p / (1 - w_p))
    sum_of_other_wo = row_sum(other_wo)
    loss = row_sum(times(a, minus_log_p)) + row_sum(w * minus_log1m_p) + times(w_t, minus_log1m_p_t)

    # The derivatives by the z_j of the others hold their exponentials times these.
    slope_of_w = sum_of_other_wo * p_of_exp + w_t * p_t / safe_rest
    slope_of_a = (a_t + other_a) * p_of_exp
    at_t = p_t * (other_a - (sum_of_other_wo - w_t)) - a_t * (p_of_exp * rest)
    if z_loss is not None:
        log_of_sum = top + log_of_total
        loss += times(z_loss, log_of_sum**2)
        slope_of_a += 2 * z_loss * log_of_sum * p_of_exp
        at_t += 2 * z_loss * log_of_sum * p_t
    # Costs of classes that tie for the top cancel. The weights are added after that: before it,
    # large costs would round them away.
    at_w = (other_wo - w_exps * slope_of_w) + w_exps * slope_of_a
    if labels is None or costly is None:
        at_others = at_w if costly is None else exps * slope_of_a
        each_a = a if labels is None else jnp.where(is_class(logits, labels), a, 0)
        gradient = jnp.where(is_t, at_t, at_others - each_a)
    else:
        slope = slope_of_a - slope_of_w
        classes = jnp.concatenate([costly, labels], axis=-1)
        few_are_t = jnp.concatenate([w_is_t, a_is_t], axis=-1)
        values = jnp.concatenate([at_w, a_exps * slope - a], axis=-1)
        gradient = scale_and_put(exps, slope, classes, jnp.where(few_are_t, at_t, values))
    by_w = jnp.where(w_is_t, minus_log1m_p_t, minus_log1m_p)
    derivatives = [(logits, gradient), (a, clip_to_finite(minus_log_p)), (w, clip_to_finite(by_w))]
    if z_loss is not None:
        derivatives.append((z_loss, clip_to_finite(log_of_sum**2)))
    return with_derivatives(row_sum, loss, derivatives)[..., 0]
