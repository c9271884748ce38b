"""Costs may be numbers of any kind: the logits decide the dtype of losses and gradients."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import TOLERANCE
from precision import enable_x64

import rwwce_jax as rwwce
from rwwce_jax.costs import _operators

FORMS = {
    "Python numbers": lambda cost: np.asarray(cost).tolist(),
    "small NumPy integers": lambda cost: np.asarray(cost, np.int8),
    "NumPy doubles": lambda cost: np.asarray(cost, np.float64),
    "JAX integers": jnp.asarray,
    "JAX half precision": lambda cost: jnp.asarray(cost, jnp.bfloat16),
    "lists of JAX scalars": lambda cost: jax.tree.map(jnp.float32, np.asarray(cost).tolist()),
}
MATRIX = [[0, 2, 3], [5, 0, 7], [11, 13, 0]]
CASES = {
    "categorical, dense": (rwwce.categorical, (2, MATRIX)),
    "categorical, no fp": (rwwce.categorical, ([1, 2, 3], 0)),
    "binary": (rwwce.binary, (2, [5, 7])),
}


def value_and_gradient(loss, dtype, costs):
    logits, labels = np.array([[0.5, -1, 2], [3, 0, 1]], dtype), np.array([1, 0])
    scores = logits if loss is rwwce.categorical else logits[:, 0]
    return jax.value_and_grad(loss)(scores, labels, *costs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.always
def test_costs_of_every_kind(case, dtype):
    """Also traced, as integers, as floats, and inside of lists."""
    loss, costs = CASES[case]

    @jax.jit
    def traced(costs, one):
        in_lists = jax.tree.map(lambda cost: cost * one, CASES[case][1])
        return [value_and_gradient(loss, dtype, given) for given in (costs, in_lists)]

    with enable_x64(dtype == "float64"):
        found = {
            form: value_and_gradient(loss, dtype, [convert(cost) for cost in costs])
            for form, convert in FORMS.items()
        }
        for kind in (np.int32, np.float32):
            given = [np.asarray(cost, kind) for cost in costs]
            found[f"traced {kind}"], found["traced lists"] = traced(given, 1.0)
        expected = value_and_gradient(loss, dtype, [np.asarray(cost, dtype) for cost in costs])
    for form, actual in found.items():
        for x, y in zip(actual, expected, strict=True):
            assert x.dtype == dtype, form
            np.testing.assert_allclose(x, y, rtol=4 * TOLERANCE[dtype], err_msg=form)


def test_structures_of_different_kinds_differ():
    """Else a jitted function may return the loss of another kind: jaxlib 0.10 mixes them up."""
    kinds = [x for x in vars(_operators).values() if dataclasses.is_dataclass(x)]
    assert len(kinds) == 3
    instances = [kind(0.0) for kind in kinds]
    instances += [rwwce.ExampleCosts(0.0, 0), rwwce.ExampleCosts(0.0), rwwce.Costs(0.0, 0.0)]
    instances += [rwwce.pair_costs({(0, 1): 1.0}, 2)]
    for a, b in itertools.combinations(map(jax.tree.structure, instances), 2):
        assert a != b
