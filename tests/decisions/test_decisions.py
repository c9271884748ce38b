"""Decisions of least expected cost; and what all functions that decide have in common."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cost_matrices import FP, off_diagonal, random_costs
from jax.test_util import check_grads

import rwwce_jax as rwwce

INF, NAN = math.inf, math.nan


# --- expected_cost and decide ---------------------------------------------------------------------


def expected_costs(p, fn, fp):
    """The definition, term by term."""
    classes = range(len(p))
    return np.array([sum(p[k] * (fn[k] + fp[k][j]) for k in classes if k != j) for j in classes])


@pytest.mark.parametrize("num_classes", [2, 3, 10, 123])
def test_expected_cost_is_its_definition(num_classes):
    rng = np.random.default_rng(num_classes)
    p = rng.dirichlet(np.ones(num_classes), size=4)
    fn, fp = random_costs(rng, num_classes)
    scalar = np.full_like(fp, 7.0)
    unused_diagonal = np.where(np.eye(num_classes, dtype=bool), NAN, fp)
    for given, meant in ((fp, fp), (unused_diagonal, fp), (7.0, scalar)):
        costs = rwwce.expected_cost(p, fn, given)
        assert costs.dtype == jnp.float32
        np.testing.assert_allclose(costs, [expected_costs(x, fn, meant) for x in p], rtol=2e-6)


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_negative_costs_are_gains(num_classes):
    """Whatever the signs, the formula holds, and all kinds of equal costs have one result."""
    rng = np.random.default_rng(num_classes)
    p = rng.dirichlet(np.ones(num_classes), size=50)
    fn = rng.normal(size=num_classes)
    fp = np.broadcast_to(fn[:, None], (num_classes, num_classes))
    expected = [expected_costs(x, fn, 0 * fp) for x in p]
    for costs in ((fn, 0.0), (0.0, fp)):
        np.testing.assert_allclose(rwwce.expected_cost(p, *costs), expected, rtol=1e-5, atol=1e-6)


def test_expected_cost_of_an_almost_certain_class_does_not_cancel():
    p = jnp.array([1.0, 1e-12, 3e-12])
    for fp in (1.0, 1 - np.eye(3)):
        np.testing.assert_allclose(rwwce.expected_cost(p, 1.0, fp)[0], 8e-12, rtol=1e-6)


def test_decide_is_the_class_of_least_expected_cost():
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(7), size=(5, 40))
    fn, fp = random_costs(rng, 7)
    decisions = rwwce.decide(p, fn, fp)
    assert decisions.dtype == jnp.int32
    assert decisions.shape == (5, 40)
    expected = np.argmin(p @ (off_diagonal(fn[:, None] + fp)), axis=-1)
    np.testing.assert_array_equal(decisions, expected)
    assert np.any(expected != p.argmax(-1))


def test_decide_gives_ties_to_the_lowest_class():
    assert rwwce.decide(jnp.full(5, 0.2), 1.0, 0.0) == 0
    assert rwwce.decide(jnp.array([0.2, 0.4, 0.4]), 1.0, 0.0) == 1


@pytest.mark.parametrize("bad", [[0.5, NAN, 0.5], [0.5, -0.1, 0.6], [0.5, INF, 0.0]])
def test_decide_shows_what_it_cannot_decide(bad):
    probs = jnp.array([bad, [0.1, 0.8, 0.1]])
    costs = rwwce.expected_cost(probs, 1.0, FP)
    assert np.isnan(costs[0]).any()
    assert not np.isnan(costs[1]).any()
    decisions = rwwce.decide(probs, 1.0, FP)
    np.testing.assert_array_equal(decisions, [-1, 0])
    assert np.isnan(rwwce.categorical_real_world_cost(decisions, jnp.array([0, 1]), 1.0, FP))


def test_decide_with_two_classes_is_the_bayes_threshold():
    p = jnp.linspace(0, 1, 1001)
    fn, fp = jnp.array([30.0, 500.0]), jnp.array([[0.0, 70.0], [1500.0, 0.0]])
    decisions = rwwce.decide(jnp.stack([1 - p, p], axis=-1), fn, fp)
    np.testing.assert_array_equal(
        decisions, (p > rwwce.bayes_threshold(fn[1] + fp[1, 0], fn[0] + fp[0, 1])).astype(int)
    )


# --- Thresholds and posteriors too ----------------------------------------------------------------


@pytest.mark.always
@pytest.mark.parametrize(
    ("call", "error", "names"),
    [
        (lambda: rwwce.bayes_threshold(np.ones(2), np.ones(3)), ValueError, "fn and fp"),
        (lambda: rwwce.bayes_threshold(True, 1.0), TypeError, "fn"),
        (lambda: rwwce.expected_cost(jnp.ones((4, 1)), 1.0, 0.0), ValueError, "probs"),
        (lambda: rwwce.expected_cost(jnp.ones(()), 1.0, 0.0), ValueError, "probs"),
        (lambda: rwwce.decide(jnp.ones((4, 3), int), 1.0, 0.0), TypeError, "probs"),
        (lambda: rwwce.decide(jnp.ones((4, 3)), jnp.ones(4), 0.0), ValueError, "fn"),
        (lambda: rwwce.decide(jnp.ones((4, 3)), 1.0, jnp.ones((4, 4))), ValueError, "fp"),
        (lambda: rwwce.best_threshold([1, 2], [0, 1], 1.0, 1.0), TypeError, "scores"),
        (lambda: rwwce.best_threshold(jnp.ones(3), [[0]], 1.0, 1.0), ValueError, "labels"),
        (
            lambda: rwwce.best_threshold(jnp.ones(3), jnp.ones(3), np.ones((3, 1)), 1.0),
            ValueError,
            "fn",
        ),
        (
            lambda: rwwce.best_threshold(jnp.ones(1), [1], 1.0, 1.0, where=[1]),
            TypeError,
            "where",
        ),
        (lambda: rwwce.binary_posterior(jnp.ones(3, int), 1.0, 1.0), TypeError, "logits"),
        (lambda: rwwce.binary_posterior(jnp.ones(3), jnp.ones(4), 1.0), ValueError, "fn"),
        (lambda: rwwce.categorical_posterior(jnp.ones(1), 1.0, 1.0), ValueError, "logits"),
        (lambda: rwwce.categorical_posterior(jnp.ones(3), 1.0, jnp.ones(3)), ValueError, "fp"),
    ],
)
def test_shapes_and_dtypes_that_are_refused(call, error, names):
    with pytest.raises(error, match=rf"^{names} must"):
        call()


VALUES = {
    # NumPy's float64, of which check_grads takes differences, is not a reason to leave float32.
    "bayes_threshold": lambda z, fn, fp: rwwce.bayes_threshold(
        *(jnp.asarray(costs, jnp.float64) for costs in (fn[:1], fp[0, 1:]))
    ),
    "expected_cost": lambda z, fn, fp: rwwce.expected_cost(jax.nn.softmax(z), fn, fp),
    "binary_posterior": lambda z, fn, fp: rwwce.binary_posterior(z, fn, fp[0, 1]),
    "categorical_posterior": rwwce.categorical_posterior,
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", VALUES)
def test_gradients(name):
    z, fn = jnp.array([0.3, 1.0, -0.4]), jnp.array([1.0, 2.0, 0.5])
    fp = jnp.array([[0.0, 0.6, 0.1], [0.2, 0.0, 0.3], [0.1, 0.4, 0.0]])
    assert jnp.all(rwwce.categorical_posterior(z, fn, fp) > 0)
    check_grads(VALUES[name], (z, fn, fp), order=1, atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize("fn", [0.0, 1.0])
@pytest.mark.parametrize("fp", [0.0, 1.0])
def test_gradients_at_zero_costs_are_finite(fn, fp):
    for gradient in (
        jax.grad(rwwce.bayes_threshold, (0, 1))(fn, fp),
        jax.grad(rwwce.binary_posterior, (0, 1, 2))(0.5, fn, fp),
    ):
        assert np.all(np.isfinite(gradient))


def test_inside_jit_and_vmap_with_traced_costs():
    rng = np.random.default_rng(10)
    z = jnp.asarray(rng.normal(size=(6, 3)), jnp.float32)
    fn = jnp.asarray(rng.uniform(1, 2, (6, 3)), jnp.float32)
    fp = jnp.asarray(rng.uniform(0, 1, (6, 3, 3)), jnp.float32)

    def pipeline(z, fn, fp):
        probs = rwwce.categorical_posterior(z, fn, fp)
        return probs, rwwce.decide(probs, fn, fp)

    together = jax.jit(jax.vmap(pipeline))(z, fn, fp)
    for i in range(6):
        probs, decision = pipeline(z[i], fn[i], fp[i])
        np.testing.assert_allclose(together[0][i], probs, rtol=1e-5)
        assert together[1][i] == decision


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    z = jnp.array([1.0, 0.0, -1.0], dtype)
    for half, single in (
        (rwwce.expected_cost(z.clip(0), 1.0, FP), [0, 20, 1]),
        (rwwce.binary_posterior(z, 1.0, 1.0), jax.nn.sigmoid(z.astype(jnp.float32))),
        (rwwce.categorical_posterior(z, 1.0, 0.0), jax.nn.softmax(z.astype(jnp.float32))),
    ):
        assert half.dtype == jnp.float32
        np.testing.assert_allclose(half, single, rtol=1e-6)
