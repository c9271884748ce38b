"""What the losses and metrics are told of the examples of a batch: one record for each equation."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from rwwce_jax._checks import Counted, Shape, arguments
from rwwce_jax._checks.labels import binary_labels, class_labels
from rwwce_jax._numerics.categorical import Terms
from rwwce_jax.costs._convert import of_two_classes, operators
from rwwce_jax.costs._operators import CostOperator


class BinaryExamples(NamedTuple):
    """Labels, mask, weights and costs of examples of two classes, or of several labels each."""

    labels: jax.Array  # (...), or (..., K) for several labels
    counted: Counted
    fn: jax.Array  # of the labels' shape, or for several labels () or (K,)
    fp: jax.Array  # likewise
    fp_pairs: CostOperator | None = None  # of several labels

    @classmethod
    def of(
        cls, labels: Any, fn: Any, fp: Any, where: Any, weights: Any, shape: Shape, dtype: DTypeLike
    ) -> "BinaryExamples":
        """Converts the arguments of examples of two classes, or refuses them."""
        counted = Counted.of(where, weights, shape, dtype)
        truth = binary_labels("labels", labels, shape, dtype)
        return cls(truth, counted, *of_two_classes(fn, fp, shape, dtype))

    def costs(self) -> tuple[jax.Array, jax.Array]:
        """What deciding negative costs, and deciding positive, times the weight of the example.

        They are 0 for what the mask leaves out.
        """
        labels, counted, fn, fp, fp_pairs = self
        fn, fp = (jnp.broadcast_to(x, labels.shape) for x in (fn, fp))
        labels, fn, fp = (counted.select(x) for x in (labels, fn, fp))
        if fp_pairs is not None:
            fp += fp_pairs.weighted_sum(labels)
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
            labels = counted.select(labels)
            misses, costs = Terms(fn.weighted_misses(labels)), fp.weighted_rows(labels)
        else:
            # A NaN weight makes the whole loss and gradient of the example NaN.
            miss = jnp.where(valid, fn.misses(labels), jnp.nan)
            misses = Terms(miss[..., None], labels[..., None])
            costs = fp.rows(labels, num_classes)
        if z_loss is not None:
            each = jnp.broadcast_to(z_loss, (*misses.each.shape[:-1], 1))
            z_loss = counted.weigh(counted.select(each))
        misses, costs = (
            x._replace(each=counted.weigh(counted.select(x.each))) for x in (misses, costs)
        )
        return misses, costs, z_loss

    def has_rows(self) -> list[bool]:
        """Of each array, in the order of ``jax.tree.leaves``: has it the axes of the examples?"""
        of_costs = ((costs, costs.of_examples) for costs in (self.fn, self.fp))
        parts = ((self[:3], True), *of_costs, (self.z_loss, False))
        return [own for part, own in parts for _ in jax.tree.leaves(part)]
