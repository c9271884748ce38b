"""The language model: its experiment in small, and that training goes on where it stopped."""

import jax
import numpy as np
import pytest
from flax import nnx
from tqdm import tqdm

from examples import datasets
from examples import language as example
from experiments import command, language

pytestmark = [
    pytest.mark.repository,
    pytest.mark.experiments,
    pytest.mark.usefixtures("standard_promotion"),
]


@pytest.fixture(autouse=True)
def ten_words(monkeypatch):
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "one", "more"]
    texts = [[words[start:] + words[:start]] * 20 for start in range(10)]
    monkeypatch.setattr(datasets, "brown", lambda: ("Small corpus", [*texts, texts[0]]))


@pytest.mark.slow  # `.ci/run` runs the command in small
def test_table_has_all_arms_which_start_alike(monkeypatch, tmp_path, capsys):
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


def test_training_goes_on_from_the_last_checkpoint_to_the_same_end(tmp_path):
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
