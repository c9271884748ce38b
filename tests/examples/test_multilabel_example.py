"""``python -m examples.multilabel``: a table and a verdict that agree."""

import re

import pytest

from examples import multilabel

pytestmark = [
    pytest.mark.repository,
    pytest.mark.experiments,
    pytest.mark.usefixtures("standard_promotion"),
]


def test_it_prints_the_costs_of_three_ways_and_who_wins(capsys, monkeypatch):
    monkeypatch.setattr(multilabel, "TEST", 200)
    multilabel.main(["--runs", "3", "--steps", "30"])
    header, _, *rows, blank, verdict = capsys.readouterr().out.splitlines()
    assert "Real World Cost" in header
    assert blank == ""
    assert [row.split("|")[1].strip() for row in rows] == list(multilabel.WAYS)
    plain, decision, loss = (float(re.search(r"([\d.]+) ± [\d.]+", row)[1]) for row in rows)
    assert max(decision, loss) < plain  # to know the costs pays, wherever they enter
    assert sum(int(re.search(r"(\d) of 3", row)[1]) for row in rows) == 3
    winner = "decision" if decision < loss else "loss"
    saved = abs(decision - loss) / max(decision, loss)
    assert verdict.startswith(f"Costs in the {winner} beat costs in the ")
    assert float(re.search(r"by ([\d.]+)%", verdict)[1]) == pytest.approx(100 * saved, abs=0.2)
    assert re.search(r"\(paired t-test p = [\d.]+(: may be chance)?\)\.$", verdict)


def test_options_out_of_range_get_one_sentence(capsys):
    with pytest.raises(SystemExit):
        multilabel.main(["--runs", "0"])
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("--seed must be 0 or more, --runs and --steps 1 or more.")
