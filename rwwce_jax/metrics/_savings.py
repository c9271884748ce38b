"""The share of the cost that decisions save."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rwwce_jax._checks import arguments
from rwwce_jax._checks.types import CostsLike
from rwwce_jax.costs import PairCosts
from rwwce_jax.costs._convert import cost_dtype, num_classes_of_fp
from rwwce_jax.decisions import expected_cost
from rwwce_jax.metrics._confusion import confusion_matrix
from rwwce_jax.metrics._real_world_cost import binary_real_world_cost


def savings(
    cost: ArrayLike,
    labels: ArrayLike,
    fn: CostsLike,
    fp: CostsLike | PairCosts,
    *,
    num_classes: int | None = None,
    where: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> jax.Array:
    """The share of the cost that decisions save over the best constant decision.

    The best constant decision needs no model: the same for every example, whichever costs least. A
    share of 1 saves all of its cost and 0 nothing; below 0, the model costs more.

    Args:
        cost: Real World Cost of the decisions, from ``binary_real_world_cost`` or
            ``categorical_real_world_cost`` with the same labels and costs. Any shape.
        labels: The truth: 0 or 1 of any dtype for binary decisions, or probabilities in [0, 1];
            else integer class ids, or class probabilities, ``(..., K)``.
        fn: Costs of a false negative, as for the metric.
        fp: Costs of a false positive, as for the metric.
        num_classes: The number K of classes to decide between; None for binary decisions. May be
            left out where ``fp`` cannot be binary: ``rwwce.pair_costs``, or ``(K, K)`` where the
            labels have fewer than two axes.
        where: Boolean mask over the examples to count. Default: all.
        weights: One number per example, 0 or more, as for the metric. Default: 1 each.

    Returns:
        ``1 - cost / cost of the best constant decision``, of the cost's shape.

    Raises:
        TypeError, ValueError: as the metric; or if the cost is no real number, or the costs are not
            those of ``num_classes``.

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
        num_classes = num_classes_of_fp(fp, arguments.as_array("labels", labels).ndim)
    best = _cost_of_best_constant(labels, fn, fp, num_classes, where=where, weights=weights)
    return 1 - arguments.costs("cost", cost, best.dtype) / jnp.where(best == 0, jnp.nan, best)


def _cost_of_best_constant(
    labels: ArrayLike, fn: Any, fp: Any, num_classes: int | None, **counted: Any
) -> jax.Array:
    truth = arguments.as_array("labels", labels)
    if num_classes is None:
        everyone = jnp.ones(truth.shape, bool)
        costs = [
            binary_real_world_cost(decision, truth, fn, fp, **counted)
            for decision in (everyone, ~everyone)
        ]
        return jnp.minimum(*costs)
    are_ids = jnp.issubdtype(truth.dtype, jnp.integer)
    first = jnp.zeros(truth.shape if are_ids else truth.shape[:-1], jnp.int32)
    counts = confusion_matrix(first, truth, num_classes, **counted)[:, 0]
    counts = counts.astype(cost_dtype(fn, fp))
    total = jnp.sum(counts)
    shares = counts / jnp.where(total > 0, total, 1)
    return jnp.min(expected_cost(shares, fn, fp))
