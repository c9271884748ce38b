"""What is computed otherwise on accelerators, compiled for the CPU, has the same value.

No test of this file uses a function that another file may have compiled: that is a CPU's program.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import K
from oracle import SHAPES
from points import DENSE, FN, POINTS, assert_close
from references import log_odds, sigmoid_losses
from test_exactness import COSTS as KINDS
from test_exactness import SCALES, value_and_gradient
from test_exactness import check as exactness_of
from test_hostile import CATEGORICAL, arguments, check

import rwwce_jax as rwwce
from rwwce_jax import losses
from rwwce_jax._numerics import platforms
from rwwce_jax._numerics.categorical import Terms, categorical_loss

pytestmark = pytest.mark.optimized


@pytest.fixture(autouse=True)
def accelerator(monkeypatch):
    """Compiles for the CPU what is compiled for other platforms."""
    monkeypatch.setattr(
        platforms, "by_platform", lambda *arguments, cpu, default: default(*arguments)
    )
    monkeypatch.setattr(losses, "_categorical", losses._categorical.__wrapped__)


# Cached, so that cases of the same shapes compile once.
@functools.cache
def jitted(loss):
    return jax.jit(jax.value_and_grad(loss))


@jax.jit
def exactly(*arguments):
    return value_and_gradient.__wrapped__(*arguments)


def test_nothing_depends_on_the_platform():
    program = jax.make_jaxpr(jax.grad(rwwce.categorical))(np.zeros((8, K)), np.arange(8) % K, 1, 2)
    assert "platform_index" not in str(program)


def test_second_derivatives(x64):
    def oracle(logits, weights, costs):
        return jnp.sum(sigmoid_losses(log_odds(logits), weights, costs), axis=-1)

    def loss(logits, weights, costs):
        return categorical_loss(logits, Terms(weights), Terms(costs))

    @functools.partial(jax.jit, static_argnums=0)
    def everything(loss, *arguments):
        by = (0, 1, 2)
        gradient = jax.grad(loss, by)
        forward, reverse = jax.jacfwd(gradient, by), jax.jacrev(gradient, by)
        return [way(*arguments) for way in (loss, gradient, forward, reverse)]

    for point, logits in POINTS.items():
        for weights, costs in ((FN, DENSE[0]), ([1.0, 0, 0, 0], DENSE[1]), (FN, np.zeros(K))):
            arguments = (np.array(logits), np.array(weights), np.array(costs))
            assert_close(everything(loss, *arguments), everything(oracle, *arguments), point)


@pytest.mark.parametrize("case", CATEGORICAL)
def test_hostile_input(case):
    """The table of test_hostile, with class ids and in float32."""
    logits, label, fn, fp, value, gradient = CATEGORICAL[case]
    loss, rest = arguments(label, fn, fp)
    actual, slope = jitted(loss)(jnp.asarray(logits, jnp.float32), *rest)
    check(actual, value)
    check(slope, gradient)


@pytest.mark.parametrize("kind", KINDS)
def test_exactness(kind):
    """The bounds of test_exactness, with class ids and in float32."""
    rng = np.random.default_rng(1)
    for num_classes in (3, 10):
        for scale in SCALES:
            for shape in SHAPES:
                near = exactness_of(rng, 4, num_classes, scale, shape, kind, "float32", exactly)
                assert near <= 1


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_few_costs(scale):
    """Costs of a few classes are those of a matrix with zeros."""
    rng = np.random.default_rng(0)
    classes, rows = 30, 64
    pairs = {(k, (k * 7 + i) % classes): 1.0 + i for k in range(classes) for i in range(1, 4)}
    fp = np.zeros((classes, classes), np.float32)
    fp[tuple(np.array(list(pairs)).T)] = list(pairs.values())
    logits = np.float32(rng.normal(size=(rows, classes)) * scale)
    labels = rng.integers(0, classes, rows)
    loss = jax.jit(jax.value_and_grad(rwwce.categorical))
    actual = loss(logits, labels, 1.5, rwwce.pair_costs(pairs, classes))
    expected = loss(logits, labels, 1.5, jnp.asarray(fp))
    np.testing.assert_allclose(actual[0], expected[0], rtol=1e-6)
    np.testing.assert_allclose(actual[1], expected[1], rtol=1e-5, atol=1e-7)
