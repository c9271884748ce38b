"""The Real-World-Weight Cross-Entropy loss and the Real World Cost, for JAX."""

from importlib.metadata import version as _version

from rwwce_jax.costs import (
    Costs,
    ExampleCosts,
    PairCosts,
    binary_costs,
    check_costs,
    costs_from_matrix,
    pair_costs,
)
from rwwce_jax.decisions import (
    bayes_threshold,
    best_threshold,
    binary_posterior,
    categorical_posterior,
    decide,
    expected_cost,
    fit_temperature,
    multilabel_decide,
)
from rwwce_jax.losses import binary, categorical, linear_categorical, multilabel
from rwwce_jax.metrics import (
    binary_real_world_cost,
    categorical_real_world_cost,
    confusion_matrix,
    multilabel_real_world_cost,
    real_world_cost_from_confusion,
    savings,
)

__all__ = [
    "Costs",
    "ExampleCosts",
    "PairCosts",
    "bayes_threshold",
    "best_threshold",
    "binary",
    "binary_costs",
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
