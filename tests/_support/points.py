"""Logits where derivatives are hard, and the costs they are taken with, for double precision."""

import jax
import numpy as np
from comparison import categorical, without_fp

# The label is class 0.
POINTS = {
    "ordinary": [0.3, -1.0, 2.0, 0.5],
    "the label on top": [20.0, 0.0, 0.3, -1.0],
    "the label below": [0.0, 20.0, 0.3, -1.0],
    "a near-tie": [1.0, 1.0001, 0.2, 0.0],
    "a tie": [1.0, 1.0, 0.2, 0.0],
    "a tie below": [0.2, 1.0, 1.0, 0.0],
    "a probability near 1/2": [1.09861, 0.0, 0.0, 0.0],
    "the label 60 on top": [60.0, 0.0, 1.0, 2.0],
    "the label 60 below": [0.0, 60.0, 1.0, 2.0],
    "the label 800 on top": [800.0, 0.0, 1.0, 2.0],
    "the label 800 below": [0.0, 800.0, 1.0, 2.0],
    "the label 1e4 below": [0.0, 1e4, 1.0, 2.0],
    "two 800 on top": [0.0, 800.0, 800.0, 1.0],
}
FN = np.array([0.5, 2.0, 1.0, 3.0])
DENSE = np.array([[0, 0, 2.5, 1], [1, 0, 0, 2], [3, 0.5, 0, 1], [0.25, 4, 2, 0]])
LABELS = {"ids": np.array(0), "probabilities": np.array([0.6, 0.2, 0.1, 0.1])}
COSTS = {"no fp": np.array(0.0), "scalar": np.array(1.5), "dense": DENSE}


def loss_and_arguments(kind, costs):
    """A loss of one example, what it takes after the logits, and the arguments to derive by."""
    loss = without_fp if costs == "no fp" else categorical
    by = (0, 2) if costs == "no fp" else (0, 2, 3)
    return loss, (LABELS[kind], FN, COSTS[costs]), by


def assert_close(actual, expected, message):
    """The oracle is exact to an ulp of the costs, which is more than a small derivative is."""
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-13, err_msg=message)
