"""What mistakes cost, behind one small interface: callers never ask which kind of costs they have.

Like the linear operators of lineax: ``rows`` gives the costs of each example, ``weighted_sum`` is
the product of probabilities with the matrix of costs, ``as_matrix`` is that matrix. All kinds are
pytrees. None uses the diagonal of a matrix, or an example's cost for its own label.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Optional

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from rwwce_jax._numerics.arithmetic import sum_of_others
from rwwce_jax._numerics.categorical import Terms
from rwwce_jax._numerics.platforms import MOST_ROWS_AS_PRODUCT, is_few, is_label, take_rows
from rwwce_jax.costs._pytrees import pytree_dataclass

if TYPE_CHECKING:
    from rwwce_jax.costs._pairs import PairCosts


class CostOperator(ABC):
    """What mistakes cost. A kind that has no answer to a question is refused before it is asked."""

    costs: ArrayLike
    # Whether the leading axes of the arrays are those of the examples.
    of_examples: ClassVar[bool] = False

    def misses(self, labels: jax.Array) -> jax.Array:
        """As ``fn``: the cost of missing each of these labels, (...), or a scalar."""
        return jnp.asarray(self.costs)

    def weighted_misses(self, weights: jax.Array) -> jax.Array:
        """As ``fn``: ``weights[k] * fn[k]``, (..., K), for weights of all classes."""
        return weights * jnp.broadcast_to(self.costs, weights.shape)

    @abstractmethod
    def rows(self, labels: jax.Array, num_classes: int) -> Terms:
        """As ``fp``: for each label the costs of all predictions, or of those that cost more."""

    @abstractmethod
    def weighted_sum(self, weights: jax.Array) -> jax.Array:
        """As ``fp``: ``sum(weights[k] * fp[k, j])`` over the classes k other than j, (..., K)."""

    def weighted_rows(self, weights: jax.Array) -> Terms:
        """``weighted_sum`` as terms: of all classes, or of none where all costs are zero."""
        return Terms(self.weighted_sum(weights))

    def expected(self, weights: jax.Array, fn: "CostOperator") -> jax.Array:
        """As ``fp``: what predicting each class costs, (..., K), together with the misses."""
        return sum_of_others(fn.weighted_misses(weights)) + self.weighted_sum(weights)

    @abstractmethod
    def entries(self, labels: jax.Array, predictions: jax.Array) -> jax.Array:
        """As ``fp``: the cost of each prediction that is not the label, (...), or a scalar."""

    def as_matrix(self, num_classes: int) -> jax.Array:
        """``fp`` as a matrix, (K, K). Its diagonal means nothing."""
        return jnp.broadcast_to(self.costs, (num_classes, num_classes))

    def as_pairs(self) -> Optional["PairCosts"]:
        """``fp`` as costs of pairs of classes, where it is given as those."""
        return None


def expected_costs(
    probs: jax.Array, fn: CostOperator, fp: CostOperator, actions: jax.Array | None = None
) -> jax.Array:
    """What each decision is expected to cost, (..., K), and with actions (..., K + A)."""
    costs = fp.expected(probs, fn)
    if actions is None:
        return costs
    of_actions = jnp.matmul(probs, actions, precision=lax.Precision.HIGHEST)
    return jnp.concatenate([costs, of_actions], axis=-1)


def without_labels(costs: jax.Array, labels: jax.Array, num_classes: int) -> Terms:
    """Costs of all classes, (..., K) or one number, with 0 for the label."""
    costs = jnp.broadcast_to(costs, (*labels.shape, num_classes))
    return Terms(jnp.where(is_label(costs, labels), 0, costs))


@pytree_dataclass()
class Number(CostOperator):
    """One cost for every mistake, ()."""

    costs: jax.Array

    def rows(self, labels: jax.Array, num_classes: int) -> Terms:
        return without_labels(self.costs, labels, num_classes)

    def weighted_sum(self, weights: jax.Array) -> jax.Array:
        return self.costs * sum_of_others(weights)

    def entries(self, labels: jax.Array, predictions: jax.Array) -> jax.Array:
        return self.costs


@pytree_dataclass()
class Nothing(Number):
    """A zero that is known while tracing: nothing is computed for it."""

    def rows(self, labels: jax.Array, num_classes: int) -> Terms:
        nothing = (*labels.shape, 0)
        return Terms(jnp.zeros(nothing, self.costs.dtype), jnp.zeros(nothing, jnp.int32))

    def weighted_sum(self, weights: jax.Array) -> jax.Array:
        return jnp.zeros_like(weights)

    def weighted_rows(self, weights: jax.Array) -> Terms:
        return self.rows(weights[..., 0], weights.shape[-1])


@pytree_dataclass()
class ByClass(CostOperator):
    """Costs by true class: ``(K,)`` as ``fn``, ``(K, K)`` as ``fp``."""

    costs: jax.Array

    def misses(self, labels: jax.Array) -> jax.Array:
        return take_rows(self.costs, labels)

    def rows(self, labels: jax.Array, num_classes: int) -> Terms:
        if is_few(num_classes, MOST_ROWS_AS_PRODUCT):
            return Terms(take_rows(self._off_diagonal(), labels))
        return without_labels(take_rows(self.costs, labels), labels, num_classes)

    def weighted_sum(self, weights: jax.Array) -> jax.Array:
        return jnp.matmul(weights, self._off_diagonal(), precision=lax.Precision.HIGHEST)

    def expected(self, weights: jax.Array, fn: CostOperator) -> jax.Array:
        if fn.of_examples:
            return super().expected(weights, fn)
        # One product in place of two.
        misses = fn.weighted_misses(jnp.ones(weights.shape[-1], weights.dtype))
        return ByClass(misses[:, None] + self.costs).weighted_sum(weights)

    def entries(self, labels: jax.Array, predictions: jax.Array) -> jax.Array:
        return self.costs[labels, predictions]

    def _off_diagonal(self) -> jax.Array:
        return jnp.where(jnp.eye(self.costs.shape[0], dtype=bool), 0, self.costs)
