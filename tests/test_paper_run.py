"""The command that reproduces the paper: a run in small, what it prints and what it keeps."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from paper_in_small import PLAN, digits

from experiments.paper import __main__ as command
from experiments.paper import table1, table2, training

pytestmark = [
    pytest.mark.repository,
    pytest.mark.experiments,
    pytest.mark.usefixtures("standard_promotion"),
]


def _must_not_train(*arguments: Any) -> None:
    raise AssertionError("trained")


@pytest.mark.slow  # `.ci/run` runs `make paper-quick`
def test_run_in_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of arms that differ in the loss or the resampling alone, one: each takes a second to compile.
    for arm in ("weighted losses", "oversampling", "undersampling"):
        monkeypatch.delitem(table1.ARMS, arm)
    for arm in ("RWWCE with fn = 0", "expected-cost weights"):
        monkeypatch.delitem(table2.ARMS, arm)
    text = command.experiments(digits(), PLAN, 0, tmp_path)
    assert text.startswith("**A reduced run")
    assert text == (tmp_path / "report.md").read_text()
    for name in ("figure1", "table1", "table2"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    for each in [*table1.ARMS.values(), *table2.ARMS.values()]:
        for method in each[1]:
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


def test_ctrl_c_leaves_no_traceback(tmp_path: Path) -> None:
    code = "import os, runpy, signal, sys\nsys.argv[1:] = ['--quick', '--output', sys.argv[1]]\n"
    code += "from examples import datasets\n"
    code += "datasets.mnist = lambda source: os.kill(os.getpid(), signal.SIGINT)\n"
    code += "runpy.run_module('experiments.paper', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGINT
    assert done.stderr == ""


@pytest.mark.parametrize("option", ["--seed=-1", "--seed=2147483648", "--seed=x"])
def test_refuses_a_wrong_option(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main([option])
    assert "argument --seed" in capsys.readouterr().err
