"""Shared by the losses and the metric for Keras: the backend, costs, weights and labels."""

from typing import Any, Self

import jax
import jax.numpy as jnp

from rwwce_jax._checks import arguments
from rwwce_jax._checks.imports import needs
from rwwce_jax._checks.types import CostsLike
from rwwce_jax.costs import PairCosts
from rwwce_jax.costs._convert import (
    GivenCosts,
    as_jax,
    as_numpy,
    from_json,
    refuse_all_but_scalar,
    refuse_examples,
    to_json,
)

_BACKEND = (
    "rwwce_jax.keras needs Keras on the JAX backend, got {}; set the environment variable "
    "KERAS_BACKEND=jax before Keras is imported."
)

_REMEDY = "give None, and the costs of the examples as sample_weight"

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

    name: str
    fn: Any  # an array or None
    fp: Any  # an array, PairCosts or None

    def _hold(
        self, fn: CostsLike | None, fp: CostsLike | PairCosts | None, *, are_binary: bool
    ) -> None:
        self._known = [0.0 if costs is None else costs for costs in (fn, fp)]
        for name, costs in zip(("fn", "fp"), self._known, strict=True):
            refuse_examples(name, costs, _REMEDY)
            if are_binary:
                refuse_all_but_scalar(name, as_jax(name, costs, jnp.float32))
        GivenCosts.of(*self._known).refuse()
        # NumPy arrays keep all digits in JSON, and zeros in them are known while tracing.
        self.fn, self.fp = as_numpy(fn), as_numpy(fp)

    def _own_costs(self, examples: tuple[int, ...], sample_weight: Any) -> tuple[Any, Any]:
        """The costs of the examples, which come as their weights, and the weights without them."""
        if self.fn is not None and self.fp is not None:
            return None, sample_weight
        if sample_weight is None:
            raise ValueError(
                "sample_weight must hold the costs of the examples where fn or fp is None, got "
                "None; Keras passes it to the metrics in weighted_metrics only."
            )
        return weights_of(examples, jnp.zeros(()), sample_weight), None

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments as numbers and lists."""
        return {"name": self.name, "fn": to_json(self.fn), "fp": to_json(self.fp)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Builds the object from what ``get_config`` returned."""
        return cls(**{**config, "fp": from_json(config["fp"])})


class _Weighted(keras.losses.Loss):
    """Lets Keras mask, weight and reduce values that are passed as the truth."""

    def call(self, y_true: jax.Array, y_pred: jax.Array) -> jax.Array:
        return y_true


def weighted(
    values: jax.Array, y_pred: Any, sample_weight: Any, reduction: str | None
) -> jax.Array:
    reduce = _Weighted(name="weighted", reduction=reduction, dtype=values.dtype.name)
    return reduce(values, y_pred, sample_weight)


def weights_of(shape: tuple[int, ...], y_pred: Any, sample_weight: Any) -> jax.Array:
    """The weight that Keras gives each example, 0 where a mask leaves it out."""
    return like(weighted(jnp.ones(shape), y_pred, sample_weight, None), shape)


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
