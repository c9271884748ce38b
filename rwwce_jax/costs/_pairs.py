"""Costs of a few confusions among many classes, without a matrix."""

import dataclasses
import operator
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from rwwce_jax._checks import arguments
from rwwce_jax._numerics.categorical import Terms
from rwwce_jax.costs._names import checked_names
from rwwce_jax.costs._operators import CostOperator
from rwwce_jax.costs._pytrees import pytree_dataclass

# Printed costs list no more mistakes than this.
_MOST_LISTED = 20


def describe(title: str, names: Sequence[object], *decisions: np.ndarray) -> str:
    """A title, then a line per costly decision by its names, the most costly first.

    Args:
        title: What the costs are.
        names: The names of the classes and actions, by their ids.
        *decisions: The true classes, what is decided, and the costs, (N,) each.
    """
    true, decided, costs = decisions
    costly = np.flatnonzero(costs)
    order = costly[np.argsort(-costs[costly], kind="stable")]
    lines = [title]
    for i in order[:_MOST_LISTED]:
        row, column = names[true[i]], names[decided[i]]
        lines.append(f"true {row} predicted {column}: {float(costs[i]):.7}")
    if (rest := order[_MOST_LISTED:]).size:
        lines.append(f"... and {rest.size} more, of {float(costs[rest[0]]):.7} at most")
    return "\n  ".join(lines)


@pytree_dataclass("num_classes", "_most")
class PairCosts(CostOperator):
    """Costs of false positives for a few pairs of classes, zero for all others.

    ``rwwce.pair_costs`` makes one. It is a pytree, and needs memory in proportion to its pairs: no
    ``(K, K)`` array is built. To trace or differentiate costs, replace them:
    ``dataclasses.replace(pairs, costs=c)``. So does what maps over them: ``jax.vmap(lambda c:
    loss(dataclasses.replace(pairs, costs=c)))(many)``, with ``many`` of shape ``(M, N)``.

    Attributes:
        costs: The cost of each of N pairs, ``(N,)``.
        true: The true class of each pair, ascending, ``(N,)`` in int32.
        predicted: The predicted class of each pair, ``(N,)`` in int32.
        num_classes: The number K of classes.
    """

    costs: jax.Array
    true: jax.Array
    predicted: jax.Array
    num_classes: int
    # For each class the number of pairs with a lower true class, (K,).
    _first: jax.Array
    # The most pairs that one true class has.
    _most: int
    # For printing only. It is lost when JAX rebuilds the pytree.
    class_names: ClassVar[Sequence[str] | None] = None
    not_an_array: ClassVar[str] = "which is for fp between classes"

    def __repr__(self) -> str:
        """One line per pair, the most costly first."""
        arrays = (self.true, self.predicted, self.costs)
        # JAX also rebuilds a pytree with tracers, objects that are no arrays, and stacked arrays.
        known = all(hasattr(x, "__array__") and not isinstance(x, jax.core.Tracer) for x in arrays)
        if not known or any(x.ndim != 1 for x in arrays):
            return f"PairCosts(costs={self.costs}, num_classes={self.num_classes})"
        title = f"PairCosts of {self.num_classes} classes, what each mistake costs on top of fn:"
        names = self.class_names or range(self.num_classes)
        return describe(title, names, *map(np.asarray, arrays))

    def converted(
        self, name: str, num_classes: int | None, dtype: DTypeLike, examples: tuple[int, ...] | None
    ) -> "PairCosts":
        """These costs as the argument of this name, of this many classes, in this dtype."""
        if self.num_classes != num_classes:
            raise ValueError(
                f"{name} must be the costs of {num_classes} classes, "
                f"got PairCosts of {self.num_classes}."
            )
        costs = arguments.costs(f"{name}.costs", self.costs, dtype)
        arguments.same_shape(f"{name}.costs", costs, self.true.shape, "one cost per pair, shape")
        return dataclasses.replace(self, costs=costs)

    def rows(self, labels: jax.Array, num_classes: int) -> Terms:
        """See ``CostOperator``."""
        # As many slots as the class with most pairs needs: unused ones hold ids >= K and cost 0.
        offset = lax.broadcasted_iota(jnp.int32, (*labels.shape, self._most), labels.ndim)
        at = self._first.at[labels].get(mode="promise_in_bounds")[..., None] + offset
        inside = jnp.minimum(at, self.true.size - 1)
        of_pairs = (self.true, self.costs, self.predicted)
        true, costs, classes = (x.at[inside].get(mode="promise_in_bounds") for x in of_pairs)
        own = (at < self.true.size) & (true == labels[..., None])
        return Terms(jnp.where(own, costs, 0), jnp.where(own, classes, num_classes + offset))

    def weighted_sum(self, weights: jax.Array) -> jax.Array:
        """See ``CostOperator``."""
        costs = jnp.broadcast_to(self.costs, (*weights.shape[:-1], *self.costs.shape))
        weighted = weights[..., self.true] * costs
        return jnp.zeros_like(weights).at[..., self.predicted].add(weighted)

    def entries(self, labels: jax.Array, predictions: jax.Array) -> jax.Array:
        """See ``CostOperator``."""
        costs, classes = self.rows(labels, self.num_classes)
        return jnp.sum(jnp.where(classes == predictions[..., None], costs, 0), axis=-1)

    def as_matrix(self, num_classes: int) -> jax.Array:
        """See ``CostOperator``."""
        zeros = jnp.zeros((num_classes, num_classes), self.costs.dtype)
        return zeros.at[self.true, self.predicted].set(self.costs)

    def as_pairs(self) -> "PairCosts":
        """See ``CostOperator``."""
        return self

    def ordered(self, order: np.ndarray) -> "PairCosts":
        """The same costs, for classes of which number k was number ``order[k]``."""
        place = jnp.asarray(np.argsort(order).astype(np.int32))
        by_true = jnp.lexsort((place[self.predicted], place[self.true]))
        costs = jnp.asarray(self.costs)[by_true]
        true, predicted = (place[x[by_true]] for x in (self.true, self.predicted))
        first = jnp.searchsorted(true, place[order]).astype(jnp.int32)
        return PairCosts(costs, true, predicted, self.num_classes, first, self._most)


