"""Decisions of least expected cost; and what all functions that decide have in common."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cost_matrices import FP, random_costs
from jax.test_util import check_grads

import rwwce_jax as rwwce

INF, NAN = math.inf, math.nan


# --- expected_cost and decide ---------------------------------------------------------------------


def expected_costs(p, fn, fp):
    """The definition, term by term."""
    classes = range(len(p))
    return np.array([sum(p[k] * (fn[k] + fp[k][j]) for k in classes if k != j) for j in classes])


@pytest.mark.parametrize("num_classes", [3, 123])
def test_expected_cost_is_its_definition(num_classes):
    """Of gains too, whatever the signs."""
    rng = np.random.default_rng(num_classes)
    p = rng.dirichlet(np.ones(num_classes), size=4)
    fn, fp = random_costs(rng, num_classes)
    scalar = np.full_like(fp, 7.0)
    unused_diagonal = np.where(np.eye(num_classes, dtype=bool), NAN, fp)
    for given, meant, atol in (
        (fp, fp, 0),
        (unused_diagonal, fp, 0),
        (7.0, scalar, 0),
        (-fp, -fp, 1e-5),
    ):
        costs = rwwce.expected_cost(p, fn, given)
        expected = np.array([expected_costs(x, fn, meant) for x in p])
        assert costs.dtype == jnp.float32
        np.testing.assert_allclose(costs, expected, rtol=2e-6, atol=atol)
        decisions = rwwce.decide(p, fn, given)
        assert decisions.dtype == jnp.int32
        np.testing.assert_array_equal(decisions, expected.argmin(-1))


def test_expected_cost_of_an_almost_certain_class_does_not_cancel():
    p = jnp.array([1.0, 1e-12, 3e-12])
    for fp in (1.0, 1 - np.eye(3)):
        np.testing.assert_allclose(rwwce.expected_cost(p, 1.0, fp)[0], 8e-12, rtol=1e-6)


def test_decide_gives_ties_to_the_lowest_class():
    assert rwwce.decide(jnp.full(5, 0.2), 1.0, 0.0) == 0
    assert rwwce.decide(jnp.array([0.2, 0.4, 0.4]), 1.0, 0.0) == 1


def test_decide_shows_what_it_cannot_decide():
    bad = [[0.5, NAN, 0.5], [0.5, -0.1, 0.6], [0.5, INF, 0.0]]
    probs = jnp.array([*bad, [0.1, 0.8, 0.1]])
    is_unknown = jnp.any(jnp.isnan(rwwce.expected_cost(probs, 1.0, FP)), axis=-1)
    np.testing.assert_array_equal(is_unknown, [True, True, True, False])
    decisions = rwwce.decide(probs, 1.0, FP)
    np.testing.assert_array_equal(decisions, [-1, -1, -1, 0])
    assert np.isnan(rwwce.categorical_real_world_cost(decisions, jnp.array([0, 1, 2, 1]), 1.0, FP))


def test_decide_with_two_classes_is_the_bayes_threshold():
    p = jnp.linspace(0, 1, 1001)
    fn, fp = jnp.array([30.0, 500.0]), jnp.array([[0.0, 70.0], [1500.0, 0.0]])
    decisions = rwwce.decide(jnp.stack([1 - p, p], axis=-1), fn, fp)
    threshold = rwwce.bayes_threshold(fn[1] + fp[1, 0], fn[0] + fp[0, 1])
    np.testing.assert_array_equal(decisions, (p > threshold).astype(int))


# --- The class axis -------------------------------------------------------------------------------

PAIRS = rwwce.pair_costs({(0, 1): 19.0, (2, 0): 1.0}, 3)
FUNCTIONS = [rwwce.categorical_posterior, rwwce.expected_cost, rwwce.decide]


@pytest.mark.always
@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_class_axis_may_be_any(function):
    x = jax.nn.softmax(jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 3)), jnp.float32))
    for fp in (FP, PAIRS):
        expected = function(x, 1.5, fp)
        for axis in (0, 1, 2, -1, -2, -3):
            got = function(jnp.moveaxis(x, -1, axis), 1.5, fp, axis=axis)
            if function is not rwwce.decide:
                got = jnp.moveaxis(got, axis, -1)
            np.testing.assert_array_equal(got, expected)


@pytest.mark.always
@pytest.mark.parametrize("function", FUNCTIONS)
def test_class_axes_that_are_refused(function):
    name = "logits" if function is rwwce.categorical_posterior else "probs"
    too_few = rf"^{name} must score at least 2 classes along axis 0, got shape \(1, 3\); for one "
    for shape, axis, error, message in (
        ((4, 3), 2, ValueError, rf"^{name} must have a class axis 2, got {name} of shape \(4, 3\)"),
        ((1, 3), 0, ValueError, too_few + r".* rwwce_jax\.(binary_posterior|bayes_threshold)\.$"),
        ((4, 3), 1.0, TypeError, r"^axis must be a Python integer, got 1\.0\.$"),
    ):
        with pytest.raises(error, match=message):
            function(np.ones(shape), 1.0, 0.0, axis=axis)
    with pytest.raises(ValueError, match=r"^fn must be a scalar or of shape \(4,\)"):
        function(np.ones((4, 3)), np.ones(3), 0.0, axis=0)


# --- Thresholds and posteriors too ----------------------------------------------------------------


@pytest.mark.always
@pytest.mark.parametrize(
    ("call", "error", "names"),
    [
        (lambda: rwwce.bayes_threshold(np.ones(2), np.ones(3)), ValueError, "fn and fp"),
        (lambda: rwwce.bayes_threshold(True, 1.0), TypeError, "fn"),
        (lambda: rwwce.expected_cost(jnp.ones(()), 1.0, 0.0), ValueError, "probs"),
        (lambda: rwwce.decide(jnp.ones((4, 3), int), 1.0, 0.0), TypeError, "probs"),
        (lambda: rwwce.decide(jnp.ones((4, 3)), 1.0, jnp.ones((4, 4))), ValueError, "fp"),
        (lambda: rwwce.best_threshold([1, 2], [0, 1], 1.0, 1.0), TypeError, "scores"),
        (lambda: rwwce.best_threshold(jnp.ones(3), [[0]], 1.0, 1.0), ValueError, "labels"),
        (lambda: rwwce.best_threshold(np.ones(3), np.ones(3), [[1.0]], 1.0), ValueError, "fn"),
        (lambda: rwwce.best_threshold([1.0], [1], 1.0, 1.0, where=[1]), TypeError, "where"),
        (lambda: rwwce.binary_posterior(jnp.ones(3, int), 1.0, 1.0), TypeError, "logits"),
        (lambda: rwwce.binary_posterior(jnp.ones(3), jnp.ones(4), 1.0), ValueError, "fn"),
        (lambda: rwwce.categorical_posterior(jnp.ones(3), 1.0, jnp.ones(3)), ValueError, "fp"),
    ],
)
def test_shapes_and_dtypes_that_are_refused(call, error, names):
    with pytest.raises(error, match=rf"^{names} must"):
        call()


@pytest.mark.usefixtures("x64")
def test_gradients():
    z, fn = jnp.array([0.3, 1.0, -0.4]), jnp.array([1.0, 2.0, 0.5])
    fp = jnp.array([[0.0, 0.6, 0.1], [0.2, 0.0, 0.3], [0.1, 0.4, 0.0]])

    @jax.jit
    def values(z, fn, fp):
        posterior = rwwce.categorical_posterior(z, fn, fp)
        expected = rwwce.expected_cost(jax.nn.softmax(z), fn, fp)
        binary = rwwce.binary_posterior(z, fn, fp[0, 1])
        return posterior, expected, binary, rwwce.bayes_threshold(fn[:1], fp[0, 1:])

    assert jnp.all(values(z, fn, fp)[0] > 0)
    check_grads(values, (z, fn, fp), order=1, atol=1e-7, rtol=1e-7)


def test_gradients_at_zero_costs_are_finite():
    by_costs = jax.vmap(jax.grad(rwwce.bayes_threshold, (0, 1)))
    by_all = jax.vmap(jax.grad(rwwce.binary_posterior, (0, 1, 2)), (None, 0, 0))
    fn, fp = jnp.array([0.0, 0, 1, 1]), jnp.array([0.0, 1, 0, 1])
    assert np.all(np.isfinite((*by_costs(fn, fp), *by_all(0.5, fn, fp))))


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
