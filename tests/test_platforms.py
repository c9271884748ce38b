"""What is computed otherwise on accelerators and in large arrays has the same value."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_same, categorical, differentiated, unit_of, without_fp
from drawn import K
from oracle import SHAPES
from points import DENSE, DENSE_AND_NO_FP, FN, POINTS, assert_close, loss_and_arguments
from references import class_weighted_cross_entropy, equation_6, log_odds, sigmoid_losses
from test_exactness import COSTS as KINDS
from test_exactness import SCALES
from test_exactness import check as exactness_of
from test_hostile import CATEGORICAL, arguments, check, jitted

import rwwce_jax as rwwce
from rwwce_jax._numerics import platforms
from rwwce_jax._numerics.categorical import Terms, categorical_loss

LARGE = 4200


@pytest.mark.parametrize("kind", ["ids", "probabilities"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_batches(dtype, kind):
    """Large arrays are summed, and rescued from underflow, in another way than small ones."""
    rng = np.random.default_rng(0)
    with jax.enable_x64(dtype == "float64"):
        truth = rng.integers(0, K, LARGE)
        if kind == "probabilities":
            truth = rng.dirichlet(np.ones(K), LARGE).astype(dtype)
        fn, fp = rng.random(K).astype(dtype), rng.random((K, K)).astype(dtype)
        for scale in (1, 1000):  # nothing underflows, or many rows do
            logits = rng.uniform(-4, 4, size=(LARGE, K)).astype(dtype) * scale
            assert not platforms.is_small(logits)
            expected = differentiated(equation_6)(logits, truth, fn, fp)
            actual = differentiated(categorical)(logits, truth, fn, fp)
            assert_same(actual, expected, unit_of(logits, fn, fp), times=4)
            if kind == "ids":
                expected = differentiated(class_weighted_cross_entropy)(logits, truth, fn, fp)[:3]
                actual = differentiated(without_fp)(logits, truth, fn, fp)[:3]
                assert_same(actual, expected, unit_of(logits, fn), times=4)


@DENSE_AND_NO_FP
def test_hessian_of_large_batches(kind, costs, x64):
    """Its product with a vector, where underflow is rescued under a condition."""
    rng = np.random.default_rng(0)
    loss, (label, *rest), _ = loss_and_arguments(kind, costs)
    labels = np.stack([label] * LARGE)
    direction = rng.normal(size=(LARGE, K))

    @functools.partial(jax.jit, static_argnums=0)
    def products(loss, logits):
        gradient = jax.grad(lambda z: jnp.sum(loss(z, labels, *rest)))
        forward = jax.jvp(gradient, (logits,), (direction,))[1]
        return forward, jax.grad(lambda z: jnp.vdot(gradient(z), direction))(logits)

    for scale in (1.0, 400.0):
        logits = rng.uniform(-4, 4, size=(LARGE, K)) * scale
        assert not platforms.is_small(logits)
        assert_close(products(loss, logits), products(equation_6, logits), f"scale {scale}")


@pytest.fixture
def accelerator(monkeypatch):
    """Compiles for a CPU what is compiled for other platforms."""
    jax.clear_caches()
    monkeypatch.setattr(
        platforms, "by_platform", lambda *arguments, cpu, default: default(*arguments)
    )
    yield
    jax.clear_caches()


@pytest.mark.usefixtures("accelerator")
def test_second_derivatives_on_accelerators(x64):
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


@pytest.mark.usefixtures("accelerator")
@pytest.mark.parametrize("case", CATEGORICAL)
def test_hostile_input_on_accelerators(case):
    """The table of test_hostile, with class ids and in float32."""
    logits, label, fn, fp, value, gradient = CATEGORICAL[case]
    loss, rest = arguments(label, fn, fp)
    actual, slope = jitted(loss)(jnp.asarray(logits, jnp.float32), *rest)
    check(actual, value)
    check(slope, gradient)


@pytest.mark.usefixtures("accelerator")
@pytest.mark.parametrize("kind", KINDS)
def test_exactness_on_accelerators(kind):
    """The bounds of test_exactness, with class ids and in float32."""
    rng = np.random.default_rng(1)
    for num_classes in (3, 10):
        for scale in SCALES:
            for shape in SHAPES:
                near = exactness_of(rng, 4, num_classes, scale, shape, kind, "float32")
                assert near <= 1


@pytest.mark.usefixtures("accelerator")
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_few_costs_on_accelerators(scale):
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
