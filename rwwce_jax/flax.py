"""Real World Cost as a Flax NNX metric, alone or in a ``MultiMetric``."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rwwce_jax._checks import CostsLike, Counted, arguments, compiled
from rwwce_jax._checks.imports import needs
from rwwce_jax._numerics.arithmetic import depending_on, two_sum
from rwwce_jax.costs import Costs, ExampleCosts, PairCosts
from rwwce_jax.costs._convert import GivenCosts, as_jax, cost_dtype, refuse_all_but_scalars
from rwwce_jax.metrics import binary_real_world_cost, categorical_real_world_cost
from rwwce_jax.metrics._predictions import above, largest

with needs("flax", "Flax", "flax"):
    from flax import nnx

# NNX takes other types of attributes for static, and refuses arrays in those.
for _kind in (Costs, ExampleCosts, PairCosts):
    nnx.register_data_type(_kind)


class RealWorldCost(nnx.Metric):
    r"""The mean cost of a classifier's mistakes per example, over all batches since the last reset.

    As in ``flax.nnx.metrics.Accuracy``, it is binary with a threshold, and categorical without one:

    .. math::
        \frac{1}{M} \sum_m \left( fn \, [y_m \wedge \neg \hat{y}_m]
            + fp \, [\neg y_m \wedge \hat{y}_m] \right)
        \quad \text{or} \quad
        \frac{1}{M} \sum_m [\hat{y}_m \neq y_m] \, (fn_{y_m} + fp_{y_m, \hat{y}_m})

    It is what the decisions cost above what the right decisions cost.

    Every example counts the same, whatever the size of its batch, or as its weight says. The state
    is the sum of the costs, the number of examples or sum of their weights, and the rounding errors
    of both: the 100,000,000th example still counts. In a program over several devices the batch may
    be sharded; the state is that of all examples, on every device.

    Args:
        fn: Cost of a false negative: a scalar, or for more than two classes ``(K,)``, by true
            class. See ``rwwce.Costs``.
        fp: Extra cost of a false positive: a scalar, or for more than two classes ``(K, K)`` or
            ``rwwce.pair_costs``. Pass costs of examples to ``update``.
        actions: What decisions that are no class cost over the right decision, by true class:
            ``(K, A)``, or a scalar for one action. They come to ``update`` as predictions, with ids
            after those of the classes; the largest logit is always a class. Default: no actions.
        threshold: For binary decisions only: logits above it are decided positive. It is 0.0 if the
            model was trained with ``rwwce.binary`` and these costs, and ``math.log(fp / fn)`` if it
            was trained with plain cross-entropy.

    Raises:
        TypeError: if the costs are not real numbers.
        ValueError: if their shapes are none of these, or there are both actions and a threshold.

    Note:
        ``compute`` is NaN before the first example, as for Flax's metrics. NaN among an example's
        logits, or a label or prediction that is no class, makes it NaN until the next reset.

    Example:
        >>> import jax.numpy as jnp
        >>> from rwwce_jax.flax import RealWorldCost
        >>> metric = RealWorldCost(fn=2000.0, fp=100.0, threshold=0.0)
        >>> metric.update(logits=jnp.array([2.0, -1.0]), labels=jnp.array([0, 0]))
        >>> metric.update(logits=jnp.array([3.0, 4.0]), labels=jnp.array([1, 1]))
        >>> print(metric.compute())
        25.0

    References:
        Y. Ho and S. Wookey, "The Real-World-Weight Cross-Entropy Loss Function", IEEE Access 8,
        2020, sections IV and V.
    """

    def __init__(
        self,
        fn: CostsLike | ExampleCosts,
        fp: CostsLike | PairCosts | ExampleCosts,
        *,
        actions: CostsLike | None = None,
        threshold: float | None = None,
    ) -> None:
        """Checks and holds the costs. Nothing is counted yet."""
        self.threshold = None if threshold is None else float(threshold)
        if threshold is not None:
            refuse_all_but_scalars(fn, fp)
            if actions is not None:
                raise ValueError("actions must come without a threshold, which is for two classes.")
        GivenCosts.of(fn, fp, actions).refuse()
        dtype = cost_dtype(fn, fp, actions)
        costs = as_jax("fn", fn, dtype), as_jax("fp", fp, dtype), as_jax("actions", actions, dtype)
        leaves, self._structure = jax.tree.flatten(costs)
        # Not MetricState: what sums or resets states by that type must not change the costs.
        # A list of arrays: Orbax restores costs of pairs as a dict. Every Flax can iterate over it:
        # `get_value` came with 0.12, where `value` is deprecated.
        self.costs: nnx.Variable[Any] = nnx.Variable(leaves)
        self.total = nnx.metrics.MetricState(jnp.zeros((), dtype))
        self.rounded_off = nnx.metrics.MetricState(jnp.zeros((), dtype))
        self.count = nnx.metrics.MetricState(jnp.zeros((), dtype))
        self.count_rounded_off = nnx.metrics.MetricState(jnp.zeros((), dtype))

    def reset(self) -> None:
        """Forgets all batches."""
        for state in (self.total, self.rounded_off, self.count, self.count_rounded_off):
            state[...] = jnp.zeros_like(state[...])

    def update(
        self,
        *,
        labels: ArrayLike | None = None,
        logits: ArrayLike | None = None,
        predictions: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        where: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        fn: CostsLike | ExampleCosts | None = None,
        fp: CostsLike | PairCosts | ExampleCosts | None = None,
        **_: Any,
    ) -> None:
        """Counts a batch, given the labels and either predictions or logits.

        Args:
            labels: The truth: class ids, or class probabilities ``(..., K)``; if there is a
                threshold 0 and 1 of any dtype, or probabilities in [0, 1].
            logits: Scores, one per example if there is a threshold; else ``(..., K)``: the class
                with the largest one is decided. For decisions of least expected cost pass
                predictions.
            predictions: Decisions, one per example: ids of classes and actions; or booleans or 0
                and 1, if there is a threshold. If they are given, the logits are ignored.
            mask: Boolean mask over the examples. Those that it leaves out do not count, whatever
                they hold.
            where: The same by the name that it has elsewhere. Both at once are refused.
            weights: One number per example, 0 or more: an example of weight w counts as w examples.
            fn: The costs of this batch, in place of the metric's own: for example
                ``rwwce.ExampleCosts``, or one cost per example if there is a threshold.
            fp: Likewise.
            **_: Arguments of the other metrics in a ``MultiMetric``, ignored.

        Raises:
            TypeError: if labels, or both predictions and logits, are missing, or a dtype is wrong.
            ValueError: if a shape does not fit, or nothing tells whether predictions are of two
                classes or of more.
        """
        if labels is None:
            raise TypeError("labels must be given, as a keyword argument.")
        own_fn, own_fp, actions = jax.tree.unflatten(self._structure, self.costs)
        fn, fp = (own_fn if fn is None else fn), (own_fp if fp is None else fp)
        truth = arguments.as_array("labels", labels)
        are_ids = self.threshold is not None or jnp.issubdtype(truth.dtype, jnp.integer)
        shape = truth.shape if are_ids or truth.ndim < 2 else truth.shape[:-1]
        if mask is not None and where is not None:
            raise ValueError("mask must come without where, which is another name for it.")
        where = arguments.mask("mask", mask, shape) if where is None else where
        counted = Counted.of(where, weights, shape, self.count[...].dtype)
        if predictions is None and logits is None:
            raise TypeError("predictions or logits must be given, as a keyword argument.")
        metric: Callable[..., jax.Array] = binary_real_world_cost
        if self.threshold is None:
            metric = functools.partial(categorical_real_world_cost, actions=actions)
            costs = GivenCosts.of(fn, fp, actions)
            if predictions is None:
                predictions = largest(logits, shape, costs.num_classes)
            elif truth.shape == shape and not costs.are_categorical:
                raise ValueError(
                    "predictions must come with a threshold if they are binary, else with fn of "
                    "shape (K,) or fp of shape (K, K), got two scalar costs and no threshold."
                )
        elif predictions is None:
            predictions = above(logits, self.threshold)
        cost = metric(predictions, truth, fn, fp, **counted._asdict(), reduction="sum")
        number = _number(cost, counted, size=math.prod(shape))
        self.total[...], rounded_off = two_sum(self.total[...], cost)
        self.rounded_off[...] += rounded_off
        self.count[...], rounded_off = two_sum(self.count[...], number)
        self.count_rounded_off[...] += rounded_off

    def compute(self) -> jax.Array:
        """Returns the mean cost per example so far, a scalar in the unit of the costs."""
        total = self.total[...] + self.rounded_off[...]
        return total / (self.count[...] + self.count_rounded_off[...])


@compiled
def _number(cost: jax.Array, counted: Counted, *, size: int) -> jax.Array:
    # As the cost, of whose devices it then is: weights may live on one.
    return depending_on(jnp.asarray(counted.number(size)).astype(cost.dtype), cost)
