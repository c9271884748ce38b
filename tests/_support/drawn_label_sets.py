"""Examples with several labels, and costs of pairs of them, for the tests of label sets."""

import numpy as np

NAN = np.nan


def draw(rng, rows, num_classes, *, soft=False):
    """Logits, labels and costs, the diagonal of the pairs being NaN: no one may look at it."""
    logits = rng.normal(size=(rows, num_classes)) * 3
    labels = rng.random(logits.shape)
    fn, fp = rng.uniform(0.1, 5, (2, num_classes))
    pairs = rng.uniform(0, 3, (num_classes, num_classes))
    pairs[np.diag_indices(num_classes)] = NAN
    return logits, labels if soft else np.round(labels), fn, fp, pairs


PAIRS = np.array([[NAN, 2.0, 0.0], [0.0, NAN, 0.0], [5.0, 0.0, NAN]])
