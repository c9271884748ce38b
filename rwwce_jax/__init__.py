"""The Real-World-Weight Cross-Entropy loss and the Real World Cost, for JAX."""

from importlib.metadata import version as _version

from rwwce_jax._multilabel import multilabel, multilabel_decide, multilabel_real_world_cost
from rwwce_jax.calibration import fit_temperature
from rwwce_jax.confusion import confusion_matrix, real_world_cost_from_confusion
from rwwce_jax.costs import Costs, check_costs, costs_from_matrix
from rwwce_jax.decisions import decide, expected_cost
from rwwce_jax.example_costs import ExampleCosts
from rwwce_jax.linear import linear_categorical
from rwwce_jax.losses import binary, categorical
from rwwce_jax.metrics import (
    binary_real_world_cost,
    categorical_real_world_cost,
    savings,
)
from rwwce_jax.pairs import PairCosts, pair_costs
from rwwce_jax.posteriors import binary_posterior, categorical_posterior
from rwwce_jax.thresholds import bayes_threshold, best_threshold

__all__ = [
    "Costs",
    "ExampleCosts",
    "PairCosts",
    "bayes_threshold",
    "best_threshold",
    "binary",
    "binary_posterior",
    "binary_real_world_cost",
    "categorical",
    "categorical_posterior",
    "categorical_real_world_cost",
    "check_costs",
    "confusion_matrix",
    "costs_from_matrix",
    "decide",
    "expected_cost",
    "fit_temperature",
    "linear_categorical",
    "multilabel",
    "multilabel_decide",
    "multilabel_real_world_cost",
    "pair_costs",
    "real_world_cost_from_confusion",
    "savings",
]

__version__ = _version("rwwce_jax")


def __dir__() -> list[str]:
    """What tab completion shows: all public names, and the adapters that have been imported."""
    adapters = globals().keys() & {"flax", "keras", "plot", "sklearn"}
    return sorted([*__all__, *adapters, "__version__"])
