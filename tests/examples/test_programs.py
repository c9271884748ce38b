"""What the programs for costs of customers and topics, temperatures and language do, in small."""

import re

import numpy as np
import pytest
import sklearn

from examples import calibration, datasets, multilabel
from experiments import command, language

pytestmark = [
    pytest.mark.repository,
    pytest.mark.experiments,
    pytest.mark.usefixtures("standard_promotion"),
]


def costs(text):
    """The mean cost of each row of a table."""
    rows = re.findall(r"^\| (\S.*?) +\| +(\d+\.\d+) (?:± \S+ )?\|", text, re.M)
    return {way: float(mean) for way, mean in rows}


def test_costs_of_customers_pay_wherever_they_enter(capsys, monkeypatch):
    pytest.importorskip("empulse")
    pytest.importorskip("pandas")
    from examples import credit

    table, labels = credit.customers()
    table, labels = table[:2000], labels[:2000]
    monkeypatch.setattr(credit, "customers", lambda: (table, labels))
    monkeypatch.setattr(credit, "FOLDS", 3)
    with sklearn.config_context():
        credit.main()
    printed = capsys.readouterr().out
    found = costs(printed)
    assert list(found) == ["refuse all", "accept all", *credit.WAYS]
    assert found["refuse all"] == pytest.approx(np.mean((1 - labels) * table["fp"]), abs=0.02)
    assert found["accept all"] == pytest.approx(np.mean(labels * table["fn"]), abs=0.02)
    half, threshold, weighted = (found[way] for way in credit.WAYS)
    assert max(threshold, weighted) < half
    low, high = map(float, re.search(r"is (-?\d+\.\d+) to (-?\d+\.\d+)", printed).groups())
    assert low < abs(threshold - weighted) < high


def test_costs_of_topics_pay_wherever_they_enter(capsys, monkeypatch):
    monkeypatch.setattr(multilabel, "TEST", 200)
    multilabel.main(["--runs", "3", "--steps", "30"])
    printed = capsys.readouterr().out
    plain, decision, loss = costs(printed).values()
    assert max(decision, loss) < plain
    assert f"Costs in the {'decision' if decision < loss else 'loss'} beat " in printed


def test_temperatures_save_money_and_are_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(calibration, "SPLITS", 4)
    calibration.main(["--output", str(tmp_path)])
    plain, before, after = costs(capsys.readouterr().out).values()
    assert after < before < plain
    assert (tmp_path / "calibration.png").stat().st_size > 10_000


@pytest.mark.slow  # `.ci/run` runs the command in small
def test_arms_of_the_language_model_differ_by_their_costs_only(monkeypatch, tmp_path, capsys):
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "one", "more"]
    texts = [[words[start:] + words[:start]] * 20 for start in range(10)]
    monkeypatch.setattr(datasets, "brown", lambda: ("Small corpus", [*texts, texts[0]]))
    monkeypatch.setattr(language, "QUICK", language.Size(None, 8, 12, 10, 2))
    assert command.main(["language", "--quick", "--output", str(tmp_path)]) == 0
    lines = [each.strip("|") for each in capsys.readouterr().out.splitlines() if each[:1] == "|"]
    rows = [[cell.strip() for cell in line.split("|")] for line in lines[2:]]
    assert [row[0] for row in rows] == list(language.ARMS)
    # Without a clamped step, the two formulas are the same but for rounding.
    assert rows[2][4] == "0.0%"
    assert rows[1][1:4] == rows[2][1:4] != rows[0][1:4]
