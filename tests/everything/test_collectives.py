"""What devices send each other: no more than a few numbers for each example of the batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from programs import KINDS, a_mesh, collectives

import rwwce_jax as rwwce

pytestmark = pytest.mark.optimized

CLASSES = 512
MATRIX = np.float32(np.random.default_rng(1).random((CLASSES, CLASSES)))
COSTS = {
    "no fp": 0,
    "scalar": 2.5,
    "matrix": MATRIX,
    "pairs": rwwce.pair_costs({(k, (k + 1) % CLASSES): 1.0 + k for k in range(CLASSES)}, CLASSES),
}
# The axes of the examples, and how all axes of the logits are sharded.
LAYOUTS = {
    "examples": ((64,), P(("data", "model"), None)),
    "classes": ((64,), P(None, ("data", "model"))),
    "two axes of examples": ((8, 8), P("data", "model", None)),
}


def loss_and_gradient(fp):
    return lambda z, y: jax.value_and_grad(rwwce.categorical)(z, y, 1.5, fp)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("labels", ["ids", "probabilities"])
@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_categorical(kind, layout, costs, labels):
    """And the numbers are those of one device."""
    (examples, spec), rng = LAYOUTS[layout], np.random.default_rng(0)
    logits = np.float32(rng.normal(size=(*examples, CLASSES)) * 5)
    truth, of_truth = rng.integers(0, CLASSES, examples), P(*spec[:-1])
    if labels == "probabilities":
        truth, of_truth = np.eye(CLASSES, dtype=np.float32)[truth], spec
    program = jax.jit(loss_and_gradient(COSTS[costs]))
    mesh = a_mesh(kind)
    sharded = [
        jax.device_put(x, NamedSharding(mesh, s)) for x, s in ((logits, spec), (truth, of_truth))
    ]
    value, gradient = program(*sharded)
    expected = program(logits, truth)
    np.testing.assert_allclose(value, expected[0], rtol=1e-6)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-5, atol=1e-7)
    assert gradient.sharding.is_equivalent_to(sharded[0].sharding, gradient.ndim)
    sizes = collectives(program.lower(*sharded).compile().as_text())
    assert sizes, "a sharded mean needs a collective"
    # Soft labels times a matrix are a product over the classes, of the logits' size. For pairs it
    # is the label of each example and its costly classes, here one.
    if not (labels == "probabilities" and layout == "classes" and costs in ("matrix", "pairs")):
        assert max(sizes) <= 2 * 64


@pytest.mark.sampled(2)
@pytest.mark.parametrize("platform", ["default", "tpu"])
@pytest.mark.parametrize("costs", COSTS)
def test_accelerators_gather_no_logits(costs, platform, monkeypatch):
    """Their one reduction of a sharded class axis moves a few numbers of each row per device."""
    monkeypatch.setattr(
        lax, "platform_dependent", lambda *arguments, **code: code[platform](*arguments)
    )
    rows = {"default": 40, "tpu": 48}[platform]  # no other test's, whose program is in a cache
    sharding = NamedSharding(a_mesh("automatic"), P(None, ("data", "model")))
    logits = jax.ShapeDtypeStruct((rows, CLASSES), jnp.float32, sharding=sharding)
    labels = jax.ShapeDtypeStruct((rows,), jnp.int32, sharding=NamedSharding(sharding.mesh, P()))
    program = jax.jit(loss_and_gradient(COSTS[costs])).lower(logits, labels)
    assert max(collectives(program.compile().as_text())) == rows * 8


@pytest.mark.parametrize("kind", KINDS)
def test_binary_losses_move_a_sum_and_decisions_nothing(kind):
    sharding = NamedSharding(a_mesh(kind), P("data"))

    def sizes(function, *arrays):
        arrays = [jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding) for x in arrays]
        return collectives(jax.jit(function).lower(*arrays).compile().as_text())

    scores, labels = np.zeros(64, np.float32), np.zeros(64, np.int32)
    assert sizes(lambda *x: jax.value_and_grad(rwwce.binary)(*x, 2.0, 3.0), scores, labels) == [1]
    probs, of_actions = np.zeros((64, CLASSES), np.float32), np.ones((CLASSES, 3), np.float32)
    for function in (rwwce.decide, rwwce.expected_cost):
        assert sizes(lambda p, f=function: f(p, 1.0, MATRIX, actions=of_actions), probs) == []
