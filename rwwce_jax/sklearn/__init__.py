"""Real World Cost for scikit-learn: a scorer, and a classifier that decides by cost."""

from rwwce_jax._checks.imports import needs

with needs("sklearn", "scikit-learn", "sklearn"):
    from rwwce_jax.sklearn._classifier import LeastCostClassifier
    from rwwce_jax.sklearn._scorer import real_world_cost_scorer

__all__ = ["LeastCostClassifier", "real_world_cost_scorer"]
