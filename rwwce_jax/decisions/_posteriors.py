"""Class probabilities, recovered from the logits of a model that was trained with costs."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from rwwce_jax._checks import CostsLike, arguments, compiled
from rwwce_jax._checks.sharding import are_known
from rwwce_jax._numerics.elimination import solve
from rwwce_jax._numerics.platforms import is_class
from rwwce_jax.costs import PairCosts
from rwwce_jax.costs._convert import of_two_classes, operators
from rwwce_jax.costs._operators import CostOperator


def binary_posterior(logits: ArrayLike, fn: CostsLike, fp: CostsLike) -> jax.Array:
    r"""The probability of the positive class, from the logits of a model trained by ``binary``.

    .. math::
        p = \sigma\left( z - \log \frac{fn}{fp} \right)

    The loss is least at :math:`\sigma(z) = fn \, p / (fn \, p + fp \, (1 - p))`, which is above 1/2
    exactly if p is above ``bayes_threshold(fn, fp)``.

    Args:
        logits: Logits z of any shape and floating dtype.
        fn: The cost of a false negative that the model was trained with: a scalar, or one cost per
            example, broadcast to the logits' shape.
        fp: The cost of a false positive, likewise.

    Returns:
        Probabilities of the logits' shape: float32 for logits of 32 bits or fewer, float64 for
        float64.

    Raises:
        TypeError: if the logits are not floating-point, or the costs not real numbers.
        ValueError: if the costs do not broadcast to the logits' shape.

    Note:
        Where one cost is zero, training drives the logit to infinity whatever p is, and the result
        is the limit of the equation: 1 for ``fn = 0``; for ``fp = 0`` the smallest positive number,
        not 0, so that ``p > bayes_threshold(fn, fp)`` still decides positive, which costs nothing.
        Where both are zero, p is the sigmoid of the logit. NaN in, NaN out; a negative cost gives
        NaN.

    Example:
        The decision agrees with the sign of the logit.

        >>> import rwwce_jax as rwwce
        >>> prob = rwwce.binary_posterior(0.5, fn=2000.0, fp=100.0)
        >>> print(f"{prob:.3f}")
        0.076
        >>> print(prob > rwwce.bayes_threshold(fn=2000.0, fp=100.0))
        True

    References:
        C. Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001, theorem 2.
    """
    scores = arguments.logits("logits", logits)
    return _binary_posterior(scores, *of_two_classes(fn, fp, scores.shape, scores.dtype))


@compiled
def _binary_posterior(logits: jax.Array, fn: jax.Array, fp: jax.Array) -> jax.Array:
    no_fn, no_fp = fn == 0, fp == 0
    shift = jnp.log(jnp.where(no_fn, 1, fn)) - jnp.log(jnp.where(no_fp, 1, fp))
    probs = jax.nn.sigmoid(logits - shift)
    smallest = np.finfo(logits.dtype).tiny
    limit = jnp.where(no_fn, 1, smallest)
    return jnp.where((no_fn != no_fp) & ~jnp.isnan(probs), limit, probs)


def categorical_posterior(
    logits: ArrayLike, fn: CostsLike, fp: CostsLike | PairCosts, *, axis: int = -1
) -> jax.Array:
    r"""The class probabilities, from the logits of a model trained with ``categorical``.

    Such a model does not predict the probabilities p. Its loss is least where the softmax q of its
    logits satisfies, for some :math:`\lambda` and every class j,

    .. math::
        \frac{p_j \, fn_j}{q_j} - \frac{\sum_{k \neq j} p_k \, fp_{k,j}}{1 - q_j} = \lambda

    Together with :math:`\sum_j p_j = 1` these are K + 1 linear equations for p and
    :math:`\lambda`, solved here for each example in O(K^3) time and O(K^2) memory. With
    ``rwwce.pair_costs`` it is O(T^3) and O(K + T^2), where T is the number of different true
    classes in the pairs: the other probabilities follow from theirs.

    Args:
        logits: Logits of K >= 2 classes, ``(..., K)`` or with the classes along ``axis``, of a
            floating dtype.
        fn: The cost of a false negative that the model was trained with: a scalar or ``(K,)``. See
            ``rwwce.Costs``.
        fp: The extra cost of a false positive: a scalar, ``(K, K)``, or ``rwwce.pair_costs``. If
            the pairs are traced, T is unknown, and taken to be as large as they allow.
        axis: The class axis of the logits.

    Returns:
        Probabilities of the logits' shape that add up to 1, none of them negative: float32 for
        logits of 32 bits or fewer, float64 for float64. Pass them to ``rwwce.decide``.

    Raises:
        TypeError: if the logits are not floating-point, or the costs not real numbers.
        ValueError: if there are fewer than two classes, no such axis, or the costs do not fit.

    Note:
        No model is at the minimum for every example. If no probabilities have their minimum at q,
        the solution of the equations has negative entries: these become 0, and the others are
        divided by their sum. If the equations do not determine p (all costs are zero, or all logits
        except one are -inf), the result is q, and the gradient may be NaN. A class that is costly
        to predict and has ``fn = 0`` may have its minimum at q = 0 whatever its p is. A class with
        a logit of -inf gets 0. NaN or +inf among an example's logits, or a cost that is NaN or
        infinite, gives NaN.

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
    scores, axis = arguments.class_scores("logits", logits, axis, "binary_posterior")
    num_classes = scores.shape[-1]
    fn_costs, fp_costs = operators(fn, fp, num_classes, scores.dtype)
    pairs = fp_costs.as_pairs()
    if pairs is None:
        probs = _categorical_posterior(scores, fn_costs, fp_costs)
    else:
        num_true = _num_true_classes(pairs.true, num_classes)
        probs = _posterior_of_pairs(scores, fn_costs, pairs, num_true=num_true)
    return arguments.moved_axis(probs, -1, axis)


