"""Pair costs: the dense result without the matrix, exact, finite, small and refused when wrong."""

import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from oracle import EPS, draw_logits
from precision import enable_x64
from programs import collectives

import rwwce_jax as rwwce
from rwwce_jax.costs import PairCosts, check_costs, pair_costs

# Programs of the small path, of the large one that loops in Python, and of many pairs per class.
SIZES = [(10, 4, 32), (10, 8, 2048), (200, 30, 128), (1000, 8, 32)]


def draw_pairs(rng, num_classes, most):
    costs = {}
    for true in range(num_classes):
        count = most if true == 0 else rng.integers(0, most + 1)
        others = np.delete(np.arange(num_classes), true)
        for predicted in rng.choice(others, count, replace=False):
            costs[true, int(predicted)] = float(np.float32(10 ** rng.uniform(-2, 2)))
    matrix = np.zeros((num_classes, num_classes))
    for pair, cost in costs.items():
        matrix[pair] = cost
    return pair_costs(costs, num_classes), matrix


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


@pytest.mark.sampled(9)
@pytest.mark.parametrize("scale", [1.0, 10.0, 1e3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equals_dense(size, scale):
    num_classes, most, rows = size
    rng = np.random.default_rng(num_classes)
    pairs, matrix = draw_pairs(rng, num_classes, most)
    assert pairs._most == most
    logits, labels = draw_batch(rng, pairs, rows, scale)
    fn = jnp.asarray(rng.random(num_classes), jnp.float32)
    matrix = jnp.asarray(matrix, jnp.float32)
    where = jnp.asarray(rng.random(rows) < 0.9)

    def loss(logits, fn, fp, labels):
        return rwwce.categorical(logits, labels, fn, fp, where=where)

    def of_pairs(logits, fn, costs, labels):
        return loss(logits, fn, dataclasses.replace(pairs, costs=costs), labels)

    for truth in (labels, jax.nn.one_hot(labels, num_classes)):
        dense = jax.value_and_grad(loss, argnums=(0, 1, 2))(logits, fn, matrix, truth)
        sparse = jax.value_and_grad(of_pairs, argnums=(0, 1, 2))(logits, fn, pairs.costs, truth)
        np.testing.assert_allclose(sparse[0], dense[0], rtol=1e-6)
        of_costs = dense[1][2][pairs.true, pairs.predicted]
        for actual, expected in zip(sparse[1], (*dense[1][:2], of_costs), strict=True):
            atol = 2e-6 * float(jnp.max(jnp.abs(expected)))
            np.testing.assert_allclose(actual, expected, rtol=1e-5 * (1 + scale / 30), atol=atol)
        np.testing.assert_allclose(loss(logits, fn, pairs, truth), sparse[0], rtol=1e-6)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("most", [3, 20])
def test_second_derivatives_and_forward_mode(x64, most):
    rng = np.random.default_rng(most)
    pairs, matrix = draw_pairs(rng, 24, most)
    logits, labels = draw_batch(rng, pairs, 6, 2.0, np.float64)

    def loss(fp):
        return lambda z: rwwce.categorical(z, labels, 1.5, fp)

    dense, sparse = jax.hessian(loss(matrix))(logits), jax.hessian(loss(pairs))(logits)
    np.testing.assert_allclose(sparse, dense, rtol=1e-9, atol=1e-12)
    reverse = jax.jacrev(jax.grad(loss(pairs)))(logits)
    np.testing.assert_allclose(reverse, dense, rtol=1e-9, atol=1e-12)
    # The value beside the gradient, differentiated once more.
    again = jax.grad(lambda z: jax.value_and_grad(loss(pairs))(z)[0])(logits)
    np.testing.assert_allclose(again, jax.grad(loss(pairs))(logits), rtol=1e-9, atol=1e-12)
    direction = jnp.asarray(rng.normal(size=logits.shape))
    _, tangent = jax.jvp(loss(pairs), (logits,), (direction,))
    np.testing.assert_allclose(tangent, jnp.sum(jax.grad(loss(pairs))(logits) * direction))


@pytest.mark.sampled(5)
@pytest.mark.optimized
@pytest.mark.parametrize("shape", ["plain", "tie", "near-tie", "offset"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_accuracy(dtype, shape):
    """2 dtypes x 4 shapes x 4 scales x 3 sizes x 40 rows = 3,840 rows."""
    near_stationary = 0
    with enable_x64(dtype == "float64"):
        for num_classes, most in ((3, 2), (10, 3), (32, 20)):
            rng = np.random.default_rng(num_classes)
            pairs, matrix = draw_pairs(rng, num_classes, most)
            loss = jax.jit(jax.vmap(jax.value_and_grad(rwwce.categorical), (0, 0, None, None)))
            for scale in (1.0, 10.0, 100.0, 1e4):
                logits = draw_logits(rng, 40, num_classes, scale, shape, dtype)
                labels = rng.integers(0, num_classes, 40)
                losses, gradients = loss(logits, labels, 0.5, pairs)
                for row, label in enumerate(labels):
                    weights = np.zeros(num_classes)
                    weights[label] = 0.5
                    exact = oracle.categorical(logits[row], weights, matrix[label])
                    everything = 0.5 + matrix[label].sum()
                    value, gradient, ulps = oracle.excess(
                        logits[row], losses[row], gradients[row], exact, EPS[dtype], everything
                    )
                    case = (value, gradient, ulps, logits[row], label, matrix[label])
                    assert value <= 1, case
                    if gradient > 1:
                        assert ulps <= 4 * max(matrix[label]), case
                        near_stationary += 1
    assert near_stationary <= 2


INF, NAN = np.inf, np.nan
# Logits of one example of class 1, where predicting class 2 costs 3 and class 0 nothing.
HOSTILE = {
    "gap of 20": [0.0, 0.0, 20.0, -5.0],
    "gap of 200": [0.0, 100.0, 300.0, -5.0],
    "gap of 1e4": [0.0, -1e4, 1e4, -5.0],
    "largest": [0.0, -3e38, 1.0, -3e38],
    "tie with a pair": [-40.0, 7.0, 7.0, 0.0],
    "tie of others": [9.0, 7.0, 7.0, 9.0],
    "all tie": [1e8, 1e8, 1e8, 1e8],
    "-inf elsewhere": [-INF, 1.0, 50.0, 0.0],
    "-inf on the pair": [0.0, 1.0, -INF, 0.0],
    "-inf on the label": [0.0, -INF, 2.0, 0.0],
    "only the label": [-INF, 1.0, -INF, -INF],
    "only the pair": [-INF, -INF, 1.0, -INF],
    "only another": [1.0, -INF, -INF, -INF],
    "all -inf": [-INF, -INF, -INF, -INF],
    "NaN": [0.0, NAN, 1.0, 0.0],
    "+inf on the pair": [0.0, 1.0, INF, 0.0],
    "+inf on another": [INF, 1.0, 2.0, 0.0],
}


@pytest.mark.sampled(5)
@pytest.mark.optimized
@pytest.mark.parametrize("rows", [3, 8192], ids=["small", "large"])
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile(case, rows):
    """As the dense costs, whose hostile inputs have tests of their own."""
    pairs = pair_costs({(1, 2): 3.0, (1, 3): 0.0, (3, 0): 1.0}, 4)
    matrix = jnp.zeros((4, 4)).at[1, 2].set(3.0).at[3, 0].set(1.0)
    logits = jnp.tile(jnp.array(HOSTILE[case], jnp.float32), (rows, 1))
    labels = jnp.ones(rows, jnp.int32).at[0].set(0)

    def each(fp):
        def total(z):
            losses = rwwce.categorical(z, labels, 2.0, fp, reduction="none")
            return jnp.sum(losses), losses

        gradient, losses = jax.jit(jax.grad(total, has_aux=True))(logits)
        return losses[:3], gradient[:3]

    (losses, gradient), (exact_losses, exact_gradient) = each(pairs), each(matrix)
    np.testing.assert_allclose(losses, exact_losses, rtol=1e-6)
    np.testing.assert_allclose(gradient, exact_gradient, rtol=1e-5, atol=1e-6)
    if not any(np.isnan(x) or x == INF for x in HOSTILE[case]) and case != "all -inf":
        assert not jnp.any(jnp.isnan(gradient))
    where = jnp.arange(rows) < 0
    masked = jax.value_and_grad(rwwce.categorical)(logits, labels - 7, 2.0, pairs, where=where)
    assert masked[0] == 0
    np.testing.assert_array_equal(masked[1], 0)


def test_labels_out_of_range_are_nan():
    pairs = pair_costs({(1, 2): 3.0}, 4)
    logits, labels = jnp.zeros((4, 4)), jnp.array([-1, 1, 4, 0])
    losses = rwwce.categorical(logits, labels, 1.0, pairs, reduction="none")
    np.testing.assert_array_equal(jnp.isnan(losses), [True, False, True, False])
    gradient = jax.grad(rwwce.categorical)(logits, labels, 1.0, pairs, reduction="sum")
    np.testing.assert_array_equal(jnp.isnan(gradient).all(1), [True, False, True, False])
    np.testing.assert_array_equal(jnp.isnan(gradient).any(1), [True, False, True, False])


def test_zero_slope_in_the_gradient():
    """Where all but the few have no gradient, the few have theirs."""
    pairs = pair_costs({(0, 1): 1.0, (0, 2): 1.0}, 300)
    logits = jnp.zeros((64, 300)).at[:, 1:3].set(50.0)
    gradient = jax.grad(rwwce.categorical)(logits, jnp.zeros(64, jnp.int32), 0.0, pairs)
    dense = jnp.zeros((300, 300)).at[0, 1:3].set(1.0)
    expected = jax.grad(rwwce.categorical)(logits, jnp.zeros(64, jnp.int32), 0.0, dense)
    np.testing.assert_allclose(gradient, expected, atol=1e-8)


@pytest.mark.parametrize("spec", [P("device", None), P(None, "device")], ids=["batch", "classes"])
def test_sharded_logits(spec):
    mesh = jax.make_mesh((8,), ("device",), axis_types=(jax.sharding.AxisType.Auto,))
    rng = np.random.default_rng(0)
    pairs, _ = draw_pairs(rng, 512, 4)
    logits, labels = draw_batch(rng, pairs, 64, 5.0)
    loss = jax.value_and_grad(lambda z, y: rwwce.categorical(z, y, 1.5, pairs))
    expected = loss(logits, labels)
    logits = jax.device_put(logits, NamedSharding(mesh, spec))
    labels = jax.device_put(labels, NamedSharding(mesh, P(spec[0])))
    program = jax.jit(loss)
    value, gradient = program(logits, labels)
    np.testing.assert_allclose(value, expected[0], rtol=1e-6)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-5, atol=1e-6)
    sizes = collectives(program.lower(logits, labels).compile().as_text())
    # Row and class of each of the few, where XLA gathers them for the scatter.
    assert max(sizes) <= 2 * 64 * (pairs._most + 1)


MEMORY = """
import re, numpy as np, jax, jax.numpy as jnp
import rwwce_jax as rwwce
from rwwce_jax.costs import pair_costs
rng = np.random.default_rng(0)
K = 128_256
costs = {(int(k), int(j)): 5.0 for k, j in rng.integers(0, K, (1000, 2)) if k != j}
pairs = pair_costs(costs, K)
logits = jnp.asarray(rng.normal(size=(64, K)), jnp.bfloat16)
labels = pairs.true[:64]
value, gradient = jax.jit(jax.value_and_grad(rwwce.categorical))(logits, labels, 1.0, pairs)
assert jnp.isfinite(value) and gradient.shape == (64, K) and gradient.dtype == jnp.bfloat16
# Not getrusage: its maximum includes what the parent had in memory before exec.
print(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_memory_of_a_vocabulary():
    """1,000 pairs of 128,256 classes: all of a process, JAX included, in less than 1 GiB."""
    run = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 2**20


def test_metrics_and_decisions():
    rng = np.random.default_rng(0)
    pairs, matrix = draw_pairs(rng, 20, 5)
    matrix = jnp.asarray(matrix, jnp.float32)
    probs = jnp.asarray(rng.dirichlet(np.full(20, 0.3), (3, 16)), jnp.float32)
    truth = jnp.asarray(rng.integers(0, 20, (3, 16)))
    fn = jnp.asarray(rng.random(20), jnp.float32)
    expected = rwwce.expected_cost(probs, fn, matrix)
    np.testing.assert_allclose(rwwce.expected_cost(probs, fn, pairs), expected, rtol=1e-5)
    decisions = rwwce.decide(probs, fn, pairs)
    np.testing.assert_array_equal(decisions, rwwce.decide(probs, fn, matrix))
    for predictions in (decisions, probs.argmax(-1), jnp.full((3, 16), -1)):
        np.testing.assert_allclose(
            rwwce.categorical_real_world_cost(predictions, truth, fn, pairs),
            rwwce.categorical_real_world_cost(predictions, truth, fn, matrix),
            rtol=1e-6,
        )
        confusion = rwwce.confusion_matrix(predictions, truth, 20)
        np.testing.assert_allclose(
            rwwce.real_world_cost_from_confusion(confusion, fn, pairs),
            rwwce.real_world_cost_from_confusion(confusion, fn, matrix),
        )
    logits = jnp.log(probs[0])
    np.testing.assert_allclose(
        rwwce.categorical_posterior(logits, 1.0, pairs),
        rwwce.categorical_posterior(logits, 1.0, matrix),
        rtol=1e-5,
        atol=1e-6,
    )


def test_vmap_over_the_costs_of_the_pairs():
    """As the docstring of PairCosts shows."""
    pairs = pair_costs({(0, 1): 2.0, (2, 0): 3.0}, 3)
    many = jnp.array([[2.0, 3.0], [0.0, 7.0], [5.0, 5.0]])

    def loss(pairs):
        return rwwce.categorical(jnp.eye(3), jnp.array([0, 2, 1]), 1.0, pairs)

    mapped = jax.vmap(lambda costs: loss(dataclasses.replace(pairs, costs=costs)))(many)
    each = [loss(pair_costs({(0, 1): a, (2, 0): b}, 3)) for a, b in np.asarray(many)]
    np.testing.assert_allclose(mapped, each, rtol=1e-6)


def test_pytree_and_repr():
    pairs = pair_costs({("4", "9"): 19.0, (9, 4): 4}, class_names="0123456789")
    head = "PairCosts of 10 classes, what each mistake costs on top of fn:\n  "
    assert repr(pairs) == head + "true 4 predicted 9: 19.0\n  true 9 predicted 4: 4.0"
    named = pair_costs({("cat", "dog"): 2}, class_names=["cat", "dog"])
    assert repr(named).endswith("true cat predicted dog: 2.0")
    many = pair_costs({(0, j): j for j in range(1, 50)}, 50)
    assert "true 0 predicted 30: 30.0\n  ... and 29 more, of 29.0 at most" in repr(many)
    doubled = jax.jit(lambda x: jax.tree.map(lambda y: 2 * y, x))(pairs)
    assert isinstance(doubled, PairCosts)
    np.testing.assert_array_equal(doubled.costs, [38, 8])
    assert "PairCosts" in repr(jax.eval_shape(lambda: pairs))
    check_costs(0, pairs)
    with pytest.raises(ValueError, match=r"fp.costs\[0\] must be a finite cost >= 0, got -19.0"):
        check_costs(0, dataclasses.replace(pairs, costs=-pairs.costs))


@pytest.mark.always
@pytest.mark.parametrize(
    ("costs", "error", "message"),
    [
        ({(4, 4): 1}, ValueError, r"costs\[\(4, 4\)\] must be of two classes"),
        ({("4", 4): 1}, ValueError, "must be of two classes"),
        ({("4", "x"): 1}, ValueError, "unknown predicted class 'x': not in class_names"),
        ({("y", 1): 1}, ValueError, "unknown true class 'y'"),
        ({(10, 1): 1}, ValueError, r"class ids in \[0, 10\), got true class 10"),
        ({(1, -1): 1}, ValueError, "got predicted class -1"),
        ({(1, 2): 1, ("1", "2"): 3}, ValueError, "must be given once"),
        ({(1, 2): -1}, ValueError, r"costs\[\(1, 2\)\] must be a finite cost >= 0, got -1"),
        ({(1, 2): NAN}, ValueError, "finite cost >= 0, got nan"),
        ({(1, 2): INF}, ValueError, "finite cost >= 0, got inf"),
        ({(1, 2): 1e39}, ValueError, r"finite cost >= 0 in float32, got 1e\+39"),
        ({(1, 2): 0.0}, ValueError, "above 0"),
        ({}, ValueError, "above 0"),
        ({(1, 2): "3"}, TypeError, "must be a real number"),
        ({(1, 2): True}, TypeError, "must be a real number"),
        ({(1, 2): [1, 2]}, TypeError, "must be a real number"),
        ({1: 1}, TypeError, r"\(true, predicted\) pairs as keys, got 1"),
        ({(1, 2, 3): 1}, TypeError, "pairs as keys"),
        ({(1, 2.5): 1}, TypeError, "class id or name as its predicted class, got 2.5"),
        ([(1, 2)], TypeError, "must be a mapping"),
    ],
)
def test_refused(costs, error, message):
    with pytest.raises(error, match=message):
        pair_costs(costs, 10, "0123456789")


def test_refused_arguments():
    one = {(0, 1): 1.0}
    with pytest.raises(ValueError, match="num_classes must be given"):
        pair_costs(one)
    with pytest.raises(ValueError, match="at least 2"):
        pair_costs(one, 1)
    with pytest.raises(
        ValueError, match=r"class_names must be 3 different names, got \('a', 'b'\)\.$"
    ):
        pair_costs(one, 3, ["a", "b"])
    with pytest.raises(TypeError, match=r"class_names must be strings, got 1\.$"):
        pair_costs({(1, 2): 50.0}, class_names=[1, 2, 3])
    with pytest.raises(ValueError, match=r"^class_names must name the classes by words, or"):
        pair_costs({(1, 2): 50.0}, class_names="123")
    with pytest.raises(ValueError, match=r"3 different names, got \('a', 'b', 'a'\)"):
        pair_costs(one, 3, ["a", "b", "a"])
    with pytest.raises(ValueError, match="there are no class_names"):
        pair_costs({("a", "b"): 1.0}, 3)
    pairs = pair_costs(one, 3)
    with pytest.raises(ValueError, match="costs of 4 classes, got PairCosts of 3"):
        rwwce.categorical(jnp.zeros((2, 4)), jnp.array([0, 1]), 1.0, pairs)
    with pytest.raises(TypeError, match="fp must be an array of numbers"):
        rwwce.binary(jnp.zeros(3), jnp.zeros(3), 1.0, pairs)
