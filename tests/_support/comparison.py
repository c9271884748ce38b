"""The losses, one per example, and how values and gradients of two losses are compared."""

import functools

import jax
import numpy as np

import rwwce_jax as rwwce

# Relative to a row's costs times 1 + its largest logit: what rounding the logits changes.
TOLERANCE = {"float32": 5e-7, "float64": 1e-15}


def binary(logits, labels, fn, fp):
    return rwwce.binary(logits, labels, fn, fp, reduction="none")


def categorical(logits, labels, fn, fp):
    return rwwce.categorical(logits, labels, fn, fp, reduction="none")


def without_fp(logits, labels, fn, _):
    """False positives that are known to be free while tracing have a kernel of their own."""
    return rwwce.categorical(logits, labels, fn, 0, reduction="none")


def quarters(shape, dtype):
    """Weights for the sum of the losses: different ones, so that no example passes for another."""
    return (1 + np.arange(np.prod(shape, dtype=int))).reshape(shape).astype(dtype) / 4


@functools.cache
def differentiated(loss):
    """Losses, and the gradients of a weighted sum of them, by logits, by fn and by fp."""

    @jax.jit
    def run(weights, logits, labels, fn, fp, *rest):
        losses, pull = jax.vjp(lambda z, fn, fp: loss(z, labels, fn, fp, *rest), logits, fn, fp)
        return losses, *pull(weights)

    def with_weights(logits, *rest, weights=None):
        if weights is None:
            examples = logits.shape if logits.ndim == 1 else logits.shape[:-1]
            weights = quarters(examples, "float64" if logits.dtype == "float64" else "float32")
        return tuple(map(np.asarray, run(weights, logits, *rest)))

    return with_weights


def unit_of(logits, *costs):
    """For each example, what an error is relative to."""
    largest = np.abs(logits) if logits.ndim == 1 else np.abs(logits).max(axis=-1)
    return (1 + sum(np.sum(cost) for cost in costs)) * (1 + largest)


def assert_same(actual, expected, unit, times=1):
    """Compares the losses, the gradients by logits, and as many of those by costs as are given."""
    dtype = actual[0].dtype
    assert all(x.dtype == dtype for x in actual)
    tolerance = times * TOLERANCE[str(dtype)] * unit
    weighted = tolerance * quarters(unit.shape, dtype)
    per_logit = weighted.reshape(weighted.shape + (1,) * (actual[1].ndim - weighted.ndim))
    tolerances = (tolerance, per_logit, *[weighted.sum()] * len(actual[2:]))
    for x, y, allowed in zip(actual, expected, tolerances, strict=True):
        assert_within(x, y, allowed)


def assert_within(actual, expected, allowed):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    error = np.abs(actual - expected)
    assert np.all(error <= allowed), (actual, expected, np.max(error / allowed))
