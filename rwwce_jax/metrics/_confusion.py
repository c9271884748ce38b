"""Confusion matrices and their Real World Cost."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rwwce_jax._checks import arguments
from rwwce_jax._checks.reductions import weigh
from rwwce_jax._checks.sharding import compiled
from rwwce_jax._checks.types import CostsLike
from rwwce_jax.costs import PairCosts
from rwwce_jax.costs._convert import cost_dtype, operators
from rwwce_jax.costs._operators import CostOperator


def confusion_matrix(
    predictions: ArrayLike,
    labels: ArrayLike,
    num_classes: int,
    *,
    where: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> jax.Array:
    """Counts how many examples of each class were predicted as each class.

    Predictions come first, unlike in ``sklearn.metrics.confusion_matrix``.

    Args:
        predictions: Predicted class ids, integers of any shape.
        labels: True class ids, integers of the same shape.
        num_classes: The number K of classes, 2 or more.
        where: Boolean mask over the examples to count. Default: all.

    Returns:
        Counts ``(K, K)`` in int32: rows are the truth, columns the prediction.

    Raises:
        TypeError: if predictions or labels are not integers.
        ValueError: if the shapes differ, or ``num_classes`` is below 2.

    Note:
        Counts cannot be NaN. If any selected id is outside [0, K), all counts are -1, and
        ``real_world_cost_from_confusion`` returns NaN for them.

    Example:
        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> print(rwwce.confusion_matrix(jnp.array([0, 1, 1]), jnp.array([0, 1, 0]), 2))
        [[1 1]
         [0 1]]
    """
    num_classes = arguments.num_classes(num_classes)
    decided, decided_valid = arguments.class_ids("predictions", predictions, None, num_classes)
    dtype = cost_dtype(labels, weights)
    truth, truth_valid = arguments.ids_or_probabilities(
        "labels", labels, decided.shape, num_classes, dtype
    )
    valid = decided_valid if truth_valid is None else decided_valid & truth_valid
    mask = arguments.mask("where", where, decided.shape)
    given = arguments.as_array("weights", 1 if weights is None else weights)
    if truth_valid is not None and not jnp.issubdtype(given.dtype, jnp.floating):
        dtype = np.dtype(np.int32)
    counted = arguments.weights(weights, decided.shape, dtype)
    arrays = (decided, truth, valid, mask, counted)
    return _confusion_matrix(*arrays, num_classes=num_classes, dtype=dtype)


@compiled
def _confusion_matrix(
    predictions: jax.Array,
    labels: jax.Array,
    valid: jax.Array,
    where: jax.Array | None,
    weights: jax.Array | None,
    *,
    num_classes: int,
    dtype: np.dtype,
) -> jax.Array:
    selected = jnp.ones_like(valid) if where is None else where
    zeros = jnp.zeros((num_classes, num_classes), dtype)
    times = weigh(selected.astype(dtype), where, weights)
    if weights is not None:
        valid &= weights >= 0
    if labels.ndim == predictions.ndim:
        counts = zeros.at[labels, predictions].add(times)
    else:
        valid &= jnp.all(labels >= 0, axis=-1)
        shares = jnp.where(selected[..., None], labels, 0) * times[..., None]
        counts = zeros.at[predictions].add(shares).T
    invalid = -1 if dtype == np.int32 else jnp.nan
    return jnp.where(jnp.any(selected & ~valid), invalid, counts)


def real_world_cost_from_confusion(
    confusion: ArrayLike | Sequence[Sequence[float]], fn: CostsLike, fp: CostsLike | PairCosts
) -> jax.Array:
    """Real World Cost of a confusion matrix: the mean cost of its mistakes per example.

    Args:
        confusion: Counts or shares ``(..., K, K)``: rows are the truth, columns the prediction.
            Add the counts of several batches or devices first.
        fn: Cost of a false negative, by true class: a scalar or ``(K,)``. See ``rwwce.Costs``.
        fp: Extra cost of a false positive: a scalar, ``(K, K)``, or ``rwwce.pair_costs``. Binary
            costs are ``fn=[0, fn]`` and ``fp=[[0, fp], [0, 0]]``.

    Returns:
        The mean cost per example ``(...)``, float32 (float64 if the costs are), in the unit of the
        costs; 0 for an empty matrix.

    Raises:
        ValueError: if the confusion matrix is not square, or the costs do not fit it.

    Note:
        A negative count, which ``confusion_matrix`` returns for ids out of range, gives NaN.

    Example:
        >>> import rwwce_jax as rwwce
        >>> confusion = [[90, 10], [2, 98]]
        >>> print(rwwce.real_world_cost_from_confusion(confusion, [0, 2000], [[0, 100], [0, 0]]))
        25.0
    """
    dtype = cost_dtype(fn, fp)
    counts = arguments.reals("confusion", confusion, dtype)
    if counts.ndim < 2 or counts.shape[-1] != counts.shape[-2] or counts.shape[-1] < 2:
        raise ValueError(
            f"confusion must have shape (..., K, K) with K >= 2, got shape {counts.shape}."
        )
    return _real_world_cost_from_confusion(counts, *operators(fn, fp, counts.shape[-1], dtype))


@compiled
def _real_world_cost_from_confusion(
    counts: jax.Array, fn: CostOperator, fp: CostOperator
) -> jax.Array:
    num_classes = counts.shape[-1]
    misses = jnp.broadcast_to(fn.misses(jnp.arange(num_classes)), (num_classes,))
    costs = misses[:, None] + fp.as_matrix(num_classes)
    costs = jnp.where(jnp.eye(num_classes, dtype=bool), 0, costs)
    examples = jnp.sum(counts, axis=(-2, -1))
    # Shares first: the sum of all costs may overflow where their mean does not.
    shares = counts / jnp.where(examples == 0, 1, examples)[..., None, None]
    shares = jnp.where(counts < 0, jnp.nan, shares)
    return jnp.sum(shares * jnp.broadcast_to(costs, shares.shape), axis=(-2, -1))
