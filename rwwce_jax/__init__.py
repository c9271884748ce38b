"""The Real-World-Weight Cross-Entropy loss and the Real World Cost, for JAX."""

from rwwce_jax.costs import check_costs
from rwwce_jax.losses import binary, categorical
from rwwce_jax.metrics import (
    binary_real_world_cost,
    categorical_real_world_cost,
    confusion_matrix,
    real_world_cost_from_confusion,
)

__all__ = [
    "binary",
    "binary_real_world_cost",
    "categorical",
    "categorical_real_world_cost",
    "check_costs",
    "confusion_matrix",
    "real_world_cost_from_confusion",
]
