"""Costs, outputs and labels for the tests of the Keras adapter, and what these run under."""

import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

# Keras promotes dtypes and ranks, and its variables have NumPy's old ``__array__``.
MARKS = [
    pytest.mark.usefixtures("standard_promotion"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # Keras 3 beside jax 0.12.
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
]

FN = [1.0, 2.0, 4.0]
FP = [[np.nan, 2.0, 3.0], [5.0, np.nan, 7.0], [11.0, 13.0, np.nan]]
PAIRS = rwwce.pair_costs({("b", "a"): 2.1, ("a", "c"): 13.0}, class_names="abc")
COSTS = {"scalars": (2.0, 0.1), "by class": (FN, 0.0), "matrix": (1, FP), "pairs": (FN, PAIRS)}

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(20, 3)).astype(np.float32)
IDS = RNG.integers(0, 3, 20)
SCORES = RNG.normal(size=20).astype(np.float32)
TRUTHS = RNG.integers(0, 2, 20)
WEIGHTS = RNG.uniform(0, 3, 20).astype(np.float32)
LABELS = {
    "integers": IDS,
    "floats": IDS.astype(np.float32),
    "column": IDS[:, None],
    "column of floats": IDS[:, None].astype(np.float32),
    "one-hot integers": np.eye(3, dtype=np.int32)[IDS],
    "one-hot floats": np.eye(3, dtype=np.float32)[IDS],
}

# All costs with one kind of labels, and all labels with one kind of costs.
CATEGORICAL = pytest.mark.parametrize(
    ("costs", "labels"),
    [
        *((COSTS[name], LABELS["integers"]) for name in COSTS),
        *((COSTS["pairs"], LABELS[name]) for name in LABELS if name != "integers"),
    ],
    ids=[*COSTS, *list(LABELS)[1:]],
)


def functional(logits, labels, costs, weights=None):
    """The weighed sum over the number of examples, as Keras reduces it."""
    function = rwwce.categorical if logits.ndim > 1 else rwwce.binary
    losses = function(logits, labels, *costs, reduction="none")
    return jnp.mean(losses if weights is None else losses * weights)
