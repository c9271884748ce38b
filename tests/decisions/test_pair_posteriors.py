"""The posterior of a few pair costs equals that of their matrix; its equations and class axes."""

import dataclasses
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from precision import enable_x64

import rwwce_jax as rwwce
from rwwce_jax._numerics import elimination

NAN, INF = np.nan, np.inf


def matrix_of(pairs):
    matrix = np.zeros((pairs.num_classes,) * 2)
    matrix[np.asarray(pairs.true), np.asarray(pairs.predicted)] = pairs.costs
    return matrix


def random_pairs(rng, num_classes, num_pairs):
    found = rng.choice(num_classes * (num_classes - 1), num_pairs, replace=False)
    true, other = np.divmod(found, num_classes - 1)
    predicted = other + (other >= true)
    keys = zip(true.tolist(), predicted.tolist(), strict=True)
    return rwwce.pair_costs({key: rng.uniform(0.1, 2) for key in keys}, num_classes)


def random_problem(num_classes, num_pairs):
    """Logits, fn and pair costs; in the first two examples a costly prediction is certain."""
    rng = np.random.default_rng(num_classes + num_pairs)
    pairs = random_pairs(rng, num_classes, num_pairs)
    logits = rng.normal(size=(6, num_classes)) * np.array([1, 5, 1, 1, 3, 5])[:, None]
    for row, gap in ((0, 12), (1, 60)):
        logits[row, pairs.predicted[0]] = logits[row].max() + gap
    return logits.astype(np.float32), rng.uniform(0.5, 2, num_classes).astype(np.float32), pairs


# --- Pair costs -----------------------------------------------------------------------------------


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    ("num_classes", "num_pairs"), [(2, 1), (2, 2), (3, 6), (7, 1), (7, 30), (50, 60), (300, 100)]
)
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-5), (np.float64, 1e-10)])
def test_pairs_equal_their_matrix(num_classes, num_pairs, dtype, rtol):
    with enable_x64(dtype == np.float64):
        logits, fn, pairs = random_problem(num_classes, num_pairs)
        logits = logits.astype(dtype)
        expected = rwwce.categorical_posterior(logits, fn, matrix_of(pairs))
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


@pytest.mark.parametrize("seed", range(4))
def test_costly_pairs_lose_no_digits(seed):
    """A sum over many classes with a small fn is no pivot: that cost one digit in float32."""
    rng = np.random.default_rng(seed)
    pairs = random_pairs(rng, 60, 30)
    logits, fn = rng.normal(size=(16, 60)).astype(np.float32), np.float32(1 / 50)
    probs = rwwce.categorical_posterior(logits, fn, pairs)
    with enable_x64(True):
        exact = rwwce.categorical_posterior(logits.astype(np.float64), fn, matrix_of(pairs))
        exact = np.asarray(exact)
    solved = np.all(exact > 1e-4, axis=-1)
    assert solved.sum() >= 4
    np.testing.assert_allclose(probs[solved], exact[solved], rtol=2e-6)


FEW = {(0, 1): 3.0, (2, 1): 1.0, (0, 3): 2.0}
FN_OF_CLASSES = [
    [0, 1, 1, 1],
    [1, 0, 1, 1],
    [1, 1, 1, 0],
    [1, 0, 1, 0],
    [0, 1, 0, 1],
    [1e30, 1, 1, 1],
]
ALL = {(k, j): 1.0 + k for k in range(4) for j in range(4) if j != k}


