"""What mistakes cost: by true class, by pairs of classes, and by example."""

from rwwce_jax.costs._check import check_costs
from rwwce_jax.costs._costs import Costs
from rwwce_jax.costs._examples import ExampleCosts
from rwwce_jax.costs._matrices import binary_costs, costs_from_matrix
from rwwce_jax.costs._pairs import PairCosts, pair_costs

__all__ = [
    "Costs",
    "ExampleCosts",
    "PairCosts",
    "binary_costs",
    "check_costs",
    "costs_from_matrix",
    "pair_costs",
]
