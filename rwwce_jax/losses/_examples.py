"""What the categorical losses are told of the examples of a batch: one record."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from rwwce_jax._checks import arguments
from rwwce_jax._numerics import Terms
from rwwce_jax.costs._convert import operators
from rwwce_jax.costs._operators import FalseNegatives, FalsePositives


class Examples(NamedTuple):
    """Labels, mask and costs."""

    labels: jax.Array  # class ids, (...), or class probabilities, (..., K)
    valid: jax.Array | None  # (...): which ids are classes; None for probabilities
    where: jax.Array | None  # (...): which examples count
    fn: FalseNegatives
    fp: FalsePositives

    @classmethod
    def of(
        cls,
        labels: ArrayLike,
        fn: Any,
        fp: Any,
        where: ArrayLike | None,
        shape: tuple[int, ...],
        axis: int,
        dtype: DTypeLike,
    ) -> "Examples":
        """Converts the arguments, for logits of this shape with the classes along ``axis``."""
        examples = (*shape[:axis], *shape[axis + 1 :])
        costs = operators(fn, fp, shape[axis], dtype, examples)
        truth, valid = arguments.class_labels("labels", labels, shape, axis, dtype)
        return cls(truth, valid, arguments.mask("where", where, examples), *costs)

    def terms(self, num_classes: int) -> tuple[Terms, Terms]:
        """The weights of -log(p) and the costs of -log(1 - p) of each example, equation 6."""
        labels, valid, where, fn, fp = self
        if valid is None:
            if where is not None:
                labels = jnp.where(where[..., None], labels, 0)
            weights, costs = Terms(fn.weighted_misses(labels)), fp.weighted_rows(labels)
        else:
            # A NaN weight makes the whole loss and gradient of the example NaN.
            weight = jnp.where(valid, fn.misses(labels), jnp.nan)
            weights = Terms(weight[..., None], labels[..., None])
            costs = fp.rows(labels, num_classes)
        if where is None:
            return weights, costs
        selected = where[..., None]
        weights, costs = (x._replace(each=jnp.where(selected, x.each, 0)) for x in (weights, costs))
        return weights, costs

    def has_rows(self) -> list[bool]:
        """Of each array, in the order of ``jax.tree.leaves``: has it the axes of the examples?"""
        parts = ((self[:3], True), (self.fn, self.fn.of_examples), (self.fp, self.fp.of_examples))
        return [own for part, own in parts for _ in jax.tree.leaves(part)]
