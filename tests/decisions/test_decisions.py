"""Decisions of least expected cost, for a class or an action; and what all that decide share."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cost_matrices import FP, random_costs
from jax.test_util import check_grads
from refusals import IDS, gets, ones, refuses

import rwwce_jax as rwwce

pytestmark = pytest.mark.always

INF, NAN = math.inf, math.nan
PAIRS = rwwce.pair_costs({(0, 1): 19.0, (2, 0): 1.0}, 3)


def expected_costs(p, fn, fp, actions):
    """The definition, term by term."""
    classes = range(len(p))
    of_classes = [sum(p[k] * (fn[k] + fp[k][j]) for k in classes if k != j) for j in classes]
    return np.array([*of_classes, *p @ actions])


@pytest.mark.parametrize(("num_classes", "num_actions"), [(2, 1), (3, 0), (6, 3), (123, 2)])
def test_expected_cost_is_its_definition(num_classes, num_actions):
    """Of gains too, whatever the signs."""
    rng = np.random.default_rng(num_classes)
    p = rng.dirichlet(np.ones(num_classes), size=20)
    fn, fp = random_costs(rng, num_classes)
    actions = rng.uniform(0, 2, (num_classes, num_actions))
    scalar = np.full_like(fp, 7.0)
    unused_diagonal = np.where(np.eye(num_classes, dtype=bool), NAN, fp)
    decided = []
    for given, meant, atol in (
        (fp, fp, 0),
        (unused_diagonal, fp, 0),
        (7.0, scalar, 0),
        (-fp, -fp, 1e-5),
    ):
        costs = rwwce.expected_cost(p, fn, given, actions=actions if num_actions else None)
        expected = np.array([expected_costs(x, fn, meant, actions) for x in p])
        assert costs.dtype == jnp.float32
        np.testing.assert_allclose(costs, expected, rtol=2e-6, atol=atol)
        decisions = rwwce.decide(p, fn, given, actions=actions if num_actions else None)
        assert decisions.dtype == jnp.int32
        np.testing.assert_array_equal(decisions, expected.argmin(-1))
        decided.extend(decisions)
    assert np.min(decided) < num_classes
    assert num_actions == 0 or np.max(decided) >= num_classes


@pytest.mark.parametrize("actions", [0.2, np.array([[1], [0], [2]])])
def test_forms_of_actions(actions):
    """A number and integers, traced, and by any axis."""
    probs = np.random.default_rng(0).dirichlet(np.ones(3), (4, 5)).astype(np.float32)
    of_classes = rwwce.expected_cost(probs, 1.0, PAIRS)
    expected = np.concatenate([of_classes, probs @ np.broadcast_to(actions, (3, 1))], axis=-1)
    moved = np.moveaxis(probs, -1, 0)
    costs = jax.jit(lambda p, a: rwwce.expected_cost(p, 1.0, PAIRS, actions=a, axis=0))
    found = np.moveaxis(costs(moved, actions), 0, -1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    decided = rwwce.decide(moved, 1.0, PAIRS, actions=actions, axis=0)
    np.testing.assert_array_equal(decided, expected.argmin(-1))


def test_expected_cost_of_an_almost_certain_class_does_not_cancel():
    p = jnp.array([1.0, 1e-12, 3e-12])
    for fp in (1.0, 1 - np.eye(3)):
        np.testing.assert_allclose(rwwce.expected_cost(p, 1.0, fp)[0], 8e-12, rtol=1e-6)


def test_ties_go_to_the_lowest_class_and_nan_is_no_decision():
    bad = [[0.5, NAN, 0.5], [0.5, -0.1, 0.6], [0.5, INF, 0.0]]
    probs = np.float32([*bad, [0.1, 0.8, 0.1], [0.2, 0.4, 0.4], [1 / 3] * 3])
    for actions in (None, 2 / 3):
        decided = rwwce.decide(probs, 1.0, 0.0, actions=actions)
        np.testing.assert_array_equal(decided, [-1, -1, -1, 1, 1, 0])
        costs = rwwce.expected_cost(probs, 1.0, 0.0, actions=actions)
        is_unknown = np.isnan(np.min(costs, axis=-1))
        np.testing.assert_array_equal(is_unknown, np.arange(6) < 3)
    np.testing.assert_array_equal(np.isnan(costs[0]), True)
    assert rwwce.decide(probs[3], 1.0, 0.0, actions=[[NAN], [0.0], [0.0]]) == -1


FUNCTIONS = [rwwce.categorical_posterior, rwwce.expected_cost, rwwce.decide]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_class_axis_may_be_any(function):
    x = jax.nn.softmax(jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 3)), jnp.float32))
    for fp, axes in ((FP, (0, 1, 2, -1, -2, -3)), (PAIRS, (0,))):
        expected = function(x, 1.5, fp)
        for axis in axes:
            got = function(jnp.moveaxis(x, -1, axis), 1.5, fp, axis=axis)
            if function is not rwwce.decide:
                got = jnp.moveaxis(got, axis, -1)
            np.testing.assert_array_equal(got, expected)


BINARY = "; for one score per example use rwwce_jax.binary_posterior."
THRESHOLD = "; for one score per example use rwwce_jax.bayes_threshold."
TEMPERATURE = "; for one score per example use rwwce_jax.fit_temperature of logits[..., 0]."
TOO_FEW = "must score at least 2 classes along axis"
NO_IDS = "or be class ids without its last axis, got shape (3,)."

test_shapes_that_are_refused = refuses(
    ValueError,
    {
        "probs must have a class axis 2, got probs of shape (4, 3).": gets(
            {"axis": 2}, rwwce.expected_cost, rwwce.decide
        ),
        f"logits {TOO_FEW} 0, got shape (1, 3){BINARY}": gets(
            {"logits": ones(1, 3), "axis": 0}, rwwce.categorical_posterior
        ),
        f"probs {TOO_FEW} 0, got shape (1, 3){THRESHOLD}": gets(
            {"probs": ones(1, 3), "axis": 0}, rwwce.expected_cost, rwwce.decide
        ),
        f"logits {TOO_FEW} -1, got shape (4, 1){TEMPERATURE}": gets(
            {"logits": ones(4, 1)}, rwwce.fit_temperature
        ),
        f"labels must have the logits' shape (4, 3), {NO_IDS}": gets(
            {"labels": ones(3)}, rwwce.fit_temperature
        ),
    },
)

test_dtypes_that_are_refused = refuses(
    TypeError,
    {
        "axis must be a Python integer, got 1.0.": gets({"axis": 1.0}, *FUNCTIONS),
        "scores must be floating-point, got dtype int32.": gets(
            {"scores": IDS}, rwwce.best_threshold
        ),
        "logits must be floating-point, got dtype int32.": gets(
            {"logits": IDS}, rwwce.categorical_posterior
        ),
        "logits must be floating-point unnormalised scores, got dtype int32.": gets(
            {"logits": IDS}, rwwce.binary_posterior, rwwce.fit_temperature
        ),
        "labels of shape (4,) must be integer class ids, got dtype float32; class probabilities "
        "have the logits' shape (4, 3).": gets({"labels": ones(4)}, rwwce.fit_temperature),
    },
)


@pytest.mark.usefixtures("x64")
def test_gradients():
    z, fn = jnp.array([0.3, 1.0, -0.4]), jnp.array([1.0, 2.0, 0.5])
    fp = jnp.array([[0.0, 0.6, 0.1], [0.2, 0.0, 0.3], [0.1, 0.4, 0.0]])

    @jax.jit
    def values(z, fn, fp):
        posterior = rwwce.categorical_posterior(z, fn, fp)
        expected = rwwce.expected_cost(jax.nn.softmax(z), fn, fp, actions=fp[:, :2])
        binary = rwwce.binary_posterior(z, fn, fp[0, 1])
        return posterior, expected, binary, rwwce.bayes_threshold(fn[:1], fp[0, 1:])

    assert jnp.all(values(z, fn, fp)[0] > 0)
    check_grads(values, (z, fn, fp), order=1, atol=1e-7, rtol=1e-7)


def test_gradients_at_zero_costs_are_finite():
    by_costs = jax.vmap(jax.grad(rwwce.bayes_threshold, (0, 1)))
    by_all = jax.vmap(jax.grad(rwwce.binary_posterior, (0, 1, 2)), (None, 0, 0))
    fn, fp = jnp.array([0.0, 0, 1, 1]), jnp.array([0.0, 1, 0, 1])
    assert np.all(np.isfinite((*by_costs(fn, fp), *by_all(0.5, fn, fp))))


def test_half_precision_is_computed_in_float32():
    z = jnp.array([1.0, 0.0, -1.0], jnp.bfloat16)
    for half, single in (
        (rwwce.expected_cost(z.clip(0), 1.0, FP), [0, 20, 1]),
        (rwwce.binary_posterior(z, 1.0, 1.0), jax.nn.sigmoid(z.astype(jnp.float32))),
        (rwwce.categorical_posterior(z, 1.0, 0.0), jax.nn.softmax(z.astype(jnp.float32))),
    ):
        assert half.dtype == jnp.float32
        np.testing.assert_allclose(half, single, rtol=1e-6)
