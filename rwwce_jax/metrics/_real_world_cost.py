"""Real World Cost: the mean cost of a classifier's mistakes per example."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rwwce_jax._checks import CostsLike, Counted, Reduction, arguments, compiled
from rwwce_jax._checks.labels import binary_decisions, decided_and_labels
from rwwce_jax.costs import ExampleCosts, PairCosts
from rwwce_jax.costs._convert import GivenCosts, actions_by_class, cost_dtype, operators
from rwwce_jax.costs._operators import expected_costs
from rwwce_jax.costs._records import BinaryExamples, Examples


def binary_real_world_cost(
    predictions: ArrayLike,
    labels: ArrayLike,
    fn: CostsLike,
    fp: CostsLike,
    *,
    where: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduction: Reduction = "mean",
) -> jax.Array:
    r"""Real World Cost of binary decisions: their mean cost per example (section IV of the paper).

    .. math::
        \frac{1}{M} \left( fn \cdot \#\{\text{false negatives}\}
            + fp \cdot \#\{\text{false positives}\} \right)

    It is what the decisions cost above what the right decisions cost.

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
        weights: One number per example, 0 or more, of the predictions' shape: an example of weight
            w counts as w examples, and the mean divides by the sum of the weights. Default: 1 each.
        reduction: ``"mean"``, ``"sum"``, or ``"none"`` for the cost of each decision, times its
            weight, and 0 where the mask leaves it out.

    Returns:
        The mean cost per selected example (0 if none is selected), their sum, or for ``"none"`` one
        cost per example, of the predictions' shape. In the unit of the costs; float32, or float64
        if the costs are.

    Raises:
        TypeError: if the predictions are not booleans or integers.
        ValueError: if a shape does not fit the predictions', or the reduction is unknown.

    Note:
        A prediction that is neither 0 nor 1, or a label outside [0, 1], gives NaN, whatever its
        weight, and so does a weight that is negative, infinite or NaN. Costs are summed before they
        are divided: a sum beyond 3.4e38 is inf in float32.

    Example:
        One miss and one false alarm among four.

        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> predictions, labels = jnp.array([1, 0, 1, 0]), jnp.array([1, 1, 0, 0])
        >>> print(rwwce.binary_real_world_cost(predictions, labels, fn=2000.0, fp=100.0))
        525.0
        >>> costs = rwwce.binary_real_world_cost(predictions, labels, 2000, 100, reduction="none")
        >>> print(costs)
        [   0. 2000.  100.    0.]

    References:
        Y. Ho and S. Wookey, "The Real-World-Weight Cross-Entropy Loss Function", IEEE Access 8,
        2020, section IV.
    """
    arguments.reduction(reduction)
    decided = binary_decisions(predictions)
    dtype = cost_dtype(fn, fp)
    examples = BinaryExamples.of(labels, fn, fp, where, weights, decided.shape, dtype)
    return binary_cost(decided, examples, reduction=reduction)


@compiled
def binary_cost(
    predictions: jax.Array, examples: BinaryExamples, *, reduction: Reduction
) -> jax.Array:
    """The cost of decisions between two classes, or of several labels each."""
    cost = jnp.where(predictions == 0, *examples.costs())
    valid = (predictions == 0) | (predictions == 1)
    return examples.counted.reduce(jnp.where(valid, cost, jnp.nan), reduction)


def categorical_real_world_cost(
    predictions: ArrayLike,
    labels: ArrayLike,
    fn: CostsLike | ExampleCosts,
    fp: CostsLike | PairCosts | ExampleCosts,
    *,
    actions: CostsLike | None = None,
    where: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduction: Reduction = "mean",
) -> jax.Array:
    r"""Real World Cost of categorical decisions: their mean cost per example (section V).

    An example of class k that is predicted as j costs ``fn[k] + fp[k, j]``, and nothing if j is k.
    Action a costs ``actions[k, a]``. It is what the decisions cost above what the right decisions
    cost.

    Predictions come first. Scikit-learn calls ``(y_true, y_pred)``, which would transpose the costs
    without an error: use ``rwwce_jax.sklearn.real_world_cost_scorer`` there.

    Args:
        predictions: Predicted class ids, integers of any shape: ``logits.argmax(-1)``, or
            ``rwwce.decide(probs, fn, fp)``. Ids of actions follow those of the classes.
        labels: True class ids, integers of the same shape; or class probabilities of K classes,
            ``(..., K)``, floats or booleans, for the expected cost. The dtype decides.
        fn: Cost of a false negative, by true class: a scalar, ``(K,)``, or ``rwwce.ExampleCosts``.
            See ``rwwce.Costs``.
        fp: Extra cost of a false positive: a scalar, ``(K, K)``, ``rwwce.pair_costs``, or
            ``rwwce.ExampleCosts``.
        actions: What decisions that are no class cost over the right decision, by true class:
            ``(K, A)``, or a scalar for one action. See ``rwwce.Costs``. Default: no actions.
        where: Boolean mask over the examples to count. Default: all.
        weights: One number per example, 0 or more, of the predictions' shape: an example of weight
            w counts as w examples, and the mean divides by the sum of the weights. Default: 1 each.
        reduction: ``"mean"``, ``"sum"``, or ``"none"`` for the cost of each decision, times its
            weight, and 0 where the mask leaves it out.

    Returns:
        The mean cost per selected example (0 if none is selected), their sum, or for ``"none"`` one
        cost per example, of the predictions' shape. In the unit of the costs; float32, or float64
        if the costs are.

    Raises:
        TypeError: if predictions or labels are not integers, nor the labels probabilities.
        ValueError: if a shape does not fit, the reduction is unknown, or numbers alone come with
            actions: then nothing tells K, the first id of an action.

    Note:
        A class id below 0, or outside [0, K) where the costs or the probabilities tell K, gives
        NaN, whatever its weight. So does an id beyond the actions, a probability outside [0, 1],
        and a weight that is negative, infinite or NaN. Costs are summed before they are divided: a
        sum beyond 3.4e38 is inf in float32.

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
    arguments.reduction(reduction)
    fn, fp, actions, num_classes = GivenCosts.of(fn, fp, actions)
    dtype = cost_dtype(fn, fp, actions)
    by_class = actions_by_class(actions, num_classes, dtype)
    num_actions = 0 if by_class is None else by_class.shape[1]
    decided, truth, valid = decided_and_labels(predictions, labels, num_classes, num_actions, dtype)
    counted = Counted.of(where, weights, decided.shape, dtype)
    costs = operators(fn, fp, num_classes, dtype, decided.shape)
    examples = Examples(truth, valid, counted, *costs)
    return _categorical_real_world_cost(decided, examples, by_class, reduction=reduction)


@compiled
def _categorical_real_world_cost(
    predictions: jax.Array, examples: Examples, actions: jax.Array | None, *, reduction: Reduction
) -> jax.Array:
    labels, valid, counted, fn, fp, _ = examples
    if labels.ndim == predictions.ndim:
        mistakes = fn.misses(labels) + fp.entries(labels, predictions)
        cost = jnp.where(predictions == labels, 0, mistakes)
        if actions is not None:
            action = predictions - len(actions)
            cost = jnp.where(action < 0, cost, actions[labels, action])
    else:
        costs = expected_costs(counted.select(labels), fn, fp, actions)
        # NaN for an id that is no class.
        cost = jnp.take_along_axis(costs, predictions[..., None], axis=-1, mode="fill")[..., 0]
    cost = cost if valid is None else jnp.where(valid, cost, jnp.nan)
    return counted.reduce(counted.weigh(cost), reduction)
