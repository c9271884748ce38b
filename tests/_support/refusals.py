"""What the functions accept, to be changed into what they refuse, and three ways to call them."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

LOGITS = np.zeros((4, 3), np.float32)
IDS = np.array([0, 1, 2, 0], np.int32)
TRUTHS = IDS % 2
PROBS = np.full((4, 3), 1 / 3, np.float32)
SCORES = np.float32(TRUTHS)
MATRIX = np.ones((3, 3), np.float32)
MASK = np.ones(4, bool)
COUNTS = np.ones((3, 3), np.int32)
ONE_HOT = np.eye(3, dtype=np.int32)[IDS]
COMPLEX = np.complex64(1j)
KEYS = jax.random.split(jax.random.key(0), 4)
PAIRS = rwwce.pair_costs({(0, 1): 2.0}, num_classes=3)

BINARY_COST = rwwce.binary_real_world_cost
COST = rwwce.categorical_real_world_cost
MULTILABEL_COST = rwwce.multilabel_real_world_cost
FROM_CONFUSION = rwwce.real_world_cost_from_confusion

COSTS = {"fn": 1.0, "fp": 1.0}
# What is refused differs from these in the arguments that are given.
ACCEPTED = {
    rwwce.binary: {"logits": SCORES, "labels": TRUTHS} | COSTS,
    rwwce.categorical: {"logits": LOGITS, "labels": IDS} | COSTS,
    rwwce.linear_categorical: {"hidden": LOGITS, "kernel": MATRIX, "labels": IDS} | COSTS,
    rwwce.multilabel: {"logits": LOGITS, "labels": ONE_HOT, "fp_pairs": MATRIX} | COSTS,
    BINARY_COST: {"predictions": TRUTHS, "labels": TRUTHS} | COSTS,
    COST: {"predictions": IDS, "labels": IDS} | COSTS,
    MULTILABEL_COST: {"predictions": ONE_HOT, "labels": ONE_HOT} | COSTS,
    rwwce.confusion_matrix: {"predictions": IDS, "labels": IDS, "num_classes": 3},
    FROM_CONFUSION: {"confusion": COUNTS} | COSTS,
    rwwce.savings: {"cost": 1.0, "labels": TRUTHS} | COSTS,
    rwwce.best_threshold: {"scores": SCORES, "labels": TRUTHS} | COSTS,
    rwwce.bayes_threshold: COSTS,
    rwwce.fit_temperature: {"logits": LOGITS, "labels": IDS},
    rwwce.binary_posterior: {"logits": SCORES} | COSTS,
    rwwce.categorical_posterior: {"logits": LOGITS} | COSTS,
    rwwce.expected_cost: {"probs": PROBS} | COSTS,
    rwwce.decide: {"probs": PROBS} | COSTS,
    rwwce.multilabel_decide: {"probs": PROBS} | COSTS,
    rwwce.check_costs: COSTS,
}


def with_argument(name):
    """The functions that take it."""
    return [function for function in ACCEPTED if name in inspect.signature(function).parameters]


REDUCING, COUNTING = with_argument("reduction"), with_argument("weights")
# What takes costs, and of these what takes costs between classes as fp.
COSTLY = with_argument("fn")
BETWEEN_CLASSES = [
    rwwce.categorical,
    rwwce.linear_categorical,
    COST,
    FROM_CONFUSION,
    rwwce.categorical_posterior,
    rwwce.expected_cost,
    rwwce.decide,
    rwwce.check_costs,
]


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


def is_traceable(value):
    if isinstance(value, np.ma.MaskedArray):  # JAX refuses it
        return False
    return isinstance(value, jax.Array) or (
        isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc"
    )


def eagerly(function, arguments):
    return function(**arguments)


def with_jax_arrays(function, arguments):
    held = {k: jnp.asarray(v) if is_traceable(v) else v for k, v in arguments.items()}
    return function(**held)


def under_jit(function, arguments):
    """All arrays are tracers."""
    traced = {k: v for k, v in arguments.items() if is_traceable(v)}
    known = {k: v for k, v in arguments.items() if k not in traced}
    return jax.jit(lambda traced: function(**traced, **known))(traced)


WAYS = (eagerly, with_jax_arrays, under_jit)


def gets(changes, *functions):
    """The calls of these functions that are changed so, for a table of ``refuses``."""
    return [(function, changes) for function in functions]


def assert_refused(error, message, function, changes, ways=WAYS):
    for way in ways:
        said = None
        try:
            way(function, ACCEPTED[function] | changes)
        except error as caught:
            said = str(caught)
        assert said == message, (function.__name__, changes, way.__name__)


def refuses(error, table, ways=WAYS):
    """A test of a table: each message, and the functions and changes that get it."""

    @pytest.mark.parametrize("message", table)
    def test(message):
        for function, changes in table[message]:
            assert_refused(error, message, function, changes, ways)

    return test
