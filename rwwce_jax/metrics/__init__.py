"""Real World Cost: what a classifier's mistakes cost."""

from rwwce_jax.metrics._confusion import confusion_matrix, real_world_cost_from_confusion
from rwwce_jax.metrics._multilabel import multilabel_real_world_cost
from rwwce_jax.metrics._real_world_cost import binary_real_world_cost, categorical_real_world_cost
from rwwce_jax.metrics._savings import savings

__all__ = [
    "binary_real_world_cost",
    "categorical_real_world_cost",
    "confusion_matrix",
    "multilabel_real_world_cost",
    "real_world_cost_from_confusion",
    "savings",
]
