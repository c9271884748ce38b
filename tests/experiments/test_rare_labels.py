"""Costs per label against a softmax on the positives: training, measures and what is printed."""

import numpy as np
import pytest
from scipy import stats

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
    rows = {}
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("| "):
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            rows.setdefault(name, []).append([cell.split(" ± ")[0] for cell in cells])

    # The topic can be learned, and is no matter of the words' frequencies.
    by_frequency = float(rows[measures.FREQUENCY][0][3])
    for arm in (networks.SOFTMAX, networks.PLAIN, networks.MOST):
        assert float(rows[arm][1][3]) > 1.2 * by_frequency

    # With the costs of the training, the posterior's decision is the sign of the logit.
    for name, column in ((networks.MANY, 1), (networks.MOST, 2)):
        [signs], [decided] = rows[name + measures.SIGN], rows[name + measures.DECIDED]
        assert signs[column] == decided[column]


def test_precision_is_of_the_five_highest():
    rng = np.random.default_rng(0)
    scores, truth = rng.random((50, 30)).argsort(), rng.random((50, 30)) < 0.1
    some = truth.any(1)
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
