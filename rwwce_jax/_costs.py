"""Converts or refuses the costs that users give; all else sees only ``_cost_kinds``."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from rwwce_jax import _arguments
from rwwce_jax._cost_kinds import (
    ByClass,
    ByExample,
    FalseNegatives,
    FalsePositives,
    Matrix,
    Nothing,
    OfCandidates,
    OfEveryMistake,
    OfExamples,
    OfPairs,
)
from rwwce_jax.example_costs import ExampleCosts
from rwwce_jax.pairs import PairCosts


def num_classes_of(fn: Any, fp: Any) -> int | None:
    """K, or None where the costs do not tell it."""
    if isinstance(fp, PairCosts):
        return fp.num_classes
    for name, value in (("fp", fp), ("fn", fn)):
        if isinstance(value, ExampleCosts):
            if name == "fn" or value.classes is not None:
                continue
            value = value.costs
        _refuse_mapping(name, value)
        shape = _arguments.as_array(name, value).shape
        if shape:
            if shape[-1] < 2:
                raise ValueError(
                    f"{name} must hold the costs of 2 or more classes, got shape {shape}."
                )
            return shape[-1]
    return None


def are_categorical(fn: Any, fp: Any) -> bool:
    """Whether the costs tell that the decisions are categorical, not binary."""
    of_examples = isinstance(fn, ExampleCosts) or isinstance(fp, ExampleCosts)
    return of_examples or num_classes_of(fn, fp) is not None


def cost_dtype(*values: Any) -> jnp.dtype:
    """float64 for costs that are float64 in JAX, else float32."""
    arrays = (
        x for x in jax.tree.leaves(values) if isinstance(x, jax.Array | np.ndarray | np.generic)
    )
    is_double = any(array.dtype == np.float64 for array in arrays)
    return jax.dtypes.canonicalize_dtype(np.float64 if is_double else np.float32)


def _refuse_mapping(name: str, value: Any) -> None:
    if isinstance(value, Mapping) and name != "fn":
        raise TypeError(
            f"{name} must be costs, got a mapping; rwwce_jax.pair_costs makes costs of it."
        )


def _refuse_examples(name: str) -> NoReturn:
    raise TypeError(
        f"{name} must not be ExampleCosts where the truth is not known or the examples are "
        "summed; for costs of each example use jax.vmap over plain ones."
    )


def _by_class(
    name: str,
    value: object,
    num_classes: int | None,
    ndim: int,
    examples: tuple[int, ...] | None,
    dtype: DTypeLike,
) -> jax.Array:
    """A scalar, or costs with ``ndim`` axes of ``num_classes`` each."""
    array = _arguments.costs(name, value, dtype)
    expected = () if num_classes is None else (num_classes,) * ndim
    if array.shape not in ((), expected):
        of_examples = (examples, None if examples is None else (*examples, num_classes))
        hint = "; costs of each example are rwwce_jax.ExampleCosts"
        raise ValueError(
            f"{name} must be a scalar or of shape {expected} for {num_classes} classes, "
            f"got shape {array.shape}{hint if array.shape == of_examples[ndim - 1] else ''}."
        )
    return array


def by_class(name: str, value: Any, num_classes: int, dtype: DTypeLike) -> ByClass:
    """Costs of labels of which an example may have several."""
    return ByClass(_by_class(name, value, num_classes, 1, None, dtype))


def false_negatives(
    value: Any,
    num_classes: int | None,
    dtype: DTypeLike,
    examples: tuple[int, ...] | None = None,
) -> FalseNegatives:
    """``fn``. Without the shape of the examples, costs of examples are refused."""
    if not isinstance(value, ExampleCosts):
        return ByClass(_by_class("fn", value, num_classes, 1, examples, dtype))
    if examples is None:
        _refuse_examples("fn")
    if value.classes is not None:
        raise ValueError("fn must be ExampleCosts without classes: a miss has no prediction.")
    costs = _arguments.costs("fn.costs", value.costs, dtype)
    _arguments.same_shape("fn.costs", costs, examples, "the shape of the examples")
    return ByExample(costs)


def false_positives(
    value: Any,
    num_classes: int | None,
    dtype: DTypeLike,
    examples: tuple[int, ...] | None = None,
) -> FalsePositives:
    """``fp``. Without the shape of the examples, costs of examples are refused."""
    if isinstance(value, PairCosts):
        return _of_pairs("fp", value, num_classes, dtype)
    if isinstance(value, ExampleCosts):
        if examples is None:
            _refuse_examples("fp")
        return _of_examples(value, num_classes, dtype, examples)
    _refuse_mapping("fp", value)
    costs = _by_class("fp", value, num_classes, 2, examples, dtype)
    # Zeros that are known while tracing need not be compiled at all.
    if isinstance(value, int | float | np.ndarray | np.generic) and not np.any(value):
        return Nothing(jnp.zeros((), dtype))
    return Matrix(costs) if costs.ndim else OfEveryMistake(costs)


def false_positives_beside(value: Any, num_classes: int, dtype: DTypeLike) -> FalsePositives:
    """``fp_pairs``, costs on top of ``fp``."""
    if value is None:
        return Nothing(jnp.zeros((), dtype))
    if isinstance(value, PairCosts):
        return _of_pairs("fp_pairs", value, num_classes, dtype)
    if isinstance(value, ExampleCosts):
        _refuse_examples("fp_pairs")
    _refuse_mapping("fp_pairs", value)
    costs = _arguments.costs("fp_pairs", value, dtype)
    expected = (num_classes, num_classes)
    _arguments.same_shape("fp_pairs", costs, expected, "one row and one column per class, shape")
    return Matrix(costs)


def _of_pairs(
    name: str, value: PairCosts, num_classes: int | None, dtype: DTypeLike
) -> FalsePositives:
    if value.num_classes != num_classes:
        raise ValueError(
            f"{name} must be the costs of {num_classes} classes, "
            f"got PairCosts of {value.num_classes}."
        )
    costs = _arguments.costs(f"{name}.costs", value.costs, dtype)
    _arguments.same_shape(f"{name}.costs", costs, value.true.shape, "one cost per pair, shape")
    return OfPairs(dataclasses.replace(value, costs=costs))


def _of_examples(
    value: ExampleCosts, num_classes: int | None, dtype: DTypeLike, examples: tuple[int, ...]
) -> FalsePositives:
    costs = _arguments.costs("fp.costs", value.costs, dtype)
    if value.classes is None:
        if num_classes is None:
            num_classes = costs.shape[-1] if costs.ndim else 0
        expected = (*examples, num_classes)
        _arguments.same_shape(
            "fp.costs", costs, expected, "one cost per class of each example, shape"
        )
        return OfExamples(costs)
    classes, empty, valid = _arguments.class_slots(
        "fp.classes", value.classes, examples, num_classes
    )
    try:
        costs = jnp.broadcast_to(costs, classes.shape)
    except ValueError:
        raise ValueError(
            f"fp.costs must broadcast to the shape of fp.classes {classes.shape}, "
            f"got shape {costs.shape}."
        ) from None
    return OfCandidates(
        jnp.where(empty, 0, costs),
        jnp.where(empty | ~valid, -1, classes),
        jnp.all(valid | empty, axis=-1),
    )


def as_given(name: str, value: Any, dtype: DTypeLike) -> jax.Array | PairCosts | ExampleCosts:
    """The costs in the form in which they were given, as arrays."""
    if not isinstance(value, PairCosts | ExampleCosts):
        return _arguments.costs(name, value, dtype)
    costs = _arguments.costs(f"{name}.costs", value.costs, dtype)
    if isinstance(value, ExampleCosts) and value.classes is not None:
        classes = jnp.asarray(_arguments.as_array(f"{name}.classes", value.classes))
        return ExampleCosts(costs, classes)
    return dataclasses.replace(value, costs=costs)


def refuse(fn: Any, fp: Any) -> None:
    """Refuses costs of classes that do not fit. Costs of examples are checked with the examples."""
    num_classes, dtype = num_classes_of(fn, fp), cost_dtype(fn, fp)
    if not isinstance(fn, ExampleCosts):
        false_negatives(fn, num_classes, dtype)
    if not isinstance(fp, ExampleCosts):
        false_positives(fp, num_classes, dtype)


def refuse_examples(name: str, costs: Any, remedy: str) -> None:
    """Refuses ``ExampleCosts``, where only costs that all examples share make sense."""
    if isinstance(costs, ExampleCosts):
        raise TypeError(
            f"{name} must be costs that all examples share, got ExampleCosts; {remedy}."
        )


def refuse_all_but_scalar(name: str, costs: Any) -> None:
    """Refuses all but scalars, for binary decisions with a threshold."""
    if not isinstance(costs, jax.Array):
        kind = type(costs).__name__
        raise TypeError(f"{name} must be a scalar where there is a threshold, got {kind}.")
    _arguments.same_shape(name, costs, (), "a scalar's shape")
