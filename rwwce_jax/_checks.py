"""The only place where arguments are refused: one sentence, naming what was expected and what came.

What shapes and dtypes tell raises here, eagerly and while JAX traces. What only values tell cannot
raise in compiled code: there it becomes NaN (``class_ids``, ``probabilities``).
"""

import dataclasses
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rwwce_jax._sharding import movable
from rwwce_jax.pairs import PairCosts

REDUCTIONS = ("mean", "sum", "none")


def _array(name: str, value: object) -> jax.Array | np.ndarray:
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
    if array.dtype.kind in "OSUmM":  # objects, strings, and times, which NumPy takes for integers
        raise TypeError(f"{name} must be an array of numbers, got {value!r:.80}.")
    return array


def known_costs(name: str, value: ArrayLike) -> np.ndarray:
    """Costs outside of compiled code, in double precision."""
    array = np.asarray(_array(name, value))
    if not (jnp.issubdtype(array.dtype, jnp.integer) or jnp.issubdtype(array.dtype, jnp.floating)):
        raise TypeError(f"{name} must be costs, integers or floats, got dtype {array.dtype}.")
    return array.astype(np.float64)


def logits(name: str, value: ArrayLike) -> jax.Array:
    """Floating-point scores, in at least float32."""
    array = _array(name, value)
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
    array = _array(name, value)
    if not (array.dtype == bool or jnp.issubdtype(array.dtype, jnp.integer)) and not (
        jnp.issubdtype(array.dtype, jnp.floating)
    ):
        raise TypeError(f"{name} must be real numbers, got dtype {array.dtype}.")
    # NumPy's 64-bit integers would wrap around on their way into a 32-bit JAX array.
    return jnp.asarray(array.astype(dtype))


def costs(name: str, value: ArrayLike, dtype: jax.typing.DTypeLike) -> jax.Array:
    if _array(name, value).dtype == bool:
        raise TypeError(f"{name} must be costs, integers or floats, got dtype bool.")
    return reals(name, value, dtype)


def cost_dtype(*values: ArrayLike | PairCosts) -> jnp.dtype:
    """float64 for costs that JAX holds in float64, else float32."""
    held = [value.dtype for value in jax.tree.leaves(values) if isinstance(value, jax.Array)]
    return jnp.dtype(jnp.float64 if jnp.float64 in held else jnp.float32)


def num_classes_of_costs(fn: ArrayLike, fp: ArrayLike | PairCosts) -> int | None:
    """K, where the costs tell it."""
    if isinstance(fp, PairCosts):
        return fp.num_classes
    for name, value in (("fp", fp), ("fn", fn)):
        shape = _array(name, value).shape
        if shape:
            if shape[-1] < 2:
                raise ValueError(
                    f"{name} must hold the costs of 2 or more classes, got shape {shape}."
                )
            return shape[-1]
    return None


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


def class_costs(
    name: str,
    value: ArrayLike,
    num_classes: int | None,
    ndim: int,
    dtype: jax.typing.DTypeLike,
) -> jax.Array:
    """A scalar, or costs with ``ndim`` axes of ``num_classes`` each."""
    array = costs(name, value, dtype)
    expected = () if num_classes is None else (num_classes,) * ndim
    if array.shape not in ((), expected):
        raise ValueError(
            f"{name} must be a scalar or of shape {expected} for {num_classes} classes, "
            f"got shape {array.shape}."
        )
    return array


def fp_costs(
    value: ArrayLike | PairCosts, num_classes: int | None, dtype: jax.typing.DTypeLike
) -> jax.Array | PairCosts:
    """The costs of false positives: a scalar, a matrix, or those of a few pairs."""
    if isinstance(value, PairCosts):
        return pair_costs("fp", value, num_classes, dtype)
    return class_costs("fp", value, num_classes, 2, dtype)