@compiled
def _categorical_posterior(logits: jax.Array, fn: CostOperator, fp: CostOperator) -> jax.Array:
    """Solves for the ratios x = p / q.

    With ``p = q * x`` the equations read ``fn_j x_j - sum(fp[k, j] share[j, k] x_k) = lambda`` and
    ``sum(q x) = 1``. ``share[j, k] = q_k / (1 - q_j)`` is the softmax without class j: no
    coefficient cancels, and none exceeds the costs, however certain q is.
    """
    num_classes = logits.shape[-1]
    square = (*logits.shape, num_classes)
    diagonal = jnp.broadcast_to(jnp.eye(num_classes, dtype=bool), square)
    q = jax.nn.softmax(logits, axis=-1)

    others = jnp.where(diagonal, -jnp.inf, jnp.broadcast_to(logits[..., None, :], square))
    shares = jax.nn.softmax(others, axis=-1)

    misses = fn.misses(jnp.arange(num_classes))
    costs = jnp.where(jnp.eye(num_classes, dtype=bool), 0, fp.as_matrix(num_classes))
    largest = jnp.maximum(jnp.max(misses), jnp.max(costs))
    scale = jnp.where(largest == 0, 1, largest)
    # Training holds a class with q = 0 at that bound, where its equation need not hold. Any nonzero
    # number in place of its fn solves for the others without it.
    scaled = jnp.where(q == 0, 1, jnp.broadcast_to(misses / scale, q.shape))
    coupling = shares * jnp.broadcast_to(costs.T / scale, square)
    matrix = jnp.where(diagonal, scaled[..., None], -coupling)
    last = [(0, 0)] * (q.ndim - 1) + [(0, 1)]
    matrix = jnp.pad(matrix, [(0, 0), *last], constant_values=-1)  # of lambda
    matrix = jnp.concatenate([matrix, jnp.pad(q, last)[..., None, :]], axis=-2)
    right_side = jnp.zeros((*q.shape[:-1], num_classes + 1), q.dtype).at[..., -1].set(1)
    x = solve(matrix, right_side)[..., :-1]
    return _distribution(q, x, scale)


def _distribution(q: jax.Array, x: jax.Array, scale: jax.Array) -> jax.Array:
    """``q * x`` as a distribution, and q where the equations do not determine it."""
    probs = jnp.maximum(q * x, 0)
    probs /= jnp.sum(probs, axis=-1, keepdims=True)
    determined = jnp.all(jnp.isfinite(probs), axis=-1, keepdims=True)
    return jnp.where(jnp.isfinite(scale), jnp.where(determined, probs, q), jnp.nan)


def _num_true_classes(true: jax.Array, num_classes: int) -> int:
    """The number of different classes in an ascending array, or a bound on it if it is traced."""
    return int(np.unique(true).size) if are_known(true) else min(true.size, num_classes)