@pytest.mark.always
@pytest.mark.sampled(11)
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("costs", [FEW, ALL, {(0, 1): 1e-5}], ids=["few", "all", "one"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e30, NAN, INF])
@pytest.mark.parametrize("fn", [0.0, 1.0, NAN, INF, *FN_OF_CLASSES])
def test_corners_are_those_of_the_matrix(costs, scale, fn):
    """Costs of zero, classes ruled out, certainty, what no model should predict, and no numbers."""
    pairs = rwwce.pair_costs(costs, 4)
    pairs = dataclasses.replace(pairs, costs=jnp.asarray(np.asarray(pairs.costs) * scale))
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
    probs = rwwce.categorical_posterior(logits, np.array(fn), pairs)
    expected = rwwce.categorical_posterior(logits, np.array(fn), matrix_of(pairs))
    np.testing.assert_allclose(probs, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.sampled(2)
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("num_pairs", [4, 20])
def test_gradients_of_pairs_are_those_of_the_matrix(num_pairs):
    rng = np.random.default_rng(num_pairs)
    pairs = random_pairs(rng, 5, num_pairs)
    logits, fn = jnp.asarray(rng.normal(size=(3, 5)) / 4), jnp.asarray(rng.uniform(2, 3, 5))
    costs = pairs.costs / 4

    def by_pairs(z, fn, costs):
        return rwwce.categorical_posterior(z, fn, dataclasses.replace(pairs, costs=costs))

    def by_matrix(z, fn, costs):
        matrix = jnp.zeros((5, 5)).at[pairs.true, pairs.predicted].set(costs)
        return rwwce.categorical_posterior(z, fn, matrix)

    def derivatives(function, z, fn, costs):
        second = jax.jacfwd(jax.grad(lambda *args: jnp.sum(function(*args) ** 2)))
        reverse = jax.jacrev(function, (0, 1, 2))(z, fn, costs)
        return reverse, jax.jacfwd(function, (0, 1, 2))(z, fn, costs), second(z, fn, costs)

    for z in logits:
        assert jnp.all(by_pairs(z, fn, costs) > 0.01)
        one, other = (
            jax.tree.leaves(jax.jit(derivatives, static_argnums=0)(function, z, fn, costs))
            for function in (by_pairs, by_matrix)
        )
        assert len(one) == 7
        for x, y in zip(one, other, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_gradient_with_one_free_class():
    """fn is 0 for one class with costly pairs and for one without: no 0 * inf."""
    pairs = rwwce.pair_costs({(0, 1): 3.0, (1, 2): 1.0}, 4)
    logits = jnp.array([0.1, -0.2, 0.3, 0.2])
    for fn in ([0.0, 1, 1, 1], [1.0, 1, 1, 0]):
        gradients = jax.jacrev(rwwce.categorical_posterior, (0, 1))(logits, jnp.array(fn), pairs)
        assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


def test_pairs_that_are_traced_or_mapped():
    """The number of true classes is not known there; two examples axes, and costs of each."""
    logits, fn, pairs = random_problem(7, 30)
    logits = jnp.asarray(logits.reshape(2, 3, 7))
    expected = rwwce.categorical_posterior(logits, fn, pairs)
    traced = jax.jit(rwwce.categorical_posterior)(logits, fn, pairs)
    np.testing.assert_allclose(traced, expected, rtol=1e-5, atol=1e-6)
    costs = jnp.stack([pairs.costs, 2 * pairs.costs])
    mapped = jax.vmap(
        lambda z, costs: rwwce.categorical_posterior(z, fn, dataclasses.replace(pairs, costs=costs))
    )(logits, costs)
    doubled = dataclasses.replace(pairs, costs=2 * pairs.costs)
    twice = rwwce.categorical_posterior(logits[1], fn, doubled)
    np.testing.assert_allclose(mapped[0], expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mapped[1], twice, rtol=1e-5, atol=1e-6)


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


@pytest.mark.sampled(3)
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("size", [1, 2, 31, 32, 33, 65, 150])
def test_elimination_equals_lapack(size):
    """Across the widths at which columns are cut off."""
    rng = np.random.default_rng(size)
    matrix, right = rng.normal(size=(2, 3, size, size)), rng.normal(size=(2, 3, size))
    solution = elimination.solve(jnp.asarray(matrix), jnp.asarray(right))
    np.testing.assert_allclose(solution, np.linalg.solve(matrix, right[..., None])[..., 0], 1e-8)


def test_elimination_needs_no_diagonal_and_picks_large_pivots():
    permutation = jnp.array([[0.0, 0, 2], [4, 0, 0], [0, 8, 0]])
    right = jnp.array([2.0, 8, 24])
    np.testing.assert_array_equal(elimination.solve(permutation, right), [2, 3, 1])
    # Without pivoting, 1 - 1e20 would lose the second equation.
    matrix = jnp.array([[1e-20, 1.0], [1.0, 1.0]])
    np.testing.assert_allclose(elimination.solve(matrix, jnp.array([1.0, 2.0])), [1, 1], rtol=1e-6)


def test_elimination_of_singular_matrices_is_not_finite():
    matrices = jnp.array([[[1.0, 2], [2, 4]], [[0, 0], [0, 1]], [[NAN, 1], [1, 1]]])
    solution = elimination.solve(matrices, jnp.ones((3, 2)))
    assert not np.any(np.all(np.isfinite(solution), axis=-1))


@pytest.mark.usefixtures("x64")
def test_elimination_under_transforms():
    rng = np.random.default_rng(5)
    matrix, right = jnp.asarray(rng.normal(size=(3, 4, 4))), jnp.asarray(rng.normal(size=(3, 4)))
    check_grads(jax.jit(elimination.solve), (matrix[0], right[0]), order=2, rtol=1e-5)
    mapped = jax.jit(jax.vmap(elimination.solve, (0, None)))
    check_grads(mapped, (matrix, right[0]), order=1, rtol=1e-5)

    def lapack(matrix, right):
        return jnp.linalg.solve(matrix, right[..., None])[..., 0]

    for one, other in zip(
        jax.jacrev(elimination.solve, (0, 1))(matrix, right),
        jax.jacrev(lapack, (0, 1))(matrix, right),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)


MESH = """
import jax, numpy as np, rwwce_jax as rwwce
mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
rng = np.random.default_rng(0)
logits = rng.normal(size=(256, 40)).astype(np.float32)
pairs = rwwce.pair_costs({(k, (7 * k + 1) % 40): 1.0 + k for k in range(30)}, 40)
for fp in (rng.uniform(size=(40, 40)).astype(np.float32), pairs):
    def call(z):
        value, pullback = jax.vjp(lambda z: rwwce.categorical_posterior(z, 1.0, fp), z)
        return value, pullback(value)[0]
    call = jax.jit(call)
    one = call(logits)
    for _ in range(5):
        several = jax.block_until_ready(call(jax.device_put(logits, sharding)))
    assert several[0].sharding.is_equivalent_to(sharding, 2)
    for x, y in zip(one, several):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)
"""


@pytest.mark.slow
def test_devices_that_solve_at_once_do_not_wait_for_ever():
    """With ``jnp.linalg.solve`` they do, on two cores (jaxlib 0.10.2)."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", MESH], env=environment, check=True, timeout=60)


# --- The class axis -------------------------------------------------------------------------------


FUNCTIONS = [rwwce.categorical_posterior, rwwce.expected_cost, rwwce.decide]


@pytest.mark.sampled(5)
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("by", ["matrix", "pairs"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_class_axis_may_be_any(function, by, axis):
    logits, fn, pairs = random_problem(5, 6)
    fp = pairs if by == "pairs" else matrix_of(pairs)
    x = jax.nn.softmax(jnp.asarray(logits.reshape(2, 3, 5)))
    expected = function(x, fn, fp)
    got = function(jnp.moveaxis(x, -1, axis), fn, fp, axis=axis)
    if function is not rwwce.decide:
        got = jnp.moveaxis(got, axis, -1)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.always
@pytest.mark.parametrize("function", FUNCTIONS)
def test_class_axes_that_are_refused(function):
    name = "logits" if function is rwwce.categorical_posterior else "probs"
    with pytest.raises(
        ValueError, match=rf"^{name} must have a class axis 2, got {name} of shape \(4, 3\)\.$"
    ):
        function(np.ones((4, 3)), 1.0, 0.0, axis=2)
    with pytest.raises(
        ValueError,
        match=rf"^{name} must score at least 2 classes along axis 0, got shape \(1, 3\); for one "
        r"score per example use rwwce_jax\.(binary_posterior|bayes_threshold)\.$",
    ):
        function(np.ones((1, 3)), 1.0, 0.0, axis=0)
    with pytest.raises(TypeError, match=r"^axis must be a Python integer, got 1\.0\.$"):
        function(np.ones((4, 3)), 1.0, 0.0, axis=1.0)
    with pytest.raises(ValueError, match=r"fn must be a scalar or of shape \(4,\)"):
        function(np.ones((4, 3)), np.ones(3), 0.0, axis=0)
