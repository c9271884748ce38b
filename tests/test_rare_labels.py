import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score

from experiments.rare_labels import __main__ as command
from experiments.rare_labels import report, training

pytestmark = [
    pytest.mark.repository,
    pytest.mark.experiments,
    pytest.mark.usefixtures("standard_promotion"),
]

ROOT = Path(__file__).parents[1]
SMALL = training.Size(
    texts=60, words=40, frequent=4, width=8, batch=64, epochs=3, rates=(0.01, 0.03), seeds=2
)


def corpus():
    """Sixty texts, each about one of four topics, with words of its own in every sentence."""
    rng = np.random.default_rng(0)
    return "Small talk", [
        [
            [f"Of{word}" for word in rng.choice(8, 3, replace=False)]
            + [f"t{topic}w{word}" for word in rng.choice(8, 3, replace=False)]
            + ["."]
            for _ in range(20)
        ]
        for topic in rng.choice(4, 60)
    ]


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(training.datasets, "brown", corpus)
    monkeypatch.setattr(training, "QUICK", SMALL)


def test_command_prints_and_writes_what_it_measured(small, capsys, tmp_path):
    assert command.main(["--quick", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "rare_labels.md").read_text().endswith(printed)
    numbers = json.loads((tmp_path / "rare_labels.json").read_text())
    means = numbers["means by seed"]
    assert "40 words, of which a sentence has 6.0; 912, 114, 114 pairs" in printed

    tried, rows = {}, {}
    for line in printed.splitlines():
        if line.startswith("| "):
            name, *cells = line.removesuffix(" |")[2:].split(" | ")
            # An arm's first row is that of the learning rates.
            (rows if name in tried or name not in training.ARMS else tried)[name] = cells
    for name, columns in means.items():
        if not name.startswith(report.FREQUENCY):  # without a spread
            filled = filter(None, rows[name])
            for cell, of_seeds in zip(filled, columns.values(), strict=True):
                mean, spread = map(float, cell.split(" ± "))
                rounding = 0.51 * 0.1 ** (len(cell) - 1 - cell.rindex("."))
                assert mean == pytest.approx(np.mean(of_seeds), abs=rounding)
                assert spread == pytest.approx(np.std(of_seeds, ddof=1), abs=rounding)

    for of in numbers["tried"]:
        loss = tried[of["arm"]][SMALL.rates.index(of["rate"])]
        assert float(loss) == pytest.approx(of["validation loss"], abs=0.51e-4)

    # The topic can be learned, and is no matter of the words' frequencies.
    for arm in (training.SOFTMAX, training.PLAIN, training.MOST):
        assert np.min(means[arm]["AP, rare"]) > 1.2 * means[report.FREQUENCY]["AP, rare"][0]

    # With the costs of the training, the posterior's decision is the sign of the logit.
    for name, arm in training.ARMS.items():
        if arm.ratio and arm.ratio > 1:
            signs, decided = means[name + report.SIGN], means[name + report.DECIDED]
            assert list(signs) == [f"fn = {arm.ratio:.0f}"]
            for column in signs:
                np.testing.assert_allclose(signs[column], decided[column], rtol=1e-5)

    way, other = training.SOFTMAX + report.FITTED, training.PLAIN + report.DECIDED
    expected = np.mean(means[way]["fn = 10"]) - np.mean(means[other]["fn = 10"])
    cell = rows[f"{way}, less {other}"][1]
    assert float(cell.split(" ± ")[0]) == pytest.approx(expected, abs=0.0051)


def test_interrupt_ends_without_a_traceback_and_writes_nothing(tmp_path):
    program = (
        "import runpy, signal; from examples import datasets;"
        "datasets.brown = lambda: signal.raise_signal(signal.SIGINT);"
        "runpy.run_module('experiments.rare_labels', run_name='__main__', alter_sys=True)"
    )
    command = [sys.executable, "-c", program, "--output", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == -signal.SIGINT
    assert run.stderr == ""
    assert not list(tmp_path.iterdir())


def test_output_that_cannot_be_written_is_refused_before_the_training(small, capsys, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        command.main(["--quick", "--output", str(tmp_path / "file")])
    assert "argument --output: cannot write to" in capsys.readouterr().err


@pytest.mark.parametrize("ratio", [None, 1.0, 100.0])
def test_initial_biases_are_the_best_constant_answer(small, ratio):
    _, (pairs, *_) = training.corpus(SMALL)
    biases = training.prior_of(pairs.labels, SMALL.words, ratio)
    weights = training.start(jax.random.key(0), biases, SMALL.width)
    weights["labels"] *= 0
    slope = jax.grad(training.mean_loss)(weights, pairs, ratio)["label bias"]
    assert np.abs(slope).max() < 1e-5
    weights["label bias"] += 0.1 * np.arange(SMALL.words) / SMALL.words
    moved = jax.grad(training.mean_loss)(weights, pairs, ratio)["label bias"]
    assert np.abs(moved).max() > 1e-3


def test_rankings_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    scores, truth = rng.integers(0, 12, (50, 30)).astype(np.float32), rng.random((50, 30)) < 0.1
    truth[3] = False
    measured = report.average_precision(scores, truth)
    for row in range(50):
        if not truth[row].any():
            assert np.isnan(measured[row])
        else:
            expected = average_precision_score(truth[row], scores[row])
            assert measured[row] == pytest.approx(expected, rel=1e-6)

    scores = rng.permuted(np.tile(np.arange(30.0), (50, 1)), axis=1)
    expected = (truth & (scores >= 25)).sum(1) / 5
    measured = report.precision_at_5(scores, truth)
    np.testing.assert_allclose(measured[truth.any(1)], expected[truth.any(1)])
    assert np.isnan(measured[3])


def test_interval_of_a_difference():
    rng = np.random.default_rng(0)
    values, others = rng.normal(size=(2, 40))
    mean, half = report.difference(values, others, np.arange(40))
    interval = stats.ttest_rel(values, others).confidence_interval()
    np.testing.assert_allclose([mean - half, mean + half], interval)

    # A text's sentences are one observation: to have each twice makes nothing more certain.
    twice = report.difference(values.repeat(2), others.repeat(2), np.arange(40).repeat(2))
    np.testing.assert_allclose(twice, (mean, half))
    gaps = np.r_[values, np.nan], np.r_[others, 1.0], np.r_[np.arange(40), 3]
    np.testing.assert_allclose(report.difference(*gaps), (mean, half))


def test_numbers_of_the_docs_are_those_of_the_recorded_run():
    page = (ROOT / "docs" / "multilabel.md").read_text()
    section = page.partition("## Thousands of rare labels")[2].partition("\n## ")[0]
    recorded = (ROOT / "benchmarks" / "results" / "rare_labels.md").read_text()
    figures = re.findall(r"\d+\.\d+ ± \d+\.\d+|\d+\.\d{2,}", section)
    assert len(figures) > 30
    assert [figure for figure in figures if figure not in recorded] == []
