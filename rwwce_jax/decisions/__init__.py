"""Decisions of least expected cost, and the probabilities to decide with."""

from rwwce_jax.decisions._calibration import fit_temperature
from rwwce_jax.decisions._decide import decide, expected_cost
from rwwce_jax.decisions._multilabel import multilabel_decide
from rwwce_jax.decisions._posteriors import binary_posterior, categorical_posterior
from rwwce_jax.decisions._thresholds import bayes_threshold, best_threshold

__all__ = [
    "bayes_threshold",
    "best_threshold",
    "binary_posterior",
    "categorical_posterior",
    "decide",
    "expected_cost",
    "fit_temperature",
    "multilabel_decide",
]