def pair_costs(
    name: str, value: PairCosts, num_classes: int | None, dtype: jax.typing.DTypeLike
) -> PairCosts:
    if value.num_classes != num_classes:
        raise ValueError(
            f"{name} must be the costs of {num_classes} classes, "
            f"got PairCosts of {value.num_classes}."
        )
    return dataclasses.replace(value, costs=costs(name, value.costs, dtype))


def same_shape(name: str, array: jax.Array, shape: tuple[int, ...], of: str) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must have {of} {shape}, got shape {array.shape}.")


def is_class_ids(labels: ArrayLike) -> bool:
    return jnp.issubdtype(_array("labels", labels).dtype, jnp.integer)


def class_ids(
    name: str, value: ArrayLike, shape: tuple[int, ...] | None, num_classes: int | None
) -> tuple[jax.Array, jax.Array]:
    """Class ids as int32 within [0, K), and the mask of those that were so to begin with."""
    array = _array(name, value)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"{name} must be integer class ids, got dtype {array.dtype}.")
    if shape is not None and array.shape != shape:
        hints = {1: "; remove the last axis", num_classes: "; one-hot labels must be floats"}
        hint = hints.get(array.shape[-1], "") if array.shape[:-1] == shape else ""
        raise ValueError(
            f"{name} must be class ids with the shape of the examples {shape}, "
            f"got shape {array.shape}{hint}."
        )
    # In the ids' own dtype: a 64-bit id must not become a valid one by losing its upper half.
    info = np.iinfo(array.dtype)
    valid = array >= 0
    bound = 2**31 if num_classes is None else num_classes
    if bound <= info.max:
        valid &= array < bound
    ids = (array * valid if isinstance(array, np.ndarray) else jnp.where(valid, array, 0)).astype(
        np.int32
    )
    return jnp.asarray(ids), jnp.asarray(valid)


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
            f"{_array(name, value).dtype}; class probabilities have the logits' shape {shape}."
        )
    same_shape(name, array, shape, "the logits' shape")
    return jnp.where(array >= 0, array, jnp.nan)


def binary_labels(
    name: str, value: ArrayLike, shape: tuple[int, ...], dtype: jax.typing.DTypeLike
) -> jax.Array:
    """Zeros and ones or what lies between; anything else, such as -1, becomes NaN."""
    array = reals(name, value, dtype)
    same_shape(name, array, shape, "the shape of the examples")
    return jnp.where((array >= 0) & (array <= 1), array, jnp.nan)


def decisions(name: str, value: ArrayLike) -> jax.Array:
    """Decisions for or against, booleans or integers."""
    array = _array(name, value)
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
    array = jnp.asarray(_array(name, value))
    if array.dtype != bool:
        raise TypeError(f"{name} must be a boolean mask, got dtype {array.dtype}.")
    same_shape(name, array, shape, "the shape of the examples")
    return array


def reduction(value: str) -> None:
    if value not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, got {value!r}.")


def floats(name: str, value: ArrayLike) -> jax.Array:
    """Floating-point numbers, as they are."""
    array = _array(name, value)
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
    shapes = {name: _array(name, value).shape for name, value in arrays.items()}
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
    if value is None or _array(name, value).ndim == len(shape):
        return mask(name, value, shape)
    examples = mask(name, value, shape[:-1])
    return None if examples is None else jnp.broadcast_to(examples[..., None], shape)


def costs_of_pairs(
    name: str, value: ArrayLike | PairCosts | None, num_classes: int, dtype: jax.typing.DTypeLike
) -> jax.Array | PairCosts | None:
    """None, costs of a few pairs, or a matrix with 0 on its diagonal, whatever it held."""
    if value is None:
        return None
    if isinstance(value, PairCosts):
        return pair_costs(name, value, num_classes, dtype)
    array = costs(name, value, dtype)
    same_shape(name, array, (num_classes, num_classes), "one row and one column per class, shape")
    return jnp.where(jnp.eye(num_classes, dtype=bool), 0, array)
