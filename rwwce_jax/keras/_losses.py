"""The losses for Keras 3 on its JAX backend."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rwwce_jax._checks import CostsLike, arguments
from rwwce_jax._checks.labels import probabilities
from rwwce_jax.costs import ExampleCosts, PairCosts
from rwwce_jax.keras._shared import WithCosts, class_ids, keras, like, reduced, select
from rwwce_jax.losses import binary, categorical

_TINY = float(jnp.finfo(jnp.float32).tiny)
_EPS = float(jnp.finfo(jnp.float32).eps)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _log(p: jax.Array, least: float) -> jax.Array:
    """The logarithm of ``max(p, least)``, flat below."""
    return jnp.log(jnp.maximum(p, least))


def _log_backward(least: float, p: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    # A cost over a tiny probability overflows; the softmax before multiplies by p again.
    most = jnp.finfo(p.dtype).max
    return (jnp.where(p < least, 0, jnp.clip(gradient / jnp.maximum(p, least), -most, most)),)


_log.defvjp(lambda p, least: (_log(p, least), p), _log_backward)


class _Loss(WithCosts, keras.losses.Loss):
    _saved = ("name", "reduction", "from_logits")

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> jax.Array:
        """Returns the loss, masked, weighted and reduced as Keras does it.

        Examples that a mask or a weight of 0 leaves out change neither value nor gradient, whatever
        they hold.
        """
        *arrays, weights, sample_weight = self._batch(y_true, y_pred, sample_weight)
        losses = self.call(*(select(weights, array) for array in arrays))
        return reduced(losses, y_pred, sample_weight, self.reduction)

    def _probabilities(self, outputs: jax.Array) -> jax.Array:
        return probabilities("y_pred", outputs, arguments.at_least_float32(outputs.dtype))


@keras.saving.register_keras_serializable(package="rwwce_jax")
class BinaryRWWCE(_Loss):
    r"""The loss ``rwwce.binary`` for ``model.compile``.

    Keras passes the labels, the model's outputs and the weights of the examples, including
    ``class_weight``. The loss is computed in at least float32, whatever the dtype policy.

    Args:
        fn: Marginal cost of a false negative, a scalar; or None: that of each example is its
            ``sample_weight``.
        fp: Marginal cost of a false positive, a scalar or None, likewise.
        reduction: As for the losses of Keras: ``"sum_over_batch_size"``, which divides the sum of
            weighted losses by the number of examples, ``"sum"``, or None.
        name: The name of the loss.
        from_logits: Whether the model's outputs are logits; else they are probabilities.

    Raises:
        TypeError: if the costs are not real numbers.
        ValueError: if they are not scalars. When called, if the labels do not have the logits'
            shape.

    Note:
        Outputs and labels are ``(N,)`` or ``(N, 1)``, in any combination. For outputs
        ``(N, ..., M)`` it takes the mean over the last axis, as
        ``keras.losses.BinaryCrossentropy`` does. Examples that a Keras mask or a weight of 0 leaves
        out change neither value nor gradient, whatever they hold. As a logit, a probability p is
        ``log(p) - log(max(1 - p, 1.2e-7))``: what p says beyond is lost, and the gradient with it,
        where logits keep both. Numbers outside of [0, 1] are no probabilities, and give NaN.

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
        fn: CostsLike | None,
        fp: CostsLike | None,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_rwwce",
        from_logits: bool = True,
    ) -> None:
        """Checks and holds the costs."""
        super().__init__(name=name, reduction=reduction)
        self.from_logits = from_logits
        self._hold(fn, fp, are_binary=True)

    def call(self, y_true: ArrayLike, y_pred: ArrayLike, own: Any = None) -> jax.Array:
        """Returns one loss per example, averaged over the last axis if there are several.

        ``own`` are the costs of the examples, where ``fn`` or ``fp`` is None.
        """
        logits = jnp.asarray(y_pred)
        if not self.from_logits:
            p = self._probabilities(logits)
            logits = _log(p, _TINY) - _log(1 - p, _EPS)
        if own is not None:
            own = jnp.expand_dims(own, range(own.ndim, logits.ndim))
        fn, fp = self._costs(own, own)
        labels = like(jnp.asarray(y_true), logits.shape)
        losses = binary(logits, labels, fn, fp, reduction="none")
        return losses if losses.ndim < 2 else jnp.mean(losses, axis=-1)


@keras.saving.register_keras_serializable(package="rwwce_jax")
class CategoricalRWWCE(_Loss):
    r"""The loss ``rwwce.categorical`` for ``model.compile``.

    Keras passes the labels, the model's outputs and the weights of the examples, including
    ``class_weight``. The loss is computed in at least float32, whatever the dtype policy.

    Args:
        fn: Cost of a false negative, by true class: a scalar or ``(K,)``. See ``rwwce.Costs``. Or
            None: that of each example is its ``sample_weight``.
        fp: Extra cost of a false positive: a scalar, ``(K, K)``, or ``rwwce.pair_costs``; or None,
            likewise.
        reduction: As for the losses of Keras: ``"sum_over_batch_size"``, which divides the sum of
            weighted losses by the number of examples, ``"sum"``, or None.
        name: The name of the loss.
        from_logits: Whether the model's outputs are logits; else they are probabilities.

    Raises:
        TypeError: if the costs are not real numbers, or are ``rwwce.ExampleCosts``.
        ValueError: if their shapes are none of these. When called, if the labels do not fit the
            logits, or the costs not their classes.

    Note:
        The model's outputs are ``(..., K)``. Labels are class ids of any dtype, ``(...)`` or
        ``(..., 1)``, or class probabilities ``(..., K)``; the shape decides. An id that is no
        class, or no whole number, gives NaN. Examples that a Keras mask or a weight of 0 leaves out
        change neither value nor gradient, whatever they hold. Of probabilities it takes the log,
        floored at float32's smallest normal number, so that a softmax before gets the gradient of
        its logits, while the cost over the probability is within float32's range. Numbers outside
        of [0, 1] are no probabilities, and give NaN.

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
        fn: CostsLike | None,
        fp: CostsLike | PairCosts | None,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_rwwce",
        from_logits: bool = True,
    ) -> None:
        """Checks and holds the costs."""
        super().__init__(name=name, reduction=reduction)
        self.from_logits = from_logits
        self._hold(fn, fp, are_binary=False)

    def call(self, y_true: ArrayLike, y_pred: ArrayLike, own: Any = None) -> jax.Array:
        """Returns one loss per example, of the outputs' shape without the classes.

        ``own`` are the costs of the examples, where ``fn`` or ``fp`` is None.
        """
        logits, labels = jnp.asarray(y_pred), jnp.asarray(y_true)
        if not self.from_logits:
            logits = _log(self._probabilities(logits), _TINY)
        if labels.shape == logits.shape:
            labels = labels.astype(arguments.at_least_float32(logits.dtype))
        else:
            labels = class_ids(labels, logits.shape[:-1])
        fn, fp = self.fn, self.fp
        if own is not None:
            rows = jnp.broadcast_to(own[..., None], logits.shape)
            fn, fp = self._costs(ExampleCosts(own), ExampleCosts(rows))
        return categorical(logits, labels, fn, fp, reduction="none")
