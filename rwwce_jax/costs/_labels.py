"""Costs of several labels per example, for the loss, the metric and the decisions."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from rwwce_jax.costs._convert import between_labels, by_class
from rwwce_jax.costs._operators import FalsePositives


class LabelCosts(NamedTuple):
    """Costs of each label as a question of its own, and of pairs of labels."""

    fn: jax.Array  # () or (K,)
    fp: jax.Array  # () or (K,)
    fp_pairs: FalsePositives

    @classmethod
    def of(
        cls, fn: Any, fp: Any, fp_pairs: Any, num_classes: int, dtype: DTypeLike
    ) -> "LabelCosts":
        """Converts the arguments, or refuses them."""
        return cls(
            by_class("fn", fn, num_classes, dtype),
            by_class("fp", fp, num_classes, dtype),
            between_labels(fp_pairs, num_classes, dtype),
        )

    def of_misses(self, labels: jax.Array) -> jax.Array:
        """``labels[k] * fn[k]``, (..., K)."""
        return labels * jnp.broadcast_to(self.fn, labels.shape)

    def of_false_positives(self, labels: jax.Array) -> jax.Array:
        """For each class, the cost of predicting it if it is absent and the others are as given."""
        return jnp.broadcast_to(self.fp, labels.shape) + self.fp_pairs.weighted_sum(labels)
