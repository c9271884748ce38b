"""The posterior of a few pair costs equals that of their matrix."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cost_matrices import draw_pairs
from precision import enable_x64

import rwwce_jax as rwwce

NAN, INF = np.nan, np.inf


def random_problem(num_classes, most):
    """Logits, fn, pair costs and their matrix.

    In the first two examples a costly prediction is certain.
    """
    rng = np.random.default_rng(num_classes + most)
    pairs, matrix = draw_pairs(rng, num_classes, most, costs=lambda rng: rng.uniform(0.1, 2))
    logits = rng.normal(size=(6, num_classes)) * np.array([1, 5, 1, 1, 3, 5])[:, None]
    for row, gap in ((0, 12), (1, 60)):
        logits[row, pairs.predicted[0]] = logits[row].max() + gap
    fn = rng.uniform(0.5, 2, num_classes)
    return logits.astype(np.float32), fn.astype(np.float32), pairs, matrix


@pytest.mark.always
@pytest.mark.parametrize(
    ("num_classes", "most", "dtype", "rtol"),
    [(2, 1, np.float32, 1e-5), (7, 6, np.float64, 1e-10), (100, 1, np.float32, 1e-5)],
)
def test_pairs_equal_their_matrix(num_classes, most, dtype, rtol):
    """Also traced, where nothing tells the costs, and with two axes of examples."""
    with enable_x64(dtype == np.float64):
        logits, fn, pairs, matrix = random_problem(num_classes, most)
        logits = logits.astype(dtype)
        expected = rwwce.categorical_posterior(logits, fn, matrix)
        largest = np.max(expected, axis=-1, keepdims=True)
        solve = jax.jit(rwwce.categorical_posterior)
        traced = solve(logits.reshape(2, 3, -1), fn, pairs).reshape(logits.shape)
        for probs in (rwwce.categorical_posterior(logits, fn, pairs), traced):
            assert probs.dtype == dtype
            # A clipped probability may be a rounding error above 0 in either.
            atol = rtol / 10
            np.testing.assert_allclose(probs / largest, expected / largest, rtol=rtol, atol=atol)


@pytest.mark.usefixtures("x64")
def test_one_minus_a_dominant_probability_does_not_cancel():
    """Class 1 leaves 1e-40 to the others, and a third of that is class 0's."""
    logits = np.log([1e-40, 1.0, 2e-40])
    pairs = rwwce.pair_costs({(0, 1): 3.0}, 3)
    # x_0 = x_2 = lambda, x_1 = lambda + 3 (1/3) x_0 = 2 lambda, and q_1 x_1 is 1.
    expected = [0.5e-40, 1, 1e-40]
    np.testing.assert_allclose(rwwce.categorical_posterior(logits, 1.0, pairs), expected, 1e-12)


def test_costly_pairs_lose_no_digits():
    """A sum over many classes with a small fn is no pivot: that cost one digit in float32."""
    rng = np.random.default_rng(0)
    pairs, matrix = draw_pairs(rng, 60, 1, costs=lambda rng: rng.uniform(0.1, 2))
    logits, fn = rng.normal(size=(64, 60)).astype(np.float32), np.float32(1 / 50)
    probs = rwwce.categorical_posterior(logits, fn, pairs)
    with enable_x64(True):
        exact = np.asarray(rwwce.categorical_posterior(np.float64(logits), fn, matrix))
    solved = np.all(exact > 1e-4, axis=-1)
    assert solved.sum() >= 16
    np.testing.assert_allclose(probs[solved], exact[solved], rtol=2e-6)


FEW = {(0, 1): 3.0, (2, 1): 1.0, (0, 3): 2.0}
ALL = {(k, j): 1.0 + k for k in range(4) for j in range(4) if j != k}
FN_OF_CLASSES = [[0, 1, 1, 1], [1, 1, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1], [1e30, 1, 1, 1]]


