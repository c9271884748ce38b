"""The share of the cost that decisions save."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rwwce_jax._checks import CostsLike, arguments
from rwwce_jax.costs import ExampleCosts, PairCosts
from rwwce_jax.costs._convert import (
    GivenCosts,
    actions_by_class,
    cost_dtype,
    num_classes_of_fp,
    operator,
)
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
    actions: CostsLike | None = None,
    right: CostsLike | ExampleCosts | None = None,
    where: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> jax.Array:
    """The share of the cost that decisions save over the best constant decision.

    The best constant decision needs no model: the same for every example, whichever costs least. A
    share of 1 saves all of its cost and 0 nothing; below 0, the model costs more.

    Both costs are those above what the right decisions cost. With ``right`` they are all that the
    decisions cost, and the share is that of Bahnsen et al.

    Args:
        cost: Real World Cost of the decisions, from ``binary_real_world_cost`` or
            ``categorical_real_world_cost`` with the same labels and costs. Any shape.
        labels: The truth: 0 or 1 of any dtype for binary decisions, or probabilities in [0, 1];
            else integer class ids, or class probabilities, ``(..., K)``.
        fn: Costs of a false negative, as for the metric.
        fp: Costs of a false positive, as for the metric.
        num_classes: The number K of classes to decide between; None for binary decisions. May be
            left out where ``fp`` cannot be binary: ``rwwce.pair_costs``, or ``(K, K)`` where the
            labels have fewer than two axes, and with actions where ``fn``, ``fp`` or they tell it.
        actions: What decisions that are no class cost over the right decision, as for the metric.
            The best constant decision may be one of them.
        right: What the right decisions cost, negative where they gain. For binary decisions a
            scalar, of the labels' shape, or ``(..., 2)`` by true class, as ``rwwce.binary_costs``
            returns it for a matrix of each example; else a scalar, ``(K,)`` by true class, or
            ``rwwce.ExampleCosts``. Default: nothing.
        where: Boolean mask over the examples to count. Default: all.
        weights: One number per example, 0 or more, as for the metric. Default: 1 each.

    Returns:
        ``1 - cost / cost of the best constant decision``, of the cost's shape, with the mean of
        ``right`` added to both costs.

    Raises:
        TypeError, ValueError: as the metric; or if the cost is no real number, or the costs are not
            those of ``num_classes``.

    Note:
        NaN if the best constant decision costs nothing, or gains: then there is nothing to save.

    Example:
        To call no customer a defaulter costs 525 each, to call everyone a defaulter 50.

        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> labels = jnp.array([1, 0, 0, 0])
        >>> print(rwwce.savings(15.0, labels, fn=2100.0, fp=[0.0, 50.0, 50.0, 100.0]))
        0.7

        Two frauds, and a fee of 5 for every alarm, right ones as well.

        >>> labels, alarms = jnp.array([1, 1, 0, 0]), jnp.array([1, 0, 1, 0])
        >>> missed, fee = jnp.array([100.0, 30.0, 0.0, 0.0]), jnp.full(4, 5.0)
        >>> matrices = jnp.stack([0 * fee, fee, missed, fee], axis=-1).reshape(4, 2, 2)
        >>> costs = rwwce.binary_costs(matrices)
        >>> cost = rwwce.binary_real_world_cost(alarms, labels, *costs)
        >>> print(rwwce.savings(cost, labels, *costs, right=costs.right))
        -1.0

    References:
        A. C. Bahnsen, D. Aouada and B. Ottersten, "Example-Dependent Cost-Sensitive Logistic
        Regression for Credit Scoring", ICMLA 2014.
    """
    truth, counted = arguments.as_array("labels", labels), {"where": where, "weights": weights}
    if num_classes is None:
        num_classes = num_classes_of_fp(fp, truth.ndim)
    if actions is not None:
        num_classes = num_classes or GivenCosts.of(fn, fp, actions).num_classes
        actions = actions_by_class(actions, num_classes, cost_dtype(fn, fp, actions))
    if num_classes is None:
        least, of_right = _of_two_classes(truth, fn, fp, right, counted)
    else:
        least, of_right = _of_classes(truth, fn, fp, actions, right, num_classes, counted)
    least += of_right
    total = arguments.costs("cost", cost, least.dtype) + of_right
    return 1 - total / jnp.where(least > 0, least, jnp.nan)


def _of_two_classes(
    labels: Any, fn: Any, fp: Any, right: Any, counted: Any
) -> tuple[jax.Array, jax.Array | float]:
    """The mean cost of the best constant decision, and of the right decisions."""

    def of_constants(fn: Any, fp: Any) -> list[jax.Array]:
        decisions = (jnp.full(labels.shape, decided) for decided in (True, False))
        return [binary_real_world_cost(x, labels, fn, fp, **counted) for x in decisions]

    least = jnp.minimum(*of_constants(fn, fp))
    if right is None:
        return least, 0.0
    array = arguments.costs("right", right, least.dtype)
    if array.shape != (*labels.shape, 2):
        array = arguments.costs_like("right", array, labels.shape, least.dtype)[..., None]
    # Each example is a mistake of one of the two constants.
    return least, sum(of_constants(fn=array[..., -1], fp=array[..., 0]))


def _of_classes(
    labels: Any, fn: Any, fp: Any, actions: Any, right: Any, num_classes: int, counted: Any
) -> tuple[jax.Array, jax.Array | float]:
    """The same of decisions between K classes, and actions."""
    are_ids = jnp.issubdtype(labels.dtype, jnp.integer)
    first = jnp.zeros(labels.shape if are_ids else labels.shape[:-1], jnp.int32)
    counts = confusion_matrix(first, labels, num_classes, **counted)[:, 0]
    counts = counts.astype(cost_dtype(fn, fp, actions))
    total = jnp.sum(counts)
    shares = counts / jnp.where(total > 0, total, 1)
    least = jnp.min(expected_cost(shares, fn, fp, actions=actions))
    if right is None:
        return least, 0.0
    costs = operator("right", right, num_classes, least.dtype, first.shape)
    if costs.of_examples:
        # The mean of one number per example: what each costs if it is missed.
        each = costs.misses(first)
        return least, binary_real_world_cost(first, first + 1, each, 0.0, **counted)
    # Their mean is what an action with these costs would cost.
    of_classes = jnp.broadcast_to(costs.misses(jnp.arange(num_classes)), (num_classes,))
    return least, expected_cost(shares, 0.0, 0.0, actions=of_classes[:, None])[-1]
