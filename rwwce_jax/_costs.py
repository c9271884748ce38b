"""Costs of every kind behind one interface: converted and refused here, asked for everywhere else.

Whatever a user gives as ``fn`` becomes ``FalseNegatives``, and whatever is given as ``fp`` becomes
``FalsePositives``. Both are pytrees. What a mistake costs is asked of them, never which kind they
are. They do not look at the diagonal of a matrix, nor at what an example has for its own label.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NoReturn, Protocol, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike, DTypeLike

from rwwce_jax import _checks
from rwwce_jax._numerics import Terms, is_class, sum_of_others
from rwwce_jax.example_costs import ExampleCosts
from rwwce_jax.pairs import PairCosts

_Kind = TypeVar("_Kind")


@dataclass_transform(frozen_default=True)
def _pytree(kind: type[_Kind]) -> type[_Kind]:
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(kind))


class FalseNegatives(Protocol):
    """What a miss costs. ``by_example`` tells whether the arrays have the examples in front."""

    by_example: bool

    def of_labels(self, labels: jax.Array) -> jax.Array:
        """The cost of missing each of these labels, (...), or a scalar."""

    def of_weights(self, weights: jax.Array) -> jax.Array:
        """``weights[k] * fn[k]``, (..., K), for weights of all classes."""


class FalsePositives(Protocol):
    """What falsely predicting a class costs on top."""

    by_example: bool

    def of_labels(self, labels: jax.Array, num_classes: int) -> Terms:
        """The costs of all predictions, or of the few that cost anything, by true class."""

    def of_weights(self, weights: jax.Array) -> jax.Array:
        """``sum(weights[k] * fp[k, j])`` over the classes k other than j, (..., K)."""

    def terms_of_weights(self, weights: jax.Array) -> Terms:
        """The same as costs of all predictions, or of none."""

    def of_decisions(self, labels: jax.Array, predictions: jax.Array) -> jax.Array:
        """The cost of each prediction that is not the label, (...), or a scalar."""

    def matrix(self, num_classes: int) -> jax.Array:
        """``fp``, (K, K), with any diagonal."""

    def pairs(self) -> PairCosts | None:
        """The costs as those of a few pairs of classes, where they are so."""


class _Costs:
    """What most kinds of costs have."""

    by_example = False

    def pairs(self) -> PairCosts | None:
        return None

    def of_weights(self, weights: jax.Array) -> jax.Array:
        raise NotImplementedError

    def terms_of_weights(self, weights: jax.Array) -> Terms:
        return Terms(self.of_weights(weights))


@_pytree
class ByClass(_Costs):
    costs: jax.Array  # () or (K,)

    def of_labels(self, labels: jax.Array) -> jax.Array:
        if self.costs.ndim == 0:
            return self.costs
        return self.costs.at[labels].get(mode="promise_in_bounds")

    def of_weights(self, weights: jax.Array) -> jax.Array:
        return weights * jnp.broadcast_to(self.costs, weights.shape)


@_pytree
class ByExample:
    costs: jax.Array  # (...)
    by_example = True

    def of_labels(self, labels: jax.Array) -> jax.Array:
        return self.costs

    def of_weights(self, weights: jax.Array) -> jax.Array:
        return weights * self.costs[..., None]


@_pytree
class Nothing(_Costs):
    """Costs that are known to be zero: what they would be multiplied with is not computed."""

    zero: jax.Array  # ()

    def of_labels(self, labels: jax.Array, num_classes: int) -> Terms:
        nothing = (*labels.shape, 0)
        return Terms(jnp.zeros(nothing, self.zero.dtype), jnp.zeros(nothing, jnp.int32))

    def terms_of_weights(self, weights: jax.Array) -> Terms:
        return self.of_labels(weights[..., 0], weights.shape[-1])

    def of_weights(self, weights: jax.Array) -> jax.Array:
        return jnp.zeros_like(weights)

    def of_decisions(self, labels: jax.Array, predictions: jax.Array) -> jax.Array:
        return self.zero

    def matrix(self, num_classes: int) -> jax.Array:
        return jnp.broadcast_to(self.zero, (num_classes, num_classes))


def _without_labels(costs: jax.Array, labels: jax.Array, num_classes: int) -> Terms:
    """Costs of all classes, (..., K) or one number, but that of the label."""
    costs = jnp.broadcast_to(costs, (*labels.shape, num_classes))
    return Terms(jnp.where(is_class(costs, labels[..., None]), 0, costs))


@_pytree
class OfEveryMistake(_Costs):
    cost: jax.Array  # ()

    def of_labels(self, labels: jax.Array, num_classes: int) -> Terms:
        return _without_labels(self.cost, labels, num_classes)

    def of_weights(self, weights: jax.Array) -> jax.Array:
        return self.cost * sum_of_others(weights)

    def of_decisions(self, labels: jax.Array, predictions: jax.Array) -> jax.Array:
        return self.cost

    def matrix(self, num_classes: int) -> jax.Array:
        return jnp.broadcast_to(self.cost, (num_classes, num_classes))


@_pytree
class Matrix(_Costs):
    costs: jax.Array  # (K, K)

    def of_labels(self, labels: jax.Array, num_classes: int) -> Terms:
        rows = self.costs.at[labels].get(mode="promise_in_bounds")
        return _without_labels(rows, labels, num_classes)

    def of_weights(self, weights: jax.Array) -> jax.Array:
        diagonal = jnp.eye(self.costs.shape[0], dtype=bool)
        off_diagonal = jnp.where(diagonal, 0, self.costs)
        return jnp.matmul(weights, off_diagonal, precision=lax.Precision.HIGHEST)

    def of_decisions(self, labels: jax.Array, predictions: jax.Array) -> jax.Array:
        return self.costs[labels, predictions]

    def matrix(self, num_classes: int) -> jax.Array:
        return self.costs


@_pytree
class OfPairs(_Costs):
    costs: PairCosts

    def of_labels(self, labels: jax.Array, num_classes: int) -> Terms:
        # P predictions, of the class that has most: past a class's own pairs K and more, cost 0.
        true, most = self.costs.true, self.costs._most
        offset = lax.broadcasted_iota(jnp.int32, (*labels.shape, most), labels.ndim)
        at = self.costs._first.at[labels].get(mode="promise_in_bounds")[..., None] + offset
        inside = jnp.minimum(at, true.size - 1)

        def of_pairs(x: jax.Array) -> jax.Array:
            return x.at[inside].get(mode="promise_in_bounds")

        own = (at < true.size) & (of_pairs(true) == labels[..., None])
        costs = jnp.where(own, of_pairs(self.costs.costs), 0)
        return Terms(costs, jnp.where(own, of_pairs(self.costs.predicted), num_classes + offset))

    def of_weights(self, weights: jax.Array) -> jax.Array:
        costs = jnp.broadcast_to(self.costs.costs, (*weights.shape[:-1], *self.costs.costs.shape))
        each = weights[..., self.costs.true] * costs
        return jnp.zeros_like(weights).at[..., self.costs.predicted].add(each)

    def of_decisions(self, labels: jax.Array, predictions: jax.Array) -> jax.Array:
        costs, classes = self.of_labels(labels, self.costs.num_classes)
        return jnp.sum(jnp.where(classes == predictions[..., None], costs, 0), axis=-1)

    def matrix(self, num_classes: int) -> jax.Array:
        zeros = jnp.zeros((num_classes, num_classes), self.costs.costs.dtype)
        return zeros.at[self.costs.true, self.costs.predicted].set(self.costs.costs)

    def pairs(self) -> PairCosts | None:
        return self.costs


class _OfExamples(_Costs):
    """What kinds of costs have that each example has of its own."""

    by_example = True

    def matrix(self, num_classes: int) -> jax.Array:
        raise AssertionError("costs of examples are refused where a matrix is needed")


@_pytree
class OfExamples(_OfExamples):
    costs: jax.Array  # (..., K)

    def of_labels(self, labels: jax.Array, num_classes: int) -> Terms:
        return _without_labels(self.costs, labels, num_classes)

    def of_weights(self, weights: jax.Array) -> jax.Array:
        return self.costs * sum_of_others(weights)

    def of_decisions(self, labels: jax.Array, predictions: jax.Array) -> jax.Array:
        return jnp.take_along_axis(self.costs, predictions[..., None], axis=-1)[..., 0]


@_pytree
class OfCandidates(_OfExamples):
    costs: jax.Array  # (..., P)
    classes: jax.Array  # (..., P), -1 for none
    valid: jax.Array  # (...): what has a class that is none of the K costs NaN

    def of_labels(self, labels: jax.Array, num_classes: int) -> Terms:
        slots = lax.broadcasted_iota(jnp.int32, self.classes.shape, self.classes.ndim - 1)
        used = self._used(labels)
        classes = jnp.where(used, self.classes, num_classes + slots)
        costs = jnp.where(used, self.costs, 0)
        # The costs of a class that is given several times are added up where it stands last.
        classes, costs = lax.sort((classes, costs), num_keys=1)
        differs = classes[..., 1:] != classes[..., :-1]
        edge = jnp.ones_like(classes[..., :1], dtype=bool)
        costs = _sum_runs(costs, jnp.concatenate([edge, differs], axis=-1)[..., : slots.shape[-1]])
        is_last = jnp.concatenate([differs, edge], axis=-1)[..., : slots.shape[-1]]
        costs = jnp.where(is_last, costs, 0)
        costs = jnp.where(self.valid[..., None], costs, jnp.nan)
        return Terms(costs, jnp.where(is_last, classes, num_classes + slots))

    def of_weights(self, weights: jax.Array) -> jax.Array:
        spread = jnp.vectorize(
            lambda zeros, classes, costs: zeros.at[classes].add(costs, mode="drop"),
            signature="(k),(p),(p)->(k)",
        )
        classes = jnp.where(self.classes >= 0, self.classes, weights.shape[-1])
        costs = spread(jnp.zeros_like(weights), classes, self.costs) * sum_of_others(weights)
        return jnp.where(self.valid[..., None], costs, jnp.nan)

    def of_decisions(self, labels: jax.Array, predictions: jax.Array) -> jax.Array:
        counts = self._used(labels) & (self.classes == predictions[..., None])
        cost = jnp.sum(jnp.where(counts, self.costs, 0), axis=-1)
        return jnp.where(self.valid, cost, jnp.nan)

    def _used(self, labels: jax.Array) -> jax.Array:
        return (self.classes >= 0) & (self.classes != labels[..., None])


def _sum_runs(values: jax.Array, starts: jax.Array) -> jax.Array:
    """Cumulative sums along the last axis that begin anew at each start."""

    def add(
        left: tuple[jax.Array, jax.Array], right: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        return jnp.where(right[1], right[0], left[0] + right[0]), left[1] | right[1]

    sums: jax.Array = lax.associative_scan(add, (values, starts), axis=values.ndim - 1)[0]
    return sums


def partition(*kinds: FalseNegatives | FalsePositives) -> tuple[list[Any], list[Any]]:
    """The costs that each example has of its own, and those that all share; None for the rest."""
    return (
        [kind if kind.by_example else None for kind in kinds],
        [None if kind.by_example else kind for kind in kinds],
    )


def join(examples: list[Any], shared: list[Any]) -> list[Any]:
    """What was partitioned."""
    return [a if b is None else b for a, b in zip(examples, shared, strict=True)]


def num_classes_of(fn: Any, fp: Any) -> int | None:
    """K, where the costs tell it."""
    if isinstance(fp, PairCosts):
        return fp.num_classes
    for name, value in (("fp", fp), ("fn", fn)):
        if isinstance(value, ExampleCosts):
            if name == "fn" or value.classes is not None:
                continue
            value = value.costs
        _refuse_other_forms(name, value)
        shape = _checks.as_array(name, value).shape
        if shape:
            if shape[-1] < 2:
                raise ValueError(
                    f"{name} must hold the costs of 2 or more classes, got shape {shape}."
                )
            return shape[-1]
    return None


def are_categorical(fn: Any, fp: Any) -> bool:
    """Whether the costs tell that decisions are between classes, and not for or against one."""
    of_examples = isinstance(fn, ExampleCosts) or isinstance(fp, ExampleCosts)
    return of_examples or num_classes_of(fn, fp) is not None


def cost_dtype(*values: Any) -> jnp.dtype:
    """float64 for costs that JAX holds in float64, else float32."""
    held = [
        value.dtype
        for value in jax.tree.leaves(values)
        if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.floating)
    ]
    return jnp.dtype(jnp.float64 if jnp.float64 in held else jnp.float32)


def _refuse_other_forms(name: str, value: Any) -> None:
    """Refuses what holds costs in a form that is made for another argument."""
    if isinstance(value, Mapping) and name == "fp":
        raise TypeError(
            f"{name} must be costs, got a mapping; rwwce_jax.pair_costs makes costs of it."
        )
    if getattr(value, "_fields", None) == ("fn", "fp"):
        raise TypeError(f"{name} must be costs, got Costs, which hold both: pass *costs.")


def _refuse_examples(name: str) -> NoReturn:
    raise TypeError(
        f"{name} must not be ExampleCosts where the truth is not known or the examples are added "
        "up; for costs of each example use jax.vmap over plain ones."
    )


def _by_class(
    name: str,
    value: ArrayLike,
    num_classes: int | None,
    ndim: int,
    examples: tuple[int, ...] | None,
    dtype: DTypeLike,
) -> jax.Array:
    """A scalar, or costs with ``ndim`` axes of ``num_classes`` each."""
    array = _checks.costs(name, value, dtype)
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
    """What a user gives as costs of classes of which an example may have several."""
    return ByClass(_by_class(name, value, num_classes, 1, None, dtype))


def false_negatives(
    value: Any,
    num_classes: int | None,
    dtype: DTypeLike,
    examples: tuple[int, ...] | None = None,
) -> FalseNegatives:
    """What a user gives as ``fn``; without a shape of the examples they may have no costs."""
    if not isinstance(value, ExampleCosts):
        return ByClass(_by_class("fn", value, num_classes, 1, examples, dtype))
    if examples is None:
        _refuse_examples("fn")
    if value.classes is not None:
        raise ValueError("fn must be ExampleCosts without classes: a miss has no prediction.")
    costs = _checks.costs("fn.costs", value.costs, dtype)
    _checks.same_shape("fn.costs", costs, examples, "the shape of the examples")
    return ByExample(costs)


def false_positives(
    value: Any,
    num_classes: int | None,
    dtype: DTypeLike,
    examples: tuple[int, ...] | None = None,
) -> FalsePositives:
    """What a user gives as ``fp``; without a shape of the examples they may have no costs."""
    if isinstance(value, PairCosts):
        return _of_pairs("fp", value, num_classes, dtype)
    if isinstance(value, ExampleCosts):
        if examples is None:
            _refuse_examples("fp")
        return _of_examples(value, num_classes, dtype, examples)
    _refuse_other_forms("fp", value)
    costs = _by_class("fp", value, num_classes, 2, examples, dtype)
    # Known to be zero while tracing, the false positives need not be compiled at all.
    if isinstance(value, int | float | np.ndarray | np.generic) and not np.any(value):
        return Nothing(jnp.zeros((), dtype))
    return Matrix(costs) if costs.ndim else OfEveryMistake(costs)


def false_positives_beside(value: Any, num_classes: int, dtype: DTypeLike) -> FalsePositives:
    """What a user gives as ``fp_pairs``."""
    if value is None:
        return Nothing(jnp.zeros((), dtype))
    if isinstance(value, PairCosts):
        return _of_pairs("fp_pairs", value, num_classes, dtype)
    if isinstance(value, ExampleCosts):
        _refuse_examples("fp_pairs")
    costs = _checks.costs("fp_pairs", value, dtype)
    expected = (num_classes, num_classes)
    _checks.same_shape("fp_pairs", costs, expected, "one row and one column per class, shape")
    return Matrix(costs)


def _of_pairs(
    name: str, value: PairCosts, num_classes: int | None, dtype: DTypeLike
) -> FalsePositives:
    if value.num_classes != num_classes:
        raise ValueError(
            f"{name} must be the costs of {num_classes} classes, "
            f"got PairCosts of {value.num_classes}."
        )
    costs = _checks.costs(f"{name}.costs", value.costs, dtype)
    return OfPairs(dataclasses.replace(value, costs=costs))


def _of_examples(
    value: ExampleCosts, num_classes: int | None, dtype: DTypeLike, examples: tuple[int, ...]
) -> FalsePositives:
    costs = _checks.costs("fp.costs", value.costs, dtype)
    if value.classes is None:
        if num_classes is None:
            num_classes = costs.shape[-1] if costs.ndim else 0
        expected = (*examples, num_classes)
        _checks.same_shape("fp.costs", costs, expected, "one cost per class of each example, shape")
        return OfExamples(costs)
    classes, empty, valid = _checks.class_slots("fp.classes", value.classes, examples, num_classes)
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


def held(name: str, value: Any, dtype: DTypeLike) -> jax.Array | PairCosts | ExampleCosts:
    """The costs as a user gave them, as arrays."""
    if not isinstance(value, PairCosts | ExampleCosts):
        return _checks.costs(name, value, dtype)
    costs = _checks.costs(f"{name}.costs", value.costs, dtype)
    if isinstance(value, ExampleCosts) and value.classes is not None:
        classes = jnp.asarray(_checks.as_array(f"{name}.classes", value.classes))
        return ExampleCosts(costs, classes)
    return dataclasses.replace(value, costs=costs)


def refuse(fn: Any, fp: Any) -> None:
    """Refuses costs of classes that cannot be meant; those of examples await these."""
    num_classes, dtype = num_classes_of(fn, fp), cost_dtype(fn, fp)
    if not isinstance(fn, ExampleCosts):
        false_negatives(fn, num_classes, dtype)
    if not isinstance(fp, ExampleCosts):
        false_positives(fp, num_classes, dtype)


def refuse_but_scalar(name: str, costs: Any) -> None:
    """Refuses what is no scalar, for two classes."""
    if not isinstance(costs, jax.Array):
        kind = type(costs).__name__
        raise TypeError(f"{name} must be a scalar where there is a threshold, got {kind}.")
    _checks.same_shape(name, costs, (), "a scalar's shape")
