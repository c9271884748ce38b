"""What is computed otherwise on accelerators, compiled for the CPU, has the same value.

No test of this file uses a function that another file may have compiled: that is a CPU's program.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import K
from jax import lax
from oracle import SHAPES
from points import DENSE, FN, POINTS, assert_close
from references import log_odds, sigmoid_losses
from test_exactness import COSTS as KINDS
from test_exactness import SCALES, value_and_gradient
from test_exactness import check as exactness_of
from test_hostile import CATEGORICAL, arguments, check

import rwwce_jax as rwwce
from rwwce_jax._numerics import platforms
from rwwce_jax._numerics.categorical import Terms, categorical_loss
from rwwce_jax.losses import _categorical

pytestmark = pytest.mark.optimized


@pytest.fixture(autouse=True, params=["default", "tpu"])
def accelerator(request, monkeypatch):
    """Compiles for the CPU what is compiled for other platforms."""
    monkeypatch.setattr(
        lax, "platform_dependent", lambda *arguments, **code: code[request.param](*arguments)
    )
    unjitted = _categorical._categorical.__wrapped__
    monkeypatch.setattr(_categorical, "_categorical", unjitted)
    return request.param


# Cached, so that cases of the same shapes compile once.
@functools.cache
def jitted(loss, accelerator):
    return jax.jit(jax.value_and_grad(loss))


@functools.cache
def exactly(accelerator):
    return jax.jit(lambda *arguments: value_and_gradient.__wrapped__(*arguments))


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
def test_hostile_input(case, accelerator):
    """The table of test_hostile, with class ids and in float32."""
    logits, label, fn, fp, value, gradient = CATEGORICAL[case]
    loss, rest = arguments(label, fn, fp)
    actual, slope = jitted(loss, accelerator)(jnp.asarray(logits, jnp.float32), *rest)
    check(actual, value)
    check(slope, gradient)


@pytest.mark.parametrize("kind", KINDS)
def test_exactness(kind, accelerator):
    """The bounds of test_exactness, with class ids and in float32."""
    rng = np.random.default_rng(1)
    for num_classes in (3, 10):
        for scale in SCALES:
            for shape in SHAPES:
                run = exactly(accelerator)
                near = exactness_of(rng, 4, num_classes, scale, shape, kind, "float32", run)
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


SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-38, 1e-45, 3.4028235e38, 1.0000001, 16777217.0]


@pytest.mark.parametrize("num_classes", [3, 16, 257])
def test_rows_have_the_same_bits(num_classes):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, num_classes, (5, 40))
    for _ in range(4):
        matrix = rng.integers(0, 2**32, (num_classes, 7), np.uint32).view(np.float32)
        matrix[rng.random(matrix.shape) < 0.3] = rng.choice(np.float32(SPECIAL))
        actual = np.asarray(jax.jit(lambda m, r: platforms.take_rows(m, r))(matrix, rows))
        np.testing.assert_array_equal(actual.view(np.uint32), matrix[rows].view(np.uint32))


def test_costs_of_other_classes_do_not_leak():
    """Neither their infinite and NaN values, nor the NaN gradients of other examples."""
    fp = np.ones((4, 4), np.float32)
    fp[0, 1], fp[1] = np.inf, np.nan
    logits = np.float32(np.random.default_rng(0).normal(size=(3, 4)))
    logits[2] = np.nan
    labels = np.array([2, 3, 2])

    def loss(logits, fp):
        each = rwwce.categorical(logits, labels, 1.0, fp, reduction="none")
        return each[:2].sum(), each

    by_logits, each = jax.grad(loss, has_aux=True)(logits, jnp.asarray(fp))
    assert np.all(np.isfinite(each[:2]))
    assert np.all(np.isfinite(by_logits[:2]))
    total = functools.partial(rwwce.categorical, reduction="sum")
    by_costs = jax.grad(lambda fp: total(logits, np.array([2, 3, 0]), 1.0, fp))(jnp.ones((4, 4)))
    assert np.all(np.isfinite(by_costs[1:]))
    assert np.all(by_costs[1] == 0)
    assert np.any(np.isnan(by_costs[0]))


@pytest.mark.parametrize("num_classes", [10, 300])
def test_costs_by_every_way_are_those_of_a_matrix(num_classes):
    """Dense, pairs and candidates, and the gradients by logits and costs, at both sides of 256."""
    rng = np.random.default_rng(0)
    pairs = {
        (k, (k * 3 + 1 + i) % num_classes): 1.0 + i for k in range(num_classes) for i in (0, 1)
    }
    pairs = rwwce.pair_costs({(k, j): c for (k, j), c in pairs.items() if k != j}, num_classes)
    matrix = np.array(pairs.as_matrix(num_classes))
    labels = rng.integers(0, num_classes, 40)
    logits = np.float32(rng.normal(size=(40, num_classes)) * 5)
    classes = np.argsort(-matrix[labels], axis=-1)[:, :2]
    candidates = np.take_along_axis(matrix[labels], classes, axis=-1)
    ways = {
        "dense": (matrix, lambda fp: fp),
        "pairs": (pairs.costs, lambda c: dataclasses.replace(pairs, costs=c)),
        "candidates": (candidates, lambda c: rwwce.ExampleCosts(c, classes)),
        "examples": (matrix[labels], rwwce.ExampleCosts),
    }
    values = {}
    for name, (costs, fp_of) in ways.items():
        loss = jax.jit(lambda z, c, f=fp_of: rwwce.categorical(z, labels, 1.5, f(c)))
        value, (by_logits, by_costs) = jax.value_and_grad(loss, (0, 1))(logits, jnp.asarray(costs))
        values[name] = value, by_logits, jnp.sum(by_costs * costs)
    for name, results in values.items():
        for x, y in zip(results, values["examples"], strict=True):
            np.testing.assert_allclose(x, y, rtol=2e-5, atol=1e-7, err_msg=name)
