"""Means with their intervals, paired tests, and the bands that the paper's means must fall into."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import scipy.stats

from experiments.paper import table1, table2

# What the paper reports.
PAPER_1 = {
    table1.CONTROL_1: {"fn": 45.4, "fp": 12.7, "error_of_negatives": 0.0037, "cost": 5.78},
    table1.CONTROL_2: {"fn": 31.7, "fp": 20.3, "error_of_negatives": 0.0033, "cost": 4.11},
    table1.RWWCE: {"fn": 16.1, "fp": 127.2, "error_of_negatives": 0.0091, "cost": 2.81},
}
PAPER_2 = {
    table2.CONTROL: {"high_cost": 6.67, "error": 0.0356, "cost": 0.0428},
    table2.CROSS_ENTROPY: {"high_cost": 6.67, "error": 0.0356, "cost": 0.0428},
    table2.RWWCE: {"high_cost": 2.57, "error": 0.0362, "cost": 0.0390},
}
_P_1 = {"fn": 1.2e-21, "fp": 3.1e-28, "error_of_negatives": 3.0e-24, "cost": 2.3e-18}
_P_2 = {"fn": 2.7e-35, "fp": 2.5e-28, "error_of_negatives": 1.8e-25, "cost": 3.1e-27}
PAPER_P_1 = {table1.CONTROL_1: _P_1, table1.CONTROL_2: _P_2}
PAPER_P_2 = {table2.CONTROL: {"high_cost": 1.2e-11, "error": 1.1e-2, "cost": 4.5e-8}}

# What must come out, fixed before the first run and never widened: the table, the method, its
# measure, the paper's mean and how far from it the measured one may be.
BANDS = [
    ("Table I, control 1, Real World Cost", table1.CONTROL_1, "cost", 5.78, 0.6),
    ("Table I, control 1, false negatives", table1.CONTROL_1, "fn", 45.4, 4),
    ("Table I, RWWCE, Real World Cost", table1.RWWCE, "cost", 2.81, 0.3),
    ("Table I, RWWCE, false negatives", table1.RWWCE, "fn", 16.1, 2.5),
    ("Table I, RWWCE, false positives", table1.RWWCE, "fp", 127, 20),
    ("Table I, control 2, Real World Cost", table1.CONTROL_2, "cost", 4.11, 0.4),
    ("Table II, control, high-cost mistakes", table2.CONTROL, "high_cost", 6.67, 1.2),
    ("Table II, control, Real World Cost", table2.CONTROL, "cost", 0.0428, 0.003),
    ("Table II, RWWCE, high-cost mistakes", table2.RWWCE, "high_cost", 2.57, 0.8),
    ("Table II, RWWCE, Real World Cost", table2.RWWCE, "cost", 0.0390, 0.003),
]
# Likewise: RWWCE's cost must be lower than the control's, with at most this p-value.
LIMITS = [
    ("Table I, cost of control 1 and RWWCE, p", table1.CONTROL_1, table1.RWWCE, 1e-10),
    ("Table I, cost of control 2 and RWWCE, p", table1.CONTROL_2, table1.RWWCE, 1e-10),
    ("Table II, cost of control and RWWCE, p", table2.CONTROL, table2.RWWCE, 1e-4),
]

Methods = dict[str, dict[str, np.ndarray]]  # what is measured: one number per network


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % confidence interval of the mean, from Student's t."""
    mean, error = values.mean(), scipy.stats.sem(values)
    if error == 0:
        return float(mean), float(mean)
    low, high = scipy.stats.t.interval(0.95, len(values) - 1, loc=mean, scale=error)
    return float(low), float(high)


def p_value(values: np.ndarray, others: np.ndarray) -> float:
    """Of the paired t-test."""
    if np.array_equal(values, others):
        return 1.0
    return float(scipy.stats.ttest_rel(values, others).pvalue)


class Band(NamedTuple):
    """What must come out, and what did."""

    what: str
    measured: float
    lowest: float
    highest: float
    held: bool


def bands(methods: Methods) -> list[Band]:
    """The bands of the table that the methods are of."""
    found = []
    for what, method, measure, paper, tolerance in BANDS:
        if method in methods:
            mean = float(methods[method][measure].mean())
            found.append((what, mean, paper - tolerance, paper + tolerance))
    for what, control, rwwce, limit in LIMITS:
        if control in methods:
            costs, others = methods[control]["cost"], methods[rwwce]["cost"]
            p = p_value(costs, others) if others.mean() < costs.mean() else 1.0
            found.append((what, p, 0, limit))
    return [Band(*band, band[2] <= band[1] <= band[3]) for band in found]


def learned_nothing(methods: Methods) -> np.ndarray:
    """On which data sets the control's best F1 is to call most images positive.

    Its scores then tell next to nothing.
    """
    control = methods[table1.CONTROL_2]
    return control["fp"] > control["negatives"] / 2


def averaged(runs: Iterable[Methods]) -> Methods:
    """Each data set's mean over the runs, of the methods that all of them have.

    The same images are positive in a data set with every seed: the runs are no new data sets.
    """
    first, *others = runs
    return {
        method: {
            name: np.mean([values, *(other[method][name] for other in others)], axis=0)
            for name, values in measures.items()
        }
        for method, measures in first.items()
        if all(method in other for other in others)
    }


def ranking(methods: Methods) -> list[str]:
    """The methods, the least cost first."""
    return sorted(methods, key=lambda method: methods[method]["cost"].mean())


class Comparison(NamedTuple):
    """A measure of one method less that of another on the same networks' data."""

    value: float
    other: float
    difference: float
    interval: tuple[float, float]  # 95 %, of the difference
    p: float  # of the paired t-test, times the number of methods that this is the best of

    @property
    def is_clear(self) -> bool:
        """Whether chance alone is an unlikely explanation."""
        return self.p < 0.05


def compare(
    method: str, other: str, methods: Methods, *, measure: str = "cost", best_of: int = 1
) -> Comparison:
    """Compares two methods, one of them the best of several."""
    values, others = methods[method][measure], methods[other][measure]
    return Comparison(
        float(values.mean()),
        float(others.mean()),
        float((values - others).mean()),
        interval(values - others),
        min(1.0, best_of * p_value(values, others)),
    )
