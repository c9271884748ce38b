"""What all functions do with their arguments, before and after the arithmetic."""

from rwwce_jax._checks.reductions import Counted, CountedLabels
from rwwce_jax._checks.sharding import compiled
from rwwce_jax._checks.types import CostsLike, Reduction, Shape

__all__ = ["CostsLike", "Counted", "CountedLabels", "Reduction", "Shape", "compiled"]
