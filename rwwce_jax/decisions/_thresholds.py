"""Thresholds for two classes: from the costs alone, or from examples and their costs."""

from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from rwwce_jax._checks import CostsLike, arguments, compiled
from rwwce_jax._numerics.arithmetic import two_sum
from rwwce_jax.costs._convert import cost_dtype, of_two_classes
from rwwce_jax.costs._records import BinaryExamples


def bayes_threshold(fn: CostsLike, fp: CostsLike) -> jax.Array:
    r"""The probability above which deciding positive costs less than deciding negative.

    .. math::
        p > \frac{fp}{fn + fp}

    Compare with ``>``: at the threshold itself, both decisions cost the same.

    Args:
        fn: Marginal cost of a false negative over a true positive: a scalar, or one cost per
            example.
        fp: Marginal cost of a false positive over a true negative, likewise. The two broadcast.

    Returns:
        The threshold, of the broadcast shape, in [0, 1] where no cost is negative; float32
        (float64 if the costs are).

    Raises:
        TypeError: if the costs are not real numbers.
        ValueError: if their shapes do not broadcast, or are those that ``costs_from_matrix``
            returns for two classes: ``rwwce.binary_costs`` makes costs for this function.

    Note:
        ``fn = 0`` gives 1, which no probability exceeds, and ``fp = 0`` gives 0. Where both are
        zero, either decision is free, and the threshold is 0.5. A mistake that costs less than the
        right decision has a negative cost, and is always made: -inf, so that all are decided
        positive, where only ``fp`` is negative, and inf where only ``fn`` is. Where both are, and
        where one is infinite or NaN, it is NaN, and a comparison with NaN is False.

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
    dtype = cost_dtype(fn, fp)
    shape = arguments.broadcast_shape(fn, fp)
    return _bayes_threshold(*of_two_classes(fn, fp, shape, dtype))


@compiled
def _bayes_threshold(fn: jax.Array, fp: jax.Array) -> jax.Array:
    no_gain = (fn >= 0) & (fp >= 0)
    limit = jnp.where(fn < 0, jnp.inf, -jnp.inf)
    known = jnp.isfinite(fn) & jnp.isfinite(fp) & ((fn >= 0) | (fp >= 0))
    fn, fp = (jnp.where(no_gain, cost, 1) for cost in (fn, fp))
    # Relative to the larger cost: their sum cannot overflow.
    larger = jnp.maximum(fn, fp)
    free = larger == 0
    scale = jnp.where(free, 1, larger)
    share_fn, share_fp = (jnp.where(free, 1, cost / scale) for cost in (fn, fp))
    threshold = share_fp / (share_fn + share_fp)
    return jnp.where(known, jnp.where(no_gain, threshold, limit), jnp.nan)


def best_threshold(
    scores: ArrayLike,
    labels: ArrayLike,
    fn: CostsLike,
    fp: CostsLike,
    *,
    where: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> jax.Array:
    r"""The threshold at which ``scores > threshold`` costs least on the given examples.

    .. math::
        \arg\min_t \sum_m \left[ fn_m \, y_m \, [s_m \leq t] + fp_m \, (1 - y_m) \, [s_m > t]
            \right]

    All N + 1 ways to cut N sorted scores are compared, in O(N log N). The costs are summed in twice
    their precision, so that the minimum is exact. Choose the threshold on other examples than those
    on which you evaluate it.

    Args:
        scores: Logits, probabilities or any other scores s of the positive class, of any shape and
            floating dtype.
        labels: The truth y, of the scores' shape: 0 or 1 of any dtype, or probabilities in [0, 1].
        fn: Marginal cost of a false negative: a scalar, or one cost per example, broadcast to the
            scores' shape.
        fp: Marginal cost of a false positive, likewise.
        where: Boolean mask over the examples, of the scores' shape. Examples that it leaves out do
            not count, whatever they hold. Default: all examples.
        weights: One number per example, 0 or more, of the scores' shape: an example of weight w
            counts as w examples, and one of weight 0 as none. Default: 1 each.

    Returns:
        The threshold, a scalar of the scores' dtype: half-way between the two neighbouring scores
        that it separates, ``-inf`` to decide all positive, ``inf`` to decide all negative. Of
        equally cheap thresholds it is the highest.

    Raises:
        TypeError: if the scores are not floating-point, or labels or costs not real numbers.
        ValueError: if a shape does not fit the scores', as those of several classes do not.

    Note:
        A score that is NaN, a label outside [0, 1], a cost that is NaN or infinite, or a weight
        that is so or negative gives NaN, and a comparison with NaN is False. Infinite scores are
        allowed, but no threshold is below -inf. A program that is exported for any number of scores
        adds up their costs one after the other.

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
    numbers = arguments.floats("scores", scores)
    dtype = arguments.at_least_float32(numbers.dtype)
    shape = arguments.as_array("labels", labels).shape
    # The shapes are compared first: the size of an axis may be a symbol, of which > is not known.
    if numbers.ndim and shape == numbers.shape[:-1] and numbers.shape[-1] > 1:
        raise ValueError(
            f"scores must be one per example, shape {shape}, got shape {numbers.shape}; for two "
            "classes give scores[..., 1], for more use rwwce_jax.decide on their probabilities."
        )
    examples = BinaryExamples.of(labels, fn, fp, where, weights, numbers.shape, dtype)
    return _best_threshold(numbers, examples)


