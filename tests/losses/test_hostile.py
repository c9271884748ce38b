"""What bad input gets, as docs/quickstart.md says: each case runs five ways."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import binary

import rwwce_jax as rwwce

pytestmark = pytest.mark.optimized

INF, NAN = np.inf, np.nan

# Each way takes a loss of (logits, *arguments) to a function to its value and gradient by logits.
# Cached, so that cases of the same shapes compile once.


@functools.cache
def eager(loss):
    return lambda logits, *rest: (loss(logits, *rest), jax.grad(loss)(logits, *rest))


@functools.cache
def jitted(loss):
    return jax.jit(lambda logits, *rest: (loss(logits, *rest), jax.grad(loss)(logits, *rest)))


@functools.cache
def vmapped(loss):
    batched = jax.jit(jax.vmap(jax.value_and_grad(loss)))

    def both(*arguments):
        values, gradients = batched(*jax.tree.map(lambda x: jnp.stack([x, x]), arguments))
        np.testing.assert_array_equal(values[0], values[1])
        return values[1], gradients[1]

    return both


@functools.cache
def reverse(loss):
    @jax.jit
    def both(logits, *rest):
        value, pull = jax.vjp(lambda z: loss(z, *rest), logits)
        return value, pull(jnp.ones_like(value))[0]

    return both


@functools.cache
def forward(loss):
    @jax.jit
    def both(logits, *rest):
        def derivative(tangent):
            return jax.jvp(lambda z: loss(z, *rest), (logits,), (tangent.reshape(logits.shape),))

        basis = jnp.eye(logits.size, dtype=logits.dtype)
        values, derivatives = jax.vmap(derivative, out_axes=(None, 0))(basis)
        return values, derivatives.reshape(logits.shape)

    return both


WAYS = pytest.mark.parametrize("way", [eager, jitted, vmapped, reverse, forward])


def no_fp(logits, labels, fn):
    return rwwce.categorical(logits, labels, fn, 0)


def arguments(label, fn, fp):
    """The loss for these costs, and what it takes after the logits: 0 is known while tracing."""
    if isinstance(fp, int) and fp == 0:
        return no_fp, (jnp.asarray(label), jnp.asarray(fn))
    return rwwce.categorical, tuple(map(jnp.asarray, (label, fn, fp)))


DENSE = [[0, 2, 3], [5, 0, 7], [11, 13, 0]]

# name: logits of one example, its label, fn, fp, the loss, and what its gradient must be:
# an array, "finite", "not NaN" or "NaN".
CATEGORICAL = {
    "a gap of 1e4, the label on top": ([1e4, 0, 0], 0, 1, DENSE, 0, [0, 0, 0]),
    "a gap of 1e4, the label below": ([0, 1e4, 0], 0, 1, DENSE, 3e4 - 2 * np.log(2), "finite"),
    "magnitude 3e38": ([3e38, 3e38, -3e38], 0, 1, 0, np.log(2), [-0.5, 0.5, 0]),
    "magnitude 3e38, dense": ([3e38, 3e38, -3e38], 0, 1, DENSE, 3 * np.log(2), [-1.5, 1.5, 0]),
    "a tie at 1e8": ([1e8, 1e8, 0], 0, 1, 0, np.log(2), [-0.5, 0.5, 0]),
    "a tie at 1e8, dense": ([1e8, 1e8, 0], 0, 1, DENSE, 3 * np.log(2), [-1.5, 1.5, 0]),
    "a common offset of 1e8": ([1e8 + 8, 1e8, 1e8], 0, 1, 0, np.log1p(2 * np.exp(-8)), "finite"),
    "-inf on another class": ([0, -INF, 0], 0, 1, DENSE, 4 * np.log(2), [-2, 0, 2]),
    "-inf on the label": ([-INF, 0, 0], 0, 1, DENSE, INF, "not NaN"),
    "-inf on the label, no fn": ([-INF, 0, 0], 0, 0, DENSE, 5 * np.log(2), [0, -0.5, 0.5]),
    "only the label is finite": ([0, -INF, -INF], 0, 1, DENSE, 0, [0, 0, 0]),
    "only the label is finite, fp = 0": ([0, -INF, -INF], 0, 1, 0, 0, [0, 0, 0]),
    "only another is finite, weight 0": ([-INF, 0, -INF], 0, 1, 0, INF, "not NaN"),
    "only another is finite, dense weight 0": (
        [-INF, 0, -INF],
        0,
        1,
        np.zeros((3, 3)),
        INF,
        "not NaN",
    ),
    "only another is finite, weight 2": ([-INF, 0, -INF], 0, 1, DENSE, INF, "not NaN"),
    "only another is finite, weight 2, no fn": ([-INF, 0, -INF], 0, 0, DENSE, INF, "not NaN"),
    "all -inf": ([-INF, -INF, -INF], 0, 1, DENSE, NAN, "NaN"),
    "all -inf, fp = 0": ([-INF, -INF, -INF], 0, 1, 0, NAN, "NaN"),
    "a NaN": ([0, NAN, 0], 0, 1, DENSE, NAN, "NaN"),
    "a NaN, fp = 0": ([0, NAN, 0], 0, 1, 0, NAN, "NaN"),
    "a NaN, all costs 0": ([0, NAN, 0], 0, 0, 0, NAN, "NaN"),
    "+inf": ([0, INF, 0], 0, 1, DENSE, NAN, "NaN"),
    "+inf on the label, fp = 0": ([INF, 0, 0], 0, 1, 0, NAN, "NaN"),
    "zero weight on a saturated class": (
        [0, 1e3, 0],
        0,
        0,
        [[0, 0, 1], [0, 0, 0], [0, 0, 0]],
        0,
        [0, 0, 0],
    ),
    "label -1": ([0, 1, 0], -1, 1, DENSE, NAN, "NaN"),
    "label -1, fp = 0": ([0, 1, 0], -1, 1, 0, NAN, "NaN"),
    "label K": ([0, 1, 0], 3, 1, DENSE, NAN, "NaN"),
    "label K, scalar fp": ([0, 1, 0], 3, 1, 2.5, NAN, "NaN"),
    "integer costs": ([0, 0, 0], 0, 1, DENSE, np.log(3) + 5 * np.log(1.5), "finite"),
    "costs of 0": ([0, 1, 0], 0, 0, 0, 0, [0, 0, 0]),
    "costs of 1e30": ([0, 1, 0], 0, 1e30, 1e30, "finite", "finite"),
    "costs of 1e30 at a gap of 1e4": ([0, 1e4, 0], 0, 1e30, 1e30, "finite", "finite"),
    "a NaN diagonal": ([0, 0], 0, 1, [[NAN, 2], [3, INF]], 3 * np.log(2), [-1.5, 1.5]),
}

BINARY = {
    "inf, right": (INF, 1, 2, 3, 0, 0),
    "-inf, right": (-INF, 0, 2, 3, 0, 0),
    "inf, wrong": (INF, 0, 2, 3, INF, 3),
    "-inf, wrong": (-INF, 1, 2, 3, INF, -2),
    "-inf, wrong at no cost": (-INF, 1, 0, 3, 0, 0),
    "NaN": (NAN, 1, 2, 3, NAN, NAN),
    "NaN at no cost": (NAN, 1, 0, 0, NAN, NAN),
    "a gap of 1e4": (-1e4, 1, 2, 3, 2e4, -2),
    "label -1": (0.0, -1, 2, 3, NAN, NAN),
    "label 2": (0.0, 2, 2, 3, NAN, NAN),
    "costs of 1e30": (1.0, 0, 1e30, 1e30, 1e30 * np.log1p(np.e), "finite"),
}


def check(actual, expected, rtol=1e-6):
    if isinstance(expected, str):
        good = {"finite": np.isfinite, "NaN": np.isnan, "not NaN": lambda x: ~np.isnan(x)}
        assert np.all(good[expected](actual)), (actual, expected)
    else:
        np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-7)


IN_RANGE = [case for case, (logits, label, *_) in CATEGORICAL.items() if 0 <= label < len(logits)]


@pytest.mark.sampled(5)
@WAYS
@pytest.mark.parametrize(
    ("case", "labels_as"),
    [(case, "ids") for case in CATEGORICAL] + [(case, "one-hot") for case in IN_RANGE],
)
def test_categorical(case, labels_as, way):
    logits, label, fn, fp, value, gradient = CATEGORICAL[case]
    logits = jnp.asarray(logits, jnp.float32)
    if labels_as == "one-hot":
        label = jax.nn.one_hot(label, logits.size)
    loss, rest = arguments(label, fn, fp)
    actual, actual_gradient = way(loss)(logits, *rest)
    check(actual, value)
    check(actual_gradient, gradient)


@WAYS
@pytest.mark.parametrize("case", BINARY)
def test_binary(case, way):
    logit, label, fn, fp, value, gradient = BINARY[case]
    rest = map(jnp.asarray, (label, fn, fp))
    actual, slope = way(rwwce.binary)(jnp.float32(logit), *rest)
    check(actual, value)
    check(slope, gradient)


def outer_two(logits, labels, fn, fp):
    return jnp.sum(rwwce.categorical(logits, labels, fn, fp, reduction="none")[::2])


def outer_two_no_fp(logits, labels, fn):
    return jnp.sum(rwwce.categorical(logits, labels, fn, 0, reduction="none")[::2])


@pytest.mark.sampled(3)
@WAYS
@pytest.mark.parametrize("fp", [0, 2.5, DENSE], ids=["no fp", "scalar", "dense"])
@pytest.mark.parametrize("case", [name for name, (z, *_) in CATEGORICAL.items() if len(z) == 3])
def test_a_hostile_example_leaves_its_neighbours_alone(case, fp, way):
    logits, label, *_ = CATEGORICAL[case]
    good = [0.5, -1.0, 2.0]
    loss, (labels, *costs) = arguments([1, label, 2], 1.5, fp)
    loss = outer_two_no_fp if loss is no_fp else outer_two
    hostile = way(loss)(jnp.asarray([good, logits, good], jnp.float32), labels, *costs)
    harmless = way(loss)(jnp.asarray([good, good, good], jnp.float32), labels.at[1].set(0), *costs)
    np.testing.assert_array_equal(hostile[0], harmless[0])
    np.testing.assert_allclose(hostile[1][::2], harmless[1][::2], rtol=1e-5, atol=1e-6)


MASKED = {
    (loss, reduction): functools.partial(
        lambda logits, labels, where, fn, *fp, reduction, fp_known: rwwce.categorical(
            logits, labels, fn, *fp, *fp_known, where=where, reduction=reduction
        ),
        reduction=reduction,
        fp_known=fp_known,
    )
    for loss, fp_known in ((no_fp, (0,)), (rwwce.categorical, ()))
    for reduction in ("mean", "sum")
}


@pytest.mark.sampled(15)
@WAYS
@pytest.mark.parametrize("labels_as", ["ids", "one-hot"])
@pytest.mark.parametrize("case", CATEGORICAL)
def test_categorical_masked(case, labels_as, way):
    logits, label, fn, fp, _, _ = CATEGORICAL[case]
    width = len(logits)
    batch = jnp.asarray([[0.5, -1.0, 2.0][:width], logits], jnp.float32)
    labels = jnp.array([1, label])
    if labels_as == "one-hot":
        labels = jax.nn.one_hot(labels, width).at[1, 0].set(jnp.nan)
    loss, rest = arguments(label, fn, fp)
    where = jnp.array([True, False])
    alone = way(loss)(batch[0], labels[0], *rest[1:])
    for reduction in ("mean", "sum"):
        value, gradient = way(MASKED[loss, reduction])(batch, labels, where, *rest[1:])
        np.testing.assert_allclose(value, alone[0], rtol=1e-6)
        np.testing.assert_allclose(gradient[0], alone[1], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(gradient[1], np.zeros(width))


def masked_binary(logits, labels, fn, fp, where):
    return rwwce.binary(logits, labels, fn, fp, where=where)


@WAYS
@pytest.mark.parametrize("case", BINARY)
def test_binary_masked(case, way):
    logit, label, fn, fp, _, _ = BINARY[case]
    logits, labels = jnp.array([0.5, logit], jnp.float32), jnp.array([1, label])
    fn, fp = jnp.array([2, jnp.nan]), jnp.array([3, jnp.inf])
    where = jnp.array([True, False])
    value, gradient = way(masked_binary)(logits, labels, fn, fp, where)
    np.testing.assert_allclose(value, 2 * np.log1p(np.exp(-0.5)), rtol=1e-6)
    np.testing.assert_allclose(gradient, [-2 / (1 + np.exp(0.5)), 0], rtol=1e-6)
    by_costs = jax.grad(rwwce.binary, argnums=(2, 3))(logits, labels, fn, fp, where=where)
    assert by_costs[0][1] == by_costs[1][1] == 0


@pytest.mark.parametrize("mode", [jax.jacrev, jax.jacfwd])
def test_costs_of_impossible_classes_have_finite_gradients(mode):
    """A logit of inf that is right: its cost changes nothing, and the other's gradient stays."""
    logits, labels = jnp.array([jnp.inf, 0.3, -jnp.inf]), jnp.array([1, 0, 0])
    by_fn, by_fp = mode(rwwce.binary, argnums=(2, 3))(logits, labels, 2.0, 3.0)
    np.testing.assert_allclose((by_fn, by_fp), (0, np.log1p(np.exp(0.3)) / 3), rtol=1e-6)
    logits = jnp.array([[0, -jnp.inf, 0], [0, -jnp.inf, -jnp.inf]])
    costs = jnp.ones(3), jnp.ones((3, 3))
    for labels in (jnp.array([2, 0]), jax.nn.one_hot(jnp.array([2, 0]), 3)):
        for fp in (costs[1], jnp.float32(2), 0):
            wrt = (2,) if isinstance(fp, int) else (2, 3)
            for gradient in mode(rwwce.categorical, argnums=wrt)(logits, labels, costs[0], fp):
                assert np.all(np.isfinite(gradient)), (labels, fp, gradient)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("fp", [0, 2.5, np.ones((3, 3))])
