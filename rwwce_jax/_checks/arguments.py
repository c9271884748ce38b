"""Converts arguments, or refuses them in one sentence: what was expected and what came.

A wrong shape or dtype raises, eagerly and while JAX traces. A wrong value cannot raise in compiled
code: there it becomes NaN. What is a label or a decision is in ``labels``.
"""

import math
import numbers
import operator
from collections.abc import Sequence
from functools import partial
from typing import Any, SupportsIndex, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from rwwce_jax._checks.sharding import to_host_if_committed
from rwwce_jax._checks.types import Reduction, Shape


def _brief(value: object) -> str:
    """The start of what Python prints for it, on one line."""
    return f"{' '.join(repr(value).split()):.80}"


def refuse_masked(name: str, value: object) -> None:
    """Refuses NumPy's masked arrays, whose mask JAX's and NumPy's functions forget."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name} must be an array without a mask, got a numpy.ma.MaskedArray; give its data, "
            "and by where the examples that count."
        )


def as_array(name: str, value: object) -> jax.Array | np.ndarray:
    """The argument as a JAX array if it is one, else as NumPy's: JAX would cut 64 bits to 32."""
    if isinstance(value, jax.Array):
        return to_host_if_committed(value)
    refuse_masked(name, value)
    # The classes of costs carry this, so that they need not be imported here.
    if (purpose := getattr(value, "not_an_array", None)) is not None:
        kind = type(value).__name__
        raise TypeError(f"{name} must be an array of numbers, got {kind}, {purpose}.")
    try:
        if isinstance(value, (list, tuple)) and any(
            isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(value)
        ):
            return jnp.asarray(value)  # NumPy cannot look into a tracer.
        array = np.asarray(value)
    except (TypeError, ValueError) as error:  # such as rows of different lengths
        raise ValueError(f"{name} must be an array of numbers, got {_brief(value)}.") from error
    if array.dtype.kind in "OSTUmM":  # objects, strings, and times, which NumPy takes for integers
        are_names = array.dtype.kind in "STU" or any(isinstance(x, str) for x in array.flat[:1])
        hint = "; encode labels and predictions by one table, [names.index(x) for x in labels]"
        hint = hint if are_names and name in ("labels", "predictions") else ""
        if array.dtype == object and all(isinstance(x, numbers.Number) for x in array.flat):
            # A Decimal, an integer above 64 bits, or columns of a DataFrame that may lack values.
            how = "astype(float)" if hasattr(value, "astype") else "float()"
            hint = f"; convert it by {how}"
        raise TypeError(f"{name} must be an array of numbers, got {_brief(value)}{hint}.")
    # JAX takes no numbers in the other byte order, as files hold them.
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def check_dtype(name: str, array: Any, meaning: str, *kinds: type, hint: str = "") -> None:
    """Refuses dtypes of other kinds. ``meaning`` says what the argument must be."""
    if not any(jnp.issubdtype(array.dtype, kind) for kind in kinds):
        raise TypeError(f"{name} must be {meaning}, got dtype {array.dtype}{hint}.")


def known_costs(name: str, value: object) -> np.ndarray:
    """Costs outside of compiled code, in double precision."""
    array = np.asarray(as_array(name, value))
    check_dtype(name, array, "costs, integers or floats", np.integer, jnp.floating)
    return array.astype(np.float64)


def floats(name: str, value: object, meaning: str = "floating-point") -> jax.Array:
    array = as_array(name, value)
    if not jnp.issubdtype(array.dtype, jnp.floating) or array.dtype.itemsize > 8:
        raise TypeError(f"{name} must be {meaning}, got dtype {array.dtype}.")
    return jnp.asarray(array)


def at_least_float32(dtype: np.dtype) -> np.dtype:
    # NumPy's promotion: JAX's refuses the half precisions in its strict mode.
    return np.promote_types(dtype, np.float32)


def logits(name: str, value: object) -> jax.Array:
    """Unnormalised scores in at least float32."""
    array = floats(name, value, "floating-point unnormalised scores")
    return array.astype(at_least_float32(array.dtype))


def class_axis(name: str, shape: Shape, axis: int, binary: str) -> int:
    """The class axis, counted from the front. ``binary`` names what takes one score per example."""
    axis = integer("axis", axis)
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"{name} must have a class axis {axis}, got {name} of shape {shape}.")
    if shape[axis] < 2:
        raise ValueError(
            f"{name} must score at least 2 classes along axis {axis}, got shape {shape}; "
            f"for one score per example use rwwce_jax.{binary}."
        )
    return axis % len(shape)


def integer(name: str, value: SupportsIndex, least: float = -math.inf) -> int:
    """An integer that is known while tracing."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a Python integer, got {_brief(value)}.") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}.")
    return number


def reals(name: str, value: object, dtype: DTypeLike) -> jax.Array:
    """Integers, booleans or floats, as ``dtype``."""
    array = as_array(name, value)
    check_dtype(name, array, "real numbers", np.bool_, np.integer, jnp.floating)
    # NumPy's 64-bit integers would wrap around on their way into a 32-bit JAX array.
    return jnp.asarray(array.astype(dtype))


def number_or_none(name: str, value: object, nothing: object, dtype: DTypeLike) -> jax.Array | None:
    """One real number, (); None for ``nothing``, if that is known while tracing."""
    if value is None or (isinstance(value, int | float) and value == nothing):
        return None
    array = reals(name, value, dtype)
    same_shape(name, array, (), "a number, shape")
    return array


def costs(name: str, value: object, dtype: DTypeLike) -> jax.Array:
    array = as_array(name, value)
    if array.dtype == bool:
        raise TypeError(f"{name} must be costs, integers or floats, got dtype bool.")
    return reals(name, array, dtype)


def finite_cost(name: str, cost: float, shown: object) -> None:
    """Refuses a known cost that is negative, NaN, or infinite in JAX's precision."""
    largest = np.finfo(jax.dtypes.canonicalize_dtype(np.float64))
    if not 0 <= cost <= float(largest.max):
        beyond = f" in {largest.dtype}" if 0 < cost < np.inf else ""
        raise ValueError(f"{name} must be a finite cost >= 0{beyond}, got {shown}.")


