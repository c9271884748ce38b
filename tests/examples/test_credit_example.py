"""``python -m examples.credit``: the costs that it prints, and its verdict."""

import re

import numpy as np
import pytest
import sklearn

pytest.importorskip("empulse")
pytest.importorskip("pandas")

from examples import credit

pytestmark = [
    pytest.mark.repository,
    pytest.mark.experiments,
    pytest.mark.usefixtures("standard_promotion"),
]


def test_it_prints_what_each_way_costs_and_which_is_cheapest(capsys, monkeypatch):
    table, labels = credit.customers()
    assert table.shape[0] == len(labels) == 38_938
    table, labels = table[:2000], labels[:2000]
    monkeypatch.setattr(credit, "customers", lambda: (table, labels))
    monkeypatch.setattr(credit, "FOLDS", 3)
    with sklearn.config_context():
        credit.main()
    printed = capsys.readouterr().out
    assert f"2,000 customers, of whom {labels.mean():.1%} default." in printed
    rows = re.findall(r"^\| (\w.*?) +\| +([\d.]+) \| +(-?[\d.]+)% \|$", printed, re.M)
    costs = {way: float(cost) for way, cost, _ in rows}
    assert list(costs) == ["refuse all", "accept all", *credit.WAYS]
    assert costs["refuse all"] == pytest.approx(np.mean((1 - labels) * table["fp"]), abs=0.02)
    assert costs["accept all"] == pytest.approx(np.mean(labels * table["fn"]), abs=0.02)
    half, threshold, weighted = (costs[way] for way in credit.WAYS)
    assert max(threshold, weighted) < half  # to know the costs pays, wherever they enter
    best, second = sorted(credit.WAYS, key=costs.get)[:2]
    assert f"Cheapest: {best}.\nNext: {second}, at " in printed
    low, high = map(float, re.search(r"is (-?\d+\.\d+) to (-?\d+\.\d+)", printed).groups())
    assert low < costs[second] - costs[best] < high
    assert ("may be chance" in printed) == (low < 0)
