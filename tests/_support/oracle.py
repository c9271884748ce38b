"""The losses in exact arithmetic: mpmath loops over the terms of the paper's sums.

``1 - p_j`` is a sum over the classes other than j, because a difference from the total is -inf at
a logit gap of 200 even with 60 digits.
"""

import mpmath
import numpy as np

mpmath.mp.dps = 40

# Machine precision: half the distance from 1 to the next number.
EPS = {"float32": 2.0**-24, "float64": 2.0**-53}

SHAPES = ("plain", "tie", "near-tie", "offset")


def draw_logits(rng, rows, num_classes, scale, shape, dtype):
    logits = rng.normal(size=(rows, num_classes)) * scale
    if shape in ("tie", "near-tie"):
        order = rng.permuted(np.tile(np.arange(num_classes), (rows, 1)), axis=1)
        first, second = order[:, 0], order[:, 1]
        each = np.arange(rows)
        logits[each, first] = logits[each, second] = logits.max(axis=1) + 1
        logits = logits.astype(dtype)
        if shape == "near-tie":
            logits[each, second] = np.nextafter(logits[each, first], -np.inf, dtype=dtype)
    if shape == "offset":
        logits += rng.choice([1e8, -1e8, 1e6, 1e4], size=(rows, 1))
    return logits.astype(dtype)


def _times(weight, value):
    return mpmath.mpf(0) if weight == 0 else weight * value


def categorical(logits, weights, costs):
    """Loss and gradient of ``-sum(weights * log p) - sum(costs * log(1 - p))`` for one example.

    The gradient sums the derivatives of all terms, without any of the library's regrouping.
    """
    z = [mpmath.mpf(float(x)) for x in logits]
    weights = [mpmath.mpf(float(x)) for x in weights]
    costs = [mpmath.mpf(float(x)) for x in costs]
    classes = range(len(z))
    top = max(z)
    e = [mpmath.exp(x - top) for x in z]
    total = mpmath.fsum(e)
    # The others' sum: exact for the few classes that hold almost everything, where it cancels.
    others = [
        mpmath.fsum(e[j] for j in classes if j != k) if 2 * e[k] > total else total - e[k]
        for k in classes
    ]
    loss = mpmath.fsum(
        _times(weights[k], mpmath.log1p(others[k] / e[k]))
        + _times(costs[k], mpmath.log1p(e[k] / others[k]))
        for k in classes
    )
    p = [x / total for x in e]
    odds = [e[k] / others[k] if costs[k] else mpmath.mpf(0) for k in classes]
    weighted_odds = [_times(costs[k], odds[k]) for k in classes]
    # sum over k of c_k o_k ([j = k] - p_j), with 1 - p_j as the others' share where j = k.
    one_minus_p = [others[k] / total for k in classes]
    all_odds, all_weights = mpmath.fsum(weighted_odds), mpmath.fsum(weights)
    gradient = [
        p[j] * (all_weights - weights[j])
        - weights[j] * one_minus_p[j]
        + weighted_odds[j] * one_minus_p[j]
        - p[j] * (all_odds - weighted_odds[j])
        for j in classes
    ]
    return loss, gradient


def binary(logit, positive, negative):
    """Loss and derivative of ``-positive * log s(z) - negative * log(1 - s(z))``."""
    z = mpmath.mpf(float(logit))
    positive, negative = mpmath.mpf(float(positive)), mpmath.mpf(float(negative))
    loss = positive * mpmath.log1p(mpmath.exp(-z)) + negative * mpmath.log1p(mpmath.exp(z))
    slope = negative / (1 + mpmath.exp(-z)) - positive / (1 + mpmath.exp(z))
    return loss, slope


def excess_of_rows(logits, values, gradients, exact, eps, costs):
    """How far values (...) and gradients (..., K) are outside of what is called accurate.

    As docs/mathematics.md defines it: accurate are at most 1 and 1. Then the gradient error in eps.
    ``costs`` is the sum of all weights and costs, by which what underflows may be 0.
    """
    loss, slopes = exact
    logits, values, gradients = (np.asarray(x, float) for x in (logits, values, gradients))
    gaps = logits.max(-1, keepdims=True) - logits
    tiny = np.finfo(np.float64 if eps < 1e-10 else np.float32).tiny * np.asarray(costs, float)
    movable = np.sum(gaps * np.abs(slopes), -1)
    value_error = np.abs(values - loss) / (8 * eps * (np.abs(loss) + movable) + tiny)
    gradient_error = np.abs(gradients - slopes).max(-1)
    largest = np.abs(slopes).max(-1)
    allowed = 16 * eps * (1 + np.minimum(gaps.max(-1), 104)) * largest + tiny
    return value_error, gradient_error / allowed, gradient_error / eps


def excess(logits, value, gradient, exact, eps, costs):
    """The same for one row, of exact numbers of mpmath."""
    loss, slopes = exact
    exact = float(loss), np.array(slopes, float)
    return tuple(map(float, excess_of_rows(logits, value, gradient, exact, eps, costs)))
