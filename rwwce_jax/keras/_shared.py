"""Shared by the losses and the metric for Keras: the backend, costs, weights and labels."""

from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp

from rwwce_jax._checks import arguments
from rwwce_jax._checks.imports import needs
from rwwce_jax.costs._convert import GivenCosts, as_numpy, from_json, to_json

_BACKEND = (
    "rwwce_jax.keras needs Keras on the JAX backend, got {}; set the environment variable "
    "KERAS_BACKEND=jax before Keras is imported."
)

try:
    with needs("keras", "Keras", "keras"):
        import keras as keras  # for rwwce_jax.keras as well
except ModuleNotFoundError as error:
    if error.name not in ("tensorflow", "torch", "openvino"):
        raise
    raise ImportError(_BACKEND.format(f"{error.name}, which is not installed")) from None
if keras.config.backend() != "jax":
    raise ImportError(_BACKEND.format(keras.config.backend()))


class WithCosts:
    """Checks the costs, keeps them, and saves them with the model."""

    _saved: ClassVar[tuple[str, ...]]  # the other arguments

    def _hold(self, fn: Any, fp: Any, *, are_binary: bool) -> None:
        """Refuses costs that do not fit, and keeps the others: arrays, costs of pairs, or None."""
        given = GivenCosts.shared(fn, fp, "as sample_weight", are_scalars=are_binary)
        self._num_classes, self._are_binary = given.num_classes, are_binary
        # NumPy arrays keep all digits in JSON, and zeros in them are known while tracing.
        self.fn, self.fp = as_numpy(fn), as_numpy(fp)

    def _batch(self, y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Any, ...]:
        """Returns labels, outputs, and by example: own costs, weights, and the weights as given.

        Where ``fn`` or ``fp`` is None, the given weights are the costs, and no weights are left.
        Else the costs of their own are one 0, which nothing uses.
        """
        labels, outputs = as_jax_array("labels", y_true), as_jax_array("y_pred", y_pred)
        are_scores = jnp.issubdtype(outputs.dtype, jnp.floating)
        are_rows = outputs.ndim > 1 if self._are_binary else are_scores
        examples = outputs.shape[:-1] if are_rows else outputs.shape
        own = jnp.zeros(())
        if self.fn is None or self.fp is None:
            if sample_weight is None:
                raise ValueError(
                    "sample_weight must hold the costs of the examples where fn or fp is None, got "
                    "None; Keras passes it to the metrics in weighted_metrics only."
                )
            own, sample_weight = weights_of(examples, jnp.zeros(()), sample_weight), None
        weights = weights_of(examples, y_pred, sample_weight)
        return labels, outputs, own, weights, sample_weight

    def _costs(self, own_fn: Any, own_fp: Any) -> tuple[Any, Any]:
        """Returns ``fn`` and ``fp``; where one is None, the costs of the examples."""
        return own_fn if self.fn is None else self.fn, own_fp if self.fp is None else self.fp

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments as numbers and lists."""
        others = {name: getattr(self, name) for name in self._saved}
        return {"fn": to_json(self.fn), "fp": to_json(self.fp), **others}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Builds the object from what ``get_config`` returned."""
        return cls(**{**config, "fp": from_json(config["fp"])})


class _Identity(keras.losses.Loss):
    """A loss of Keras whose values are given: they are passed as the truth."""

    def call(self, y_true: jax.Array, y_pred: jax.Array) -> jax.Array:
        return y_true


def reduced(values: jax.Array, y_pred: Any, sample_weight: Any, reduction: str | None) -> jax.Array:
    """The values masked as the outputs are, weighted and reduced by Keras."""
    reduce = _Identity(name="weighted", reduction=reduction, dtype=values.dtype.name)
    return reduce(values, y_pred, sample_weight)


def weights_of(shape: tuple[int, ...], y_pred: Any, sample_weight: Any) -> jax.Array:
    """The weight that Keras gives each example, 0 where a mask leaves it out."""
    return like(reduced(jnp.ones(shape), y_pred, sample_weight, None), shape)


def select(weights: jax.Array, array: jax.Array) -> jax.Array:
    """Zeros in place of examples of weight 0, so that a NaN in them is not multiplied with 0."""
    if array.shape[: weights.ndim] != weights.shape:  # it does not fit, and is refused later
        return array
    weights = jnp.expand_dims(weights, range(weights.ndim, array.ndim))
    return jnp.where(weights != 0, array, 0)


def like(array: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The array in this shape, if only a last axis of 1 differs."""
    if (*array.shape, 1) == shape or array.shape == (*shape, 1):
        return array.reshape(shape)
    return array


def as_jax_array(name: str, value: Any) -> jax.Array:
    """The argument for JAX, which would cut ids of 64 bits: what 32 do not hold is no class."""
    array = arguments.as_array(name, value)
    if jnp.issubdtype(array.dtype, jnp.integer):
        bounds = jnp.iinfo(array.dtype)
        array = array.clip(max(bounds.min, -1), min(bounds.max, 2**31 - 1))
    return jnp.asarray(array)


def class_ids(labels: jax.Array, examples: tuple[int, ...]) -> jax.Array:
    """Class ids as integers without a last axis of 1. Keras may have turned them into floats."""
    labels = like(labels, examples)
    if not jnp.issubdtype(labels.dtype, jnp.floating):
        return labels.astype(jnp.int32)
    return jnp.where(labels == jnp.floor(labels), labels, -1).astype(jnp.int32)
