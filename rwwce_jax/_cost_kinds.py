"""The kinds of costs behind one interface: callers ask what a mistake costs, not which kind it is.

All kinds are pytrees. None uses the diagonal of a matrix, or an example's cost for its own label.
"""

import dataclasses
from abc import ABC, abstractmethod
from typing import Any, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
from jax import lax

from rwwce_jax._numerics import Terms, is_class, sum_of_others
from rwwce_jax._pytrees import register_dataclass
from rwwce_jax.pairs import PairCosts

_Kind = TypeVar("_Kind")


@dataclass_transform(frozen_default=True)
def _pytree(kind: type[_Kind]) -> type[_Kind]:
    return register_dataclass(dataclasses.dataclass(frozen=True)(kind))


class FalseNegatives(ABC):
    """Costs of misses. With ``by_example``, the leading axes of the arrays are the examples."""

    by_example = False

    @abstractmethod
    def of_labels(self, labels: jax.Array) -> jax.Array:
        """The cost of missing each of these labels, (...), or a scalar."""

    @abstractmethod
    def of_weights(self, weights: jax.Array) -> jax.Array:
        """``weights[k] * fn[k]``, (..., K), for weights of all classes."""


class FalsePositives(ABC):
    """Costs of predicting a wrong class, on top of the miss."""

    by_example = False

    @abstractmethod
    def of_labels(self, labels: jax.Array, num_classes: int) -> Terms:
        """For each label the costs of all predictions, or of the few that cost something."""

    @abstractmethod
    def of_weights(self, weights: jax.Array) -> jax.Array:
        """``sum(weights[k] * fp[k, j])`` over the classes k other than j, (..., K)."""

    def terms_of_weights(self, weights: jax.Array) -> Terms:
        """``of_weights`` as terms: of all classes, or of none where all costs are zero."""
        return Terms(self.of_weights(weights))

    @abstractmethod
    def of_decisions(self, labels: jax.Array, predictions: jax.Array) -> jax.Array:
        """The cost of each prediction that is not the label, (...), or a scalar."""

    @abstractmethod
    def matrix(self, num_classes: int) -> jax.Array:
        """``fp`` as a matrix, (K, K). Its diagonal means nothing."""

    def pairs(self) -> PairCosts | None:
        """The costs of pairs of classes, if this kind holds those."""
        return None


@_pytree
class ByClass(FalseNegatives):
    costs: jax.Array  # () or (K,)

    def of_labels(self, labels: jax.Array) -> jax.Array:
        if self.costs.ndim == 0:
            return self.costs
        return self.costs.at[labels].get(mode="promise_in_bounds")

    def of_weights(self, weights: jax.Array) -> jax.Array:
        return weights * jnp.broadcast_to(self.costs, weights.shape)


@_pytree
class ByExample(FalseNegatives):
    costs: jax.Array  # (...)
    by_example = True

    def of_labels(self, labels: jax.Array) -> jax.Array:
        return self.costs

    def of_weights(self, weights: jax.Array) -> jax.Array:
        return weights * self.costs[..., None]


@_pytree
class Nothing(FalsePositives):
    """Costs that are known to be zero while tracing: nothing is computed for them."""

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
    """Costs of all classes, (..., K) or one number, with 0 for the label."""
    costs = jnp.broadcast_to(costs, (*labels.shape, num_classes))
    return Terms(jnp.where(is_class(costs, labels[..., None]), 0, costs))


@_pytree
class OfEveryMistake(FalsePositives):
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
class Matrix(FalsePositives):
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
class OfPairs(FalsePositives):
    costs: PairCosts

    def of_labels(self, labels: jax.Array, num_classes: int) -> Terms:
        # As many slots as the class with most pairs needs: unused ones hold ids >= K and cost 0.
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


class _OfExamples(FalsePositives):
    """Costs that each example has of its own."""

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
    valid: jax.Array  # (...): False where a class is outside [0, K), which costs NaN

    def of_labels(self, labels: jax.Array, num_classes: int) -> Terms:
        slots = lax.broadcasted_iota(jnp.int32, self.classes.shape, self.classes.ndim - 1)
        used = self._used(labels)
        classes = jnp.where(used, self.classes, num_classes + slots)
        costs = jnp.where(used, self.costs, 0)
        # A class that is given several times has the sum of its costs, in its last slot.
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
    """Cumulative sums along the last axis that restart at each start."""

    def add(
        left: tuple[jax.Array, jax.Array], right: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        return jnp.where(right[1], right[0], left[0] + right[0]), left[1] | right[1]

    sums: jax.Array = lax.associative_scan(add, (values, starts), axis=values.ndim - 1)[0]
    return sums


def partition(*kinds: FalseNegatives | FalsePositives) -> tuple[list[Any], list[Any]]:
    """The costs of single examples, and those that all share, each with None for the others."""
    return (
        [kind if kind.by_example else None for kind in kinds],
        [None if kind.by_example else kind for kind in kinds],
    )


def join(examples: list[Any], shared: list[Any]) -> list[Any]:
    """Undoes ``partition``."""
    return [a if b is None else b for a, b in zip(examples, shared, strict=True)]
