"""Real World Cost: the mean cost of a classifier's mistakes per example."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rwwce_jax import _arguments, _costs
from rwwce_jax._cost_kinds import FalseNegatives, FalsePositives
from rwwce_jax._reductions import reduce
from rwwce_jax._sharding import compiled
from rwwce_jax._typing import CostsLike
from rwwce_jax.confusion import confusion_matrix
from rwwce_jax.decisions import expected_cost
from rwwce_jax.example_costs import ExampleCosts
from rwwce_jax.pairs import PairCosts


def binary_real_world_cost(
    predictions: ArrayLike,
    labels: ArrayLike,
    fn: CostsLike,
    fp: CostsLike,
    *,
    where: ArrayLike | None = None,
) -> jax.Array:
    r"""Real World Cost of binary decisions: their mean cost per example (section IV of the paper).

    .. math::
        \frac{1}{M} \left( fn \cdot \#\{\text{false negatives}\}
            + fp \cdot \#\{\text{false positives}\} \right)

    Predictions come first. Scikit-learn calls ``(y_true, y_pred)``, which would swap ``fn`` and
    ``fp`` without an error: use ``rwwce_jax.sklearn.real_world_cost_scorer`` there.

    Args:
        predictions: Decisions, of any shape: booleans, or the integers 0 and 1. Compare a
            probability with a threshold first, such as ``probs > rwwce.bayes_threshold(fn, fp)``.
        labels: The truth, of the same shape: 0 or 1 of any dtype, or probabilities in [0, 1] for
            the expected cost.
        fn: Marginal cost of a false negative: a scalar, or one cost per example.
        fp: Marginal cost of a false positive, likewise.
        where: Boolean mask over the examples to count. Default: all.

    Returns:
        The mean cost per selected example, a float32 scalar (float64 if the costs are) in the unit
        of the costs; 0 if none is selected.

    Raises:
        TypeError: if the predictions are not booleans or integers.
        ValueError: if a shape does not fit the predictions'.

    Note:
        A prediction that is neither 0 nor 1, or a label outside [0, 1], gives NaN.

    Example:
        One miss and one false alarm among four.

        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> predictions, labels = jnp.array([1, 0, 1, 0]), jnp.array([1, 1, 0, 0])
        >>> print(rwwce.binary_real_world_cost(predictions, labels, fn=2000.0, fp=100.0))
        525.0

    References:
        Y. Ho and S. Wookey, "The Real-World-Weight Cross-Entropy Loss Function", IEEE Access 8,
        2020, section IV.
    """
    decided = _arguments.decisions("predictions", predictions)
    dtype = _costs.cost_dtype(fn, fp)
    truth = _arguments.binary_labels("labels", labels, decided.shape, dtype)
    fn_costs = _arguments.costs_like("fn", fn, decided.shape, dtype)
    fp_costs = _arguments.costs_like("fp", fp, decided.shape, dtype)
    mask = _arguments.mask("where", where, decided.shape)
    return _binary_real_world_cost(decided, truth, fn_costs, fp_costs, mask)


@compiled()
def _binary_real_world_cost(
    predictions: jax.Array,
    labels: jax.Array,
    fn: jax.Array,
    fp: jax.Array,
    where: jax.Array | None,
) -> jax.Array:
    cost = jnp.where(predictions == 0, fn * labels, fp * (1 - labels))
    valid = (predictions == 0) | (predictions == 1)
    return reduce(jnp.where(valid, cost, jnp.nan), where, "mean")


def categorical_real_world_cost(
    predictions: ArrayLike,
    labels: ArrayLike,
    fn: CostsLike | ExampleCosts,
    fp: CostsLike | PairCosts | ExampleCosts,
    *,
    where: ArrayLike | None = None,
) -> jax.Array:
    r"""Real World Cost of categorical decisions: their mean cost per example (section V).

    An example of class k that is predicted as j costs ``fn[k] + fp[k, j]``, and nothing if j is k.

    Predictions come first. Scikit-learn calls ``(y_true, y_pred)``, which would transpose the costs
    without an error: use ``rwwce_jax.sklearn.real_world_cost_scorer`` there.

    Args:
        predictions: Predicted class ids, integers of any shape: ``logits.argmax(-1)``, or
            ``rwwce.decide(probs, fn, fp)``.
        labels: True class ids, integers of the same shape.
        fn: Cost of a false negative, by true class: a scalar, ``(K,)``, or ``rwwce.ExampleCosts``.
            See ``rwwce.Costs``.
        fp: Extra cost of a false positive: a scalar, ``(K, K)``, ``rwwce.pair_costs``, or
            ``rwwce.ExampleCosts``.
        where: Boolean mask over the examples to count. Default: all.

    Returns:
        The mean cost per selected example, a float32 scalar (float64 if the costs are) in the unit
        of the costs; 0 if none is selected.

    Raises:
        TypeError: if predictions or labels are not integers.
        ValueError: if a shape does not fit.

    Note:
        A class id below 0, or outside [0, K) where the costs tell K, gives NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> fp = jnp.zeros((10, 10)).at[4, 9].set(19.0)
        >>> predictions, labels = jnp.array([9, 4, 4, 0]), jnp.array([4, 9, 4, 0])
        >>> print(rwwce.categorical_real_world_cost(predictions, labels, fn=1.0, fp=fp))
        5.25

    References:
        Y. Ho and S. Wookey, "The Real-World-Weight Cross-Entropy Loss Function", IEEE Access 8,
        2020, sections IV and V.
    """
    dtype = _costs.cost_dtype(fn, fp)
    num_classes = _costs.num_classes_of(fn, fp)
    decided, decided_valid = _arguments.class_ids("predictions", predictions, None, num_classes)
    truth, truth_valid = _arguments.class_ids("labels", labels, decided.shape, num_classes)
    fn_costs = _costs.false_negatives(fn, num_classes, dtype, decided.shape)
    fp_costs = _costs.false_positives(fp, num_classes, dtype, decided.shape)
    mask = _arguments.mask("where", where, decided.shape)
    valid = decided_valid & truth_valid
    return _categorical_real_world_cost(decided, truth, valid, fn_costs, fp_costs, mask)


@compiled()
def _categorical_real_world_cost(
    predictions: jax.Array,
    labels: jax.Array,
    valid: jax.Array,
    fn: FalseNegatives,
    fp: FalsePositives,
    where: jax.Array | None,
) -> jax.Array:
    cost = fn.of_labels(labels) + fp.of_decisions(labels, predictions)
    cost = jnp.where(predictions == labels, 0, cost)
    return reduce(jnp.where(valid, cost, jnp.nan), where, "mean")


def savings(
    cost: ArrayLike,
    labels: ArrayLike,
    fn: CostsLike,
    fp: CostsLike | PairCosts,
    *,
    num_classes: int | None = None,
    where: ArrayLike | None = None,
) -> jax.Array:
    """The share of the cost that decisions save over the best constant decision.

    The best constant decision needs no model: the same for every example, whichever costs least. A
    share of 1 saves all of its cost and 0 nothing; below 0, the model costs more.

    Args:
        cost: Real World Cost of the decisions, from ``binary_real_world_cost`` or
            ``categorical_real_world_cost`` with the same labels and costs. Any shape.
        labels: The truth: 0 or 1 of any dtype for binary decisions, else integer class ids.
        fn: Costs of a false negative, as for the metric.
        fp: Costs of a false positive, as for the metric.
        num_classes: The number K of classes to decide between; None for binary decisions. May be
            left out where ``fp`` cannot be binary: ``rwwce.pair_costs``, or ``(K, K)`` where the
            labels have fewer than two axes.
        where: Boolean mask over the examples to count. Default: all.

    Returns:
        ``1 - cost / cost of the best constant decision``, of the cost's shape.

    Raises:
        TypeError, ValueError: as the metric; or if the costs are not those of ``num_classes``.

    Note:
        NaN if the best constant decision costs nothing: then there is nothing to save.

    Example:
        To call no customer a defaulter costs 525 each, to call everyone a defaulter 50.

        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> labels = jnp.array([1, 0, 0, 0])
        >>> print(rwwce.savings(15.0, labels, fn=2100.0, fp=[0.0, 50.0, 50.0, 100.0]))
        0.7

    References:
        A. C. Bahnsen, D. Aouada and B. Ottersten, "Example-Dependent Cost-Sensitive Logistic
        Regression for Credit Scoring", ICMLA 2014.
    """
    if num_classes is None:
        num_classes = _num_classes_of_matrix(labels, fp)
    best = _cost_of_best_constant(labels, fn, fp, num_classes, where)
    return 1 - jnp.asarray(cost, best.dtype) / jnp.where(best == 0, jnp.nan, best)


def _num_classes_of_matrix(labels: ArrayLike, fp: CostsLike | PairCosts) -> int | None:
    """K, where ``fp`` cannot be one cost per label of binary decisions, else None."""
    if isinstance(fp, PairCosts):
        return fp.num_classes
    costs = _arguments.as_array("fp", fp)
    is_matrix = costs.ndim == 2 and _arguments.as_array("labels", labels).ndim < 2
    return costs.shape[0] if is_matrix else None


def _cost_of_best_constant(
    labels: ArrayLike, fn: Any, fp: Any, num_classes: int | None, where: ArrayLike | None
) -> jax.Array:
    if num_classes is None:
        everyone = jnp.ones(_arguments.as_array("labels", labels).shape, bool)
        costs = [
            binary_real_world_cost(decision, labels, fn, fp, where=where)
            for decision in (everyone, ~everyone)
        ]
        return jnp.minimum(*costs)
    counts = confusion_matrix(labels, labels, num_classes, where=where).diagonal()
    dtype = _costs.cost_dtype(fn, fp)
    shares = counts.astype(dtype) / jnp.maximum(jnp.sum(counts), 1).astype(dtype)
    return jnp.min(expected_cost(shares, fn, fp))
