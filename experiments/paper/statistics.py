"""Paired tests, and the bands that the paper's means must fall into."""

import numpy as np
import scipy.stats

from experiments.paper import table1, table2
from experiments.report import interval

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

# What must come out, fixed before the first run and never widened: the method, its measure, the
# paper's mean and how far from it ours may be; or RWWCE as the measure, whose cost must be lower
# than the method's, with at most that p-value.
BANDS = [
    ("Table I, control 1, Real World Cost", table1.CONTROL_1, "cost", 5.78, 0.6),
    ("Table I, control 1, false negatives", table1.CONTROL_1, "fn", 45.4, 4),
    ("Table I, RWWCE, Real World Cost", table1.RWWCE, "cost", 2.81, 0.3),
    ("Table I, RWWCE, false negatives", table1.RWWCE, "fn", 16.1, 2.5),
    ("Table I, RWWCE, false positives", table1.RWWCE, "fp", 127, 20),
    ("Table I, control 2, Real World Cost", table1.CONTROL_2, "cost", 4.11, 0.4),
    ("Table I, cost of control 1 and RWWCE, p", table1.CONTROL_1, table1.RWWCE, 0, 1e-10),
    ("Table I, cost of control 2 and RWWCE, p", table1.CONTROL_2, table1.RWWCE, 0, 1e-10),
    ("Table II, control, high-cost mistakes", table2.CONTROL, "high_cost", 6.67, 1.2),
    ("Table II, control, Real World Cost", table2.CONTROL, "cost", 0.0428, 0.003),
    ("Table II, RWWCE, high-cost mistakes", table2.RWWCE, "high_cost", 2.57, 0.8),
    ("Table II, RWWCE, Real World Cost", table2.RWWCE, "cost", 0.0390, 0.003),
    ("Table II, cost of control and RWWCE, p", table2.CONTROL, table2.RWWCE, 0, 1e-4),
]


def bands(methods):
    found = {}
    for what, method, measure, paper, tolerance in BANDS:
        if method not in methods:
            continue
        low, high = max(0, paper - tolerance), paper + tolerance
        if measure in methods:
            costs, others = methods[method]["cost"], methods[measure]["cost"]
            value = p_value(costs, others) if others.mean() < costs.mean() else 1.0
        else:
            value = methods[method][measure].mean()
        held = bool(low <= value <= high)
        said = f"{value:.4g}, {'held' if held else 'MISSED'} (from {low:.4g} to {high:.4g})"
        found[f"- {what}: {said}"] = held
    return found


def p_value(values, others):
    if np.array_equal(values, others):
        return 1.0
    return float(scipy.stats.ttest_rel(values, others).pvalue)


def compare(values, others, *, best_of=1):
    """The mean difference, its p-value, times the number of methods it is of, and both in words."""
    difference, p = values - others, min(1.0, best_of * p_value(values, others))
    mean, (low, high) = difference.mean(), interval(difference)
    said = f"difference {mean:+.2g}, 95 % interval {low:+.2g} to {high:+.2g}, paired p = {p:.1g}"
    return mean, p, f"({said})"


def learned_nothing(methods):
    """On which data sets the control tells so little that its best F1 calls most positive."""
    control = methods[table1.CONTROL_2]
    return control["fp"] > control["negatives"] / 2


def averaged(runs):
    """Each data set's mean over the runs: its positive images are the same in all of them."""
    return {
        method: {name: np.mean([run[method][name] for run in runs], axis=0) for name in measures}
        for method, measures in runs[0].items()
        if all(method in run for run in runs)
    }


def ranking(methods):
    return sorted(methods, key=lambda method: methods[method]["cost"].mean())