def test_nothing_to_average(fp):
    empty, none = jnp.zeros((0, 3)), jnp.zeros(0, jnp.int32)
    batch, labels = jnp.full((2, 3), jnp.nan), jnp.array([7, -1])
    nobody = jnp.zeros(2, bool)
    assert rwwce.categorical(empty, none, 1, fp, reduction="none").shape == (0,)
    for reduction in ("mean", "sum"):
        for arguments in (
            (empty, none, None),
            (batch, labels, nobody),
            (jnp.zeros((0, 3)), jnp.zeros((0, 3)), None),
            (batch, batch, nobody),
        ):
            *arguments, where = arguments
            loss = jax.value_and_grad(rwwce.categorical)
            value, gradient = loss(*arguments, 1, fp, where=where, reduction=reduction)
            assert value == 0
            np.testing.assert_array_equal(gradient, np.zeros(gradient.shape))
    assert rwwce.binary(jnp.zeros(0), none, 1, 1, reduction="none").shape == (0,)
    for reduction in ("mean", "sum"):
        assert rwwce.binary(jnp.zeros(0), none, 1, 1, reduction=reduction) == 0
        loss = jax.value_and_grad(rwwce.binary)
        value, gradient = loss(batch[:, 0], labels, 1, 1, where=nobody, reduction=reduction)
        assert value == 0
        np.testing.assert_array_equal(gradient, [0, 0])


