"""The command that reproduces the paper: a run in small, what it prints and what it keeps."""

import json
from pathlib import Path
from typing import Any

import pytest
from paper_in_small import PLAN, digits

from experiments.paper import __main__ as command
from experiments.paper import table1, table2, training

pytestmark = [pytest.mark.repository, pytest.mark.usefixtures("standard_promotion")]


def _must_not_train(*arguments: Any) -> None:
    raise AssertionError("trained")


def test_run_in_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = command.experiments(digits(), PLAN, 0, tmp_path)
    assert text.startswith("**A reduced run")
    assert text == (tmp_path / "report.md").read_text()
    for name in ("figure1", "table1", "table2"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    for arm in [*table1.ARMS.values(), *table2.ARMS.values()]:
        for method in arm[1]:
            assert f"| {method} " in text
    facts = json.loads((tmp_path / "report.json").read_text())
    assert set(facts["Table I"]["1"]) == set(table1.ARMS[table1.PAPERS].methods)
    for outcome in [*facts["Table I"]["0"].values(), *facts["Table I"]["1"].values()]:
        assert {len(values) for values in outcome.values()} == {10}

    # A second run goes on from the finished arms, and one with another seed does not.
    monkeypatch.setattr(training, "train", _must_not_train)
    assert command.experiments(digits(), PLAN, 0, tmp_path) == text
    with pytest.raises(AssertionError, match="trained"):
        command.experiments(digits(), PLAN, 7, tmp_path)
