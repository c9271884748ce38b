"""Costs of mistakes that differ from example to example."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike, DTypeLike

from rwwce_jax._checks import arguments
from rwwce_jax._checks.labels import EMPTY, INVALID, class_slots
from rwwce_jax._numerics.arithmetic import sum_of_others
from rwwce_jax._numerics.categorical import Terms
from rwwce_jax._numerics.platforms import MOST_ROWS_AS_PRODUCT, is_class, is_few
from rwwce_jax.costs._operators import CostOperator, without_labels
from rwwce_jax.costs._pytrees import pytree_dataclass


@pytree_dataclass()
class ExampleCosts(CostOperator):
    """Costs that differ from example to example, to use as ``fn`` or ``fp``.

    A pytree of arrays: the leading axes ``(...)`` are those of the examples, the last one is that
    of the classes. The costs may be traced and differentiated. No matrix is built.

    Attributes:
        costs: As ``fn``, the cost of missing each example, ``(...)``. As ``fp``, the extra cost of
            each predicted class, ``(..., K)``; the entry of the label is never used. With
            ``classes``, the costs of those only: ``(..., P)``, or what broadcasts to it, such as
            one number.
        classes: For ``fp`` only, the costly classes of each example, integers ``(..., P)``. Other
            classes cost nothing extra. -1 marks an empty slot. A slot with the label is never used.
            The costs of a class that is given twice are summed. Any other id outside [0, K) makes
            the loss, gradient and cost of its example NaN.

    Example:
        Unlikelihood training: the model should not repeat what the text has just said.

        >>> import jax.numpy as jnp
        >>> import rwwce_jax as rwwce
        >>> logits = jnp.zeros((2, 5)).at[:, 3].set(2.0)
        >>> labels = jnp.array([0, 3])
        >>> candidates = jnp.array([[3, 1], [1, -1]])
        >>> fp = rwwce.ExampleCosts(1.0, classes=candidates)
        >>> for loss in rwwce.categorical(logits, labels, 1.0, fp, reduction="none"):
        ...     print(f"{loss:.3f}")
        3.571
        0.525

    References:
        S. Welleck et al., "Neural Text Generation with Unlikelihood Training", ICLR 2020. They
        clamp 1 - p at 1e-5, which removes the gradient where it matters; here it is exact.
    """

    costs: ArrayLike
    classes: ArrayLike | None = None

    of_examples: ClassVar[bool] = True
    not_an_array: ClassVar[str] = "which is for costs of classes"

    def converted(
        self, name: str, num_classes: int | None, dtype: DTypeLike, examples: tuple[int, ...] | None
    ) -> "ExampleCosts":
        """These costs as the argument of this name, with ``EMPTY`` or ``INVALID`` for no class.

        Without the shape of the examples, they are refused.
        """
        if examples is None or name == "fp_pairs":
            raise TypeError(
                f"{name} must not be ExampleCosts where the truth is not known or the examples are "
                "summed; for costs of each example use jax.vmap over plain ones."
            )
        if name in ("fn", "right") and self.classes is not None:
            raise ValueError(f"{name} must be ExampleCosts without classes: it has no prediction.")
        costs = arguments.costs(f"{name}.costs", self.costs, dtype)
        if self.classes is None:
            expected, of = examples, "the shape of the examples"
            if name == "fp":
                last = costs.shape[-1:] or (0,) if num_classes is None else (num_classes,)
                expected, of = (*examples, *last), "one cost per class of each example, shape"
            arguments.same_shape(f"{name}.costs", costs, expected, of)
            return ExampleCosts(costs)
        classes = class_slots("fp.classes", self.classes, examples, num_classes)
        try:
            costs = jnp.broadcast_to(costs, classes.shape)
        except ValueError:
            raise ValueError(
                f"fp.costs must broadcast to the shape of fp.classes {classes.shape}, "
                f"got shape {costs.shape}."
            ) from None
        return ExampleCosts(jnp.where(classes == EMPTY, 0, costs), classes)

    def weighted_misses(self, weights: jax.Array) -> jax.Array:
        """See ``CostOperator``."""
        return weights * jnp.asarray(self.costs)[..., None]

    def rows(self, labels: jax.Array, num_classes: int) -> Terms:
        """See ``CostOperator``."""
        given = jnp.asarray(self.costs)
        if self.classes is None:
            return without_labels(given, labels, num_classes)
        if is_few(num_classes, MOST_ROWS_AS_PRODUCT) and is_few(given.shape[-1], _MOST_SPREAD):
            costs = jnp.zeros((*labels.shape, num_classes), given.dtype)
            classes = jnp.asarray(self.classes)
            for i in range(given.shape[-1]):
                one = slice(i, i + 1)
                costs += jnp.where(is_class(costs, classes[..., one]), given[..., one], 0)
            costs = jnp.where(self._valid()[..., None], costs, jnp.nan)
            return without_labels(costs, labels, num_classes)
        slots = lax.broadcasted_iota(jnp.int32, given.shape, given.ndim - 1)
        used = self._used(labels)
        classes = jnp.where(used, self.classes, num_classes + slots)
        costs = jnp.where(used, given, 0)
        # A class that is given several times has the sum of its costs, in its last slot.
        classes, costs = lax.sort((classes, costs), num_keys=1)
        costs = _sum_runs(costs, jnp.diff(classes, prepend=INVALID) != 0)
        is_last = jnp.diff(classes, append=INVALID) != 0
        costs = jnp.where(is_last, costs, 0)
        costs = jnp.where(self._valid()[..., None], costs, jnp.nan)
        return Terms(costs, jnp.where(is_last, classes, num_classes + slots))

    def weighted_sum(self, weights: jax.Array) -> jax.Array:
        """See ``CostOperator``."""
        if self.classes is None:
            return jnp.asarray(self.costs) * sum_of_others(weights)
        spread = jnp.vectorize(
            lambda zeros, classes, costs: zeros.at[classes].add(costs, mode="drop"),
            signature="(k),(p),(p)->(k)",
        )
        ids = jnp.asarray(self.classes)
        classes = jnp.where(ids >= 0, ids, weights.shape[-1])
        costs = spread(jnp.zeros_like(weights), classes, self.costs) * sum_of_others(weights)
        return jnp.where(self._valid()[..., None], costs, jnp.nan)

    def entries(self, labels: jax.Array, predictions: jax.Array) -> jax.Array:
        """See ``CostOperator``."""
        decided = predictions[..., None]
        if self.classes is None:
            return jnp.take_along_axis(jnp.asarray(self.costs), decided, axis=-1)[..., 0]
        counts = self._used(labels) & (self.classes == decided)
        return jnp.where(self._valid(), jnp.sum(jnp.where(counts, self.costs, 0), axis=-1), jnp.nan)

    def _used(self, labels: jax.Array) -> jax.Array:
        classes = jnp.asarray(self.classes)
        return (classes >= 0) & (classes != labels[..., None])

    def _valid(self) -> jax.Array:
        """The examples all of whose ids are classes or empty slots."""
        return jnp.all(jnp.asarray(self.classes) != INVALID, axis=-1)


# Up to this many candidates and few classes, comparing them with all classes is faster than sorting
# them. Value and gradient of four, in cycles that a TPU's compiler estimates, by Optax's loss:
#
#                                    8192x10  65536x21  16384x128  8192x256
#     compared with all classes         1.35      1.24       0.92      1.01
#     one-hot, by a product             1.67      1.61       1.30      1.50
#     compared with each other          2.59      2.30       2.40      1.77
_MOST_SPREAD = 8


# Sums, and whether they restart.
_Run = tuple[jax.Array, jax.Array]


def _sum_runs(values: jax.Array, starts: jax.Array) -> jax.Array:
    """Cumulative sums along the last axis that restart at each start."""

    def add(left: _Run, right: _Run) -> _Run:
        return jnp.where(right[1], right[0], left[0] + right[0]), left[1] | right[1]

    sums: jax.Array = lax.associative_scan(add, (values, starts), axis=values.ndim - 1)[0]
    return sums
