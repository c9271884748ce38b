"""The language model: what it prints, and that an interrupted run goes on to the same end."""

import pytest

from examples import datasets, language
from examples.language import ARMS, Size

pytestmark = [
    pytest.mark.repository,
    pytest.mark.slow,  # dozens of checkpoints
    pytest.mark.usefixtures("standard_promotion"),
]

TINY = Size(None, 8, 12, 10, 2)


@pytest.fixture(autouse=True)
def small_corpus(monkeypatch):
    """Eleven texts, the last of which is held out; each says the same again and again."""
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "one", "more"]
    texts = [[words[start:] + words[:start]] * 20 for start in range(10)]
    monkeypatch.setattr(datasets, "brown", lambda: ("Small corpus", [*texts, texts[0]]))


def measures(text):
    """The rows of the table, but for the time of a step."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")][:-1] for line in lines]


def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path, monkeypatch):
    whole = language.run(TINY, tmp_path / "whole")
    head, _, *rows = measures(whole)
    assert head == ["trained by", "perplexity", "rep/128", "seq-rep-4", "clamped steps"]
    assert [row[0] for row in rows] == list(ARMS)
    assert all(" ± " in cell for row in rows for cell in row[1:4])
    # All start from the same weights: without a clamped step, two are the same but for rounding.
    assert rows[2][4] == "0.0%"
    assert rows[1][1:4] == rows[2][1:4] != rows[0][1:4]
    assert "10 words, 2 seeds" in whole
    assert "Peak memory" in whole

    step, calls = language.step, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) in (5, 17, 30):  # in the first phase, and in two of the arms
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(language, "step", interrupted)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            language.run(TINY, tmp_path / "interrupted")
    assert measures(language.run(TINY, tmp_path / "interrupted")) == measures(whole)
    every_step = 2 * (TINY.shared_steps + len(ARMS) * TINY.arm_steps)
    assert every_step < len(calls) < 2 * every_step
