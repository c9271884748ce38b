"""Cost matrices and costs of a few pairs that several tests decide by."""

import numpy as np

import rwwce_jax as rwwce

# Of three classes, reading class 0 as class 1 is costly.
FP = np.zeros((3, 3))
FP[0, 1] = 19.0


def random_costs(rng, num_classes):
    """Costs of which most surcharges are zero and some are large."""
    fn = rng.uniform(0.1, 3, num_classes)
    fp = rng.uniform(0, 20, (num_classes, num_classes))
    return fn, fp * (rng.random(fp.shape) < 0.3)


def draw_pairs(rng, num_classes, most, costs=lambda rng: 10 ** rng.uniform(-2, 2)):
    """Costs of up to this many pairs of each true class, of class 0 so many, and their matrix."""
    matrix = np.zeros((num_classes, num_classes))
    for true in range(num_classes):
        count = most if true == 0 else rng.integers(0, most + 1)
        others = np.delete(np.arange(num_classes), true)
        for predicted in rng.choice(others, count, replace=False):
            matrix[true, predicted] = np.float32(costs(rng))
    pairs = {(int(k), int(j)): matrix[k, j] for k, j in np.argwhere(matrix)}
    return rwwce.pair_costs(pairs, num_classes), matrix