@pytest.mark.always
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("costs", [FEW, ALL, {(0, 1): 1e-5}], ids=["few", "all", "one"])
def test_corners_are_those_of_the_matrix(costs):
    """Costs of zero, classes ruled out, certainty, what no model should predict, and no numbers."""
    given = rwwce.pair_costs(costs, 4)
    matrix = given.as_matrix(4)
    logits = np.array(
        [
            [0.0, 0.5, -1.0, 0.3],
            [0.0, 40.0, -1.0, 0.3],
            [3.0, -2.0, 2.0, -1.0],
            [0.0, 0.0, 0.0, -INF],
            [-INF, 0.0, 0.3, 0.5],
            [0.0, -INF, -INF, 0.0],
            [-INF, 0.0, -INF, -INF],
            [0.0, -INF, -INF, -INF],
            [-INF] * 4,
            [INF, 0.0, 0.0, 0.0],
            [NAN, 0.0, 0.0, 0.0],
            [1e300, 0.0, 0.0, -1e300],
        ]
    )
    for scale in (0.0, 1.0, 1e30, NAN, INF):
        pairs = dataclasses.replace(given, costs=given.costs * scale)
        for fn in (0.0, 1.0, NAN, INF, *FN_OF_CLASSES):
            probs = rwwce.categorical_posterior(logits, np.array(fn), pairs)
            expected = rwwce.categorical_posterior(logits, np.array(fn), scale * matrix)
            case = f"costs times {scale}, fn {fn}"
            np.testing.assert_allclose(probs, expected, rtol=1e-9, atol=1e-12, err_msg=case)


@pytest.mark.usefixtures("x64")
def test_gradients_of_pairs_are_those_of_the_matrix():
    """Those of a sum, and their derivative forward; where a class is free, they are finite."""
    pairs = rwwce.pair_costs({(0, 1): 0.3, (0, 2): 0.1, (1, 2): 0.5, (3, 0): 0.2}, 5)
    logits = jnp.array([0.1, -0.2, 0.3, 0.2, 0.0])

    def by_pairs(z, fn, costs):
        return rwwce.categorical_posterior(z, fn, dataclasses.replace(pairs, costs=costs))

    def by_matrix(z, fn, costs):
        matrix = jnp.zeros((5, 5)).at[pairs.true, pairs.predicted].set(costs)
        return rwwce.categorical_posterior(z, fn, matrix)

    @jax.jit
    def derivatives(*arguments):
        directions = jax.tree.map(lambda x: jnp.cos(jnp.arange(1.0, 1.0 + x.size)), arguments)
        found = []
        for function in (by_pairs, by_matrix):
            gradient = jax.grad(lambda *x, f=function: jnp.sum(f(*x) ** 2), (0, 1, 2))
            found.append(jax.jvp(gradient, arguments, directions))
        return found

    fn = jnp.array([2.0, 2.5, 3.0, 2.2, 2.7])
    assert jnp.all(by_pairs(logits, fn, pairs.costs) > 0.01)
    for x, y in zip(*map(jax.tree.leaves, derivatives(logits, fn, pairs.costs)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)
    for free in (0, 4):  # with costly pairs, and without: no 0 * inf
        of_pairs, _ = derivatives(logits, fn.at[free].set(0), pairs.costs)
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(of_pairs))


def test_a_vocabulary_in_the_memory_of_a_few_rows():
    """A hundred costly true classes among 128,256; a matrix has 66 GB."""
    num_classes, num_examples = 128_256, 3
    rng = np.random.default_rng(0)
    true = rng.choice(num_classes, 100, replace=False).tolist()
    costs = {(k, (k + i) % num_classes): 3.0 for k in true for i in (1, 7, 500)}
    pairs = rwwce.pair_costs(costs, num_classes)
    logits = jnp.asarray(rng.normal(size=(num_examples, num_classes)), jnp.float32)

    solve = jax.jit(lambda z: rwwce.categorical_posterior(z, 1.0, pairs)).lower(logits).compile()
    assert solve.memory_analysis().temp_size_in_bytes < 5 * logits.nbytes
    probs = np.asarray(solve(logits), np.float64)
    np.testing.assert_allclose(probs.sum(-1), 1, rtol=1e-5)
    # Where no pair leads, x is lambda / fn.
    free = np.setdiff1d(np.arange(num_classes), [*true, *(j for _, j in costs)])
    ratio = probs[:, free] / jax.nn.softmax(logits)[:, free]
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1], ratio.shape), rtol=1e-5)


def test_no_posterior_is_solved_by_lapack():
    """Several CPU devices that solve at once by it wait for ever, on two cores (jaxlib 0.10.2)."""
    logits, fn, *costs = random_problem(7, 6)
    for fp in costs:
        program = jax.jit(jax.grad(lambda z, fp=fp: rwwce.categorical_posterior(z, fn, fp)[0, 0]))
        text = program.lower(logits).as_text()
        assert "lapack" not in text
        assert "triangular_solve" not in text
