"""The Real World Cost for Keras 3 on its JAX backend."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rwwce_jax._checks import CostsLike, arguments
from rwwce_jax.costs import ExampleCosts, PairCosts
from rwwce_jax.keras._shared import WithCosts, class_ids, keras, like, select
from rwwce_jax.metrics import binary_real_world_cost, categorical_real_world_cost
from rwwce_jax.metrics._predictions import above, largest


@keras.saving.register_keras_serializable(package="rwwce_jax")
class RealWorldCost(WithCosts, keras.metrics.Mean):
    """The mean cost of a classifier's mistakes per example, over all batches since the last reset.

    It is what the decisions cost above what the right decisions cost, binary with a threshold, and
    categorical without one. As for all metrics of Keras, the
    weights of the examples count in ``compile(weighted_metrics=[...])`` but not in
    ``compile(metrics=[...])``; masks count in both.

    Args:
        fn: Cost of a false negative: a scalar, or for more than two classes ``(K,)``, by true
            class. See ``rwwce.Costs``. Or None: that of each example is its ``sample_weight``,
            which then counts as no weight: the sum is divided by the number of the examples.
        fp: Extra cost of a false positive: a scalar, or for more than two classes ``(K, K)`` or
            ``rwwce.pair_costs``; or None, likewise.
        threshold: For binary decisions only: outputs above it are decided positive. For logits it
            is 0.0 if the model was trained with ``BinaryRWWCE`` and these costs, and
            ``math.log(fp / fn)`` if it was trained with plain cross-entropy. For probabilities it
            is 0.5, and ``fp / (fn + fp)``.
        name: The name of the metric.

    Raises:
        TypeError: if the costs are not real numbers, or are ``rwwce.ExampleCosts``.
        ValueError: if their shapes are none of these. When updated, if the labels do not fit the
            outputs.

    Note:
        ``update_state(y_true, y_pred, sample_weight=None)`` takes the labels that the losses take.
        Outputs of a floating dtype are scores: the class with the largest one is decided, or they
        are compared with the threshold. Integers and booleans are decisions. NaN among an example's
        scores, or a label or decision that is no class, makes the result NaN until the next reset,
        unless a mask or a weight of 0 leaves the example out. Before the first example the result
        is 0, as for ``keras.metrics.Mean``.

    Example:
        >>> import numpy as np
        >>> from rwwce_jax.keras import RealWorldCost
        >>> metric = RealWorldCost(fn=2000.0, fp=100.0, threshold=0.0)
        >>> metric.update_state(np.array([0, 0]), np.array([[2.0], [-1.0]]))
        >>> metric.update_state(np.array([1, 1]), np.array([[3.0], [4.0]]))
        >>> print(metric.result())
        25.0

    References:
        Y. Ho and S. Wookey, "The Real-World-Weight Cross-Entropy Loss Function", IEEE Access 8,
        2020, sections IV and V.
    """

    _saved = ("name", "threshold")

    def __init__(
        self,
        fn: CostsLike | None,
        fp: CostsLike | PairCosts | None,
        threshold: float | None = None,
        name: str = "real_world_cost",
    ) -> None:
        """Checks and holds the costs. Nothing is counted yet."""
        super().__init__(name=name, dtype=jnp.zeros(()).dtype.name)
        self.threshold = None if threshold is None else float(threshold)
        self._hold(fn, fp, are_binary=threshold is not None)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Counts a batch."""
        labels, outputs, own, weights, _ = self._batch(y_true, y_pred, sample_weight)
        are_scores = jnp.issubdtype(outputs.dtype, jnp.floating)
        metric: Callable[..., jax.Array] = binary_real_world_cost
        if self.threshold is not None:
            decisions = above(outputs, self.threshold) if are_scores else outputs
            labels = like(labels, outputs.shape)
            own = jnp.expand_dims(own, range(own.ndim, outputs.ndim))
            fn, fp = self._costs(own, own)
        else:
            metric = categorical_real_world_cost
            if are_scores and labels.shape == outputs.shape:
                labels = jnp.argmax(labels, axis=-1)
            labels = class_ids(labels, weights.shape)
            decisions = largest(outputs, labels.shape, self._num_classes) if are_scores else outputs
            # Only the decided class can cost anything.
            of_decided = ExampleCosts(own[..., None], classes=decisions[..., None])
            fn, fp = self._costs(ExampleCosts(own), of_decided)
        arguments.same_shape("y_true", labels, decisions.shape, "the shape of the examples")
        costs = metric(decisions, labels, fn, fp, reduction="none")
        if self.threshold is not None and costs.ndim > 1:
            costs = jnp.mean(costs, axis=-1)
        super().update_state(select(weights, costs).ravel(), sample_weight=weights.ravel())
