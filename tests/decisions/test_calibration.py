"""The temperature is the minimiser of the cross-entropy, and what it is where there is none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import softmax

import rwwce_jax as rwwce

pytestmark = pytest.mark.always

INF, NAN = np.inf, np.nan


def drawn(rng, rows, num_classes, temperature):
    """Labels that follow the softmax of the logits divided by the temperature."""
    logits = 2 * rng.normal(size=(rows, num_classes))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(-1)
    return np.float32(logits * temperature), labels


def as_classes(logits, labels):
    """Two classes as two logits, and the truth as probabilities."""
    if logits.ndim == 1:
        return np.stack([0 * logits, logits], axis=-1), np.stack([1.0 - labels, labels], axis=-1)
    return logits, labels if labels.ndim == 2 else np.eye(logits.shape[-1])[labels]


def minimiser(logits, labels, weights=None):
    """In double precision: the root of the derivative by log T."""
    logits, probs = map(np.float64, as_classes(logits, labels))
    gaps = logits - np.sum(probs * logits, axis=-1, keepdims=True)

    def derivative(log_temperature):
        inverse = np.exp(-log_temperature)
        slopes = np.sum(softmax(gaps * inverse, axis=-1) * gaps, axis=-1)
        return -np.average(slopes, weights=weights) * inverse

    return np.exp(brentq(derivative, -8, 8, xtol=1e-13))


@pytest.mark.parametrize(
    ("rows", "num_classes", "temperature"), [(50, 3, 0.02), (507, 10, 100.0), (20_000, 2, 2.5)]
)
def test_equals_the_minimiser_in_double_precision(rows, num_classes, temperature):
    logits, labels = drawn(np.random.default_rng(rows), rows, num_classes, temperature)
    shifted = np.float32(logits + np.arange(rows)[:, None] % 64)
    for given in (logits, shifted, logits[:, 1] - logits[:, 0])[: 5 - num_classes]:
        found = rwwce.fit_temperature(given, labels)
        assert found.dtype == jnp.float32
        assert found.shape == ()
        np.testing.assert_allclose(found, minimiser(given, labels), rtol=1e-6)


# The largest gap is 3: the bounds are 3e-6 and 3e6.
TABLE = [
    ("two classes, separable", [3.0, -1.0], [1, 0], 3e-6),
    ("two classes, wrong", [3.0, -1.0], [0, 1], 3e6),
    ("a scalar", 3.0, 1, 3e-6),
    ("equal logits", [0.0, 0.0], [1, 0], 1.0),
    ("minus infinite and right", [-INF, 3.0], [0, 1], 3e-6),
    ("infinite and wrong", [INF, 3.0], [0, 1], NAN),
    ("NaN", [NAN, 3.0], [0, 1], NAN),
    ("label 2", [1.0, 3.0], [0, 2], NAN),
    ("classes, a tie for the top", [[0.0, 3, 3]], [2], 3e-6),
    ("classes, no examples", np.zeros((0, 3)), np.zeros(0, int), 1.0),
    ("classes, one impossible", [[-INF, 0, 3]], [2], 3e-6),
    ("classes, the label impossible", [[-INF, 0, 3]], [0], NAN),
    ("classes, +inf", [[INF, 0, 3]], [1], NAN),
    ("classes, NaN", [[NAN, 0, 3]], [1], NAN),
    ("classes, label 3", [[1.0, 0, 3]], [3], NAN),
    ("classes, a large gap", [[1e38, 2e38, 0]], [0], 3.4028235e38),
    ("classes, a small gap", [[0, 0, 3e-38]], [2], np.finfo(np.float32).tiny),
]


@pytest.mark.parametrize(
    ("logits", "labels", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_where_no_temperature_is_best(logits, labels, expected):
    logits, labels = np.float32(logits), np.asarray(labels)
    with jax.debug_nans(np.isfinite(logits).all() and not np.isnan(expected)):
        found = rwwce.fit_temperature(logits, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


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


LOGITS, IDS = drawn(np.random.default_rng(7), 60, 3, 2.5)
PROBS = np.float32(softmax(LOGITS / 2.5, axis=-1))
WEIGHTS = np.random.default_rng(8).integers(0, 3, 60)
KEPT = WEIGHTS > 0
# Of weight 0: the largest gap of all, a label that is impossible, and others.
LARGE, IMPOSSIBLE, *OTHERS = np.flatnonzero(~KEPT)
HOSTILE = LOGITS.copy()
HOSTILE[LARGE], HOSTILE[IMPOSSIBLE] = [1e4, 0, -1e4], [-INF, 0, 0]
IDS[[LARGE, IMPOSSIBLE]] = 0
PROBS_OF_HOSTILE = PROBS.copy()
PROBS_OF_HOSTILE[[LARGE, IMPOSSIBLE]] = [1, 0, 0]
ONE_HOT = np.eye(3, dtype=np.float32)[IDS]
DIFFERENCES = HOSTILE[:, 0] - HOSTILE[:, 1]


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (HOSTILE, IDS),
        (HOSTILE, ONE_HOT),
        (HOSTILE, ONE_HOT == 1),
        (HOSTILE, PROBS_OF_HOSTILE),
        (DIFFERENCES, IDS == 0),
        (DIFFERENCES, PROBS_OF_HOSTILE[:, 0]),
    ],
)
def test_what_is_masked_or_weighs_nothing_does_not_count(logits, labels):
    """What is no number counts unless it is masked, whatever its weight."""

    def fit(logits=logits, labels=labels, **counted):
        return rwwce.fit_temperature(logits, labels, **counted)

    expected = minimiser(logits[KEPT], labels[KEPT], WEIGHTS[KEPT])
    np.testing.assert_allclose(fit(weights=WEIGHTS), expected, rtol=1e-5)
    np.testing.assert_allclose(fit(weights=WEIGHTS / 7), expected, rtol=1e-5)
    spoilt, wrong = logits.copy(), labels.copy()
    spoilt[OTHERS[0]], spoilt[OTHERS[1]], wrong[OTHERS[2]] = NAN, INF, labels.dtype.type(-7)
    assert np.isnan(fit(spoilt, weights=WEIGHTS))
    masked = fit(spoilt, wrong, weights=np.where(KEPT, WEIGHTS, -1), where=KEPT)
    np.testing.assert_allclose(masked, expected, rtol=1e-5)
    unweighted = minimiser(logits[KEPT], labels[KEPT])
    np.testing.assert_allclose(fit(spoilt, wrong, where=KEPT), unweighted, rtol=1e-5)
    assert fit(where=np.zeros(60, bool)) == fit(weights=np.zeros(60)) == 1
    for no_weight in (-1.0, NAN, INF):
        assert np.isnan(fit(weights=np.where(KEPT, 1, no_weight)))


def test_probabilities_that_do_not_add_up():
    sets = np.where(KEPT[:, None], ONE_HOT, 1)
    with pytest.raises(ValueError, match=r"^labels must add up to 1 over .*, got a sum of 3;"):
        rwwce.fit_temperature(LOGITS, sets)
    assert np.isnan(jax.jit(rwwce.fit_temperature)(LOGITS, sets))
    found = rwwce.fit_temperature(LOGITS, sets, where=KEPT)
    np.testing.assert_allclose(found, minimiser(LOGITS[KEPT], IDS[KEPT]), rtol=1e-5)
