"""Costs of a few pairs of classes that are drawn, and their matrix."""

import numpy as np

import rwwce_jax as rwwce


def draw_pairs(rng, num_classes, most, costs=lambda rng: 10 ** rng.uniform(-2, 2)):
    """Up to this many pairs of each true class, exactly as many of class 0."""
    matrix = np.zeros((num_classes, num_classes))
    for true in range(num_classes):
        count = most if true == 0 else rng.integers(0, most + 1)
        others = np.delete(np.arange(num_classes), true)
        for predicted in rng.choice(others, count, replace=False):
            matrix[true, predicted] = np.float32(costs(rng))
    pairs = {(int(k), int(j)): matrix[k, j] for k, j in np.argwhere(matrix)}
    return rwwce.pair_costs(pairs, num_classes), matrix
