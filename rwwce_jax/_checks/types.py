"""Aliases for the types of arguments."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from jax.typing import ArrayLike

# Adds lists of numbers and lists of rows, which jax.typing.ArrayLike leaves out.
CostsLike: TypeAlias = ArrayLike | Sequence[ArrayLike] | Sequence[Sequence[ArrayLike]]

Shape: TypeAlias = tuple[int, ...]

Reduction: TypeAlias = Literal["mean", "sum", "none"]
Split: TypeAlias = Literal["cheapest", "fp_only"]
