"""What the losses and metrics are told of the examples of a batch: one record for each equation."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from rwwce_jax._checks import arguments
from rwwce_jax._checks.labels import binary_labels, class_labels
from rwwce_jax._checks.reductions import Counted
from rwwce_jax._checks.types import Shape
from rwwce_jax._numerics.categorical import Terms
from rwwce_jax.costs._convert import by_class, of_two_classes, operator, operators
from rwwce_jax.costs._operators import CostOperator, Nothing, Number


class BinaryExamples(NamedTuple):
    """Labels, costs, mask and weights of examples of two classes, all of one shape."""

    labels: jax.Array
    fn: jax.Array
    fp: jax.Array
    counted: Counted

    @classmethod
    def of(
        cls, labels: Any, fn: Any, fp: Any, counted: Counted, shape: Shape, dtype: DTypeLike
    ) -> "BinaryExamples":
        """Converts the arguments, or refuses them."""
        return cls(
            binary_labels("labels", labels, shape, dtype),
            *of_two_classes(fn, fp, shape, dtype),
            counted,
        )

    def costs(self) -> tuple[jax.Array, jax.Array]:
        """What deciding negative costs, and deciding positive, times the weight of the example.

        They are 0 for what the mask leaves out.
        """
        labels, fn, fp, counted = self
        if counted.where is not None:
            labels, fn, fp = (jnp.where(counted.where, x, 0) for x in (labels, fn, fp))
        return counted.weigh(fn * labels), counted.weigh(fp * (1 - labels))


class Examples(NamedTuple):
    """Labels, mask, weights and costs of examples of K classes."""

    labels: jax.Array  # class ids, (...), or class probabilities, (..., K)
    valid: jax.Array | None  # (...): which ids are classes; None for probabilities
    counted: Counted  # both (...)
    fn: CostOperator
    fp: CostOperator
    z_loss: jax.Array | None = None  # ()

    @classmethod
    def of(
        cls,
        labels: ArrayLike,
        fn: Any,
        fp: Any,
        where: ArrayLike | None,
        weights: ArrayLike | None,
        z_loss: ArrayLike,
        shape: Shape,
        axis: int,
        dtype: DTypeLike,
    ) -> "Examples":
        """Converts the arguments, for logits of this shape with the classes along ``axis``."""
        examples = (*shape[:axis], *shape[axis + 1 :])
        costs = operators(fn, fp, shape[axis], dtype, examples)
        truth, valid = class_labels("labels", labels, shape, axis, dtype)
        counted = Counted.of(where, weights, examples, dtype)
        squares = arguments.number_or_none("z_loss", z_loss, 0, dtype)
        return cls(truth, valid, counted, *costs, squares)

    @property
    def where(self) -> jax.Array | None:
        """Which examples count."""
        return self.counted.where

    def terms(self, num_classes: int) -> tuple[Terms, Terms, jax.Array | None]:
        """The weights of -log(p) and the costs of -log(1 - p) of each example, and its z-loss.

        All are multiplied by the weight of the example, in which the loss is linear.
        """
        labels, valid, counted, fn, fp, z_loss = self
        if valid is None:
            if counted.where is not None:
                labels = jnp.where(counted.where[..., None], labels, 0)
            misses, costs = Terms(fn.weighted_misses(labels)), fp.weighted_rows(labels)
        else:
            # A NaN weight makes the whole loss and gradient of the example NaN.
            miss = jnp.where(valid, fn.misses(labels), jnp.nan)
            misses = Terms(miss[..., None], labels[..., None])
            costs = fp.rows(labels, num_classes)
        if counted.where is not None:
            selected = counted.where[..., None]
            misses, costs = (
                x._replace(each=jnp.where(selected, x.each, 0)) for x in (misses, costs)
            )
        misses, costs = (x._replace(each=counted.weigh(x.each)) for x in (misses, costs))
        if z_loss is not None:
            examples = labels.shape if valid is not None else labels.shape[:-1]
            z_loss = counted.weigh(jnp.broadcast_to(z_loss, (*examples, 1)))
            if counted.where is not None:
                z_loss = jnp.where(counted.where[..., None], z_loss, 0)
        return misses, costs, z_loss

    def has_rows(self) -> list[bool]:
        """Of each array, in the order of ``jax.tree.leaves``: has it the axes of the examples?"""
        of_costs = ((costs, costs.of_examples) for costs in (self.fn, self.fp))
        parts = ((self[:3], True), *of_costs, (self.z_loss, False))
        return [own for part, own in parts for _ in jax.tree.leaves(part)]


class LabelCosts(NamedTuple):
    """Costs of several labels: of each as a question of its own, and of pairs of labels."""

    fn: jax.Array  # () or (K,)
    fp: jax.Array  # () or (K,)
    fp_pairs: CostOperator

    @classmethod
    def of(
        cls, fn: Any, fp: Any, fp_pairs: Any, num_classes: int, dtype: DTypeLike
    ) -> "LabelCosts":
        """Converts the arguments, or refuses them."""
        fn, fp = (by_class(name, x, num_classes, dtype) for name, x in (("fn", fn), ("fp", fp)))
        if fp_pairs is None:
            return cls(fn, fp, Nothing(jnp.zeros((), dtype)))
        pairs = operator("fp_pairs", fp_pairs, num_classes, dtype)
        if isinstance(pairs, Number):
            shape = (num_classes, num_classes)
            raise ValueError(
                f"fp_pairs must have one row and one column per class, shape {shape}, got shape ()."
            )
        return cls(fn, fp, pairs)

    def of_misses(self, labels: jax.Array) -> jax.Array:
        """What not predicting each class costs, (..., K)."""
        return labels * jnp.broadcast_to(self.fn, labels.shape)

    def of_false_positives(self, labels: jax.Array) -> jax.Array:
        """For each class, the cost of predicting it if it is absent and the others are as given."""
        return jnp.broadcast_to(self.fp, labels.shape) + self.fp_pairs.weighted_sum(labels)
