"""The decision of least expected cost, from probabilities and costs."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from rwwce_jax._checks import CostsLike, arguments, compiled
from rwwce_jax._checks.sharding import are_known
from rwwce_jax.costs import PairCosts
from rwwce_jax.costs._convert import actions_by_class, operators
from rwwce_jax.costs._operators import CostOperator, expected_costs

# How far a sum of probabilities may be from 1: those of 100,000 classes may be rounded to half
# precision, and those of three classes written as 0.33.
TOLERANCE = 0.02


def expected_cost(
    probs: ArrayLike,
    fn: CostsLike,
    fp: CostsLike | PairCosts,
    *,
    actions: CostsLike | None = None,
    axis: int = -1,
) -> jax.Array:
    r"""The expected cost of deciding for each class, and of each action.

    .. math::
        cost_j = \sum_{k \neq j} p_k \, (fn_k + fp_{k,j}),
        \quad cost_{K + a} = \sum_k p_k \, actions_{k,a}

    Args:
        probs: Probabilities of K >= 2 classes, as for ``rwwce.decide``.
        fn: Cost of a false negative, by true class: a scalar or ``(K,)``. See ``rwwce.Costs``.
        fp: Extra cost of a false positive: a scalar, ``(K, K)``, or ``rwwce.pair_costs``.
        actions: What decisions that are no class cost over the right decision, by true class:
            ``(K, A)``, or a scalar for one action. See ``rwwce.Costs``. Default: no actions.
        axis: The class axis of the probabilities.

    Returns:
        The costs, of the probabilities' shape, in the unit of the costs: float32 for probabilities
        of 32 bits or fewer, float64 for float64. With A actions, ``K + A`` along ``axis``, the
        classes first.

    Raises:
        TypeError: if the probabilities are not floating-point, or the costs not real numbers.
        ValueError: if there are fewer than two classes, no such axis, or the costs do not fit.

    Note:
        A probability that is negative or NaN gives NaN for all classes of its example. The
        probabilities need not add up to 1: costs are in proportion to them.

    Example:
        The digit is probably a 9. But it may be a 4, and to read a 4 as a 9 costs 20.

        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> fp = jnp.zeros((10, 10)).at[4, 9].set(19.0)
        >>> probs = jnp.zeros(10).at[4].set(0.1).at[9].set(0.9)
        >>> print(rwwce.expected_cost(probs, fn=1.0, fp=fp).round(2))
        [1.  1.  1.  1.  0.9 1.  1.  1.  1.  2. ]

    References:
        C. Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001, equation 1.
    """
    distribution, axis = arguments.class_scores("probs", probs, axis, "bayes_threshold")
    costs = _expected_cost(distribution, *_converted(distribution, fn, fp, actions))
    return arguments.moved_axis(costs, -1, axis)


_Converted = tuple[CostOperator, CostOperator, jax.Array | None]


def _converted(probs: jax.Array, fn: Any, fp: Any, actions: Any) -> _Converted:
    shared = probs.shape[-1], probs.dtype
    return *operators(fn, fp, *shared), actions_by_class(actions, *shared)


@compiled
def _expected_cost(probs: jax.Array, *costs: *_Converted) -> jax.Array:
    return expected_costs(jnp.where(probs >= 0, probs, jnp.nan), *costs)


def decide(
    probs: ArrayLike,
    fn: CostsLike,
    fp: CostsLike | PairCosts,
    *,
    actions: CostsLike | None = None,
    axis: int = -1,
) -> jax.Array:
    r"""The class, or the action, of least expected cost.

    .. math::
        \arg\min_j cost_j, \quad cost_j = \sum_{k \neq j} p_k \, (fn_k + fp_{k,j}),
        \quad cost_{K + a} = \sum_k p_k \, actions_{k,a}

    For two classes with one probability per example, use ``probs > rwwce.bayes_threshold(fn, fp)``,
    where costs may differ from example to example.

    Args:
        probs: Probabilities p of K >= 2 classes, ``(..., K)`` or with the classes along ``axis``,
            of a floating dtype: what a model trained with plain cross-entropy predicts, or
            ``rwwce.categorical_posterior``. Not the softmax of a model that was trained with these
            costs: that would count them twice.
        fn: Cost of a false negative, by true class: a scalar or ``(K,)``. See ``rwwce.Costs``.
        fp: Extra cost of a false positive: a scalar, ``(K, K)``, or ``rwwce.pair_costs``.
        actions: What decisions that are no class, such as to ask somebody, cost over the right
            decision, by true class: ``(K, A)``, or a scalar for one action that always costs the
            same. See ``rwwce.Costs``. Training needs no change. Default: no actions.
        axis: The class axis of the probabilities.

    Returns:
        Class ids, of the probabilities' shape without ``axis``, in int32, and K, K + 1, ... for the
        actions. A tie goes to the lowest id, so that a class comes before an action.

    Raises:
        TypeError: if the probabilities are not floating-point, or the costs not real numbers.
        ValueError: if there are fewer than two classes, no such axis, or the costs do not fit; or
            if the probabilities of an example do not add up to 1 within 0.02, such as logits.

    Note:
        Sums can only be checked outside of compiled code: under ``jax.jit`` and ``jax.vmap``,
        logits are taken for probabilities, except that a negative one gives -1. A class id cannot
        be NaN: where an expected cost is NaN, the decision is -1, which the losses and metrics turn
        into NaN.

    Example:
        For costs that differ from example to example, use ``jax.vmap``.

        >>> import jax
        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> probs = jnp.array([[0.1, 0.9], [0.1, 0.9]])
        >>> print(rwwce.decide(probs, fn=jnp.array([20.0, 1.0]), fp=0.0))
        [0 0]
        >>> fn = jnp.array([[20.0, 1.0], [5.0, 1.0]])
        >>> print(jax.vmap(rwwce.decide, in_axes=(0, 0, None))(probs, fn, 0.0))
        [0 1]

        To ask somebody costs 0.2, which is decision 3, after the classes 0, 1 and 2.

        >>> probs = jnp.array([[0.5, 0.5, 0.0], [0.9, 0.05, 0.05]])
        >>> print(rwwce.decide(probs, fn=1.0, fp=0.0, actions=0.2))
        [3 0]

    References:
        C. Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001, equation 1. C. K. Chow,
        "On Optimum Recognition Error and Reject Tradeoff", IEEE Transactions on Information Theory
        16, 1970, for an action that costs the same for every truth.
    """
    distribution, _ = arguments.class_scores("probs", probs, axis, "bayes_threshold")
    costs = _converted(distribution, fn, fp, actions)
    refuse_sums("probs", distribution, None, "of logits take jax.nn.softmax first")
    return _decide(distribution, *costs)


def refuse_sums(name: str, probs: jax.Array, where: jax.Array | None, remedy: str) -> None:
    """Refuses rows that do not add up to 1, if their values are known."""
    if not are_known(probs, where):
        return
    total = _sum_furthest_from_one(probs, where)
    # Where a program is traced, the sums of known numbers are traced, too.
    if are_known(total) and abs(float(total) - 1) > TOLERANCE:
        raise ValueError(
            f"{name} must add up to 1 over the classes of each example, got a sum of "
            f"{float(total):.3g}; {remedy}."
        )


@compiled
def _sum_furthest_from_one(probs: jax.Array, where: jax.Array | None) -> jax.Array:
    """Over all selected examples, except those whose sum is NaN or infinite."""
    sums = jnp.sum(probs, axis=-1)
    off = jnp.where(jnp.isfinite(sums), sums - 1, 0)
    highest = jnp.max(off, initial=0, where=where)
    lowest = jnp.min(off, initial=0, where=where)
    return 1 + jnp.where(highest > -lowest, highest, lowest)


@compiled
def _decide(probs: jax.Array, *costs: *_Converted) -> jax.Array:
    expected = _expected_cost(probs, *costs)
    cheapest = lax.argmin(expected, expected.ndim - 1, jnp.int32)
    return jnp.where(jnp.isnan(jnp.min(expected, axis=-1)), -1, cheapest)
