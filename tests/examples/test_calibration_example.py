"""``python -m examples.calibration``: what it prints and draws, and what the docs say of it."""

import re
from pathlib import Path

import jax
import matplotlib.image
import pytest

from examples import calibration

pytestmark = [pytest.mark.repository, pytest.mark.experiments]

PAGE = Path(__file__).parents[2] / "docs" / "calibration.md"


def costs(text):
    """The mean cost of each row."""
    return {row: float(mean) for row, mean in re.findall(r"^\| (.+) \| ([\d.]+) ±", text, re.M)}


def test_temperatures_save_money_and_are_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(calibration, "SPLITS", 4)
    # As a user runs it: Adam computes decay**count of a float and an int32, a bias is added.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
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
