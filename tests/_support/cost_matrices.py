"""Cost matrices that several tests decide by."""

import numpy as np

# The counterexample of docs/decisions.md: of three classes, reading class 0 as class 1 is costly.
P = np.array([0.07, 0.84, 0.09])
FP = np.zeros((3, 3))
FP[0, 1] = 19.0


def random_costs(rng, num_classes):
    """Costs of which most surcharges are zero and some are large."""
    fn = rng.uniform(0.1, 3, num_classes)
    fp = rng.uniform(0, 20, (num_classes, num_classes))
    return fn, fp * (rng.random(fp.shape) < 0.3)
