"""What is computed otherwise on accelerators, compiled for the CPU, has the same value.

No test of this file uses a function that another file may have compiled: that is a CPU's program.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_exactness
from drawn import K
from jax import lax
from test_hostile import CATEGORICAL, arguments, check

import rwwce_jax as rwwce
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


def test_nothing_depends_on_the_platform():
    program = jax.make_jaxpr(jax.grad(rwwce.categorical))(np.zeros((8, K)), np.arange(8) % K, 1, 2)
    assert "platform_index" not in str(program)


def test_hostile_input():
    """The table of test_hostile, with class ids."""
    jitted = functools.cache(lambda loss: jax.jit(jax.value_and_grad(loss)))
    for case, (logits, label, fn, fp, value, gradient) in CATEGORICAL.items():
        loss, rest = arguments(label, fn, fp)
        actual, slope = jitted(loss)(jnp.asarray(logits, jnp.float32), *rest)
        check(actual, value, case)
        check(slope, gradient, case)


@pytest.mark.parametrize("num_classes", [3, 10])
def test_exactness_in_float32(num_classes):
    test_exactness.check(f"float32-{num_classes}")


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

    by_logits, each = jax.jit(jax.grad(loss, has_aux=True))(logits, fp)
    assert np.all(np.isfinite(each[:2]))
    assert np.all(np.isfinite(by_logits[:2]))
    total = functools.partial(rwwce.categorical, reduction="sum")
    by_fp = jax.jit(jax.grad(lambda fp: total(logits, np.array([2, 3, 0]), 1.0, fp)))
    by_costs = by_fp(np.ones((4, 4), np.float32))
    assert np.all(np.isfinite(by_costs[1:]))
    assert np.all(by_costs[1] == 0)
    assert np.any(np.isnan(by_costs[0]))


@pytest.mark.parametrize("num_classes", [10, 300])
def test_costs_by_every_way_are_those_of_a_matrix(num_classes):
    """And gradients by logits and costs and their derivatives, at both sides of 256 classes."""
    rng = np.random.default_rng(0)
    pairs = rwwce.pair_costs(
        {(k, (k + 1 + i) % num_classes): 1.0 + i for k in range(num_classes) for i in (0, 3)},
        num_classes,
    )
    matrix = np.array(pairs.as_matrix(num_classes))
    labels = rng.integers(0, num_classes, 40)
    logits = np.float32(rng.normal(size=(40, num_classes)) * 5)
    classes = np.argsort(-matrix[labels], axis=-1)[:, :2]
    candidates = np.take_along_axis(matrix[labels], classes, axis=-1)
    ways = {
        "examples": (matrix[labels], rwwce.ExampleCosts),
        "dense": (matrix, lambda fp: fp),
        "pairs": (pairs.costs, lambda c: dataclasses.replace(pairs, costs=c)),
        "candidates": (candidates, lambda c: rwwce.ExampleCosts(c, classes)),
    }
    expected = None
    for name, (costs, fp_of) in ways.items():

        def loss(z, costs, fp_of=fp_of):
            return rwwce.categorical(z, labels, 1.5, fp_of(costs))

        def run(z, costs):
            value, (by_logits, by_costs) = jax.value_and_grad(loss, (0, 1))(z, costs)
            return value, by_logits, jnp.sum(by_costs * costs)

        along = jax.jit(lambda *x: jax.jvp(run, x, (np.cos(logits), x[1])))
        results = jax.tree.leaves(along(logits, costs))
        expected = expected or results
        for x, y in zip(results, expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=2e-5, atol=1e-7, err_msg=name)
