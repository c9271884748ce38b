"""From the logits of a model that was trained with costs back to probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rwwce_jax import _checks, pairs
from rwwce_jax._sharding import compiled
from rwwce_jax.pairs import PairCosts


def binary_posterior(logits: ArrayLike, fn: ArrayLike, fp: ArrayLike) -> jax.Array:
    r"""The probability of the positive class, from the logits of a model trained by ``binary``.

    .. math::
        p = \sigma\left( z - \log \frac{fn}{fp} \right)

    The loss is least where :math:`\sigma(z) = fn \, p / (fn \, p + fp \, (1 - p))`, which is above
    1/2 where p is above ``bayes_threshold(fn, fp)``.

    Args:
        logits: Logits z of any shape and floating dtype.
        fn: The cost of a false negative that the model was trained with: a scalar, or one cost per
            example, broadcast to the logits' shape.
        fp: The cost of a false positive; likewise.

    Returns:
        Probabilities of the logits' shape: float32 for logits of 32 bits or fewer, float64 for
        float64.

    Raises:
        TypeError: if the logits are not floating-point, or the costs not real numbers.
        ValueError: if the costs do not broadcast to the logits' shape.

    Note:
        Where one cost is zero, training drives the logit to infinity, whatever p is, and p is the
        limit of the equation: 1 for ``fn = 0``; for ``fp = 0`` the smallest positive number, not 0,
        so that ``p > bayes_threshold(fn, fp)`` still accepts what costs nothing to accept. Where
        both are zero, p is the sigmoid of the logit. NaN in, NaN out; a negative cost gives NaN.

    Example:
        The decision is the one that the sign of the logit has made already.

        >>> import rwwce_jax as rwwce
        >>> prob = rwwce.binary_posterior(0.5, fn=2000.0, fp=100.0)
        >>> print(f"{prob:.3f}")
        0.076
        >>> print(prob > rwwce.bayes_threshold(fn=2000.0, fp=100.0))
        True

    References:
        C. Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001, theorem 2.
    """
    scores = _checks.logits("logits", logits)
    fn_costs = _checks.costs_like("fn", fn, scores.shape, scores.dtype)
    fp_costs = _checks.costs_like("fp", fp, scores.shape, scores.dtype)
    return _binary_posterior(scores, fn_costs, fp_costs)


@compiled()
def _binary_posterior(logits: jax.Array, fn: jax.Array, fp: jax.Array) -> jax.Array:
    no_fn, no_fp = fn == 0, fp == 0
    shift = jnp.log(jnp.where(no_fn, 1, fn)) - jnp.log(jnp.where(no_fp, 1, fp))
    probs = jax.nn.sigmoid(logits - shift)
    smallest = np.finfo(logits.dtype).tiny
    limit = jnp.where(no_fn, 1, smallest)
    return jnp.where((no_fn != no_fp) & ~jnp.isnan(probs), limit, probs)


def categorical_posterior(logits: ArrayLike, fn: ArrayLike, fp: ArrayLike | PairCosts) -> jax.Array:
    r"""The class probabilities, from the logits of a model trained by ``categorical``.

    Such a model does not predict the probabilities p: its loss is least at the softmax q of its
    logits where, for some :math:`\lambda` and every class j,

    .. math::
        \frac{p_j \, fn_j}{q_j} - \frac{\sum_{k \neq j} p_k \, fp_{k,j}}{1 - q_j} = \lambda

    Together with :math:`\sum_j p_j = 1` these are K + 1 linear equations for p and
    :math:`\lambda`, solved here for each example in O(K^3) time and O(K^2) memory.

    Args:
        logits: Logits of K >= 2 classes, ``(..., K)``, of a floating dtype.
        fn: The costs of false negatives that the model was trained with: a scalar or ``(K,)``.
        fp: The costs of false positives, ``(K, K)`` with rows the truth and columns the prediction,
            its diagonal never used; a scalar, the cost of every wrong class; or
            ``rwwce.pair_costs``, for as many classes as the solution has memory for.

    Returns:
        Probabilities ``(..., K)`` that add up to 1, none of them negative: float32 for logits of 32
        bits or fewer, float64 for float64. What they are for is ``rwwce.decide``.

    Raises:
        TypeError: if the logits are not floating-point, or the costs not real numbers.
        ValueError: if there are fewer than two classes, or the costs do not fit them.

    Note:
        No model is at the minimum for every example. Where no probabilities p have their minimum at
        q, the equations have a solution with negative entries: these become 0 and the others are
        divided by their sum. Where the equations do not determine p (all costs are zero, or all
        logits but one are -inf), the result is q and the gradient may be NaN. A class that is dear
        to predict and has ``fn = 0`` may have its minimum at q = 0, whatever its p; one with a
        logit of -inf gets 0. NaN or +inf among an example's logits gives NaN, as does a cost that
        is NaN or infinite.

    Example:
        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> fp = jnp.zeros((3, 3)).at[0, 1].set(19.0)
        >>> logits = jnp.log(jnp.array([0.27977, 0.36052, 0.35971]))
        >>> probs = rwwce.categorical_posterior(logits, fn=1.0, fp=fp)
        >>> print(probs.round(2))
        [0.07 0.84 0.09]
        >>> print(rwwce.decide(probs, fn=1.0, fp=fp), logits.argmax())
        2 1

    References:
        Y. Ho and S. Wookey, "The Real-World-Weight Cross-Entropy Loss Function", IEEE Access 8,
        2020, equation 6, whose minimum this inverts.
    """
    scores = _checks.class_scores("logits", logits)
    num_classes = scores.shape[-1]
    fn_costs = _checks.class_costs("fn", fn, num_classes, 1, scores.dtype)
    fp_costs = _checks.fp_costs(fp, num_classes, scores.dtype)
    if isinstance(fp_costs, PairCosts):
        fp_costs = pairs.dense(fp_costs)
    return _categorical_posterior(scores, fn_costs, fp_costs)


@compiled()
def _categorical_posterior(logits: jax.Array, fn: jax.Array, fp: jax.Array) -> jax.Array:
    """Solves for the ratios x = p / q.

    With ``p = q * x`` the equations read ``fn_j x_j - sum(fp[k, j] share[j, k] x_k) = lambda`` and
    ``sum(q x) = 1``. The share ``q_k / (1 - q_j)`` of class k in all but j is a softmax without
    class j: no coefficient cancels, and none exceeds the costs, however certain q is.
    """
    num_classes = logits.shape[-1]
    square = (*logits.shape, num_classes)
    diagonal = jnp.broadcast_to(jnp.eye(num_classes, dtype=bool), square)
    q = jax.nn.softmax(logits, axis=-1)

    others = jnp.where(diagonal, -jnp.inf, jnp.broadcast_to(logits[..., None, :], square))
    shares = jax.nn.softmax(others, axis=-1)

    fp = jnp.where(jnp.eye(num_classes, dtype=bool), 0, fp)
    largest = jnp.maximum(jnp.max(fn), jnp.max(fp))
    scale = jnp.where(largest == 0, 1, largest)
    # Training presses a class with q = 0 against the bound: its equation need not hold. With any
    # number but zero in place of its fn, the others are solved without it.
    fn = jnp.where(q == 0, 1, jnp.broadcast_to(fn / scale, q.shape))
    matrix = jnp.where(diagonal, fn[..., None], -shares * jnp.broadcast_to(fp.T / scale, square))
    minus_ones = jnp.full((*q.shape, 1), -1, q.dtype)
    constraint = jnp.pad(q, [(0, 0)] * (q.ndim - 1) + [(0, 1)])
    matrix = jnp.concatenate(
        [jnp.concatenate([matrix, minus_ones], axis=-1), constraint[..., None, :]], axis=-2
    )
    right_side = jnp.broadcast_to(
        jnp.eye(num_classes + 1, dtype=q.dtype)[:, -1:], (*q.shape[:-1], num_classes + 1, 1)
    )
    x = jnp.linalg.solve(matrix, right_side)[..., :-1, 0]

    probs = jnp.maximum(q * x, 0)
    probs /= jnp.sum(probs, axis=-1, keepdims=True)
    determined = jnp.all(jnp.isfinite(probs), axis=-1, keepdims=True)
    return jnp.where(jnp.isfinite(scale), jnp.where(determined, probs, q), jnp.nan)
