"""Costs of a few confusions among many classes, without a matrix."""

import dataclasses
import operator
from collections.abc import Mapping, Sequence
from typing import ClassVar, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from rwwce_jax._checks import arguments
from rwwce_jax._numerics.categorical import Terms
from rwwce_jax.costs._names import checked_names
from rwwce_jax.costs._operators import CostOperator
from rwwce_jax.costs._pytrees import register_dataclass

# Printed costs list no more mistakes than this.
_MOST_LISTED = 20


def describe(
    true: np.ndarray, decided: np.ndarray, costs: np.ndarray, names: Sequence[str] | None
) -> list[str]:
    """One line per costly decision, the most costly first."""
    costly = np.flatnonzero(costs)
    order = costly[np.argsort(-costs[costly], kind="stable")]
    lines = []
    for i in order[:_MOST_LISTED]:
        pair = (true[i], decided[i])
        row, column = pair if names is None else (names[k] for k in pair)
        lines.append(f"true {row} predicted {column}: {float(costs[i]):.7}")
    if order.size > _MOST_LISTED:
        rest = order[_MOST_LISTED:]
        lines.append(f"... and {rest.size} more, of {float(costs[rest[0]]):.7} at most")
    return lines


@register_dataclass
@dataclasses.dataclass(frozen=True, repr=False, eq=False)
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
    num_classes: int = dataclasses.field(metadata={"static": True})
    # For each class the number of pairs with a lower true class, (K,).
    _first: jax.Array
    # The most pairs that one true class has.
    _most: int = dataclasses.field(metadata={"static": True})
    # For printing only. It is lost when JAX rebuilds the pytree.
    class_names: ClassVar[Sequence[str] | None] = None
    not_an_array: ClassVar[str] = "which is for fp between classes"

    def __repr__(self) -> str:
        """One line per pair, the most costly first."""
        arrays: tuple[object, ...] = (self.true, self.predicted, self.costs)
        # JAX also rebuilds a pytree with tracers, objects that are no arrays, and stacked arrays.
        known = all(hasattr(x, "__array__") and not isinstance(x, jax.core.Tracer) for x in arrays)
        if not known or any(np.ndim(x) != 1 for x in (self.true, self.predicted, self.costs)):
            return f"PairCosts(costs={self.costs}, num_classes={self.num_classes})"
        title = f"PairCosts of {self.num_classes} classes, what each mistake costs on top of fn:"
        true, predicted, costs = map(np.asarray, arrays)
        return "\n  ".join([title, *describe(true, predicted, costs, self.class_names)])

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

        def of_pairs(x: jax.Array) -> jax.Array:
            return x.at[inside].get(mode="promise_in_bounds")

        own = (at < self.true.size) & (of_pairs(self.true) == labels[..., None])
        costs = jnp.where(own, of_pairs(self.costs), 0)
        return Terms(costs, jnp.where(own, of_pairs(self.predicted), num_classes + offset))

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
        true, predicted = place[self.true], place[self.predicted]
        first = jnp.lexsort((predicted, true))
        return dataclasses.replace(
            self,
            costs=jnp.asarray(self.costs)[first],
            true=true[first],
            predicted=predicted[first],
            _first=jnp.searchsorted(true[first], place[order]).astype(jnp.int32),
        )


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
    ids = {} if names is None else {name: k for k, name in enumerate(names)}
    if not isinstance(costs, Mapping):
        raise TypeError(
            f"costs must be a mapping of (true, predicted) pairs to costs, got {costs!r:.80}."
        )

    def class_id(key: object, side: str, pair: object) -> int:
        if isinstance(key, str):
            if names is None and key.isdecimal() and str(int(key)) == key:
                return class_id(int(key), side, pair)
            if key not in ids:
                known = "there are no class_names" if names is None else "not in class_names"
                raise ValueError(f"costs[{pair!r}] has an unknown {side} class {key!r}: {known}.")
            return ids[key]
        if not isinstance(key, SupportsIndex):
            raise TypeError(
                f"costs[{pair!r}] must have a class id or name as its {side} class, got {key!r}."
            )
        k = operator.index(key)
        if not 0 <= k < num_classes:
            raise ValueError(
                f"costs[{pair!r}] must have class ids in [0, {num_classes}), got {side} class {k}."
            )
        return k

    dtype = jax.dtypes.canonicalize_dtype(np.float64)
    largest = float(np.finfo(dtype).max)
    found: dict[tuple[int, int], float] = {}
    items: list[tuple[object, object]] = list(costs.items())
    for pair, cost in items:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(f"costs must have (true, predicted) pairs as keys, got {pair!r:.80}.")
        key = (class_id(pair[0], "true", pair), class_id(pair[1], "predicted", pair))
        if key[0] == key[1]:
            raise ValueError(f"costs[{pair!r}] must be of two classes: a right decision is free.")
        if key in found:
            raise ValueError(f"costs[{pair!r}] must be given once, got it by id and by name.")
        try:
            number = np.asarray(cost).item()
        except (TypeError, ValueError):
            number = None
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise TypeError(f"costs[{pair!r}] must be a real number, got {cost!r:.80}.")
        if not 0 <= number <= largest:
            beyond = f" in {dtype}" if largest < number < np.inf else ""
            raise ValueError(
                f"costs[{pair!r}] must be a finite cost >= 0{beyond}, got {cost!r:.80}."
            )
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
        _first=jnp.asarray((np.cumsum(counts) - counts).astype(np.int32)),
        num_classes=num_classes,
        _most=int(counts.max()),
    )
    if names is not None:
        object.__setattr__(result, "class_names", names)
    return result
