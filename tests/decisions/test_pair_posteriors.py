"""The posterior of a few pair costs equals that of their matrix; and its system of equations."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pairs import draw_pairs
from precision import enable_x64

import rwwce_jax as rwwce
from rwwce_jax._numerics import elimination

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


# --- Pair costs -----------------------------------------------------------------------------------


@pytest.mark.always
@pytest.mark.parametrize(
    ("num_classes", "most", "dtype", "rtol"),
    [(2, 1, np.float32, 1e-5), (7, 6, np.float64, 1e-10), (100, 1, np.float32, 1e-5)],
)
def test_pairs_equal_their_matrix(num_classes, most, dtype, rtol):
    with enable_x64(dtype == np.float64):
        logits, fn, pairs, matrix = random_problem(num_classes, most)
        logits = logits.astype(dtype)
        expected = rwwce.categorical_posterior(logits, fn, matrix)
        probs = rwwce.categorical_posterior(logits, fn, pairs)
        assert probs.dtype == dtype
        largest = np.max(expected, axis=-1, keepdims=True)
        # A clipped probability may be a rounding error above 0 in either.
        np.testing.assert_allclose(probs / largest, expected / largest, rtol=rtol, atol=rtol / 10)


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
FN_OF_CLASSES = [
    [0, 1, 1, 1],
    [1, 0, 1, 1],
    [1, 1, 1, 0],
    [1, 0, 1, 0],
    [0, 1, 0, 1],
    [1e30, 1, 1, 1],
]


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
    rng = np.random.default_rng(4)
    pairs, _ = draw_pairs(rng, 5, 2, costs=lambda rng: rng.uniform(0.1, 0.5))
    logits, fn = jnp.asarray(rng.normal(size=5) / 4), jnp.asarray(rng.uniform(2, 3, 5))

    def by_pairs(z, fn, costs):
        return rwwce.categorical_posterior(z, fn, dataclasses.replace(pairs, costs=costs))

    def by_matrix(z, fn, costs):
        matrix = jnp.zeros((5, 5)).at[pairs.true, pairs.predicted].set(costs)
        return rwwce.categorical_posterior(z, fn, matrix)

    @jax.jit
    def derivatives(*arguments):
        """The gradient of a sum, and its derivative forward."""
        directions = jax.tree.map(lambda x: jnp.cos(jnp.arange(1.0, 1.0 + x.size)), arguments)
        found = []
        for function in (by_pairs, by_matrix):
            gradient = jax.grad(lambda *x, f=function: jnp.sum(f(*x) ** 2), (0, 1, 2))
            found.append(jax.jvp(gradient, arguments, directions))
        return found

    arguments = (logits, fn, pairs.costs)
    assert jnp.all(by_pairs(*arguments) > 0.01)
    one, other = map(jax.tree.leaves, derivatives(*arguments))
    for x, y in zip(one, other, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_gradient_with_one_free_class():
    """fn is 0 for one class with costly pairs and for one without: no 0 * inf."""
    pairs = rwwce.pair_costs({(0, 1): 3.0, (1, 2): 1.0}, 4)
    logits = jnp.array([0.1, -0.2, 0.3, 0.2])
    gradients = jax.jit(jax.jacrev(rwwce.categorical_posterior, (0, 1)))
    for fn in ([0.0, 1, 1, 1], [1.0, 1, 1, 0]):
        assert np.all(np.isfinite(gradients(logits, jnp.array(fn), pairs)))


def test_pairs_that_are_traced():
    """The number of true classes is not known there, but of NumPy's; and examples of two axes."""
    logits, fn, pairs, _ = random_problem(7, 6)
    logits = jnp.asarray(logits.reshape(2, 3, 7))
    expected = rwwce.categorical_posterior(logits, fn, pairs)
    traced = jax.jit(rwwce.categorical_posterior)(logits, fn, pairs)
    np.testing.assert_allclose(traced, expected, rtol=1e-5, atol=1e-6)
    fixed = jax.tree.map(np.asarray, pairs)
    closed_over = jax.jit(lambda z: rwwce.categorical_posterior(z, fn, fixed))(logits)
    np.testing.assert_allclose(closed_over, expected, rtol=1e-5, atol=1e-6)


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


# --- Systems of equations -------------------------------------------------------------------------


def test_elimination_needs_no_diagonal_and_picks_large_pivots():
    matrices = jnp.array(
        [
            [[0.0, 0, 2], [4, 0, 0], [0, 8, 0]],
            # Without pivoting, 1 - 1e20 would lose the second equation.
            [[1e-20, 1, 0], [1, 1, 0], [0, 0, 1]],
            # Singular ones, and NaN.
            [[1, 2, 0], [2, 4, 0], [0, 0, 1]],
            [[0, 0, 0], [0, 1, 0], [0, 0, 1]],
            [[NAN, 1, 0], [1, 1, 0], [0, 0, 1]],
        ]
    )
    solution = elimination.solve(matrices, jnp.array([[2.0, 8, 24], *[[1, 2, 3]] * 4]))
    np.testing.assert_array_equal(solution[0], [2, 3, 1])
    np.testing.assert_allclose(solution[1], [1, 1, 3], rtol=1e-6)
    assert not np.any(np.all(np.isfinite(solution[2:]), axis=-1))


def test_no_posterior_is_solved_by_lapack():
    """Several CPU devices that solve at once by it wait for ever, on two cores (jaxlib 0.10.2)."""
    logits, fn, *costs = random_problem(7, 6)
    for fp in costs:
        program = jax.jit(jax.grad(lambda z, fp=fp: rwwce.categorical_posterior(z, fn, fp)[0, 0]))
        text = program.lower(logits).as_text()
        assert "lapack" not in text
        assert "triangular_solve" not in text