# --- Gradients by the costs of impossible examples ------------------------------------------------


def test_binary_gradients_by_costs_at_infinite_logits():
    """A cost that an example does not pay has no gradient there: 0 * inf is 0."""
    logits = jnp.array([jnp.inf, -jnp.inf, 0.5, -0.5])
    labels, fn, fp = jnp.array([1, 0, 1, 0]), jnp.full(4, 2.0), jnp.full(4, 3.0)
    by_fn, by_fp = jax.grad(rwwce.binary, (2, 3))(logits, labels, fn, fp, reduction="sum")
    softplus = np.log1p(np.exp(-0.5))
    np.testing.assert_allclose(by_fn, [0, 0, softplus, 0], rtol=1e-6)
    np.testing.assert_allclose(by_fp, [0, 0, 0, softplus], rtol=1e-6)


@pytest.mark.parametrize("direction", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_binary_slopes_at_infinite_logits(direction):
    """In forward mode too, where a tangent may be a zero that JAX does not know of."""
    logits = jnp.array([jnp.inf, -jnp.inf, 0.5])
    labels = jnp.array([1, 0, 1])
    tangents = tuple(jnp.full(3, tangent, jnp.float32) for tangent in direction)

    def loss(logits, fn, fp):
        return binary(logits, labels, fn, fp)

    _, slopes = jax.jvp(loss, (logits, jnp.full(3, 2.0), jnp.full(3, 3.0)), tangents)
    below = 1 / (1 + np.exp(0.5))
    expected = {0: -2 * below, 1: np.log1p(np.exp(-0.5)), 2: 0}[direction.index(1)]
    np.testing.assert_allclose(slopes, [0, 0, expected], rtol=1e-6)


@pytest.mark.parametrize("fp", [0, 1.5, np.ones((3, 3), np.float32)], ids=["0", "scalar", "dense"])
def test_an_impossible_label_leaves_the_gradients_by_costs_of_others_alone(fp):
    logits = jnp.array([[0.0, 1, 2], [-jnp.inf, 0, 1], [0, 1, 0]])
    labels = jnp.array([1, 0, 2])

    def outer_two(fn, logits):
        return jnp.sum(rwwce.categorical(logits, labels, fn, fp, reduction="none")[::2])

    fn = jnp.ones(3)
    expected = jax.grad(outer_two)(fn, logits.at[1].set(0))
    np.testing.assert_allclose(jax.grad(outer_two)(fn, logits), expected, rtol=1e-6)
