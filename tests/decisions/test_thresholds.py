"""The threshold of least cost, given the costs or the examples: against brute force."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from precision import enable_x64

import rwwce_jax as rwwce

pytestmark = pytest.mark.always

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("fn", "fp", "expected"),
    [
        (2000.0, 100.0, 100 / 2100),
        (0.0, 5.0, 1.0),
        (5.0, 0.0, 0.0),
        (0.0, 0.0, 0.5),
        (3e38, 3e38, 0.5),
        (1e-30, 3e-30, 0.75),
        (-1.0, 1.0, INF),  # never positive
        (10.0, -3.0, -INF),  # always
        (3.0, -10.0, -INF),  # the formula's 1.43 is never
        (-1.0, -2.0, NAN),
        (NAN, 1.0, NAN),
        (1.0, INF, NAN),
        (1.0, -INF, NAN),
        (np.array([[1.0], [3.0]]), np.array([1.0, 3, 0]), [[0.5, 0.75, 0], [0.25, 0.5, 0]]),
    ],
)
def test_bayes_threshold(fn, fp, expected):
    threshold = rwwce.bayes_threshold(fn, fp)
    assert threshold.dtype == jnp.float32
    np.testing.assert_allclose(threshold, expected, rtol=2e-7)


def test_bayes_threshold_minimises_the_expected_cost_of_each_example():
    rng = np.random.default_rng(0)
    p, fn, fp = rng.random(500), rng.exponential(size=500), rng.exponential(size=500)
    fn[:50], fp[50:100] = 0, 0
    fn[100:150] *= -1  # gains, of which no example has two
    fp[150:200] *= -1
    positive = np.asarray(jnp.asarray(p, jnp.float32) > rwwce.bayes_threshold(fn, fp))
    np.testing.assert_array_equal(positive, (1 - p) * fp < p * fn)


def cost_at(threshold, scores, labels, fn, fp):
    """The exact sum of the costs, rounded once."""
    positive = scores > threshold
    return math.fsum(np.where(positive, fp * (1 - labels), fn * labels))


def least_cost(scores, labels, fn, fp):
    thresholds = [-INF, *np.unique(scores)]
    return min(cost_at(t, scores, labels, fn, fp) for t in thresholds)


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
def test_best_threshold_equals_brute_force(dtype):
    """1,000 cases for each dtype, half of them with costs per example, most with ties.

    An example of weight w costs w times as much.
    """
    rng = np.random.default_rng(2)
    cases, size = 1000, 14
    ranges = rng.choice([2, 5, 40, 10**6], (cases, 1))
    scores = (rng.integers(0, ranges, (cases, size)) / ranges).astype(dtype)
    scores[::50] = rng.choice([-INF, -1.0, 0.0, -0.0, 1.0, INF], (cases // 50, size))
    labels = rng.integers(0, 2, (cases, size))
    fn = rng.exponential(3, (cases, size)).astype(np.float32)
    fp = rng.exponential(1, (cases, size)).astype(np.float32)
    fn[::2], fp[::2] = fn[::2, :1], fp[::2, :1]
    fn[rng.random(fn.shape) < 0.1] = 0
    where = rng.random((cases, size)) < 0.8
    weights = rng.integers(0, 3, (cases, size))

    def best(scores, labels, fn, fp, where, weights):
        return rwwce.best_threshold(scores, labels, fn, fp, where=where, weights=weights)

    thresholds = np.asarray(jax.vmap(best)(scores, labels, fn, fp, where, weights))
    fn, fp = fn * weights, fp * weights
    assert thresholds.dtype == dtype
    for i in range(cases):
        case = [x[i][where[i]].astype(np.float64) for x in (scores, labels, fn, fp)]
        assert cost_at(float(thresholds[i]), *case) == least_cost(*case), i


def test_best_threshold_is_exact_beside_a_huge_cost():
    """Added up in float32, a cost of 1e9 swallows all costs of 1 beside it."""
    rng = np.random.default_rng(3)
    scores = rng.normal(size=507).astype(np.float32)
    labels = (scores + rng.normal(size=507) > 0).astype(int)
    fn = np.ones(507)
    scores[0], labels[0], fn[0] = scores.min() - 1, 0, 0
    scores[1], labels[1], fn[1] = scores.min() - 2, 1, 0
    fp = np.where(np.arange(507) == 0, 1e9, 1.0)
    example_axes = (x[None, :, None] for x in (scores, labels, fn, fp))
    threshold = float(rwwce.best_threshold(*example_axes))
    assert cost_at(threshold, scores, labels, fn, fp) == least_cost(scores, labels, fn, fp)


@pytest.mark.parametrize(
    ("scores", "labels", "fn", "fp", "expected"),
    [
        ([0.0, 1.0], [0, 1], 1.0, 1.0, 0.5),
        ([-3e38, 3e38], [0, 1], 1.0, 1.0, 0.0),
        ([1.0, 1.0 + 2**-23], [0, 1], 1.0, 1.0, 1.0),
        ([0.2, 0.4], [1, 1], 1.0, 1.0, -INF),
        ([0.5, 0.5], [0, 1], 1.0, 3.0, INF),
        ([1.0, INF], [0, 1], 1.0, 1.0, 1.0),
        ([-INF, INF], [0, 1], 1.0, 1.0, -INF),
        ([0.0, 1.0], [1, 0], 1.0, 1.0, INF),  # as cheap as -inf
        ([0.0, 1.0, 2.0], [0, 0, 1], 1.0, 0.0, 1.5),  # as cheap as all lower ones
        ([0.0, 1.0, 2.0], [0.0, 0.6, 1.0], 1.0, 1.0, 0.5),
        ([], [], 1.0, 1.0, INF),
        ([0.2, NAN], [0, 1], 1.0, 1.0, NAN),
        ([0.2, 0.4], [0, 2], 1.0, 1.0, NAN),
        ([0.2, 0.4], [0, 1], NAN, 1.0, NAN),
        ([0.2, 0.4], [0, 1], 1.0, INF, NAN),
        ([0.2, 0.4, 0.6], [1, 1, 1], 3e38, 1.0, NAN),  # their sum overflows
    ],
)
def test_best_threshold_table(scores, labels, fn, fp, expected):
    threshold = rwwce.best_threshold(np.array(scores, np.float32), np.array(labels), fn, fp)
    np.testing.assert_array_equal(threshold, np.float32(expected))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64, jnp.float16, jnp.bfloat16])
def test_best_threshold_separates_neighbouring_floats(dtype):
    """The middle of two neighbours rounds to the even one, which may be the upper."""
    with enable_x64(dtype == jnp.float64):
        lower = jnp.asarray(np.linspace(0.5, 2, 50), dtype)
        upper = jnp.nextafter(lower, jnp.full_like(lower, jnp.inf))
        scores = jnp.stack([lower, upper], axis=-1)
        best = jax.vmap(lambda s: rwwce.best_threshold(s, jnp.array([0, 1]), 1.0, 1.0))
        thresholds = best(scores)
        assert thresholds.dtype == dtype
        assert jnp.all((scores > thresholds[:, None]) == jnp.array([[False, True]]))


@pytest.mark.parametrize(
    ("scores", "where", "weights", "expected"),
    [
        ([0.0, 0.25, 0.5], None, [1.0, 0.0, 1.0], 0.25),  # the middle of the two that count
        ([0.0, 0.25, 0.5], None, [0.0, 0.0, 0.0], INF),
        ([0.0, NAN, 0.5], None, [1.0, 0.0, 1.0], NAN),
        ([0.0, 0.25, 0.5], None, [1.0, -1.0, 1.0], NAN),
        ([0.0, 9.0, 0.5], [True, False, True], [1.0, NAN, 1.0], 0.25),
        ([0.0, -INF, 0.5], [True, False, True], None, 0.25),
    ],
)
def test_best_threshold_ignores_what_is_masked_or_weighs_nothing(scores, where, weights, expected):
    """A label and a cost that no example has are masked too."""
    labels, fn = ([0, 1, 1], 1.0) if where is None else ([0, -5, 1], [1.0, NAN, 1.0])
    counted = {"where": where and np.array(where), "weights": weights}
    threshold = rwwce.best_threshold(np.float32(scores), labels, fn, 1.0, **counted)
    np.testing.assert_array_equal(threshold, expected)