def costs_like(name: str, value: object, shape: Shape, dtype: DTypeLike) -> jax.Array:
    """Costs that broadcast to ``shape`` without enlarging it."""
    array = costs(name, value, dtype)
    try:
        return jnp.broadcast_to(array, shape)
    except ValueError:
        channels = len(shape) > 2 and array.shape == shape[1:2]
        new_axes = ", ".join([":", *["None"] * (len(shape) - 2)])
        hint = f"; one cost per channel of axis 1 is {name}[{new_axes}]" if channels else ""
        raise ValueError(
            f"{name} must be a scalar or broadcast to the shape of the examples {shape}, "
            f"got shape {array.shape}{hint}."
        ) from None


def same_shape(name: str, array: Any, shape: Shape, of: str, hint: str = "") -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must have {of} {shape}, got shape {array.shape}{hint}.")


def as_int32(ids: jax.Array | np.ndarray, num_classes: int | None) -> tuple[jax.Array, jax.Array]:
    """Integers as int32, 0 in place of those outside [0, K); and which are inside."""
    largest = np.iinfo(np.int32).max
    narrow, within = jnp.asarray(ids.astype(np.int32)), jnp.asarray(ids >= 0)
    # A wide id must not become valid by losing its upper half.
    if np.iinfo(ids.dtype).max > largest:
        within &= jnp.asarray(ids <= largest)
    # K may be a symbol, in an exported program: it can only be compared with JAX's arrays.
    if num_classes is not None:
        within &= narrow < num_classes
    return jnp.where(within, narrow, 0), within


def mask(name: str, value: object, shape: Shape) -> jax.Array | None:
    """None, or a boolean mask over the examples."""
    if value is None:
        return None
    array = jnp.asarray(as_array(name, value))
    hint = f"; of numbers take {name} != 0, or give them as weights"
    check_dtype(name, array, "a boolean mask", np.bool_, hint=hint)
    same_shape(name, array, shape, "the shape of the examples")
    return array


def weights(value: object, shape: Shape, dtype: DTypeLike | None) -> jax.Array | None:
    """None, or the weight of each example. One that is negative or infinite becomes NaN.

    Without a dtype integers become int32, and the wrong ones -1.
    """
    if value is None:
        return None
    array = as_array("weights", value)
    if array.dtype == bool:
        raise TypeError("weights must be integers or floats, got dtype bool; a mask is where.")
    same_shape("weights", array, shape, "the shape of the examples")
    if dtype is None and jnp.issubdtype(array.dtype, np.integer):
        narrow, valid = as_int32(array, None)
        return jnp.where(valid, narrow, -1)
    own = np.float64 if array.dtype == np.float64 else np.float32
    return _not_negative(reals("weights", array, own if dtype is None else dtype))


@partial(jax.jit, inline=True)
def _not_negative(x: jax.Array) -> jax.Array:
    return jnp.where((x >= 0) & (x < jnp.inf), x, jnp.nan)


def reduction(value: Reduction) -> None:
    one_of("reduction", value, get_args(Reduction))


def one_of(name: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}.")


def moved_axis(array: jax.Array, source: int, destination: int) -> jax.Array:
    """``jnp.moveaxis``, which, outside of compiled code, copies the array if nothing moves, too."""
    if source % array.ndim == destination % array.ndim:
        return array
    return jnp.moveaxis(array, source, destination)


def class_scores(name: str, value: object, axis: int, binary: str) -> tuple[jax.Array, int]:
    """Numbers in at least float32 with the class axis moved to the end; and where it was."""
    array = floats(name, value)
    axis = class_axis(name, array.shape, axis, binary)
    return moved_axis(array, axis, -1).astype(at_least_float32(array.dtype)), axis


def broadcast_shape(fn: object, fp: object) -> Shape:
    """The shape that the costs of the examples of two classes broadcast to."""
    shapes = as_array("fn", fn).shape, as_array("fp", fp).shape
    try:
        return jnp.broadcast_shapes(*shapes)  # NumPy's refuses the symbols of an export
    except ValueError:
        both = " and ".join(map(str, shapes))
        raise ValueError(f"fn and fp must have shapes that broadcast, got {both}.") from None


def num_labels(name: str, shape: Shape) -> int:
    """The number K of labels along the last axis, 1 or more."""
    if not shape or shape[-1] < 1:
        raise ValueError(f"{name} must have shape (..., K) with K >= 1 classes, got shape {shape}.")
    return shape[-1]


def label_mask(name: str, value: object, shape: Shape) -> jax.Array | None:
    """None, or a mask over the labels; one over the examples holds for all of their labels."""
    if value is None or as_array(name, value).ndim == len(shape):
        return mask(name, value, shape)
    examples = mask(name, value, shape[:-1])
    return None if examples is None else jnp.broadcast_to(examples[..., None], shape)
