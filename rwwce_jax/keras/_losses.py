"""The losses for Keras 3 on its JAX backend."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rwwce_jax._checks.types import CostsLike
from rwwce_jax.costs import PairCosts
from rwwce_jax.keras._shared import WithCosts, class_ids, keras, like, select, weighted, weights_of
from rwwce_jax.losses import binary, categorical


class _Loss(WithCosts, keras.losses.Loss):
    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> jax.Array:
        """Returns the loss, masked, weighted and reduced as Keras does it.

        Examples that a mask or a weight of 0 leaves out change neither value nor gradient, whatever
        they hold.
        """
        logits = jnp.asarray(y_pred)
        examples = logits.shape[:-1] if logits.ndim > 1 else logits.shape
        weights = weights_of(examples, y_pred, sample_weight)
        losses = self.call(select(weights, jnp.asarray(y_true)), select(weights, logits))
        return weighted(losses, y_pred, sample_weight, self.reduction)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments as numbers and lists."""
        return {**super().get_config(), "reduction": self.reduction}


@keras.saving.register_keras_serializable(package="rwwce_jax")
class BinaryRWWCE(_Loss):
    r"""The loss ``rwwce.binary`` for ``model.compile``.

    Keras passes the labels, the model's outputs and the weights of the examples, including
    ``class_weight``. The loss is computed in at least float32, whatever the dtype policy.

    Args:
        fn: Marginal cost of a false negative, a scalar.
        fp: Marginal cost of a false positive, a scalar.
        reduction: As for the losses of Keras: ``"sum_over_batch_size"``, which divides the sum of
            weighted losses by the number of examples, ``"sum"``, or None.
        name: The name of the loss.

    Raises:
        TypeError: if the costs are not real numbers.
        ValueError: if they are not scalars. When called, if the labels do not have the logits'
            shape.

    Note:
        The model's outputs are logits: its last layer has no activation. Logits and labels are
        ``(N,)`` or ``(N, 1)``, in any combination. For logits ``(N, ..., M)`` it takes the mean
        over the last axis, as ``keras.losses.BinaryCrossentropy`` does. Examples that a Keras mask
        or a weight of 0 leaves out change neither value nor gradient, whatever they hold.

    Example:
        >>> import numpy as np
        >>> from rwwce_jax.keras import BinaryRWWCE
        >>> loss = BinaryRWWCE(fn=2000.0, fp=100.0)
        >>> print(f"{loss(np.array([1, 0, 0]), np.array([[2.0], [-1.0], [0.5]])):.2f}")
        127.53

    References:
        Y. Ho and S. Wookey, "The Real-World-Weight Cross-Entropy Loss Function", IEEE Access 8,
        2020, equation 5.
    """

    def __init__(
        self,
        fn: CostsLike,
        fp: CostsLike,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_rwwce",
    ) -> None:
        """Checks and holds the costs."""
        super().__init__(name=name, reduction=reduction)
        self._hold(fn, fp, are_binary=True)

    def call(self, y_true: ArrayLike, y_pred: ArrayLike) -> jax.Array:
        """Returns one loss per example, averaged over the last axis if there are several."""
        logits = jnp.asarray(y_pred)
        labels = like(jnp.asarray(y_true), logits.shape)
        losses = binary(logits, labels, self.fn, self.fp, reduction="none")
        return losses if losses.ndim < 2 else jnp.mean(losses, axis=-1)


@keras.saving.register_keras_serializable(package="rwwce_jax")
class CategoricalRWWCE(_Loss):
    r"""The loss ``rwwce.categorical`` for ``model.compile``.

    Keras passes the labels, the model's outputs and the weights of the examples, including
    ``class_weight``. The loss is computed in at least float32, whatever the dtype policy.

    Args:
        fn: Cost of a false negative, by true class: a scalar or ``(K,)``. See ``rwwce.Costs``.
        fp: Extra cost of a false positive: a scalar, ``(K, K)``, or ``rwwce.pair_costs``.
        reduction: As for the losses of Keras: ``"sum_over_batch_size"``, which divides the sum of
            weighted losses by the number of examples, ``"sum"``, or None.
        name: The name of the loss.

    Raises:
        TypeError: if the costs are not real numbers, or are ``rwwce.ExampleCosts``.
        ValueError: if their shapes are none of these. When called, if the labels do not fit the
            logits, or the costs not their classes.

    Note:
        The model's outputs are logits ``(..., K)``: its last layer has no softmax. Labels are class
        ids of any dtype, ``(...)`` or ``(..., 1)``, or class probabilities ``(..., K)``; the shape
        decides. An id that is no class, or no whole number, gives NaN. Examples that a Keras mask
        or a weight of 0 leaves out change neither value nor gradient, whatever they hold.

    Example:
        >>> import numpy as np
        >>> from rwwce_jax.keras import CategoricalRWWCE
        >>> fp = np.zeros((10, 10))
        >>> fp[4, 9] = 19.0
        >>> logits = np.zeros((1, 10))
        >>> logits[0, 9] = 3.0
        >>> print(f"{CategoricalRWWCE(fn=1.0, fp=fp)(np.array([[4]]), logits):.3f}")
        25.658

    References:
        Y. Ho and S. Wookey, "The Real-World-Weight Cross-Entropy Loss Function", IEEE Access 8,
        2020, equation 6.
    """

    def __init__(
        self,
        fn: CostsLike,
        fp: CostsLike | PairCosts,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_rwwce",
    ) -> None:
        """Checks and holds the costs."""
        super().__init__(name=name, reduction=reduction)
        self._hold(fn, fp, are_binary=False)

    def call(self, y_true: ArrayLike, y_pred: ArrayLike) -> jax.Array:
        """Returns one loss per example, of the logits' shape without the classes."""
        logits, labels = jnp.asarray(y_pred), jnp.asarray(y_true)
        if labels.shape == logits.shape:
            labels = labels.astype(logits.dtype)
        else:
            labels = class_ids(labels, logits.shape[:-1])
        return categorical(logits, labels, self.fn, self.fp, reduction="none")
