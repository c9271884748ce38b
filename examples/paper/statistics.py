"""Means with their intervals, paired tests, and the bands that the paper's means must fall into."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import scipy.stats

from examples.paper import table1, table2

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
PAPER_P_1 = {
    table1.CONTROL_1: {
        "fn": 1.2e-21,
        "fp": 3.1e-28,
        "error_of_negatives": 3.0e-24,
        "cost": 2.3e-18,
    },
    table1.CONTROL_2: {
        "fn": 2.7e-35,
        "fp": 2.5e-28,
        "error_of_negatives": 1.8e-25,
        "cost": 3.1e-27,
    },
}
PAPER_P_2 = {table2.CONTROL: {"high_cost": 1.2e-11, "error": 1.1e-2, "cost": 4.5e-8}}

Measures = dict[str, np.ndarray]  # what is measured: one number per network
Methods = dict[str, Measures]


def measures_1(outcome: table1.Outcome) -> Measures:
    """What Table I measures. Its error is divided by the negatives only; here are both."""
    fn, fp, negatives, examples, cost = (
        np.array(outcome[name], float)
        for name in ("false_negatives", "false_positives", "negatives", "examples", "cost")
    )
    return {
        "fn": fn,
        "fp": fp,
        "error": (fn + fp) / examples,
        "error_of_negatives": (fn + fp) / negatives,
        "cost": cost,
        "negatives": negatives,
        "updates": np.array(outcome["updates"], float),
    }


def measures_2(outcome: table2.Outcome) -> Measures:
    """What Table II measures."""
    high, errors, examples, cost = (
        np.array(outcome[name], float) for name in ("high_cost", "errors", "examples", "cost")
    )
    return {"high_cost": high, "error": errors / examples, "cost": cost}


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
    """What must come out."""

    what: str
    measured: float
    lowest: float
    highest: float

    @property
    def held(self) -> bool:
        """Whether it did."""
        return self.lowest <= self.measured <= self.highest


def bands_1(methods: Methods) -> list[Band]:
    """The bands of Table I: fixed before it was reproduced, and never widened."""
    control, f1, rwwce = (methods[m] for m in (table1.CONTROL_1, table1.CONTROL_2, table1.RWWCE))
    return [
        _around("Table I, control 1, Real World Cost", control["cost"], 5.78, 0.6),
        _around("Table I, control 1, false negatives", control["fn"], 45.4, 4),
        _around("Table I, RWWCE, Real World Cost", rwwce["cost"], 2.81, 0.3),
        _around("Table I, RWWCE, false negatives", rwwce["fn"], 16.1, 2.5),
        _around("Table I, RWWCE, false positives", rwwce["fp"], 127, 20),
        _around("Table I, control 2, Real World Cost", f1["cost"], 4.11, 0.4),
        _below("Table I, cost of control 1 and RWWCE, p", control, rwwce, 1e-10),
        _below("Table I, cost of control 2 and RWWCE, p", f1, rwwce, 1e-10),
    ]


def bands_2(methods: Methods) -> list[Band]:
    """The bands of Table II."""
    control, rwwce = methods[table2.CONTROL], methods[table2.RWWCE]
    return [
        _around("Table II, control, high-cost mistakes", control["high_cost"], 6.67, 1.2),
        _around("Table II, control, Real World Cost", control["cost"], 0.0428, 0.003),
        _around("Table II, RWWCE, high-cost mistakes", rwwce["high_cost"], 2.57, 0.8),
        _around("Table II, RWWCE, Real World Cost", rwwce["cost"], 0.0390, 0.003),
        _below("Table II, cost of control and RWWCE, p", control, rwwce, 1e-4),
    ]


def _around(what: str, values: np.ndarray, paper: float, tolerance: float) -> Band:
    return Band(what, float(values.mean()), paper - tolerance, paper + tolerance)


def _below(what: str, control: Measures, rwwce: Measures, limit: float) -> Band:
    """The p-value of RWWCE's lower cost; 1 if it is not lower."""
    lower = rwwce["cost"].mean() < control["cost"].mean()
    return Band(what, p_value(control["cost"], rwwce["cost"]) if lower else 1.0, 0, limit)


def verdicts(bands: Iterable[Band]) -> list[str]:
    """The bands in words."""
    return [
        f"{band.what}: {band.measured:.4g}, {'held' if band.held else 'MISSED'}"
        f" (from {band.lowest:.4g} to {band.highest:.4g})"
        for band in bands
    ]


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


def strays(methods: Methods) -> dict[str, np.ndarray]:
    """Of each method the networks with more than twice its median error, where there are any."""
    found = {
        method: measures["error"] > 2 * np.median(measures["error"])
        for method, measures in methods.items()
    }
    return {method: which for method, which in found.items() if which.any()}


def ranking(methods: Methods) -> list[str]:
    """The methods from the cheapest to the dearest."""
    return sorted(methods, key=lambda method: methods[method]["cost"].mean())


class Comparison(NamedTuple):
    """The cost of one method less that of another on the same networks' data."""

    cost: float
    other: float
    difference: float
    interval: tuple[float, float]  # 95 %, of the difference
    p: float  # of the paired t-test, times the number of methods that this is the best of

    @property
    def is_clear(self) -> bool:
        """Whether chance alone is an unlikely explanation."""
        return self.p < 0.05


def compare(method: str, other: str, methods: Methods, *, best_of: int = 1) -> Comparison:
    """Compares the Real World Costs of two methods, one of them the best of several."""
    costs, others = methods[method]["cost"], methods[other]["cost"]
    return Comparison(
        float(costs.mean()),
        float(others.mean()),
        float((costs - others).mean()),
        interval(costs - others),
        min(1.0, best_of * p_value(costs, others)),
    )
