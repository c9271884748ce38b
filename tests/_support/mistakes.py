"""Decisions, labels and costs that Hypothesis draws, and loops over what they cost."""

import hypothesis
import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

N, K, A = 20, 4, 2
ACTIONS = np.array([[0.5, 3.0], [2.0, 0.25], [0.0, 1.0], [8.0, 7.0]])


def integers(shape, high):
    return hnp.arrays(np.int64, shape, elements=st.integers(0, high), fill=st.nothing())


def costs_of(shape):
    """Up to 2000, exact in float32."""
    return integers(shape, 2**17).map(lambda costs: costs / 2.0**6)


everyone = np.ones(N, bool)
masks = st.one_of(st.none(), integers(N, 1).map(lambda ones: ones == 1))

binary_mistakes = hypothesis.given(
    predictions=integers(N, 1), labels=integers(N, 1), fn=costs_of(N), fp=costs_of(N), where=masks
)
categorical_mistakes = hypothesis.given(
    predictions=integers(N, K - 1),
    labels=integers(N, K - 1),
    fn=costs_of(K),
    fp=costs_of((K, K)),
    where=masks,
)


def binary_loop(predictions, labels, fn, fp, where):
    costs = []
    for m in np.flatnonzero(where):
        by_truth = {0: fp[m], 1: fn[m]}
        costs.append(by_truth[labels[m]] if predictions[m] != labels[m] else 0.0)
    return sum(costs) / len(costs) if costs else 0.0


def categorical_loop(predictions, labels, fn, fp, where, weights=everyone, actions=None):
    total, count = 0.0, 0.0
    for m in range(len(labels)):
        if where[m]:
            count += weights[m]
            if predictions[m] >= K:
                total += weights[m] * actions[labels[m]][predictions[m] - K]
            elif predictions[m] != labels[m]:
                total += weights[m] * (fn[labels[m]] + fp[labels[m]][predictions[m]])
    return total / count if count else 0.0
