"""Random rows for test_exactness.py, and their losses and gradients by the oracle, stored.

`make test` compares with what is stored, `make test-all` computes that again. To write it anew:

    .venv/bin/python tests/_support/oracle_table.py
"""

import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import oracle

PATH = Path(__file__).with_name("oracle_table.npz")
DTYPES = ("float32", "float64")
SCALES = (1.0, 10.0, 100.0, 1e4)
COSTS = ("unit", "uniform", "wide", "sparse", "no fn", "scalar")
FEW, MANY = (2, 3, 4, 7, 10, 32), (252, 1000)
TABLES = [f"{dtype}-{num_classes}" for dtype in DTYPES for num_classes in FEW + MANY]


class Rows(NamedTuple):
    """Examples with costs of their own, of which those of the label are not used."""

    logits: np.ndarray  # (rows, K)
    labels: np.ndarray  # (rows,)
    fn: np.ndarray  # (rows,)
    fp: np.ndarray  # (rows, K)

    def terms(self):
        """The weights of -log(p) and the costs of -log(1 - p), (rows, K)."""
        is_label = self.labels[:, None] == np.arange(self.logits.shape[1])
        return np.where(is_label, self.fn[:, None], 0), np.where(is_label, 0, self.fp)


def draw_costs(rng, rows, num_classes, kind):
    """Numbers that every platform makes of the same bits."""
    fn, fp = np.ones(rows), rng.random((rows, num_classes))
    if kind == "unit":
        fp[:] = 1
    elif kind == "wide":
        fn = np.ldexp(1 + rng.random(rows), rng.integers(-20, 20, rows))
        fp = np.ldexp(1 + fp, rng.integers(-20, 20, fp.shape))
    elif kind == "sparse":
        fp *= 1e6 * (rng.random(fp.shape) < 0.2)
    elif kind == "no fn":
        fn[:] = 0
    elif kind == "scalar":
        fn, fp[:] = 10 * rng.random(rows), 10 * rng.random((rows, 1))
    return fn, fp


def draw(table):
    """The rows of a table, which is named by its dtype and number of classes."""
    dtype, number = table.split("-")
    num_classes = int(number)
    rng = np.random.default_rng(num_classes)
    rows, cases = 4, itertools.product(SCALES, oracle.SHAPES, COSTS)
    if num_classes in MANY:
        rows, cases = 1, zip(SCALES, oracle.SHAPES, COSTS[1:5], strict=True)
    parts = []
    for scale, shape, kind in cases:
        logits = oracle.draw_logits(rng, rows, num_classes, scale, shape, dtype)
        labels = rng.integers(0, num_classes, rows)
        costs = (x.astype(dtype) for x in draw_costs(rng, rows, num_classes, kind))
        parts.append(Rows(logits, labels, *costs))
    return Rows(*map(np.concatenate, zip(*parts, strict=True)))


def compute(table):
    """For each row, the loss and then the gradient, rounded to double precision."""
    rows = draw(table)
    exact = (oracle.categorical(*row) for row in zip(rows.logits, *rows.terms(), strict=True))
    return np.array([[loss, *gradient] for loss, gradient in exact], float)


if __name__ == "__main__":
    np.savez_compressed(PATH, **{table: compute(table) for table in TABLES})