@compiled
def _best_threshold(scores: jax.Array, examples: BinaryExamples) -> jax.Array:
    negative, positive = examples.costs()
    change, counted = negative - positive, examples.counted
    valid = jnp.all(jnp.isfinite(change)) & ~jnp.any(jnp.isnan(scores), where=counted.where)
    # Scores that do not count tie with another one, so that they add no cut.
    counts = counted.select(counted.weigh(jnp.ones_like(change))) != 0
    scores = jnp.where(counts, scores, jnp.max(scores, initial=-jnp.inf, where=counts))
    ordered, change = lax.sort((scores.ravel(), change.ravel()), num_keys=1)
    infinity = jnp.full(1, jnp.inf, scores.dtype)
    below = jnp.concatenate([-infinity, ordered])
    above = jnp.concatenate([ordered, infinity])
    # No cut is between ties. One is above all scores, even above inf.
    is_cut = (below < above).at[-1].set(True)

    cost, rounded_off = (jnp.pad(part, (1, 0)) for part in _running_sum(change))
    cost = jnp.where(is_cut, cost, jnp.inf)
    is_least = cost == jnp.min(cost)
    rounded_off = jnp.where(is_least, rounded_off, jnp.inf)
    is_least &= rounded_off == jnp.min(rounded_off)
    cut = change.size - jnp.argmax(is_least[::-1])

    lower, upper = below[cut], above[cut]
    # No number is between neighbouring floats: their middle may round to the upper one.
    has_middle = (lax.nextafter(lower, upper) < upper) & jnp.isfinite(upper)
    threshold = jnp.where(has_middle, lower / 2 + upper / 2, lower)
    threshold = jnp.where(cut == change.size, jnp.inf, threshold)
    return jnp.where(valid & jnp.any(is_least), threshold, jnp.nan)


_Sums: TypeAlias = tuple[jax.Array, jax.Array]  # rounded, and what was rounded off


def _add(left: _Sums, right: _Sums) -> _Sums:
    total, error = two_sum(left[0], right[0])
    return two_sum(total, error + (left[1] + right[1]))


def _running_sum(values: jax.Array) -> _Sums:
    """Cumulative sums, and the rounding errors of each."""
    terms = values, jnp.zeros_like(values)
    if type(values.size) is int:
        return lax.associative_scan(_add, terms)
    # A symbol, in an exported program: JAX then adds up one number after the other only.
    zero = jnp.zeros((), values.dtype)
    return lax.scan(lambda total, x: (_add(total, x),) * 2, (zero, zero), terms)[1]
