"""Costs per label against a softmax on the positives: training, measures and what is printed."""

import jax
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score

from experiments import command
from experiments.rare_labels import measures, networks, report

pytestmark = [
    pytest.mark.repository,
    pytest.mark.experiments,
    pytest.mark.usefixtures("standard_promotion"),
]

SMALL = networks.Size(
    texts=60, words=40, frequent=4, width=8, batch=64, epochs=3, rates=(0.01, 0.03), seeds=2
)


@pytest.fixture(autouse=True)
def corpus(monkeypatch):
    """Sixty texts, each about one of four topics, with words of its own in every sentence."""
    rng = np.random.default_rng(0)

    def sentence(topic):
        common, own = (rng.choice(8, 3, replace=False) for _ in range(2))
        return [*(f"Of{word}" for word in common), *(f"t{topic}w{word}" for word in own), "."]

    texts = [[sentence(topic) for _ in range(20)] for topic in rng.choice(4, 60)]
    monkeypatch.setattr(networks.datasets, "brown", lambda: ("Small talk", texts))
    monkeypatch.setattr(networks, "QUICK", SMALL)


def test_command_prints_what_it_measured(capsys, tmp_path):
    assert command.main(["rare_labels", "--quick", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "40 words, of which a sentence has 6.0; 912, 114, 114 pairs" in printed
    rows = {}
    for line in printed.splitlines():
        if line.startswith("| "):
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            rows.setdefault(name, []).append([cell.split(" ± ")[0] for cell in cells])

    # The topic can be learned, and is no matter of the words' frequencies.
    by_frequency = float(rows[measures.FREQUENCY][0][3])
    for arm in (networks.SOFTMAX, networks.PLAIN, networks.MOST):
        losses, rankings = rows[arm]
        assert len(losses) == 2
        assert float(rankings[3]) > 1.2 * by_frequency

    # With the costs of the training, the posterior's decision is the sign of the logit.
    for name, column in ((networks.MANY, 1), (networks.MOST, 2)):
        [signs], [decided] = rows[name + measures.SIGN], rows[name + measures.DECIDED]
        assert signs[column] == decided[column]
        assert not any(cell for number, cell in enumerate(signs) if number != column)

    way, other = networks.SOFTMAX + measures.FITTED, networks.PLAIN + measures.DECIDED
    names = (way, other, f"{way}, less {other}")
    one, two, apart = (float(rows[name][0][1]) for name in names)
    assert apart == pytest.approx(one - two, abs=0.011)


@pytest.mark.parametrize("ratio", [None, 100.0])
def test_initial_biases_are_the_best_constant_answer(ratio):
    _, (pairs, *_) = networks.corpus.__wrapped__(SMALL)
    biases = networks.prior_of(pairs.labels, SMALL.words, ratio)
    weights = networks.start(jax.random.key(0), biases, SMALL.width)
    weights["labels"] *= 0
    slope = jax.jit(jax.grad(networks.mean_loss), static_argnums=2)
    assert np.abs(slope(weights, pairs, ratio)["label bias"]).max() < 1e-5
    weights["label bias"] += 0.1 * np.arange(SMALL.words) / SMALL.words
    assert np.abs(slope(weights, pairs, ratio)["label bias"]).max() > 1e-3


def test_rankings_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    scores, truth = rng.integers(0, 12, (50, 30)).astype(np.float32), rng.random((50, 30)) < 0.1
    truth[3] = False
    some = truth.any(1)
    measured = measures.average_precision(scores, truth)
    for row, value in enumerate(measured):
        expected = average_precision_score(truth[row], scores[row]) if some[row] else np.nan
        np.testing.assert_allclose(value, expected, rtol=1e-6)

    scores = rng.permuted(np.tile(np.arange(30.0), (50, 1)), axis=1)
    measured = measures.precision_at_5(scores, truth)
    np.testing.assert_allclose(measured[some], (truth & (scores >= 25)).sum(1)[some] / 5)
    assert np.isnan(measured[~some]).all()


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
