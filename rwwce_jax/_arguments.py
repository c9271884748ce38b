"""Converts arguments, and refuses them: one sentence with what was expected and what came.

What shapes and dtypes tell raises here, eagerly and while JAX traces. What only values tell cannot
raise in compiled code: there it becomes NaN (``class_ids``, ``probabilities``).
"""

import operator

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rwwce_jax._sharding import movable

REDUCTIONS = ("mean", "sum", "none")


def as_array(name: str, value: object) -> jax.Array | np.ndarray:
    """As an array, but what is not JAX's yet stays NumPy's: JAX would cut 64-bit numbers to 32."""
    if isinstance(value, jax.Array):
        return movable(value)
    try:
        if isinstance(value, (list, tuple)) and any(
            isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(value)
        ):
            return jnp.asarray(value)  # NumPy cannot look into a tracer.
        array = np.asarray(value)
    except (TypeError, ValueError) as error:  # such as rows of different lengths
        raise ValueError(f"{name} must be an array of numbers, got {value!r:.80}.") from error
    if array.dtype.kind in "OSTUmM":  # objects, strings, and times, which NumPy takes for integers
        are_names = array.dtype.kind in "STU" or any(isinstance(x, str) for x in array.flat[:1])
        hint = "; encode names as class ids, such as by numpy.unique(..., return_inverse=True)"
        hint = hint if are_names and name in ("labels", "predictions") else ""
        raise TypeError(f"{name} must be an array of numbers, got {value!r:.80}{hint}.")
    return array


def known_costs(name: str, value: ArrayLike) -> np.ndarray:
    """Costs outside of compiled code, in double precision."""
    array = np.asarray(as_array(name, value))
    if not (jnp.issubdtype(array.dtype, jnp.integer) or jnp.issubdtype(array.dtype, jnp.floating)):
        raise TypeError(f"{name} must be costs, integers or floats, got dtype {array.dtype}.")
    return array.astype(np.float64)


def logits(name: str, value: ArrayLike) -> jax.Array:
    """Floating-point scores, in at least float32."""
    array = as_array(name, value)
    if not jnp.issubdtype(array.dtype, jnp.floating) or array.dtype.itemsize > 8:
        raise TypeError(
            f"{name} must be floating-point unnormalised scores, got dtype {array.dtype}."
        )
    array = jnp.asarray(array)
    return array if array.dtype.itemsize >= 4 else array.astype(jnp.float32)


def class_axis(name: str, scores: jax.Array, axis: int, binary: str) -> int:
    """The axis as a non-negative number, where it holds two or more classes.

    ``binary`` is the function for two classes with one score per example.
    """
    axis = integer("axis", axis)
    if not -scores.ndim <= axis < scores.ndim:
        raise ValueError(
            f"{name} must have a class axis {axis}, got {name} of shape {scores.shape}."
        )
    if scores.shape[axis] < 2:
        raise ValueError(
            f"{name} must score at least 2 classes along axis {axis}, got shape {scores.shape}; "
            f"for one score per example use rwwce_jax.{binary}."
        )
    return axis % scores.ndim


def integer(name: str, value: int) -> int:
    """A number that is known while tracing."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a Python integer, got {value!r:.80}.") from None


def reals(name: str, value: ArrayLike, dtype: jax.typing.DTypeLike) -> jax.Array:
    """Integers, booleans or floats, as ``dtype``."""
    array = as_array(name, value)
    if not (array.dtype == bool or jnp.issubdtype(array.dtype, jnp.integer)) and not (
        jnp.issubdtype(array.dtype, jnp.floating)
    ):
        raise TypeError(f"{name} must be real numbers, got dtype {array.dtype}.")
    # NumPy's 64-bit integers would wrap around on their way into a 32-bit JAX array.
    return jnp.asarray(array.astype(dtype))


def costs(name: str, value: ArrayLike, dtype: jax.typing.DTypeLike) -> jax.Array:
    if as_array(name, value).dtype == bool:
        raise TypeError(f"{name} must be costs, integers or floats, got dtype bool.")
    return reals(name, value, dtype)


def costs_like(
    name: str, value: ArrayLike, shape: tuple[int, ...], dtype: jax.typing.DTypeLike
) -> jax.Array:
    """Costs that broadcast to ``shape`` without enlarging it."""
    array = costs(name, value, dtype)
    try:
        return jnp.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(
            f"{name} must be a scalar or broadcast to the shape of the examples {shape}, "
            f"got shape {array.shape}."
        ) from None


def same_shape(name: str, array: jax.Array, shape: tuple[int, ...], of: str) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must have {of} {shape}, got shape {array.shape}.")


def is_class_ids(labels: ArrayLike) -> bool:
    return jnp.issubdtype(as_array("labels", labels).dtype, jnp.integer)


def class_ids(
    name: str, value: ArrayLike, shape: tuple[int, ...] | None, num_classes: int | None
) -> tuple[jax.Array, jax.Array]:
    """Class ids as int32 within [0, K), and the mask of those that were so to begin with."""
    array = as_array(name, value)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"{name} must be integer class ids, got dtype {array.dtype}.")
    if shape is not None and array.shape != shape:
        hints = {1: "; remove the last axis", num_classes: "; one-hot labels must be floats"}
        hint = hints.get(array.shape[-1], "") if array.shape[:-1] == shape else ""
        raise ValueError(
            f"{name} must be class ids with the shape of the examples {shape}, "
            f"got shape {array.shape}{hint}."
        )
    return _narrow(array, _within(array, 2**31 if num_classes is None else num_classes))


def _within(ids: jax.Array | np.ndarray, bound: int) -> jax.Array | np.ndarray:
    # In the ids' own dtype: a 64-bit id must not become a valid one by losing its upper half.
    valid = ids >= 0
    return valid & (ids < bound) if bound <= np.iinfo(ids.dtype).max else valid


def _narrow(
    ids: jax.Array | np.ndarray, valid: jax.Array | np.ndarray
) -> tuple[jax.Array, jax.Array]:
    """The ids as int32, 0 in place of invalid ones, and which are valid."""
    narrow = ids * valid if isinstance(ids, np.ndarray) else jnp.where(valid, ids, 0)
    return jnp.asarray(narrow.astype(np.int32)), jnp.asarray(valid)


def class_slots(
    name: str, value: ArrayLike, examples: tuple[int, ...], num_classes: int | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The classes of each example, (..., P), as int32; and where one is -1, or valid."""
    array = as_array(name, value)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"{name} must be integer class ids, got dtype {array.dtype}.")
    if array.shape[:-1] != examples or array.ndim == 0:
        raise ValueError(
            f"{name} must be class ids with the shape of the examples {examples} and one more "
            f"axis, got shape {array.shape}."
        )
    empty = jnp.asarray(array == -1)
    ids, valid = _narrow(array, _within(array, 2**31 if num_classes is None else num_classes))
    return ids, empty, valid


