"""Converts the truth and the decisions of examples, or refuses them, as ``arguments`` does.

What is no class, or no probability, cannot raise in compiled code: it becomes NaN.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from rwwce_jax._checks import arguments
from rwwce_jax._checks.types import Shape


def class_labels(
    name: str, value: object, shape: Shape, axis: int, dtype: DTypeLike
) -> tuple[jax.Array, jax.Array | None]:
    """The truth of scores of this shape, with the classes last; the dtype tells which it is.

    Class ids as by ``class_ids``, or class probabilities as by ``probabilities`` and None.
    """
    array = arguments.as_array(name, value)
    examples = (*shape[:axis], *shape[axis + 1 :])
    if jnp.issubdtype(array.dtype, jnp.integer):
        return class_ids(name, array, examples, shape[axis])
    if array.shape in (examples, (*examples, 1)) and array.shape != shape:
        raise TypeError(
            f"{name} of shape {array.shape} must be integer class ids, got dtype {array.dtype}; "
            f"class probabilities have the logits' shape {shape}."
        )
    arguments.same_shape(name, array, shape, "the logits' shape")
    return arguments.moved_axis(probabilities(name, array, dtype), axis, -1), None


def decided_and_labels(
    predictions: Any, labels: Any, num_classes: int | None, num_actions: int, dtype: DTypeLike
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Ids of decisions; the truth, class ids or class probabilities; and which ids are valid.

    The dtype and the axes of the truth tell which it is.
    """
    num_decisions = None if num_classes is None else num_classes + num_actions
    decided, valid = class_ids("predictions", predictions, None, num_decisions)
    array, examples = arguments.as_array("labels", labels), decided.shape
    are_ids = jnp.issubdtype(array.dtype, jnp.integer)
    if are_ids or array.ndim != len(examples) + 1 or array.shape[-1] < 2:
        truth, truth_valid = class_ids("labels", array, examples, num_classes)
        return decided, truth, valid & truth_valid
    shape = (*examples, array.shape[-1] if num_classes is None else num_classes)
    arguments.same_shape("labels", array, shape, "one probability per class of each example, shape")
    return decided, probabilities("labels", array, dtype), valid


def class_ids(
    name: str, value: object, shape: Shape | None, num_classes: int | None
) -> tuple[jax.Array, jax.Array]:
    """Class ids as int32, 0 in place of those outside [0, K), and the mask of the valid ones."""
    array = _integer_ids(name, value)
    if shape is not None and array.shape != shape:
        hints = {1: "; remove the last axis", num_classes: "; one-hot labels must be floats"}
        hint = hints.get(array.shape[-1], "") if array.shape[:-1] == shape else ""
        raise ValueError(
            f"{name} must be class ids with the shape of the examples {shape}, "
            f"got shape {array.shape}{hint}."
        )
    return arguments.as_int32(array, num_classes)


def _integer_ids(name: str, value: object) -> jax.Array | np.ndarray:
    array = arguments.as_array(name, value)
    are_scores = name == "predictions" and jnp.issubdtype(array.dtype, jnp.floating)
    hint = "; of logits or probabilities take argmax(-1)" if are_scores else ""
    arguments.check_dtype(name, array, "integer class ids", np.integer, hint=hint)
    return array


# The ids of slots that hold no class: of an empty one, and of any other.
EMPTY, INVALID = -1, -2


def class_slots(name: str, value: object, examples: Shape, num_classes: int | None) -> jax.Array:
    """The class ids of each example, (..., P), as int32, with ``EMPTY`` or ``INVALID`` for none."""
    array = _integer_ids(name, value)
    if array.shape[:-1] != examples or array.ndim == 0:
        raise ValueError(
            f"{name} must be class ids with the shape of the examples {examples} and one more "
            f"axis, got shape {array.shape}."
        )
    ids, valid = arguments.as_int32(array, num_classes)
    return jnp.where(valid, ids, jnp.where(jnp.asarray(array == EMPTY), EMPTY, INVALID))


def probabilities(name: str, array: jax.Array | np.ndarray, dtype: DTypeLike) -> jax.Array:
    """Numbers in [0, 1]; rounding errors outside of it are clipped, and the rest becomes NaN.

    A softmax that is summed over a few classes, or 1 - p, is off by some rounding errors.
    """
    given = array.dtype if jnp.issubdtype(array.dtype, jnp.floating) else dtype
    tolerance = 8 * max(float(jnp.finfo(x).eps) for x in (given, dtype))
    return _clipped(arguments.reals(name, array, dtype), tolerance)


@partial(jax.jit, static_argnums=1, inline=True)
def _clipped(p: jax.Array, tolerance: float) -> jax.Array:
    # Not jnp.clip, which halves the gradient at 0 and 1.
    clipped = jnp.where(p < 0, 0, jnp.where(p > 1, 1, p))
    return jnp.where((p >= -tolerance) & (p <= 1 + tolerance), clipped, jnp.nan)


def binary_labels(name: str, value: object, shape: Shape, dtype: DTypeLike) -> jax.Array:
    """Numbers in [0, 1], as by ``probabilities``; any other, such as -1, becomes NaN."""
    array = probabilities(name, arguments.as_array(name, value), dtype)
    hint = ""
    if array.shape == (*shape, 1):
        hint = "; remove the last axis"
    elif shape == (*array.shape, 1):
        hint = "; give the examples without their last axis, x[..., 0]"
    arguments.same_shape(name, array, shape, "the shape of the examples", hint)
    return array


def binary_decisions(predictions: object) -> jax.Array:
    """Binary decisions, booleans or integers."""
    array = arguments.as_array("predictions", predictions)
    meaning = "decisions, booleans or the integers 0 and 1"
    hint = "; compare a probability with a threshold first"
    arguments.check_dtype("predictions", array, meaning, np.bool_, np.integer, hint=hint)
    # JAX's strict promotion cannot compare booleans with 0 and 1.
    return jnp.asarray(array.astype(np.int32) if array.dtype == bool else array)
