"""The temperature is the minimiser of the cross-entropy, and what it is where there is none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from precision import enable_x64
from scipy.optimize import brentq
from scipy.special import softmax

import rwwce_jax as rwwce

INF, NAN = np.inf, np.nan


def drawn(rng, rows, num_classes, temperature):
    """Labels that follow the softmax of the logits divided by the temperature."""
    logits = 2 * rng.normal(size=(rows, num_classes))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(-1)
    return np.float32(logits * temperature), labels


def minimiser(logits, labels):
    """In double precision: the root of the derivative by log T."""
    gaps = np.float64(logits) - np.take_along_axis(np.float64(logits), labels[:, None], -1)

    def derivative(log_temperature):
        inverse = np.exp(-log_temperature)
        return -np.mean(np.sum(softmax(gaps * inverse, axis=-1) * gaps, axis=-1)) * inverse

    return np.exp(brentq(derivative, -8, 8, xtol=1e-13))


@pytest.mark.always
@pytest.mark.parametrize(
    ("rows", "num_classes", "temperature"), [(50, 3, 0.02), (507, 10, 100.0), (20_000, 2, 2.5)]
)
def test_equals_the_minimiser_in_double_precision(rows, num_classes, temperature):
    logits, labels = drawn(np.random.default_rng(rows), rows, num_classes, temperature)
    found = rwwce.fit_temperature(logits, labels)
    assert found.dtype == jnp.float32
    assert found.shape == ()
    np.testing.assert_allclose(found, minimiser(logits, labels), rtol=1e-6)
    shifted = np.float32(logits + np.arange(rows)[:, None] % 64)
    expected = minimiser(shifted, labels)
    np.testing.assert_allclose(rwwce.fit_temperature(shifted, labels), expected, rtol=1e-6)
    if num_classes == 2:
        logits = logits[:, 1] - logits[:, 0]
        expected = minimiser(np.stack([np.zeros_like(logits), logits], axis=-1), labels)
        np.testing.assert_allclose(rwwce.fit_temperature(logits, labels), expected, rtol=1e-6)


@pytest.mark.always
@pytest.mark.parametrize(
    ("dtype", "rtol"), [("float64", 1e-12), ("float16", 1e-6), ("bfloat16", 1e-6)]
)
def test_precision(dtype, rtol):
    """At least that of float32."""
    logits, labels = drawn(np.random.default_rng(2), 1000, 4, 1.7)
    with enable_x64(dtype == "float64"):
        given = jnp.asarray(logits, dtype)
        found = rwwce.fit_temperature(given, labels)
    assert found.dtype == (dtype if dtype == "float64" else jnp.float32)
    np.testing.assert_allclose(found, minimiser(np.asarray(given), labels), rtol=rtol)


# The largest gap is 3: the bounds are 3e-6 and 3e6.
TABLE = [
    ("two classes, separable", [3.0, -1.0], [1, 0], 3e-6),
    ("two classes, wrong", [3.0, -1.0], [0, 1], 3e6),
    ("one class only, mostly wrong", [-3.0, 1.0], [1, 1], 3e6),
    ("one example, right", [3.0], [1], 3e-6),
    ("a scalar", 3.0, 1, 3e-6),
    ("equal logits", [0.0, 0.0], [1, 0], 1.0),
    ("minus infinite and right", [-INF, 3.0], [0, 1], 3e-6),
    ("no examples", [], [], 1.0),
    ("infinite and wrong", [INF, 3.0], [0, 1], NAN),
    ("infinite, label soft", [INF, 3.0], [0.5, 1], NAN),
    ("NaN", [NAN, 3.0], [0, 1], NAN),
    ("label 2", [1.0, 3.0], [0, 2], NAN),
    ("label -1", [1.0, 3.0], [0, -1], NAN),
    ("classes, a tie for the top", [[0.0, 3, 3]], [2], 3e-6),
    ("classes, wrong", [[0.0, 1, 3]], [0], 3e6),
    ("classes, equal logits", [[1.0, 1, 1]] * 2, [0, 2], 1.0),
    ("classes, no examples", np.zeros((0, 3)), np.zeros(0, int), 1.0),
    ("classes, one impossible", [[-INF, 0, 3]], [2], 3e-6),
    ("classes, the label impossible", [[-INF, 0, 3]], [0], NAN),
    ("classes, two and the label impossible", [[-INF, -INF, 3]], [0], NAN),
    ("classes, +inf", [[INF, 0, 3]], [1], NAN),
    ("classes, NaN", [[NAN, 0, 3]], [1], NAN),
    ("classes, label 3", [[1.0, 0, 3]], [3], NAN),
    ("classes, a large gap", [[1e38, 2e38, 0]], [0], 3.4028235e38),
    ("classes, a small gap", [[0, 0, 3e-38]], [2], np.finfo(np.float32).tiny),
]


@pytest.mark.always
@pytest.mark.parametrize(
    ("logits", "labels", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_where_no_temperature_is_best(logits, labels, expected):
    logits, labels = np.float32(logits), np.asarray(labels)
    with jax.debug_nans(np.isfinite(logits).all() and not np.isnan(expected)):
        found = rwwce.fit_temperature(logits, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_an_impossible_class_counts_no_further():
    logits, labels = drawn(np.random.default_rng(4), 200, 3, 2.0)
    expected = minimiser(logits, labels)
    impossible = np.insert(logits, 3, -INF, axis=-1)
    np.testing.assert_allclose(rwwce.fit_temperature(impossible, labels), expected, rtol=1e-6)


def test_what_is_masked_does_not_count():
    kept = np.arange(200) % 3 > 0
    bad = np.flatnonzero(~kept)
    for num_classes in (2, 4):
        logits, labels = drawn(np.random.default_rng(5), 200, num_classes, 2.0)
        expected = minimiser(logits[kept], labels[kept])
        if num_classes == 2:
            logits = logits[:, 1] - logits[:, 0]
        logits[bad[:10]], logits[bad[10:20]], labels[bad[20:30]] = NAN, INF, -7
        logits[bad[30:40]] = 1e30
        found = rwwce.fit_temperature(logits, labels, where=kept)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert np.isnan(rwwce.fit_temperature(logits, labels))
        assert rwwce.fit_temperature(logits, labels, where=np.zeros(200, bool)) == 1


def test_under_jit_and_vmap_a_network_each():
    cases = [drawn(np.random.default_rng(seed), 60, 3, 1.0 + seed) for seed in range(4)]
    logits, labels = (np.stack(x) for x in zip(*cases, strict=True))
    found = jax.jit(jax.vmap(rwwce.fit_temperature))(logits, labels)
    expected = [minimiser(*case) for case in cases]
    assert len(np.unique(found)) == 4
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_is_a_constant_to_grad():
    logits, labels = drawn(np.random.default_rng(6), 60, 3, 2.0)
    assert not np.any(jax.grad(rwwce.fit_temperature)(logits, labels))


@pytest.mark.always
@pytest.mark.parametrize(
    ("logits", "labels", "error", "message"),
    [
        (np.ones(4), np.ones(3), ValueError, r"labels must have the logits' shape \(4,\), or be"),
        (np.ones(()), np.ones(3), ValueError, r"labels must have the logits' shape \(\), or be"),
        (np.ones((4, 3)), np.ones(4), TypeError, r"labels of shape \(4,\) must be integer"),
        (np.ones((4, 3)), np.ones((4, 3), int), ValueError, "labels must be class ids, got the"),
        (np.ones((4, 3)), np.ones((4, 3)), ValueError, "labels must add up to 1 over the classes"),
        (np.ones((4, 1)), np.ones(4, int), ValueError, r"logits must .* logits\[\.\.\., 0\]\."),
        (np.ones(4, int), np.ones(4, int), TypeError, "logits must be floating-point"),
    ],
)
def test_what_is_refused(logits, labels, error, message):
    with pytest.raises(error, match=f"^{message}"):
        rwwce.fit_temperature(logits, labels)
    with pytest.raises(ValueError, match=r"^where must have the shape of the examples \(4,\)"):
        rwwce.fit_temperature(np.ones((4, 3)), np.ones(4, int), where=np.ones(3, bool))
