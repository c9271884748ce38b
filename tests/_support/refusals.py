"""What the functions accept, to be changed into what they refuse, and three ways to call them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

LOGITS = np.zeros((4, 3), np.float32)
IDS = np.array([0, 1, 2, 0], np.int32)
TRUTHS = IDS % 2
PROBS = np.full((4, 3), 1 / 3, np.float32)
SCORES = np.zeros(4, np.float32)
MATRIX = np.ones((3, 3), np.float32)
MASK = np.ones(4, bool)
COUNTS = np.ones((3, 3), np.int32)
ONE_HOT = np.eye(3, dtype=np.int32)[IDS]
KEYS = jax.random.split(jax.random.key(0), (4, 3))
RAGGED = [[0.0], [1.0, 2.0]]

# What is refused differs from these in the arguments that are given.
ACCEPTED = {
    rwwce.binary: {"logits": SCORES, "labels": TRUTHS, "fn": 1.0, "fp": 1.0},
    rwwce.categorical: {"logits": LOGITS, "labels": IDS, "fn": 1.0, "fp": 1.0},
    rwwce.binary_real_world_cost: {"predictions": TRUTHS, "labels": TRUTHS, "fn": 1.0, "fp": 1.0},
    rwwce.categorical_real_world_cost: {"predictions": IDS, "labels": IDS, "fn": 1.0, "fp": 1.0},
    rwwce.confusion_matrix: {"predictions": IDS, "labels": IDS, "num_classes": 3},
    rwwce.real_world_cost_from_confusion: {"confusion": COUNTS, "fn": 1.0, "fp": 1.0},
    rwwce.savings: {"cost": 1.0, "labels": TRUTHS, "fn": 1.0, "fp": 1.0},
    rwwce.best_threshold: {"scores": np.float32(TRUTHS), "labels": TRUTHS, "fn": 1.0, "fp": 1.0},
    rwwce.fit_temperature: {"logits": LOGITS, "labels": IDS},
}


REDUCING = [
    rwwce.binary,
    rwwce.categorical,
    rwwce.binary_real_world_cost,
    rwwce.categorical_real_world_cost,
]
# What takes a mask and weights.
COUNTING = [
    *REDUCING,
    rwwce.confusion_matrix,
    rwwce.savings,
    rwwce.best_threshold,
    rwwce.fit_temperature,
]


CATEGORICAL = (
    rwwce.categorical,
    rwwce.categorical_real_world_cost,
    rwwce.real_world_cost_from_confusion,
)
EXAMPLES = (rwwce.categorical, rwwce.categorical_real_world_cost)
OF_EXAMPLES = "; costs of each example are rwwce_jax.ExampleCosts"


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


WAYS = pytest.mark.parametrize("way", [eagerly, with_jax_arrays, under_jit])


def name_of(row):
    function, changes, _ = row
    return f"{function.__name__}-{'-'.join(changes)}"


def refuses(error, rows):
    """A test that each of these rows is refused with this error, in these words."""

    @WAYS
    @pytest.mark.parametrize(("function", "changes", "message"), rows, ids=map(name_of, rows))
    def test(function, changes, message, way):
        with pytest.raises(error) as caught:
            way(function, ACCEPTED[function] | changes)
        assert str(caught.value) == message

    return test
