"""Second derivatives of the table of hostile input, with every kind of costs.

They are finite where the gradient is defined, and equal to differences of the gradient.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_hostile import CATEGORICAL

import rwwce_jax as rwwce
from rwwce_jax._numerics import split

pytestmark = pytest.mark.optimized

K = 3
# All logits of the table, each with every label.
DISTINCT = sorted({tuple(map(float, z)) for z, *_ in CATEGORICAL.values() if len(z) == K})
LOGITS = np.repeat(np.array(DISTINCT), K, axis=0)
LABELS = np.tile(np.arange(K), len(DISTINCT))
OTHERS = (LABELS[:, None] + [1, 2]) % K
LARGE = 6000  # rows: more logits than platforms.is_small
DENSE = np.array([[0, 0, 3.0], [5, 0, 7], [11, 13, 0]])  # to take class 0 for class 1 is free
PAIRS = rwwce.pair_costs({(k, j): DENSE[k, j] for k in range(K) for j in range(K) if k != j}, K)
FP = {
    "no fp": lambda _, rows: 0,
    "scalar": lambda scale, rows: 2.5 * scale,
    "matrix": lambda scale, rows: DENSE * scale,
    "pairs": lambda scale, rows: dataclasses.replace(PAIRS, costs=PAIRS.costs * scale),
    "examples": lambda scale, rows: rwwce.ExampleCosts(DENSE[LABELS[rows]] * scale),
    "candidates": lambda scale, rows: rwwce.ExampleCosts(
        DENSE[LABELS[rows, None], OTHERS[rows]] * scale, classes=OTHERS[rows]
    ),
}


def fused(logits, *rest, **options):
    """By a product with ones, so that the gradient by hidden states is that by logits."""
    kernel = jnp.eye(K, dtype=logits.dtype)
    return rwwce.linear_categorical(logits, kernel, *rest, chunk_size=50, **options)


def programs(loss, kind, labels_as, rows):
    """The gradient of each row, and its Hessian in two nestings of the modes."""
    labels = LABELS[rows] if labels_as == "ids" else np.eye(K)[LABELS[rows]]

    def gradient(logits, fn, scale):
        return jax.grad(loss)(logits, labels, fn, FP[kind](scale, rows), reduction="sum")

    def hessians(logits, fn, scale):
        def along(direction):
            direction = jnp.broadcast_to(direction, logits.shape)
            _, forward = jax.jvp(lambda z: gradient(z, fn, scale), (logits,), (direction,))
            _, pull_back = jax.vjp(lambda z: gradient(z, fn, scale), logits)
            return forward, pull_back(direction)[0]

        # The gradient of a row depends on no other row.
        return jax.vmap(along, out_axes=-1)(jnp.eye(K, dtype=logits.dtype))

    return jax.jit(gradient), jax.jit(hessians)


CASES = [
    *((rwwce.categorical, kind, "ids", len(LABELS)) for kind in FP),
    *((rwwce.categorical, kind, "ids", LARGE) for kind in FP if kind != "matrix"),
    (rwwce.categorical, "scalar", "soft", len(LABELS)),
    (rwwce.categorical, "matrix", "soft", len(LABELS)),
    (rwwce.categorical, "matrix", "soft", LARGE),
    # Here a condition decides whether rows are rescued from underflow.
    pytest.param(rwwce.categorical, "matrix", "ids", LARGE, marks=pytest.mark.always),
    *((fused, kind, "ids", len(LABELS)) for kind in FP if kind != "pairs"),
    # Without the rule of ``platforms._scatter`` this case fails.
    pytest.param(fused, "pairs", "ids", len(LABELS), marks=pytest.mark.always),
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("loss", "kind", "labels_as", "num_rows"), CASES)
def test_hessian(loss, kind, labels_as, num_rows, x64, monkeypatch):
    # As of many classes: in large batches a condition decides whether rows are rescued.
    monkeypatch.setattr(split, "_MOST_BY_RUNNER_UP", 0)
    rows = np.resize(np.arange(len(LABELS)), num_rows)
    gradient, hessians = programs(loss, kind, labels_as, rows)
    logits, step = LOGITS[rows], 2.0**-13  # added to 1e8 without rounding
    size = np.max(np.abs(logits), axis=-1, initial=0, where=np.isfinite(logits))
    is_example = np.any(np.isfinite(logits), axis=-1) & np.all(logits < np.inf, axis=-1)
    if loss is fused:
        is_example &= np.all(np.isfinite(logits), axis=-1)  # a product with ones has 0 * inf
    for fn, scale in [(1.5, 1.0), (0.0, 1.0), (1.5, 0.0), (0.0, 0.0), (1.5, 1e30)]:
        steps = step * np.eye(K)
        ahead, behind = (
            np.stack([gradient(logits + sign * x, fn, scale) for x in steps], axis=-1)
            for sign in (1, -1)
        )
        differences = (ahead - behind) / (2 * step)
        np.testing.assert_array_equal(np.all(np.isfinite(ahead), axis=(1, 2)), is_example)
        if fn == scale == 0:
            np.testing.assert_array_equal(ahead[is_example], 0)
        compared = is_example & (size < 1e30)  # at 3e38 a step is lost
        for hessian in hessians(logits, fn, scale):
            assert np.all(np.isfinite(hessian[is_example])), (fn, scale)
            np.testing.assert_allclose(
                hessian[compared], differences[compared], rtol=0, atol=1e-7 * (fn + 20 * scale)
            )