def probabilities(
    name: str,
    value: ArrayLike,
    shape: tuple[int, ...],
    examples: tuple[int, ...],
    dtype: jax.typing.DTypeLike,
) -> jax.Array:
    """Class probabilities of the logits' shape; a negative one becomes NaN."""
    array = reals(name, value, dtype)
    if array.shape in (examples, (*examples, 1)) and array.shape != shape:
        raise TypeError(
            f"{name} of shape {array.shape} must be integer class ids, got dtype "
            f"{as_array(name, value).dtype}; class probabilities have the logits' shape {shape}."
        )
    same_shape(name, array, shape, "the logits' shape")
    return jnp.where(array >= 0, array, jnp.nan)


def binary_labels(
    name: str, value: ArrayLike, shape: tuple[int, ...], dtype: jax.typing.DTypeLike
) -> jax.Array:
    """Zeros and ones or what lies between; anything else, such as -1, becomes NaN."""
    array = reals(name, value, dtype)
    hint = ""
    if array.shape == (*shape, 1):
        hint = "; remove the last axis"
    elif shape == (*array.shape, 1):
        hint = "; give the examples without their last axis, x[..., 0]"
    if array.shape != shape:
        raise ValueError(
            f"{name} must have the shape of the examples {shape}, got shape {array.shape}{hint}."
        )
    return jnp.where((array >= 0) & (array <= 1), array, jnp.nan)


def decisions(name: str, value: ArrayLike) -> jax.Array:
    """Decisions for or against, booleans or integers."""
    array = as_array(name, value)
    if array.dtype != bool and not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(
            f"{name} must be decisions, booleans or the integers 0 and 1, got dtype "
            f"{array.dtype}; compare a probability with a threshold first."
        )
    # A strict promotion compares no boolean with 0 and 1.
    return jnp.asarray(array.astype(np.int32) if array.dtype == bool else array)


def mask(name: str, value: ArrayLike | None, shape: tuple[int, ...]) -> jax.Array | None:
    """None, or a boolean mask over the examples."""
    if value is None:
        return None
    array = jnp.asarray(as_array(name, value))
    if array.dtype != bool:
        raise TypeError(f"{name} must be a boolean mask, got dtype {array.dtype}.")
    same_shape(name, array, shape, "the shape of the examples")
    return array


def reduction(value: str) -> None:
    if value not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, got {value!r}.")


def floats(name: str, value: ArrayLike) -> jax.Array:
    """Floating-point numbers, as they are."""
    array = as_array(name, value)
    if not jnp.issubdtype(array.dtype, jnp.floating) or array.dtype.itemsize > 8:
        raise TypeError(f"{name} must be floating-point, got dtype {array.dtype}.")
    return jnp.asarray(array)


def at_least_float32(dtype: np.dtype) -> np.dtype:
    # NumPy's promotion: that of JAX refuses the half precisions under its strict mode.
    return np.promote_types(dtype, np.float32)


def class_scores(name: str, value: ArrayLike, axis: int, binary: str) -> tuple[jax.Array, int]:
    """Floating-point numbers in at least float32, the classes moved to the end, and their axis."""
    array = floats(name, value)
    axis = class_axis(name, array, axis, binary)
    return jnp.moveaxis(array, axis, -1).astype(at_least_float32(array.dtype)), axis


def broadcast_shape(**arrays: ArrayLike) -> tuple[int, ...]:
    """The shape that the named arrays have together."""
    shapes = {name: as_array(name, value).shape for name, value in arrays.items()}
    try:
        return np.broadcast_shapes(*shapes.values())
    except ValueError:
        raise ValueError(
            f"{' and '.join(shapes)} must have shapes that broadcast, "
            f"got {' and '.join(map(str, shapes.values()))}."
        ) from None


def labels_of_examples(name: str, scores: jax.Array) -> tuple[int, ...]:
    """The shape of the examples, each of which has one or more labels along the last axis."""
    if scores.ndim == 0 or scores.shape[-1] < 1:
        raise ValueError(
            f"{name} must have shape (..., K) with K >= 1 classes, got shape {scores.shape}."
        )
    return scores.shape[:-1]


def label_mask(name: str, value: ArrayLike | None, shape: tuple[int, ...]) -> jax.Array | None:
    """None, or a boolean mask over the labels, which one over the examples holds for as well."""
    if value is None or as_array(name, value).ndim == len(shape):
        return mask(name, value, shape)
    examples = mask(name, value, shape[:-1])
    return None if examples is None else jnp.broadcast_to(examples[..., None], shape)
