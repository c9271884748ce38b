"""Confusion matrices and their Real World Cost."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rwwce_jax._checks import CostsLike, Counted, Shape, arguments, compiled
from rwwce_jax._checks.labels import decided_and_labels
from rwwce_jax.costs import PairCosts
from rwwce_jax.costs._convert import actions_by_class, cost_dtype, operators
from rwwce_jax.costs._operators import CostOperator


def confusion_matrix(
    predictions: ArrayLike,
    labels: ArrayLike,
    num_classes: int,
    *,
    num_actions: int = 0,
    where: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> jax.Array:
    """Counts how many examples of each class were predicted as each class.

    Predictions come first, unlike in ``sklearn.metrics.confusion_matrix``.

    Args:
        predictions: Predicted class ids, integers of any shape.
        labels: True class ids, integers of the same shape; or class probabilities, ``(..., K)``,
            floats or booleans, for the expected counts. The dtype decides.
        num_classes: The number K of classes, 2 or more.
        num_actions: The number A of decisions that are no class, whose ids follow those of the
            classes.
        where: Boolean mask over the examples to count. Default: all.
        weights: One number per example, 0 or more, of the predictions' shape: an example of weight
            w counts w times. Default: once.

    Returns:
        Counts ``(K, K + A)``: rows are the truth, columns the prediction. In int32; with weights
        that are floats, or probabilities, in float32, or float64 if those are.

    Raises:
        TypeError: if predictions or labels are not integers, nor the labels probabilities.
        ValueError: if the shapes do not fit, ``num_classes`` is below 2 or ``num_actions`` below 0.

    Note:
        If any selected id is out of range, a probability outside [0, 1], or a weight negative or
        not finite, all counts are NaN, or -1 in int32, which has no NaN.
        ``real_world_cost_from_confusion`` returns NaN for both.

    Example:
        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> print(rwwce.confusion_matrix(jnp.array([0, 1, 1]), jnp.array([0, 1, 0]), 2))
        [[1 1]
         [0 1]]
        >>> print(rwwce.confusion_matrix([0, 1, 1], [0, 1, 0], 2, weights=[1.0, 0.5, 2.0]))
        [[1.  2. ]
         [0.  0.5]]
    """
    num_classes = arguments.integer("num_classes", num_classes, least=2)
    num_actions = arguments.integer("num_actions", num_actions, least=0)
    decided, truth, valid = decided_and_labels(
        predictions, labels, num_classes, num_actions, cost_dtype(labels)
    )
    counted = Counted.of(where, weights, decided.shape, None)
    shape = (num_classes, num_classes + num_actions)
    return _confusion_matrix(decided, truth, valid, counted, shape=shape)


@compiled
def _confusion_matrix(
    predictions: jax.Array, labels: jax.Array, valid: jax.Array, counted: Counted, *, shape: Shape
) -> jax.Array:
    where, weights = counted
    selected = jnp.ones_like(valid) if where is None else where
    times = counted.weigh(selected.astype(jnp.int32 if weights is None else weights.dtype))
    valid &= times >= 0
    truth: jax.Array | slice = labels
    if labels.ndim > predictions.ndim:
        valid &= jnp.all(labels >= 0, axis=-1)
        shares = counted.select(labels) * times[..., None].astype(labels.dtype)
        truth, times = slice(None), jnp.moveaxis(shares, -1, 0)
    counts = jnp.zeros(shape, times.dtype).at[truth, predictions].add(times)
    invalid = -1 if counts.dtype == jnp.int32 else jnp.nan
    return jnp.where(jnp.any(selected & ~valid), invalid, counts)


def real_world_cost_from_confusion(
    confusion: ArrayLike | Sequence[Sequence[float]],
    fn: CostsLike,
    fp: CostsLike | PairCosts,
    *,
    actions: CostsLike | None = None,
) -> jax.Array:
    """Real World Cost of a confusion matrix: the mean cost of its mistakes per example.

    It is what the decisions cost above what the right decisions cost.

    Args:
        confusion: Counts or shares ``(..., K, K)``, or ``(..., K, K + A)`` with A actions: rows are
            the truth, columns the prediction. Add the counts of several batches or devices first.
        fn: Cost of a false negative, by true class: a scalar or ``(K,)``. See ``rwwce.Costs``.
        fp: Extra cost of a false positive: a scalar, ``(K, K)``, or ``rwwce.pair_costs``. Binary
            costs are ``fn=[0, fn]`` and ``fp=[[0, fp], [0, 0]]``.
        actions: What decisions that are no class cost over the right decision, by true class:
            ``(K, A)``, or a scalar for one action. Default: no actions.

    Returns:
        The mean cost per example ``(...)``, float32 (float64 if the costs are), in the unit of the
        costs; 0 for an empty matrix.

    Raises:
        ValueError: if the confusion matrix has not a row for each class and a column for each class
            and action, or the costs do not fit it.

    Note:
        A negative count, which ``confusion_matrix`` returns for ids out of range, gives NaN.

    Example:
        >>> import rwwce_jax as rwwce
        >>> confusion = [[90, 10], [2, 98]]
        >>> print(rwwce.real_world_cost_from_confusion(confusion, [0, 2000], [[0, 100], [0, 0]]))
        25.0
    """
    dtype = cost_dtype(fn, fp, actions)
    counts = arguments.reals("confusion", confusion, dtype)
    shape = counts.shape
    num_classes = shape[-2] if len(shape) > 1 else 0
    by_class = None if num_classes < 2 else actions_by_class(actions, num_classes, dtype)
    num_decisions = num_classes if by_class is None else sum(by_class.shape)
    if num_classes < 2 or shape[-1] != num_decisions:
        expected = "(..., K, K)" if by_class is None else f"(..., K, K + {by_class.shape[1]})"
        raise ValueError(f"confusion must have shape {expected} with K >= 2, got shape {shape}.")
    costs = operators(fn, fp, num_classes, dtype)
    return _real_world_cost_from_confusion(counts, *costs, by_class)


@compiled
def _real_world_cost_from_confusion(
    counts: jax.Array, fn: CostOperator, fp: CostOperator, actions: jax.Array | None
) -> jax.Array:
    num_classes = counts.shape[-2]
    misses = jnp.broadcast_to(fn.misses(jnp.arange(num_classes)), (num_classes,))
    costs = misses[:, None] + fp.as_matrix(num_classes)
    costs = jnp.where(jnp.eye(num_classes, dtype=bool), 0, costs)
    if actions is not None:
        costs = jnp.concatenate([costs, actions], axis=-1)
    # A power of two, so that it rounds nothing: the sum of the counts may overflow.
    limit = 2.0 ** (np.finfo(counts.dtype).maxexp // 2)
    largest = jnp.max(counts, axis=(-2, -1), keepdims=True)
    scaled = counts * jnp.where(largest > limit, 1 / limit, 1).astype(counts.dtype)
    examples = jnp.sum(scaled, axis=(-2, -1))
    # Shares first: the sum of all costs may overflow where their mean does not.
    shares = scaled / jnp.where(examples == 0, 1, examples)[..., None, None]
    shares = jnp.where(counts < 0, jnp.nan, shares)
    return jnp.sum(shares * jnp.broadcast_to(costs, shares.shape), axis=(-2, -1))
