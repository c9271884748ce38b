"""Decisions by cost: thresholds against brute force, posteriors against numerical minimisation."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.optimize import minimize, root

import rwwce_jax as rwwce

INF, NAN = math.inf, math.nan
TINY = float(np.finfo(np.float32).tiny)

# The counterexample of docs/decisions.md: of three classes, reading class 0 as class 1 is dear.
P = np.array([0.07, 0.84, 0.09])
FP = np.zeros((3, 3))
FP[0, 1] = 19.0


def off_diagonal(matrix):
    return np.where(np.eye(len(matrix), dtype=bool), 0, matrix)


def expected_costs(p, fn, fp):
    """The definition, term by term."""
    classes = range(len(p))
    return np.array([sum(p[k] * (fn[k] + fp[k][j]) for k in classes if k != j) for j in classes])


def random_costs(rng, num_classes):
    """Costs of which most surcharges are zero and some are large."""
    fn = rng.uniform(0.1, 3, num_classes)
    fp = rng.uniform(0, 20, (num_classes, num_classes))
    return fn, fp * (rng.random(fp.shape) < 0.3)


def population_loss(z, p, fn, fp):
    """The expected loss of equation 6 for labels drawn from p, and its gradient by the logits."""
    e = np.exp(z - z.max())
    q = e / e.sum()
    one_minus_q = np.array([np.delete(e, j).sum() for j in range(len(e))]) / e.sum()
    a, b = p * fn, p @ off_diagonal(fp)
    loss = -(a * np.log(q)).sum() - (b * np.log(one_minus_q)).sum()
    by_q = -a / q + b / one_minus_q
    return loss, q * (by_q - (q * by_q).sum())


def minimiser(p, fn, fp):
    """The logits of least population loss, the last of them 0."""

    def loss(z):
        value, gradient = population_loss(np.append(z, 0), p, fn, fp)
        return value, gradient[:-1]

    found = minimize(loss, np.log(p[:-1] / p[-1]), jac=True, method="BFGS")
    polished = root(lambda z: loss(z)[1], found.x, tol=1e-15).x
    assert np.abs(loss(polished)[1]).max() < 1e-12
    return np.append(polished, 0)


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


# --- bayes_threshold ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "fp", "expected"),
    [
        (2000.0, 100.0, 100 / 2100),
        (3, 1, 0.25),
        (0.0, 5.0, 1.0),
        (5.0, 0.0, 0.0),
        (0.0, 0.0, 0.5),
        (3e38, 3e38, 0.5),
        (1e-30, 3e-30, 0.75),
        (np.int64(2**40), 2**40, 0.5),
        (-1.0, 1.0, NAN),
        (1.0, -2.0, NAN),
        (0.0, -2.0, NAN),
        (NAN, 1.0, NAN),
        (1.0, INF, NAN),
    ],
)
def test_bayes_threshold(fn, fp, expected):
    threshold = rwwce.bayes_threshold(fn, fp)
    assert threshold.dtype == jnp.float32
    np.testing.assert_allclose(threshold, expected, rtol=2e-7)


def test_bayes_threshold_broadcasts_costs_of_examples():
    fn, fp = np.array([[1.0], [3.0]]), np.array([1.0, 3.0, 0.0])
    np.testing.assert_allclose(
        rwwce.bayes_threshold(fn, fp), [[0.5, 0.75, 0], [0.25, 0.5, 0]], rtol=1e-6
    )


def test_bayes_threshold_minimises_the_expected_cost_of_each_example():
    rng = np.random.default_rng(0)
    p, fn, fp = rng.random(500), rng.exponential(size=500), rng.exponential(size=500)
    fn[:50], fp[50:100] = 0, 0
    positive = np.asarray(jnp.asarray(p, jnp.float32) > rwwce.bayes_threshold(fn, fp))
    np.testing.assert_array_equal(positive, (1 - p) * fp < p * fn)


# --- expected_cost and decide ---------------------------------------------------------------------


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


# --- best_threshold -------------------------------------------------------------------------------


def cost_at(threshold, scores, labels, fn, fp):
    """The exact sum of the costs, rounded once."""
    positive = scores > threshold
    return math.fsum(np.where(positive, fp * (1 - labels), fn * labels))


def least_cost(scores, labels, fn, fp):
    thresholds = [-INF, *np.unique(scores)]
    return min(cost_at(t, scores, labels, fn, fp) for t in thresholds)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, jnp.bfloat16])
def test_best_threshold_equals_brute_force(dtype):
    """1,000 cases for each dtype, half of them with costs per example, most with ties."""
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
    best = jax.vmap(lambda *args: rwwce.best_threshold(*args[:-1], where=args[-1]))
    thresholds = np.asarray(best(scores, labels, fn, fp, where))
    assert thresholds.dtype == dtype
    for i in range(cases):
        case = [x[i][where[i]].astype(np.float64) for x in (scores, labels, fn, fp)]
        assert cost_at(float(thresholds[i]), *case) == least_cost(*case), i


@pytest.mark.parametrize("size", [1, 2, 507])
def test_best_threshold_of_any_shape_is_brute_force(size):
    rng = np.random.default_rng(size)
    scores = rng.normal(size=size).astype(np.float32)
    labels = (rng.random(size) < 1 / (1 + np.exp(-scores))).astype(int)
    threshold = rwwce.best_threshold(scores[None], labels[None], 3.0, 1)
    assert cost_at(float(threshold), scores, labels, 3.0, 1.0) == least_cost(
        scores, labels, 3.0, 1.0
    )


def test_best_threshold_is_exact_beside_a_huge_cost():
    """Added up in float32, a cost of 1e9 swallows all costs of 1 beside it."""
    rng = np.random.default_rng(3)
    scores = rng.normal(size=2000).astype(np.float32)
    labels = (scores + rng.normal(size=2000) > 0).astype(int)
    fn = np.ones(2000)
    scores[0], labels[0], fn[0] = scores.min() - 1, 0, 0
    scores[1], labels[1], fn[1] = scores.min() - 2, 1, 0
    fp = np.where(np.arange(2000) == 0, 1e9, 1.0)
    threshold = float(rwwce.best_threshold(scores, labels, fn, fp))
    assert cost_at(threshold, scores, labels, fn, fp) == least_cost(scores, labels, fn, fp)


@pytest.mark.parametrize(
    ("scores", "labels", "fn", "fp", "expected"),
    [
        ([0.0, 1.0], [0, 1], 1.0, 1.0, 0.5),
        ([-3e38, 3e38], [0, 1], 1.0, 1.0, 0.0),
        ([1.0, 1.0 + 2**-23], [0, 1], 1.0, 1.0, 1.0),
        ([0.2, 0.4], [1, 1], 1.0, 1.0, -INF),
        ([0.2, 0.4], [0, 0], 1.0, 1.0, INF),
        ([0.5, 0.5], [0, 1], 1.0, 3.0, INF),
        ([0.5, 0.5], [0, 1], 3.0, 1.0, -INF),
        ([1.0, INF], [0, 1], 1.0, 1.0, 1.0),
        ([-INF, 1.0], [0, 1], 1.0, 1.0, -INF),
        ([-INF, INF], [0, 1], 1.0, 1.0, -INF),
        ([0.0, 1.0], [1, 0], 1.0, 1.0, INF),  # as cheap as -inf
        ([0.0, 1.0, 2.0], [0, 0, 1], 1.0, 0.0, 1.5),  # as cheap as all lower ones
        ([0.0, 1.0, 2.0], [0.0, 0.4, 1.0], 1.0, 1.0, 1.5),
        ([0.0, 1.0, 2.0], [0.0, 0.6, 1.0], 1.0, 1.0, 0.5),
        ([0.2, 0.4], [0, 1], 0.0, 0.0, INF),
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


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16])
def test_best_threshold_separates_neighbouring_floats(dtype):
    """The middle of two neighbours rounds to the even one, which may be the upper."""
    lower = jnp.asarray(np.linspace(0.5, 2, 50), dtype)
    upper = jnp.nextafter(lower, jnp.full_like(lower, jnp.inf))
    scores = jnp.stack([lower, upper], axis=-1)
    best = jax.jit(jax.vmap(lambda s: rwwce.best_threshold(s, jnp.array([0, 1]), 1.0, 1.0)))
    thresholds = best(scores)
    assert thresholds.dtype == dtype
    assert jnp.all((scores > thresholds[:, None]) == jnp.array([[False, True]]))


def test_best_threshold_ignores_what_is_masked():
    scores = jnp.array([0.1, NAN, 0.6, 0.7, -INF])
    labels, fn = jnp.array([0, 1, 1, -5, 1]), jnp.array([1.0, INF, 1.0, NAN, 1.0])
    where = jnp.array([True, False, True, False, False])
    np.testing.assert_allclose(
        rwwce.best_threshold(scores, labels, fn, 1.0, where=where), 0.35, rtol=1e-6
    )
    assert rwwce.best_threshold(scores, labels, fn, 1.0, where=jnp.zeros(5, bool)) == INF


@pytest.mark.parametrize(("fn", "fp"), [(1.0, 1.0), (7.0, 1.0), (1.0, 12.0)])
def test_best_threshold_is_no_worse_than_scikit_learn_on_its_grid(fn, fp):
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import make_scorer
    from sklearn.model_selection import TunedThresholdClassifierCV

    data, benign = load_breast_cancer(return_X_y=True)
    features, labels = data[:, :1], 1 - benign
    model = LogisticRegression().fit(features, labels)

    def gain(truth, predicted):
        return -float(np.sum(np.where(predicted, fp * (1 - truth), fn * truth)))

    tuned = TunedThresholdClassifierCV(
        model, scoring=make_scorer(gain), thresholds=100, cv="prefit", refit=False
    ).fit(features, labels)
    theirs = -gain(labels, tuned.predict(features))
    # In float32, scores as close as 1e-8 would become ties.
    with jax.enable_x64(True):
        scores = model.predict_proba(features)[:, 1]
        threshold = float(rwwce.best_threshold(scores, labels, fn, fp))
    ours = -gain(labels, scores > threshold)
    assert ours == least_cost(scores, labels, fn, fp)
    assert ours <= theirs


# --- binary_posterior -----------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
def test_binary_posterior_inverts_the_minimum_of_the_loss():
    rng = np.random.default_rng(4)
    p, fn, fp = rng.random(200), rng.exponential(9, 200), rng.exponential(1, 200)
    z = np.log(p / (1 - p)) + np.log(fn / fp)
    slope = jax.grad(lambda z: rwwce.binary(z, p, fn, fp))(z)
    np.testing.assert_allclose(slope, 0, atol=1e-15)
    np.testing.assert_allclose(rwwce.binary_posterior(z, fn, fp), p, rtol=1e-13)


def test_binary_posterior_decides_like_the_sign_of_the_logit():
    rng = np.random.default_rng(5)
    z = rng.normal(scale=5, size=1000).astype(np.float32)
    fn, fp = rng.exponential(9, 1000), rng.exponential(1, 1000)
    decided = rwwce.binary_posterior(z, fn, fp) > rwwce.bayes_threshold(fn, fp)
    clear = np.abs(z) > 1e-5
    np.testing.assert_array_equal(decided[clear], z[clear] > 0)


@pytest.mark.parametrize(
    ("logit", "fn", "fp", "expected"),
    [
        (0.0, 1.0, 1.0, 0.5),
        (-50.0, 1e-20, 1e20, 1.0),
        (0.0, 3e38, 3e38, 0.5),
        (-INF, 5.0, 1.0, 0.0),
        (INF, 5.0, 1.0, 1.0),
        (-30.0, 0.0, 1.0, 1.0),
        (-INF, 0.0, 1.0, 1.0),
        (30.0, 1.0, 0.0, TINY),
        (INF, 1.0, 0.0, TINY),
        (0.0, 0.0, 0.0, 0.5),
        (NAN, 1.0, 1.0, NAN),
        (NAN, 0.0, 1.0, NAN),
        (0.0, NAN, 1.0, NAN),
        (0.0, 0.0, NAN, NAN),
        (0.0, -1.0, 1.0, NAN),
    ],
)
def test_binary_posterior_table(logit, fn, fp, expected):
    np.testing.assert_allclose(rwwce.binary_posterior(logit, fn, fp), expected, rtol=1e-6)


def test_binary_posterior_with_a_free_mistake_still_decides_well():
    logits = jnp.array([-5.0, 5.0, -5.0, 5.0])
    fn, fp = jnp.array([0.0, 0.0, 1.0, 1.0]), jnp.array([1.0, 1.0, 0.0, 0.0])
    decided = rwwce.binary_posterior(logits, fn, fp) > rwwce.bayes_threshold(fn, fp)
    np.testing.assert_array_equal(decided, [False, False, True, True])


# --- categorical_posterior ------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("num_classes", range(2, 21))
def test_categorical_posterior_inverts_the_minimum_of_the_loss(num_classes):
    rng = np.random.default_rng(num_classes)
    p = rng.dirichlet(np.ones(num_classes), size=5)
    for x in p:
        fn, fp = random_costs(rng, num_classes)
        z = minimiser(x, fn, fp)
        np.testing.assert_allclose(rwwce.categorical_posterior(z, fn, fp), x, atol=1e-10)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("num_classes", [3, 20])
def test_the_minimum_that_is_inverted_is_that_of_the_loss(num_classes):
    rng = np.random.default_rng(100 + num_classes)
    p, (fn, fp) = rng.dirichlet(np.ones(num_classes)), random_costs(rng, num_classes)
    z = minimiser(p, fn, fp)
    np.testing.assert_allclose(
        rwwce.categorical(z, p, fn, fp), population_loss(z, p, fn, fp)[0], rtol=1e-12
    )
    np.testing.assert_allclose(jax.grad(rwwce.categorical)(z, p, fn, fp), 0, atol=1e-11)


@pytest.mark.usefixtures("x64")
def test_counterexample_where_the_argmax_of_a_cost_trained_model_is_not_optimal():
    z = minimiser(P, np.ones(3), FP)
    np.testing.assert_allclose(softmax(z), [0.280, 0.361, 0.360], atol=6e-4)
    costs = rwwce.expected_cost(P, 1.0, FP)
    assert z.argmax() == 1
    np.testing.assert_allclose(costs[1], 1.49, rtol=1e-12)
    assert rwwce.decide(P, 1.0, FP) == 2
    np.testing.assert_allclose(costs[2], 0.91, rtol=1e-12)
    probs = rwwce.categorical_posterior(z, 1.0, FP)
    np.testing.assert_allclose(probs, P, atol=1e-10)
    assert rwwce.decide(probs, 1.0, FP) == 2


@pytest.mark.usefixtures("x64")
def test_deciding_on_the_raw_softmax_counts_the_costs_twice():
    p = np.array([0.02, 0.88, 0.1])
    z = minimiser(p, np.ones(3), FP)
    assert rwwce.decide(p, 1.0, FP) == 1
    assert rwwce.decide(rwwce.categorical_posterior(z, 1.0, FP), 1.0, FP) == 1
    assert rwwce.decide(softmax(z), 1.0, FP) == 2


def optimum(p, fn, fp):
    return (p @ off_diagonal(fn[:, None] + fp)).argmin()


def test_argmax_is_optimal_for_two_classes():
    rng = np.random.default_rng(6)
    cases = [(rng.dirichlet(np.ones(2)), *random_costs(rng, 2)) for _ in range(40)]
    decisions = [minimiser(*case).argmax() for case in cases]
    np.testing.assert_array_equal(decisions, [optimum(*case) for case in cases])
    assert len(np.unique(decisions)) == 2


# SciPy 1.13 warns of steps that leave the bounds, and takes them back.
@pytest.mark.filterwarnings("ignore:Values in x were outside bounds:RuntimeWarning")
@pytest.mark.parametrize("num_classes", [4, 6, 8])
def test_argmax_is_optimal_with_all_costs_in_fp_and_not_in_general(num_classes):
    """With fn = 0, some classes may have their minimum at q = 0: found with q as the variable."""
    rng = np.random.default_rng(num_classes)
    general, all_in_fp, optimal = [], [], []
    for _ in range(40):
        p, (fn, fp) = rng.dirichlet(np.ones(num_classes)), random_costs(rng, num_classes)
        optimal.append(optimum(p, fn, fp))
        general.append(minimiser(p, fn, fp).argmax())
        b = p @ off_diagonal(fn[:, None] + fp)
        q = minimize(
            lambda q, b: -(b * np.log1p(-q)).sum(),
            np.full(num_classes, 1 / num_classes),
            b,
            jac=lambda q, b: b / (1 - q),
            bounds=[(0, 1 - 1e-9)] * num_classes,
            constraints={"type": "eq", "fun": lambda q: q.sum() - 1},
        )
        assert q.success
        all_in_fp.append(q.x.argmax())
    np.testing.assert_array_equal(all_in_fp, optimal)
    assert general != optimal


def test_categorical_posterior_of_two_classes_is_the_binary_one():
    z = jnp.linspace(-60, 60, 121)
    fn, fp = jnp.array([30.0, 500.0]), jnp.array([[NAN, 70.0], [1500.0, NAN]])
    probs = rwwce.categorical_posterior(jnp.stack([jnp.zeros_like(z), z], -1), fn, fp)
    expected = rwwce.binary_posterior(z, fn[1] + fp[1, 0], fn[0] + fp[0, 1])
    np.testing.assert_allclose(probs[:, 1], expected, rtol=1e-5)
    np.testing.assert_allclose(probs[:, 0], 1 - expected, atol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_categorical_posterior_without_surcharges_divides_by_the_weights(offset):
    z, fn = jnp.array([1.0, -2.0, 0.5, 3.0]), jnp.array([1.0, 5.0, 0.3, 2.0])
    expected = softmax(np.asarray(z)) / fn
    np.testing.assert_allclose(
        rwwce.categorical_posterior(z + offset, fn, 0.0), expected / expected.sum(), rtol=1e-5
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 3e-6), (np.float64, 1e-14)])
def test_categorical_posterior_makes_the_mean_gradient_of_the_labels_zero(dtype, tolerance):
    """Relative to its terms, also where q leaves 1e-80 to all classes but one."""
    rng = np.random.default_rng(8)
    with jax.enable_x64(dtype == np.float64):
        z = (rng.normal(size=(300, 4)) * rng.choice([1, 10, 30, 60], (300, 1))).astype(dtype)
        fn, fp = (x.astype(dtype) for x in random_costs(rng, 4))
        p = np.asarray(rwwce.categorical_posterior(z, fn, fp))
        by_label = jax.vmap(jax.grad(rwwce.categorical), (None, 0, None, None))
        gradients = jax.vmap(lambda row: by_label(row, jnp.arange(4), fn, fp))(z)
    terms = p[:, :, None].astype(np.float64) * np.asarray(gradients, np.float64)
    # Only where no entry was clipped, and nothing was too small for the dtype.
    solved = np.all(p > 0, axis=1) & (np.abs(terms).max(1).min(1) > 1e3 * np.finfo(dtype).tiny)
    assert solved.sum() > 50
    assert np.median(np.ptp(z[solved], axis=1)) > 10
    terms = terms[solved]
    assert np.max(np.abs(terms.sum(1)) / np.abs(terms).sum(1)) < tolerance


def test_categorical_posterior_of_what_no_model_should_predict_is_a_distribution():
    rng = np.random.default_rng(9)
    z = rng.normal(size=(1000, 5)) * rng.choice([1, 10, 1e3], (1000, 1))
    fn, fp = random_costs(rng, 5)
    probs = rwwce.categorical_posterior(z, fn, fp)
    assert jnp.all(probs >= 0)
    assert jnp.any(probs == 0)
    np.testing.assert_allclose(probs.sum(-1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("logits", "fn", "fp", "expected"),
    [
        # With all costs in fp and alike, p is q.
        ([0.0, 1.0, 2.0], 0.0, 5.0, softmax(np.array([0.0, 1.0, 2.0]))),
        # No cost at all, or two classes without: p is not determined.
        ([0.0, 1.0, 2.0], 0.0, 0.0, softmax(np.array([0.0, 1.0, 2.0]))),
        ([0.0, 1.0, 2.0], [0.0, 0.0, 1.0], 0.0, softmax(np.array([0.0, 1.0, 2.0]))),
        # A class that costs nothing keeps its q above 0 only if it is certain.
        ([0.0, 1.0, 2.0], [0.0, 1.0, 1.0], 0.0, [1, 0, 0]),
        ([0.0, 300.0, 0.0], 1.0, FP, [0, 1, 0]),
        ([3e38, -3e38, 0.0], 1.0, FP, [1, 0, 0]),
        ([0.0, -INF, -INF], 1.0, FP, [1, 0, 0]),
        ([0.0, 0.0, -INF], 1.0, 0.0, [0.5, 0.5, 0]),
        # fn is 0 and class 2 ruled out: the other two must not suffer.
        ([0.0, 0.0, -INF], 0.0, [[0, 3, 50], [1, 0, 50], [9, 9, 0]], [0.25, 0.75, 0]),
        ([0.0, 0.0, 0.0], 1e30, 1e30, [1 / 3] * 3),
        ([NAN, 0.0, 0.0], 1.0, FP, [NAN] * 3),
        ([INF, 0.0, 0.0], 1.0, FP, [NAN] * 3),
        ([-INF, -INF, -INF], 1.0, FP, [NAN] * 3),
        ([0.0, 0.0, 0.0], NAN, FP, [NAN] * 3),
        ([0.0, 0.0, 0.0], 1.0, INF, [NAN] * 3),
    ],
)
def test_categorical_posterior_table(logits, fn, fp, expected):
    probs = rwwce.categorical_posterior(jnp.array(logits), np.array(fn), np.array(fp))
    np.testing.assert_allclose(probs, expected, rtol=1e-6, atol=1e-7)


# --- All of them ----------------------------------------------------------------------------------


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
