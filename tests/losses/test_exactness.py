"""Value and gradient against mpmath: accurate as docs/mathematics.md defines it."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from oracle import EPS, SHAPES, draw_logits
from precision import enable_x64

import rwwce_jax as rwwce

pytestmark = pytest.mark.optimized

SCALES = (1.0, 10.0, 100.0, 1e4)
COSTS = ("unit", "uniform", "wide", "sparse", "no fn", "scalar")


def draw_costs(rng, rows, num_classes, kind, dtype):
    """Costs of each row's own: fn (rows, K), and fp (rows, K), the row of the label."""
    fn, fp = np.ones((rows, num_classes)), rng.random((rows, num_classes))
    if kind == "unit":
        fp[:] = 1
    elif kind == "wide":
        fn, fp = (10 ** rng.uniform(-6, 6, (rows, num_classes)) for _ in range(2))
    elif kind == "sparse":
        fp *= 1e6 * (rng.random(fp.shape) < 0.2)
    elif kind == "no fn":
        fn[:] = 0
    elif kind == "scalar":
        fn[:], fp[:] = (10 ** rng.uniform(-1, 1, (rows, 1)) for _ in range(2))
    return fn.astype(dtype), fp.astype(dtype)


@jax.jit
@jax.vmap
def value_and_gradient(logits, label, fn, fp_row):
    num_classes = logits.shape[0]
    fp = jnp.broadcast_to(fp_row[None, :], (num_classes, num_classes))
    return jax.value_and_grad(rwwce.categorical)(logits, label, fn, fp)


def check(rng, rows, num_classes, scale, shape, kind, dtype, both=value_and_gradient):
    """Checks rows drawn at random; returns how many are near a stationary point.

    Where the costs of two likely classes balance, the terms of the gradient cancel. It is exact to
    a few ulps of these terms, not of what is left of them, which no rounded softmax can promise.
    """
    near_stationary = 0
    logits = draw_logits(rng, rows, num_classes, scale, shape, dtype)
    labels = rng.integers(0, num_classes, rows)
    fn, fp = draw_costs(rng, rows, num_classes, kind, dtype)
    losses, gradients = map(np.asarray, both(logits, labels, fn, fp))
    assert losses.dtype == gradients.dtype == dtype
    for row, label in enumerate(labels):
        weights = np.zeros(num_classes, dtype)
        weights[label] = fn[row, label]
        costs = fp[row].copy()
        costs[label] = 0
        exact = oracle.categorical(logits[row], weights, costs)
        everything = weights.sum() + costs.sum()
        value, gradient, ulps = oracle.excess(
            logits[row], losses[row], gradients[row], exact, EPS[dtype], everything
        )
        case = (value, gradient, ulps, logits[row], label, fn[row, label], costs)
        assert value <= 1, case
        if gradient > 1:
            assert ulps <= 4 * max(costs), case
            near_stationary += 1
    return near_stationary


@pytest.mark.sampled(7)
# 2 dtypes x 6 numbers of classes x 4 scales x 4 shapes x 6 kinds of costs x 10 rows = 11,520 rows.
@pytest.mark.parametrize("kind", COSTS)
@pytest.mark.parametrize("num_classes", [2, 3, 4, 7, 10, 32])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_categorical(dtype, num_classes, kind):
    rng = np.random.default_rng([num_classes, COSTS.index(kind)])
    with enable_x64(dtype == "float64"):
        near_stationary = sum(
            check(rng, 10, num_classes, scale, shape, kind, dtype)
            for scale in SCALES
            for shape in SHAPES
        )
    assert near_stationary <= 1


@pytest.mark.parametrize("num_classes", [252, 1000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_categorical_with_many_classes(dtype, num_classes):
    rng = np.random.default_rng(num_classes)
    with enable_x64(dtype == "float64"):
        for scale, shape, kind in zip(
            SCALES, SHAPES, ("uniform", "wide", "sparse", "scalar"), strict=True
        ):
            assert check(rng, 2, num_classes, scale, shape, kind, dtype) == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_limit_of_accuracy_in_a_near_tie(dtype):
    """Where two classes of equal cost nearly tie far above the label, their gradients cancel.

    What is left may be small beside the costs, and is then exact only to a few ulps of the costs:
    that of logits moved by an ulp of the tied logits' own, not of their distance.
    """
    with enable_x64(dtype == "float64"):
        tied = np.asarray(16.643196, dtype)
        logits = np.array([tied, np.nextafter(tied, 0, dtype=dtype), -25], dtype)
        fn, cost = np.asarray(0.024, dtype), np.asarray(69.1, dtype)
        _, gradient = jax.value_and_grad(rwwce.categorical)(logits, 2, fn, cost)
        _, exact = oracle.categorical(logits, [0, 0, fn], [cost, cost, 0])
        error = max(abs(float(g) - float(h)) for g, h in zip(gradient, exact, strict=True))
        assert error <= 4 * EPS[dtype] * float(cost)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_categorical_with_probabilities(dtype):
    rng = np.random.default_rng(0)
    with enable_x64(dtype == "float64"):
        for num_classes in (2, 5, 20):
            for scale in (1.0, 10.0, 100.0):
                logits = (rng.normal(size=(8, num_classes)) * scale).astype(dtype)
                labels = rng.dirichlet(np.full(num_classes, 0.3), 8).astype(dtype)
                fn = rng.random(num_classes).astype(dtype)
                fp = rng.random((num_classes, num_classes)).astype(dtype)
                loss = jax.vmap(jax.value_and_grad(rwwce.categorical), in_axes=(0, 0, None, None))
                losses, gradients = loss(logits, labels, fn, fp)
                off_diagonal = np.where(np.eye(num_classes, dtype=bool), 0, fp).astype(np.float64)
                for row in range(8):
                    exact_loss, exact_gradient = oracle.categorical(
                        logits[row], labels[row] * fn, labels[row].astype(np.float64) @ off_diagonal
                    )
                    # The weights are sums of K rounded products: as many ulps more.
                    allowed = (8 + num_classes) * EPS[dtype]
                    gap = float(np.ptp(logits[row]))
                    np.testing.assert_allclose(
                        float(losses[row]), float(exact_loss), rtol=allowed * (1 + gap)
                    )
                    np.testing.assert_allclose(
                        np.asarray(gradients[row], np.float64),
                        [float(g) for g in exact_gradient],
                        rtol=0,
                        atol=2 * allowed * (1 + gap),
                    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_binary(dtype):
    rng = np.random.default_rng(0)
    with enable_x64(dtype == "float64"):
        logits = np.concatenate(
            [rng.normal(size=200) * scale for scale in (1e-6, 1.0, 30.0, 1e4)]
        ).astype(dtype)
        labels = rng.integers(0, 2, logits.size)
        fn, fp = (10 ** rng.uniform(-6, 6, logits.size).astype(dtype) for _ in range(2))
        loss = jax.vmap(jax.value_and_grad(rwwce.binary))
        losses, gradients = loss(logits, labels, fn, fp)
        for row, label in enumerate(labels):
            exact_loss, slope = oracle.binary(logits[row], fn[row] * label, fp[row] * (1 - label))
            pair = np.array([logits[row], 0])
            value, gradient, _ = oracle.excess(
                pair,
                losses[row],
                [gradients[row], -gradients[row]],
                (exact_loss, [slope, -slope]),
                EPS[dtype],
                fn[row] + fp[row],
            )
            assert max(value, gradient) <= 1, (value, gradient, logits[row], label)
