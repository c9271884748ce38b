"""The example with several labels: it prints a table and a verdict that follow the numbers."""

import numpy as np
import pytest

from examples import multilabel as example


@pytest.mark.repository
@pytest.mark.usefixtures("standard_promotion")
def test_example_prints_the_costs_of_three_ways(capsys, monkeypatch):
    monkeypatch.setattr(example, "TEST", 200)
    assert example.main(["--runs", "2", "--steps", "30"]) == 0
    header, _, *rows, blank, verdict = capsys.readouterr().out.splitlines()
    assert [row.split("|")[1].strip() for row in rows] == list(example.WAYS)
    means = [float(row.split("|")[2].split("±")[0]) for row in rows]
    np.testing.assert_allclose(means, example.costs(0, 2, 30).mean(axis=1), atol=1e-3)
    assert max(means[1:]) < means[0]  # to know the costs pays, wherever they enter
    assert "Real World Cost" in header
    assert blank == ""
    assert verdict.startswith("Costs in the ")


@pytest.mark.repository
@pytest.mark.parametrize(
    ("measured", "sentence"),
    [
        (
            [[9, 9, 9], [2, 4, 3], [1, 2, 1.5]],
            "Costs in the loss beat costs in the decision by 50.0% (paired t-test p = 0.035).",
        ),
        (
            [[9, 9], [3, 3], [2, 4.5]],
            "Costs in the decision beat costs in the loss by 7.7% (paired t-test p = 0.87: may be",
        ),
        (
            [[9], [4], [5]],
            "Costs in the decision beat costs in the loss by 20.0% (one run: may be ch",
        ),
    ],
)
def test_verdict_of_the_example_follows_the_numbers(measured, sentence):
    measured = np.array(measured, float)
    assert example.verdict(measured).startswith(sentence)
    assert "nan" not in example.verdict(measured)
    assert example.table(measured).count("±") == 3 * (measured.shape[1] > 1)