@compiled
def _posterior_of_pairs(
    logits: jax.Array, of_misses: CostOperator, pairs: PairCosts, *, num_true: int
) -> jax.Array:
    """Solves the equations of ``_categorical_posterior`` for the costs (N,) of N pairs of classes.

    Only the ratios x of the T true classes enter the sums. All other classes follow from them,
    ``x_j = (lambda + sum(fp[k, j] share[j, k] x_k)) / fn_j``, and are eliminated from
    ``sum(q x) = 1``. One of the others stays an unknown: the cheapest, whose fn may be 0. (If two
    of them have fn = 0, the equations do not determine which is more likely.)
    """
    true, predicted, costs = pairs.true, pairs.predicted, pairs.costs
    num_classes, num_examples = logits.shape[-1], logits.shape[:-1]
    num_unknowns = num_true + 2  # the true classes, the cheapest of the others, and lambda
    q = jax.nn.softmax(logits, axis=-1)

    fn = of_misses.misses(jnp.arange(num_classes, dtype=jnp.int32))
    largest = jnp.maximum(jnp.max(fn), jnp.max(costs, initial=0))
    scale = jnp.where(largest == 0, 1, largest)
    fn = jnp.where(q == 0, 1, jnp.broadcast_to(fn / scale, q.shape))

    # The unknown of each pair's true class; the class of each of these unknowns, K for unused ones;
    # and the unknown of each class, out of bounds if it has none.
    column = jnp.cumsum(jnp.diff(true, prepend=true[:1]) != 0, dtype=jnp.int32)
    coupled = jnp.full(num_true, num_classes, jnp.int32).at[column].set(true)
    unknown = jnp.full(num_classes, num_unknowns, jnp.int32)
    unknown = unknown.at[coupled].set(jnp.arange(num_true, dtype=jnp.int32), mode="drop")
    is_other = jnp.broadcast_to(unknown == num_unknowns, q.shape)

    exists = jnp.any(is_other, axis=-1, keepdims=True)
    cheapest = lax.argmin(jnp.where(is_other, fn, jnp.inf), fn.ndim - 1, jnp.int32)[..., None]
    is_cheapest = is_other & is_class(q, cheapest)
    is_other &= ~is_cheapest

    def of_unknowns(x: jax.Array, absent: int) -> jax.Array:
        """The entries of the T true classes and of the cheapest other one, (..., T + 1)."""
        known = x.at[..., coupled].get(mode="fill", fill_value=absent)
        last = jnp.where(exists, jnp.take_along_axis(x, cheapest, axis=-1), absent)
        return jnp.concatenate([known, last], axis=-1)

    # Only the likeliest class can hold more than half: 1 - q of the others does not cancel.
    top = lax.argmax(logits, logits.ndim - 1, jnp.int32)[..., None]
    is_top = is_class(q, top)
    without_top = jax.nn.softmax(jnp.where(is_top, -jnp.inf, logits), axis=-1)
    at_top = is_top[..., predicted]
    shares = q[..., true] / jnp.where(at_top, 1, 1 - q[..., predicted])
    shares = jnp.where(at_top, without_top[..., true], shares)
    terms = shares * jnp.broadcast_to(costs / scale, shares.shape)

    divisor = jnp.where(is_other, fn, 1)
    ratio = jnp.where(is_other, q / divisor, 0)
    last_row = of_unknowns(q, 0).at[..., column].add(ratio[..., predicted] * terms)
    last_row = jnp.concatenate([last_row, jnp.sum(ratio, axis=-1, keepdims=True)], axis=-1)
    # Scaled to the size of the other rows: else it would always be the pivot.
    size = lax.stop_gradient(jnp.max(jnp.abs(last_row), axis=-1, keepdims=True))
    diagonal = jnp.arange(num_true + 1)
    matrix = jnp.zeros((*num_examples, num_unknowns, num_unknowns), q.dtype)
    matrix = matrix.at[..., diagonal, diagonal].set(of_unknowns(fn, 1))
    matrix = matrix.at[..., unknown[predicted], column].add(-terms, mode="drop")
    matrix = matrix.at[..., num_true, column].add(jnp.where(is_cheapest[..., predicted], -terms, 0))
    matrix = matrix.at[..., :-1, -1].set(-1).at[..., -1, :].set(last_row / size)
    right_side = jnp.zeros((*num_examples, num_unknowns), q.dtype).at[..., -1:].set(1 / size)
    solution = solve(matrix, right_side)

    x = jnp.broadcast_to(solution[..., -1:], q.shape)
    x = x.at[..., predicted].add(terms * solution[..., column]) / divisor
    x = x.at[..., coupled].set(solution[..., :num_true], mode="drop")
    x = jnp.where(is_cheapest, solution[..., num_true : num_true + 1], x)
    return _distribution(q, x, scale)
