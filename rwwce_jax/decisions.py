"""From probabilities and costs to decisions: the thresholds for two classes, least cost for more.

A score equal to its threshold is decided negative, and a tie goes to the lowest class id.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from rwwce_jax import _checks, _costs, _numerics
from rwwce_jax._cost_kinds import FalseNegatives, FalsePositives
from rwwce_jax._sharding import compiled
from rwwce_jax.pairs import PairCosts

# Of the sum of a row of probabilities: those of 100,000 classes may be rounded to half precision,
# and those of three written as 0.33.
TOLERANCE = 0.02


def bayes_threshold(fn: ArrayLike, fp: ArrayLike) -> jax.Array:
    r"""The probability above which deciding positive costs less than deciding negative.

    .. math::
        p > \frac{fp}{fn + fp}

    Compare with ``>``: at the threshold itself, both decisions cost the same.

    Args:
        fn: What a false negative costs more than a true positive: a scalar, or one cost per
            example.
        fp: What a false positive costs more than a true negative; likewise. The two broadcast.

    Returns:
        The threshold in [0, 1], of the broadcast shape; float32 (float64 if the costs are).

    Raises:
        TypeError: if the costs are not real numbers.
        ValueError: if their shapes do not broadcast.

    Note:
        ``fn = 0`` gives 1, which no probability exceeds, and ``fp = 0`` gives 0. Where both are
        zero either decision is free: the threshold is 0.5. A cost that is negative, infinite or NaN
        gives NaN, and a comparison with NaN is False.

    Example:
        The cost of a miss may differ from customer to customer.

        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> probs = jnp.array([0.2, 0.2, 0.9])
        >>> fn = jnp.array([700.0, 300.0, 0.0])
        >>> print(rwwce.bayes_threshold(fn, fp=100.0))
        [0.125 0.25  1.   ]
        >>> print(probs > rwwce.bayes_threshold(fn, fp=100.0))
        [ True False False]

    References:
        C. Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001, equation 2.
    """
    dtype = _costs.cost_dtype(fn, fp)
    shape = _checks.broadcast_shape(fn=fn, fp=fp)
    fn_costs = _checks.costs_like("fn", fn, shape, dtype)
    fp_costs = _checks.costs_like("fp", fp, shape, dtype)
    return _bayes_threshold(fn_costs, fp_costs)


@compiled()
def _bayes_threshold(fn: jax.Array, fp: jax.Array) -> jax.Array:
    # Shares of the larger cost: their sum cannot overflow.
    larger = jnp.maximum(fn, fp)
    free = larger == 0
    scale = jnp.where(free, 1, larger)
    share_fn, share_fp = (jnp.where(free, 1, cost / scale) for cost in (fn, fp))
    threshold = share_fp / (share_fn + share_fp)
    return jnp.where((fn >= 0) & (fp >= 0), threshold, jnp.nan)


def expected_cost(
    probs: ArrayLike, fn: ArrayLike, fp: ArrayLike | PairCosts, *, axis: int = -1
) -> jax.Array:
    r"""The expected cost of deciding for each class.

    .. math::
        cost_j = \sum_{k \neq j} p_k \, (fn_k + fp_{k,j})

    Args:
        probs: Probabilities p of K >= 2 classes, ``(..., K)`` or with the classes along ``axis``,
            of a floating dtype: what a model trained by plain cross-entropy predicts, or
            ``rwwce.categorical_posterior``. Not the softmax of a model that was trained with these
            costs: they would count twice.
        fn: Marginal cost of a false negative, by true class: a scalar or ``(K,)``.
        fp: Marginal cost of a false positive: ``fp[k, j]`` is the extra cost of predicting j when
            the truth is k. Rows are the truth, columns the prediction. ``(K, K)``, its diagonal
            never used; a scalar, the cost of every wrong class; or ``rwwce.pair_costs``.
        axis: The class axis of the probabilities.

    Returns:
        The costs, of the probabilities' shape, in the unit of the costs: float32 for probabilities
        of 32 bits or fewer, float64 for float64.

    Raises:
        TypeError: if the probabilities are not floating-point, or the costs not real numbers.
        ValueError: if there are fewer than two classes, no such axis, or the costs do not fit.

    Note:
        A probability that is negative or NaN gives NaN for all classes of its example. The
        probabilities need not add up to 1: the costs grow in proportion.

    Example:
        Nine times out of ten it is a 9. But it may be a 4, and reading a 4 as a 9 costs 20.

        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> fp = jnp.zeros((10, 10)).at[4, 9].set(19.0)
        >>> probs = jnp.zeros(10).at[4].set(0.1).at[9].set(0.9)
        >>> print(rwwce.expected_cost(probs, fn=1.0, fp=fp).round(2))
        [1.  1.  1.  1.  0.9 1.  1.  1.  1.  2. ]

    References:
        C. Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001, equation 1.
    """
    distribution, axis = _checks.class_scores("probs", probs, axis, "bayes_threshold")
    return jnp.moveaxis(_expected_costs(distribution, fn, fp), -1, axis)


def _expected_costs(probs: jax.Array, fn: ArrayLike, fp: ArrayLike | PairCosts) -> jax.Array:
    num_classes = probs.shape[-1]
    fn_costs = _costs.false_negatives(fn, num_classes, probs.dtype)
    fp_costs = _costs.false_positives(fp, num_classes, probs.dtype)
    return _expected_cost(probs, fn_costs, fp_costs)


@compiled()
def _expected_cost(probs: jax.Array, fn: FalseNegatives, fp: FalsePositives) -> jax.Array:
    probs = jnp.where(probs >= 0, probs, jnp.nan)
    return _numerics.sum_of_others(fn.of_weights(probs)) + fp.of_weights(probs)


def decide(
    probs: ArrayLike, fn: ArrayLike, fp: ArrayLike | PairCosts, *, axis: int = -1
) -> jax.Array:
    r"""The class of least expected cost.

    .. math::
        \arg\min_j \sum_{k \neq j} p_k \, (fn_k + fp_{k,j})

    For two classes with one probability per example, and costs that may differ between examples,
    it is ``probs > rwwce.bayes_threshold(fn, fp)``.

    Args:
        probs: Probabilities p of K >= 2 classes, ``(..., K)`` or with the classes along ``axis``,
            of a floating dtype: what a model trained by plain cross-entropy predicts, or
            ``rwwce.categorical_posterior``. Not the softmax of a model that was trained with these
            costs: they would count twice.
        fn: Marginal cost of a false negative, by true class: a scalar or ``(K,)``.
        fp: Marginal cost of a false positive: ``fp[k, j]`` is the extra cost of predicting j when
            the truth is k. Rows are the truth, columns the prediction. ``(K, K)``, its diagonal
            never used; a scalar, the cost of every wrong class; or ``rwwce.pair_costs``.
        axis: The class axis of the probabilities.

    Returns:
        Class ids, of the probabilities' shape without ``axis``, in int32. Of equally cheap classes
        it is the lowest.

    Raises:
        TypeError: if the probabilities are not floating-point, or the costs not real numbers.
        ValueError: if there are fewer than two classes, no such axis, or the costs do not fit; or
            if the probabilities of an example do not add up to 1, within 0.02, as logits do not.

    Note:
        Whether they add up to 1 can only be seen outside of compiled code: under ``jax.jit`` and
        ``jax.vmap``, logits are taken for probabilities, except that a negative one gives -1. A
        class id cannot be NaN: where an expected cost is, the decision is -1, which the losses and
        metrics turn into NaN.

    Example:
        Costs that differ from example to example: ``jax.vmap``.

        >>> import jax
        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> probs = jnp.array([[0.1, 0.9], [0.1, 0.9]])
        >>> print(rwwce.decide(probs, fn=jnp.array([20.0, 1.0]), fp=0.0))
        [0 0]
        >>> fn = jnp.array([[20.0, 1.0], [5.0, 1.0]])
        >>> print(jax.vmap(rwwce.decide, in_axes=(0, 0, None))(probs, fn, 0.0))
        [0 1]

    References:
        C. Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001, equation 1.
    """
    distribution, _ = _checks.class_scores("probs", probs, axis, "bayes_threshold")
    costs = _expected_costs(distribution, fn, fp)
    _refuse_logits(distribution)
    return _cheapest(costs)


def _refuse_logits(probs: jax.Array) -> None:
    """Refuses rows that do not add up to 1, where they can be looked at."""
    if isinstance(probs, jax.core.Tracer) or not probs.is_fully_addressable:
        return
    total = float(_sum_furthest_from_one(probs))
    if abs(total - 1) > TOLERANCE:
        raise ValueError(
            f"probs must add up to 1 over the classes of each example, got a sum of {total:.3g}; "
            "of logits take jax.nn.softmax first."
        )


@compiled()
def _sum_furthest_from_one(probs: jax.Array) -> jax.Array:
    """That of all examples; one that is NaN or infinite does not count."""
    sums = jnp.sum(probs, axis=-1)
    off = jnp.where(jnp.isfinite(sums), sums - 1, 0)
    highest, lowest = jnp.max(off, initial=0), jnp.min(off, initial=0)
    return 1 + jnp.where(highest > -lowest, highest, lowest)


@compiled()
def _cheapest(costs: jax.Array) -> jax.Array:
    known = ~jnp.any(jnp.isnan(costs), axis=-1)
    return jnp.where(known, lax.argmin(costs, costs.ndim - 1, jnp.int32), -1)


def best_threshold(
    scores: ArrayLike,
    labels: ArrayLike,
    fn: ArrayLike,
    fp: ArrayLike,
    *,
    where: ArrayLike | None = None,
) -> jax.Array:
    r"""The threshold whose decisions ``scores > threshold`` cost least on the given examples.

    .. math::
        \arg\min_t \sum_m \left[ fn_m \, y_m \, [s_m \leq t] + fp_m \, (1 - y_m) \, [s_m > t]
            \right]

    All N + 1 ways to cut N sorted scores are compared, in O(N log N). The costs are added up in
    twice their precision, so that the minimum is exact. Choose the threshold on other examples than
    those it is judged by.

    Args:
        scores: Logits, probabilities or any other scores s of the positive class, of any shape and
            floating dtype.
        labels: The truth y, of the scores' shape: 0 or 1 of any dtype, or probabilities in [0, 1].
        fn: What a false negative costs more than a true positive: a scalar, or one cost per
            example, broadcast to the scores' shape.
        fp: What a false positive costs more than a true negative; likewise.
        where: Boolean mask over the examples, of the scores' shape. What it leaves out does not
            count, whatever it holds. Default: all examples.

    Returns:
        The threshold, a scalar of the scores' dtype: half-way between the two neighbouring scores
        that it separates, ``-inf`` to decide positive for all, ``inf`` for none. Of equally cheap
        thresholds it is the highest.

    Raises:
        TypeError: if the scores are not floating-point, or labels or costs not real numbers.
        ValueError: if a shape does not fit the scores', as those of several classes do not.

    Note:
        A score that is NaN, a label outside [0, 1], a cost that is NaN or infinite gives NaN, and a
        comparison with NaN is False. Infinite scores are fine; but no threshold is below -inf.

    Example:
        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> scores = jnp.array([0.0, 0.25, 0.25, 0.5, 1.0])
        >>> labels = jnp.array([0, 0, 1, 0, 1])
        >>> print(rwwce.best_threshold(scores, labels, fn=1.0, fp=2.0))
        0.75
        >>> print(rwwce.best_threshold(scores, labels, fn=20.0, fp=1.0))
        0.125
    """
    numbers = _checks.floats("scores", scores)
    dtype = _checks.at_least_float32(numbers.dtype)
    shape = _checks.as_array("labels", labels).shape
    if numbers.ndim and numbers.shape[-1] > 1 and shape == numbers.shape[:-1]:
        raise ValueError(
            f"scores must be one per example, shape {shape}, got shape {numbers.shape}; for two "
            "classes give scores[..., 1], for more use rwwce_jax.decide on their probabilities."
        )
    truth = _checks.binary_labels("labels", labels, numbers.shape, dtype)
    fn_costs = _checks.costs_like("fn", fn, numbers.shape, dtype)
    fp_costs = _checks.costs_like("fp", fp, numbers.shape, dtype)
    mask = _checks.mask("where", where, numbers.shape)
    return _best_threshold(numbers, truth, fn_costs, fp_costs, mask)


@compiled()
def _best_threshold(
    scores: jax.Array, labels: jax.Array, fn: jax.Array, fp: jax.Array, where: jax.Array | None
) -> jax.Array:
    # What deciding an example negative costs more than deciding it positive.
    change = fn * labels - fp * (1 - labels)
    if where is not None:
        change = jnp.where(where, change, 0)
        # A tie with another score: no cut of its own.
        scores = jnp.where(where, scores, jnp.max(scores, initial=-jnp.inf, where=where))
    valid = jnp.all(jnp.isfinite(change)) & ~jnp.any(jnp.isnan(scores))
    ordered, change = lax.sort((scores.ravel(), change.ravel()), num_keys=1)
    infinity = jnp.full(1, jnp.inf, scores.dtype)
    below = jnp.concatenate([-infinity, ordered])
    above = jnp.concatenate([ordered, infinity])
    # Between ties there is no cut. Above all of them there is one, even above a score of inf.
    is_cut = (below < above).at[-1].set(True)

    cost, rounded_off = (jnp.pad(part, (1, 0)) for part in _running_sum(change))
    cost = jnp.where(is_cut, cost, jnp.inf)
    is_least = cost == jnp.min(cost)
    rounded_off = jnp.where(is_least, rounded_off, jnp.inf)
    is_least &= rounded_off == jnp.min(rounded_off)
    cut = change.size - jnp.argmax(is_least[::-1])

    lower, upper = below[cut], above[cut]
    # Between neighbouring floats there is nothing, and the middle may round to the upper one.
    has_middle = (lax.nextafter(lower, upper) < upper) & jnp.isfinite(upper)
    threshold = jnp.where(has_middle, lower / 2 + upper / 2, lower)
    threshold = jnp.where(cut == change.size, jnp.inf, threshold)
    return jnp.where(valid & jnp.any(is_least), threshold, jnp.nan)


def _running_sum(values: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cumulative sums, and what their rounding took off."""

    def add(
        left: tuple[jax.Array, jax.Array], right: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        total, error = _numerics.two_sum(left[0], right[0])
        return _numerics.two_sum(total, error + (left[1] + right[1]))

    sums: tuple[jax.Array, jax.Array] = lax.associative_scan(add, (values, jnp.zeros_like(values)))
    return sums
