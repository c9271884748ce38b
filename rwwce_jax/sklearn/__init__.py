"""Real World Cost for scikit-learn: a scorer, and a classifier that decides by cost."""

try:
    import sklearn as _sklearn  # noqa: F401 - only asks whether it is there
except ModuleNotFoundError as error:
    if error.name != "sklearn":
        raise
    raise ModuleNotFoundError(
        "rwwce_jax.sklearn needs scikit-learn, which is not installed: pip install scikit-learn.",
        name="sklearn",
    ) from None

from rwwce_jax.sklearn._classifier import LeastCostClassifier
from rwwce_jax.sklearn._scorer import real_world_cost_scorer

__all__ = ["LeastCostClassifier", "real_world_cost_scorer"]
