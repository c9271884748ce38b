"""Pair costs: the dense result without the matrix, exact, finite, small and refused when wrong.

Of at most ``MOST_PAIRS_AS_MATRIX`` classes, a CPU takes them for a matrix: here are more.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from cost_matrices import draw_pairs
from oracle import EPS, SHAPES, draw_logits
from precision import enable_x64

import rwwce_jax as rwwce
from rwwce_jax.costs import pair_costs

K = 40
INF, NAN = np.inf, np.nan


def draw_batch(rng, pairs, rows, scale, dtype=np.float32):
    """Logits whose top class is the label, a costly class, or any other, by turns."""
    logits = rng.normal(size=(rows, pairs.num_classes)) * scale
    labels = rng.integers(0, pairs.num_classes, rows)
    labels[::4] = 0
    each = np.arange(rows)
    logits[each[1::4], labels[1::4]] += 5 * scale
    at = np.minimum(np.asarray(pairs._first)[labels], pairs.true.size - 1)
    logits[each[::2], np.asarray(pairs.predicted)[at][::2]] += 5 * scale
    return jnp.asarray(logits.astype(dtype)), jnp.asarray(labels, jnp.int32)


def by_pairs_and_by_matrix(pairs, function):
    """The function of what makes ``fp`` of costs (N,), and of these; for both kinds of ``fp``."""

    def as_pairs(costs):
        return dataclasses.replace(pairs, costs=costs)

    def as_matrix(costs):
        zeros = jnp.zeros((pairs.num_classes,) * 2, costs.dtype)
        return zeros.at[pairs.true, pairs.predicted].set(costs)

    return jax.jit(lambda *given: [function(make, *given) for make in (as_pairs, as_matrix)])


@pytest.mark.always
@pytest.mark.parametrize(
    ("num_classes", "most", "rows", "scale"),
    [(10, 4, 32, 1.0), (200, 30, 128, 1e3)],
    ids=["few classes", "many"],
)
def test_equals_dense(num_classes, most, rows, scale):
    rng = np.random.default_rng(num_classes)
    pairs, _ = draw_pairs(rng, num_classes, most)
    assert pairs._most == most
    logits, labels = draw_batch(rng, pairs, rows, scale)
    fn = jnp.asarray(rng.random(num_classes), jnp.float32)
    where = jnp.asarray(rng.random(rows) < 0.9)

    def gradients(fp, costs):
        def loss(logits, fn, costs):
            return rwwce.categorical(logits, labels, fn, fp(costs), where=where)

        return jax.value_and_grad(loss, (0, 1, 2))(logits, fn, costs)

    sparse, dense = by_pairs_and_by_matrix(pairs, gradients)(pairs.costs)
    np.testing.assert_allclose(sparse[0], dense[0], rtol=1e-6)
    for actual, expected in zip(sparse[1], dense[1], strict=True):
        atol = 2e-6 * float(jnp.max(jnp.abs(expected)))
        np.testing.assert_allclose(actual, expected, rtol=1e-5 * (1 + scale / 30), atol=atol)


def test_second_derivatives_and_forward_mode(x64):
    """Mapped over costs, as the docstring of PairCosts shows."""
    rng = np.random.default_rng(0)
    pairs, _ = draw_pairs(rng, K, 20)
    logits, labels = draw_batch(rng, pairs, 6, 2.0, np.float64)
    direction = jnp.asarray(rng.normal(size=logits.shape))

    def derivatives(fp, costs):
        def of(costs):
            def loss(z):
                return rwwce.categorical(z, labels, 1.5, fp(costs))

            gradient, forward = jax.jvp(jax.grad(loss), (logits,), (direction,))
            reverse = jax.grad(lambda z: jnp.vdot(jax.grad(loss)(z), direction))(logits)
            # The value beside the gradient, differentiated once more.
            again = jax.grad(lambda z: jax.value_and_grad(loss)(z)[0])(logits)
            return gradient, forward, reverse, again, jax.jvp(loss, (logits,), (direction,))

        return jax.vmap(of)(jnp.stack([costs, 2 * costs]))

    sparse, dense = map(jax.tree.leaves, by_pairs_and_by_matrix(pairs, derivatives)(pairs.costs))
    for actual, expected in zip(sparse, dense, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.optimized
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_accuracy(dtype):
    """Of 4 shapes x 4 scales x 5 rows."""
    rng = np.random.default_rng(0)
    pairs, matrix = draw_pairs(rng, K, 20)
    with enable_x64(dtype == "float64"):
        loss = jax.jit(jax.vmap(jax.value_and_grad(rwwce.categorical), (0, 0, None, None)))
        for shape, scale in itertools.product(SHAPES, (1.0, 10.0, 100.0, 1e4)):
            logits = draw_logits(rng, 5, K, scale, shape, dtype)
            labels = rng.integers(0, K, 5)
            results = zip(logits, labels, *loss(logits, labels, 0.5, pairs), strict=True)
            for z, label, *found in results:
                weights = np.where(np.arange(K) == label, 0.5, 0)
                exact = oracle.categorical(z, weights, matrix[label])
                costs = 0.5 + matrix[label].sum()
                value, gradient, _ = oracle.excess(z, *found, exact, EPS[dtype], costs)
                assert value <= 1, (z, label)
                assert gradient <= 1, (z, label)


# Logits of one example of class 1, where predicting class 2 or 4 costs 3 and class 0 nothing. The
# last is that of all other classes, too.
HOSTILE = {
    "gap of 20": [0.0, 0.0, 20.0, -5.0, -5.0],
    "gap of 200": [0.0, 100.0, 300.0, -5.0, 0.0],
    "gap of 1e4": [0.0, -1e4, 1e4, -5.0, 0.0],
    "largest": [0.0, -3e38, 1.0, -3e38, 0.0],
    "tie with a pair": [-40.0, 7.0, 7.0, 0.0, -30.0],
    "tie of others": [9.0, 7.0, 7.0, 9.0, 1.0],
    "tie of pairs far above": [0.0, 0.0, 50.0, 0.0, 50.0, 0.0],
    "all tie": [1e8, 1e8, 1e8, 1e8, 1e8],
    "-inf elsewhere": [-INF, 1.0, 50.0, 0.0, 0.0],
    "-inf on a pair": [0.0, 1.0, -INF, 0.0, 0.0],
    "-inf on the label": [0.0, -INF, 2.0, 0.0, 0.0],
    "only the label": [-INF, 1.0, -INF, -INF, -INF],
    "only a pair": [-INF, -INF, 1.0, -INF, -INF],
    "only another": [1.0, -INF, -INF, -INF, -INF],
    "all -inf": [-INF, -INF, -INF, -INF, -INF],
    "NaN": [0.0, NAN, 1.0, 0.0, 0.0],
    "+inf on a pair": [0.0, 1.0, INF, 0.0, 0.0],
    "+inf on another": [INF, 1.0, 2.0, 0.0, 0.0],
    "label -1": [0.0, 1.0, 2.0, 0.0, 0.0],
    "label K": [0.0, 1.0, 2.0, 0.0, 0.0],
}


@pytest.mark.optimized
@pytest.mark.parametrize("times", [1, 30], ids=["small", "large"])
@pytest.mark.always
def test_hostile(times):
    """As the dense costs, whose hostile inputs have tests of their own."""
    pairs = pair_costs({(1, 2): 3.0, (1, 3): 0.0, (1, 4): 3.0, (3, 0): 1.0}, K)
    logits = [[*row, *[row[-1]] * (K - len(row))] for row in HOSTILE.values()]
    logits = jnp.asarray(logits * times, jnp.float32)
    labels = jnp.tile(jnp.array([{"label -1": -1, "label K": K}.get(x, 1) for x in HOSTILE]), times)

    def results(fp, costs, fn, where):
        def total(z):
            losses = rwwce.categorical(z, labels, fn, fp(costs), where=where, reduction="none")
            return jnp.sum(losses), losses

        gradient, losses = jax.grad(total, has_aux=True)(logits)
        return losses, gradient

    compare = by_pairs_and_by_matrix(pairs, results)
    wrong = jnp.any(jnp.isnan(logits) | (logits == INF), axis=-1) | (labels != 1)
    wrong |= jnp.all(logits == -INF, axis=-1)
    everyone = jnp.ones(labels.shape, bool)
    for fn, where in ((2.0, everyone), (0.0, everyone), (2.0, ~everyone)):
        (losses, gradient), dense = compare(pairs.costs, fn, where)
        np.testing.assert_allclose(losses, dense[0], rtol=1e-6)
        np.testing.assert_allclose(gradient, dense[1], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(jnp.isnan(losses), wrong & where)
        is_nan = jnp.broadcast_to((wrong & where)[:, None], logits.shape)
        np.testing.assert_array_equal(jnp.isnan(gradient), is_nan)
    for masked in (losses, gradient):
        np.testing.assert_array_equal(masked, 0)


def test_memory_of_a_vocabulary():
    """1,000 pairs of 128,256 classes: a matrix takes 66 GB."""
    rng, num_classes = np.random.default_rng(0), 128_256
    ids = rng.integers(0, num_classes, (1000, 2)).tolist()
    pairs = pair_costs({(k, j): 5.0 for k, j in ids if k != j}, num_classes)
    logits = jax.ShapeDtypeStruct((16, num_classes), jnp.bfloat16)
    loss = jax.jit(jax.value_and_grad(rwwce.categorical))
    program = loss.lower(logits, pairs.true[:16], 1.0, pairs).compile()
    assert program.memory_analysis().temp_size_in_bytes < 4 * 4 * logits.size


def test_metrics_and_decisions_and_soft_labels():
    rng = np.random.default_rng(0)
    pairs, matrix = draw_pairs(rng, 20, 5)
    fn = np.float32(rng.random(20))
    probs = np.float32(rng.dirichlet(np.full(20, 0.3), (3, 16)))
    truth = rng.integers(0, 20, (3, 16))
    predictions = rwwce.decide(probs, fn, matrix)
    counts = rwwce.confusion_matrix(predictions, truth, 20)
    for function, *arguments in (
        (rwwce.decide, probs),
        (rwwce.expected_cost, probs),
        (rwwce.categorical_real_world_cost, predictions, truth),
        (rwwce.categorical_real_world_cost, np.full((3, 16), -1), truth),
        (rwwce.real_world_cost_from_confusion, counts),
        (rwwce.categorical, 9 * probs, probs),
    ):
        expected = function(*arguments, fn, matrix)
        np.testing.assert_allclose(function(*arguments, fn, pairs), expected, rtol=1e-5)


@pytest.mark.always
@pytest.mark.parametrize(
    ("costs", "error", "message"),
    [
        ({(4, 4): 1}, ValueError, r"costs\[\(4, 4\)\] must be of two classes"),
        ({("4", "x"): 1}, ValueError, "unknown predicted class 'x': not in class_names"),
        ({(10, 1): 1}, ValueError, r"class ids in \[0, 10\), got true class 10"),
        ({(1, -1): 1}, ValueError, "got predicted class -1"),
        ({(1, 2): 1, ("1", "2"): 3}, ValueError, "must be given once"),
        ({(1, 2): -1}, ValueError, r"costs\[\(1, 2\)\] must be a finite cost >= 0, got -1"),
        ({(1, 2): NAN}, ValueError, "finite cost >= 0, got nan"),
        ({(1, 2): 1e39}, ValueError, r"finite cost >= 0 in float32, got 1e\+39"),
        ({(1, 2): 0.0}, ValueError, "above 0"),
        ({(1, 2): "3"}, TypeError, "must be a real number"),
        ({1: 1}, TypeError, r"\(true, predicted\) pairs as keys, got 1"),
        ({(1, 2.5): 1}, TypeError, "class id or name as its predicted class, got 2.5"),
        ([(1, 2)], TypeError, "must be a mapping"),
    ],
)
def test_costs_that_are_refused(costs, error, message):
    with pytest.raises(error, match=message):
        pair_costs(costs, 10, "0123456789")


@pytest.mark.always
@pytest.mark.parametrize(
    ("num_classes", "class_names", "error", "message"),
    [
        (None, None, ValueError, "num_classes must be given where class_names are not"),
        (1, None, ValueError, "num_classes must be .*at least 2"),
        (3, ["a", "b"], ValueError, r"class_names must be 3 different names, got \('a', 'b'\)\.$"),
        (None, [1, 2, 3], TypeError, r"class_names must be strings, got 1\.$"),
        (None, "123", ValueError, "class_names must name the classes by words, or by the ids"),
        (3, None, ValueError, r".* unknown true class 'a': there are no class_names"),
    ],
)
def test_classes_that_are_refused(num_classes, class_names, error, message):
    with pytest.raises(error, match=f"^{message}"):
        pair_costs({("a", "b"): 1.0}, num_classes, class_names)


def test_pairs_of_other_classes_are_refused():
    with pytest.raises(ValueError, match=r"^fp must be the costs of 4 .* PairCosts of 3\.$"):
        rwwce.categorical(jnp.zeros((2, 4)), jnp.array([0, 1]), 1.0, pair_costs({(0, 1): 1.0}, 3))
