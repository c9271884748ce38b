"""What the programs for costs of customers and topics, temperatures and language do, in small."""

import re
from pathlib import Path

import jax
import matplotlib.image
import numpy as np
import pytest
import sklearn
from flax import nnx
from tqdm import tqdm

from examples import calibration, datasets, multilabel
from examples import language as example
from experiments import command, language

pytestmark = [
    pytest.mark.repository,
    pytest.mark.experiments,
    pytest.mark.usefixtures("standard_promotion"),
]

PAGE = Path(__file__).parents[2] / "docs" / "calibration.md"


def costs(text):
    """The mean cost of each row of a table."""
    rows = re.findall(r"^\| (\S.*?) +\| +(\d+\.\d+) (?:± \S+ )?\|", text, re.M)
    return {way: float(mean) for way, mean in rows}


def test_costs_of_customers_pay_wherever_they_enter(capsys, monkeypatch):
    pytest.importorskip("empulse")
    pytest.importorskip("pandas")
    from examples import credit

    table, labels = credit.customers()
    assert table.shape[0] == len(labels) == 38_938
    table, labels = table[:2000], labels[:2000]
    monkeypatch.setattr(credit, "customers", lambda: (table, labels))
    monkeypatch.setattr(credit, "FOLDS", 3)
    with sklearn.config_context():
        credit.main()
    printed = capsys.readouterr().out
    assert f"2,000 customers, of whom {labels.mean():.1%} default." in printed
    found = costs(printed)
    assert list(found) == ["refuse all", "accept all", *credit.WAYS]
    assert found["refuse all"] == pytest.approx(np.mean((1 - labels) * table["fp"]), abs=0.02)
    assert found["accept all"] == pytest.approx(np.mean(labels * table["fn"]), abs=0.02)
    half, threshold, weighted = (found[way] for way in credit.WAYS)
    assert max(threshold, weighted) < half
    best, second = sorted(credit.WAYS, key=found.get)[:2]
    assert f"Cheapest: {best}.\nNext: {second}, at " in printed
    low, high = map(float, re.search(r"is (-?\d+\.\d+) to (-?\d+\.\d+)", printed).groups())
    assert low < found[second] - found[best] < high
    assert ("may be chance" in printed) == (low < 0)


def test_costs_of_topics_pay_wherever_they_enter(capsys, monkeypatch):
    monkeypatch.setattr(multilabel, "TEST", 200)
    multilabel.main(["--runs", "3", "--steps", "30"])
    printed = capsys.readouterr().out
    found = costs(printed)
    assert list(found) == list(multilabel.WAYS)
    plain, decision, loss = found.values()
    assert max(decision, loss) < plain
    assert sum(map(int, re.findall(r"(\d) of 3", printed))) == 3
    verdict = printed.splitlines()[-1]
    assert verdict.startswith(f"Costs in the {'decision' if decision < loss else 'loss'} beat ")
    saved = 100 * abs(decision - loss) / max(decision, loss)
    assert float(re.search(r"by ([\d.]+)%", verdict)[1]) == pytest.approx(saved, abs=0.2)
    assert re.search(r"\(paired t-test p = [\d.]+(: may be chance)?\)\.$", verdict)


def test_temperatures_save_money_and_are_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(calibration, "SPLITS", 4)
    calibration.main(["--output", str(tmp_path / "made" / "here")])
    printed = capsys.readouterr().out
    plain, before, after = costs(printed).values()
    assert after < before < plain
    assert "The temperature makes 4 of 4 splits cheaper." in printed
    recorded = costs(PAGE.read_text())
    assert recorded.keys() == costs(printed).keys()
    assert after == pytest.approx([*recorded.values()][2], rel=0.5)
    picture = matplotlib.image.imread(tmp_path / "made" / "here" / "calibration.png")
    assert picture.shape[:2] == (900, 1200)


@pytest.fixture
def ten_words(monkeypatch):
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "one", "more"]
    texts = [[words[start:] + words[:start]] * 20 for start in range(10)]
    monkeypatch.setattr(datasets, "brown", lambda: ("Small corpus", [*texts, texts[0]]))


@pytest.mark.slow  # `.ci/run` runs the command in small
def test_table_has_all_arms_which_start_alike(ten_words, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(language, "QUICK", language.Size(None, 8, 12, 10, 2))
    assert command.main(["language", "--quick", "--output", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "10 words, 2 seeds" in text
    lines = [line.strip("|") for line in text.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    assert head[:5] == ["trained by", "perplexity", "rep/128", "seq-rep-4", "clamped steps"]
    assert [row[0] for row in rows] == list(language.ARMS)
    assert all(" ± " in cell for row in rows for cell in row[1:4])
    # Without a clamped step, the two formulas are the same but for rounding.
    assert rows[2][4] == "0.0%"
    assert rows[1][1:4] == rows[2][1:4] != rows[0][1:4]


def test_training_goes_on_from_the_last_checkpoint_to_the_same_end(ten_words, tmp_path):
    _, words, rows, held_out = example.corpus()
    batches = np.random.default_rng(0).choice(rows, (10, 2))
    steps, stop = [], []

    def step(*arguments):
        steps.append(1)
        if len(steps) in stop:
            raise KeyboardInterrupt
        return example.step(*arguments, loss=example.likelihood)

    def train(folder):
        model = example.LanguageModel(np.full(len(words), 3), 8, nnx.Rngs(0))
        with tqdm(disable=True) as bar:
            example.train(model, step, batches, (1e-2, 1e-3), held_out, tmp_path / folder, bar)
        return nnx.state(model)

    whole = train("whole")
    stop.append(len(steps) + 6)
    with pytest.raises(KeyboardInterrupt):
        train("interrupted")
    rest = train("interrupted")
    assert len(steps) == 10 + 6 + 6  # the last ones from the checkpoint after the fourth
    jax.tree.map(np.testing.assert_array_equal, rest, whole)