def pair_costs(
    costs: Mapping[tuple[SupportsIndex | str, SupportsIndex | str], float],
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
) -> PairCosts:
    """Costs of a few confusions, to use as ``fp`` in place of a matrix.

    Memory and time grow with the number of pairs, not with the number of classes. For a vocabulary
    of 128,256 tokens, a matrix would take 66 GB.

    Args:
        costs: The extra cost of each costly mistake, by its pair ``(true, predicted)`` of class ids
            or names. Other mistakes cost nothing extra. As in ``fp``, costs come on top of ``fn``.
        num_classes: The number K of classes, 2 or more. May be left out with ``class_names``.
        class_names: The names of all classes, strings, in the order of their ids. By default the
            name of a class is its id, so that ``("4", "9")`` means ``(4, 9)``.

    Returns:
        A ``PairCosts``, which ``rwwce.categorical``, the metrics and the decisions take as ``fp``.
        Its ``repr`` has one line per pair, the most costly first. Read it: nothing can detect a
        pair that is the wrong way round.

    Raises:
        ValueError: naming the pair, if it holds one class twice, an unknown name or an id outside
            [0, K), is given twice (by id and by name), or has a cost that is negative, NaN or
            infinite in JAX's precision; if no pair costs anything; or if there are not K different
            names, or they are integers but not the ids in their order.
        TypeError: if a key is not a pair of ids or names, a cost not a real number, or a name no
            string.

    Example:
        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> fp = rwwce.pair_costs({("4", "9"): 19.0, ("9", "4"): 4}, class_names="0123456789")
        >>> fp
        PairCosts of 10 classes, what each mistake costs on top of fn:
          true 4 predicted 9: 19.0
          true 9 predicted 4: 4.0
        >>> logits = jnp.zeros((1, 10)).at[0, 9].set(3.0)
        >>> print(f"{rwwce.categorical(logits, jnp.array([4]), fn=1.0, fp=fp):.3f}")
        25.658
    """
    if num_classes is None:
        if class_names is None:
            raise ValueError("num_classes must be given where class_names are not.")
        num_classes = len(class_names)
    num_classes = arguments.integer("num_classes", num_classes, least=2)
    names = None if class_names is None else checked_names(class_names, num_classes)
    ids = {name: k for k, name in enumerate(names or ())}
    if not isinstance(costs, Mapping):
        raise TypeError(
            f"costs must be a mapping of (true, predicted) pairs to costs, got {costs!r:.80}."
        )

    def class_id(key: Any, side: str, at: str) -> int:
        if names is None and isinstance(key, str) and key.isdecimal() and str(int(key)) == key:
            key = int(key)
        key = ids.get(key, key)
        if isinstance(key, str):
            known = "there are no class_names" if names is None else "not in class_names"
            raise ValueError(f"{at} has an unknown {side} class {key!r}: {known}.")
        if not isinstance(key, SupportsIndex):
            raise TypeError(f"{at} must have a class id or name as its {side} class, got {key!r}.")
        k = operator.index(key)
        if not 0 <= k < num_classes:
            raise ValueError(
                f"{at} must have class ids in [0, {num_classes}), got {side} class {k}."
            )
        return k

    found: dict[tuple[int, int], float] = {}
    pair: Any
    for pair, cost in costs.items():
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(f"costs must have (true, predicted) pairs as keys, got {pair!r:.80}.")
        at = f"costs[{pair!r}]"
        key = (class_id(pair[0], "true", at), class_id(pair[1], "predicted", at))
        if key[0] == key[1]:
            raise ValueError(f"{at} must be of two classes: a right decision is free.")
        if key in found:
            raise ValueError(f"{at} must be given once, got it by id and by name.")
        try:
            number = np.asarray(cost).item()
        except (TypeError, ValueError):
            number = None
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise TypeError(f"{at} must be a real number, got {cost!r:.80}.")
        arguments.finite_cost(at, number, f"{cost!r:.80}")
        found[key] = float(number)
    if not any(found.values()):
        raise ValueError("costs must hold a cost above 0, got none: use fp=0.")

    order = sorted(found)
    true, predicted = np.array(order, np.int32).T
    counts = np.bincount(true, minlength=num_classes)
    result = PairCosts(
        costs=jnp.asarray(np.array([found[key] for key in order])),
        true=jnp.asarray(true),
        predicted=jnp.asarray(predicted),
        num_classes=num_classes,
        _first=jnp.asarray((np.cumsum(counts) - counts).astype(np.int32)),
        _most=int(counts.max()),
    )
    object.__setattr__(result, "class_names", names)
    return result
