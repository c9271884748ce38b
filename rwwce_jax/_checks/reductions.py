"""The mean, the sum, or no reduction over the examples that count, as many times as they count."""

from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from rwwce_jax._checks import arguments
from rwwce_jax._checks.types import Reduction, Shape


class Counted(NamedTuple):
    """Which examples count, and as how many. None stands for all, and for once each."""

    where: jax.Array | None
    weights: jax.Array | None

    @classmethod
    def of(cls, where: Any, weights: Any, shape: Shape, dtype: DTypeLike | None) -> Self:
        """Converts the arguments, or refuses them."""
        return cls(arguments.mask("where", where, shape), arguments.weights(weights, shape, dtype))

    def select(self, values: jax.Array) -> jax.Array:
        """The values, and 0 in place of those that the mask leaves out."""
        if self.where is None:
            return values
        where = jnp.expand_dims(self.where, range(self.where.ndim, values.ndim))
        return jnp.where(where, values, 0)

    def weigh(self, values: jax.Array) -> jax.Array:
        """The values times the weights of their examples. A masked weight is not looked at."""
        if self.weights is None:
            return values
        weights = jnp.expand_dims(self.weights, range(self.weights.ndim, values.ndim))
        return values * self.select(weights)

    def reduce(self, values: jax.Array, reduction: Reduction) -> jax.Array:
        """Masks one number per example, weighed before, then averages, sums or keeps them."""
        values = self.select(values)
        if reduction == "none":
            return values
        total = jnp.sum(values)
        return total if reduction == "sum" else self.mean(total, values.size)

    def number(self, size: int) -> jax.Array | int:
        """How many of all ``size`` examples count, or the sum of their weights."""
        if self.weights is not None:
            return jnp.sum(self.weights, where=self.where)
        return size if self.where is None else jnp.sum(self.where)

    def mean(self, total: jax.Array, size: int) -> jax.Array:
        """The sum over all ``size`` examples divided by their number (the 1/M of the paper)."""
        number = self.number(size)
        if self.weights is None:
            return total / jnp.maximum(number, 1).astype(total.dtype)
        # Without any weight the mean is 0, and so are its derivatives. Too much to add up is NaN.
        return total / jnp.select([number == 0, number == jnp.inf], [jnp.inf, jnp.nan], number)


class CountedLabels(Counted):
    """Which labels of the examples count, (..., K), and as how many each example counts, (...)."""

    @classmethod
    def of(cls, where: Any, weights: Any, shape: Shape, dtype: DTypeLike | None) -> Self:
        """Converts the arguments, or refuses them. The mask may be one over the examples, too."""
        known = arguments.label_mask("where", where, shape)
        return cls(known, arguments.weights(weights, shape[:-1], dtype))

    def reduce(self, values: jax.Array, reduction: Reduction) -> jax.Array:
        """Sums the known labels of each example, then reduces the examples that have one."""
        where = None if self.where is None else jnp.any(self.where, axis=-1)
        of_examples = Counted(where, self.weights)
        return of_examples.reduce(jnp.sum(values, -1, where=self.where), reduction)
