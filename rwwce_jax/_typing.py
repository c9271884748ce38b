"""The types of arguments that are no class of this package."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from jax.typing import ArrayLike

# Lists of numbers and of rows as well, which jax.typing.ArrayLike leaves out.
CostsLike: TypeAlias = ArrayLike | Sequence[ArrayLike] | Sequence[Sequence[ArrayLike]]

Reduction: TypeAlias = Literal["mean", "sum", "none"]
Split: TypeAlias = Literal["cheapest", "fp_only"]
