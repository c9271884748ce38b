"""The class of least expected cost, from probabilities and costs."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from rwwce_jax._checks import arguments
from rwwce_jax._checks.sharding import compiled
from rwwce_jax._checks.types import CostsLike
from rwwce_jax.costs import PairCosts
from rwwce_jax.costs._convert import operators
from rwwce_jax.costs._operators import CostOperator, expected_costs

# How far a sum of probabilities may be from 1: those of 100,000 classes may be rounded to half
# precision, and those of three classes written as 0.33.
TOLERANCE = 0.02


def expected_cost(
    probs: ArrayLike, fn: CostsLike, fp: CostsLike | PairCosts, *, axis: int = -1
) -> jax.Array:
    r"""The expected cost of deciding for each class.

    .. math::
        cost_j = \sum_{k \neq j} p_k \, (fn_k + fp_{k,j})

    Args:
        probs: Probabilities of K >= 2 classes, as for ``rwwce.decide``.
        fn: Cost of a false negative, by true class: a scalar or ``(K,)``. See ``rwwce.Costs``.
        fp: Extra cost of a false positive: a scalar, ``(K, K)``, or ``rwwce.pair_costs``.
        axis: The class axis of the probabilities.

    Returns:
        The costs, of the probabilities' shape, in the unit of the costs: float32 for probabilities
        of 32 bits or fewer, float64 for float64.

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
    return jnp.moveaxis(_expected_costs(distribution, fn, fp), -1, axis)


def _expected_costs(probs: jax.Array, fn: CostsLike, fp: CostsLike | PairCosts) -> jax.Array:
    return _expected_cost(probs, *operators(fn, fp, probs.shape[-1], probs.dtype))


@compiled
def _expected_cost(probs: jax.Array, fn: CostOperator, fp: CostOperator) -> jax.Array:
    probs = jnp.where(probs >= 0, probs, jnp.nan)
    return expected_costs(probs, fn, fp)


def decide(
    probs: ArrayLike, fn: CostsLike, fp: CostsLike | PairCosts, *, axis: int = -1
) -> jax.Array:
    r"""The class of least expected cost.

    .. math::
        \arg\min_j \sum_{k \neq j} p_k \, (fn_k + fp_{k,j})

    For two classes with one probability per example, use ``probs > rwwce.bayes_threshold(fn, fp)``,
    where costs may differ from example to example.

    Args:
        probs: Probabilities p of K >= 2 classes, ``(..., K)`` or with the classes along ``axis``,
            of a floating dtype: what a model trained with plain cross-entropy predicts, or
            ``rwwce.categorical_posterior``. Not the softmax of a model that was trained with these
            costs: that would count them twice.
        fn: Cost of a false negative, by true class: a scalar or ``(K,)``. See ``rwwce.Costs``.
        fp: Extra cost of a false positive: a scalar, ``(K, K)``, or ``rwwce.pair_costs``.
        axis: The class axis of the probabilities.

    Returns:
        Class ids, of the probabilities' shape without ``axis``, in int32. A tie goes to the lowest
        id.

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

    References:
        C. Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001, equation 1.
    """
    distribution, _ = arguments.class_scores("probs", probs, axis, "bayes_threshold")
    costs = _expected_costs(distribution, fn, fp)
    refuse_sums("probs", distribution, None, "of logits take jax.nn.softmax first")
    return _cheapest(costs)


def refuse_sums(name: str, probs: jax.Array, where: jax.Array | None, remedy: str) -> None:
    """Refuses rows that do not add up to 1, if their values are known."""
    arrays = jax.tree.leaves((probs, where))
    if any(isinstance(x, jax.core.Tracer) or not x.is_fully_addressable for x in arrays):
        return
    total = float(_sum_furthest_from_one(probs, where))
    if abs(total - 1) > TOLERANCE:
        raise ValueError(
            f"{name} must add up to 1 over the classes of each example, got a sum of {total:.3g}; "
            f"{remedy}."
        )


@compiled
def _sum_furthest_from_one(probs: jax.Array, where: jax.Array | None) -> jax.Array:
    """Over all selected examples, except those whose sum is NaN or infinite."""
    sums = jnp.sum(probs, axis=-1)
    if where is not None:
        sums = jnp.where(where, sums, 1)
    off = jnp.where(jnp.isfinite(sums), sums - 1, 0)
    highest, lowest = jnp.max(off, initial=0), jnp.min(off, initial=0)
    return 1 + jnp.where(highest > -lowest, highest, lowest)


@compiled
def _cheapest(costs: jax.Array) -> jax.Array:
    known = ~jnp.any(jnp.isnan(costs), axis=-1)
    return jnp.where(known, lax.argmin(costs, costs.ndim - 1, jnp.int32), -1)
