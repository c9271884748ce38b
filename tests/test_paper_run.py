"""The command that reproduces the paper: a reduced run, and what it keeps of it."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import pytest
from paper_in_small import PLAN, digits, load_digits

import rwwce_jax as rwwce
from examples import mnist
from experiments.paper import __main__ as command
from experiments.paper import data, store, table1, table2, training

pytestmark = [pytest.mark.repository, pytest.mark.usefixtures("standard_promotion")]


def test_reduced_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make paper-quick`, on the digits that are there without a network."""
    monkeypatch.setattr(mnist, "load", load_digits)
    arguments = ["--quick", f"--output={tmp_path}"]
    assert command.main(arguments) == 0
    text, facts = (tmp_path / "report.md").read_text(), _facts(tmp_path)
    assert text in capsys.readouterr().out
    for name in ("figure1", "table1", "table2"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert [len(facts[t]) for t in ("Table I", "Table II", "Table I, seed 1")] == [14, 7, 8]
    for method in [*facts["Table I"], *facts["Table II"]]:
        assert f"| {method} " in text
    assert text.startswith("**A reduced run")
    assert facts["bands"] == []
    assert facts["command"] == "python -m experiments.paper --seed=0 --quick"
    assert facts["versions"]["jax"] == jax.__version__

    # A second run goes on from the finished arms, and one with another option does not.
    monkeypatch.setattr(training, "train", _must_not_train)
    assert command.main(arguments) == 0
    assert capsys.readouterr().err.count("kept from a run before") == 11
    assert _facts(tmp_path) == facts
    with pytest.raises(AssertionError, match="trained"):
        command.main([*arguments, "--seed=1"])


def _facts(folder: Path) -> Any:
    return json.loads((folder / "report.json").read_text())


def _must_not_train(*arguments: Any, **options: Any) -> None:
    raise AssertionError("trained")


def test_interrupt_keeps_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def finish(*_: Any) -> dict[str, Any]:
        return {"outcomes": {}, "seconds": {"training": 0, "all": 0}}

    def interrupt(arm: Any, images: Any, plan: Any, seed: int, name: str, between: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        between()

    monkeypatch.setattr(mnist, "load", load_digits)
    monkeypatch.setattr(table1, "run", finish)
    monkeypatch.setattr(table2, "run", interrupt)
    assert command.main(["--quick", f"--output={tmp_path}"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        "Interrupted; the arms that are finished are kept."
    )
    assert len(list((tmp_path / "arms").glob("*/*.json"))) == len(table1.ARMS)
    assert not (tmp_path / "report.md").exists()


@pytest.mark.parametrize("option", ["--seed=-1", "--seed=2147483648", "--seed=x"])
def test_refuses_a_wrong_option(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main([option])
    assert "argument --seed" in capsys.readouterr().err


def test_help_imports_no_jax() -> None:
    code = "import sys; sys.argv = ['paper', '--help']\n"
    code += "try:\n import runpy; runpy.run_module('experiments.paper', run_name='__main__')\n"
    code += "finally:\n assert 'jax' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


# --- Store ----------------------------------------------------------------------------------------


def test_key_follows_options_data_and_code(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [
        store.key(digits(), PLAN, 0),
        store.key(digits(), PLAN, 1),
        store.key(digits(), data.QUICK, 0),
        store.key(digits()._replace(classes=digits().classes[::-1]), PLAN, 0),
    ]
    monkeypatch.setattr(store, "CODE", store.CODE[1:])
    keys.append(store.key(digits(), PLAN, 0))
    monkeypatch.setattr(store, "device", lambda: "another")
    keys.append(store.key(digits(), PLAN, 0))
    monkeypatch.setattr(store, "versions", lambda: {"jax": "another"})
    keys.append(store.key(digits(), PLAN, 0))
    read = Path.read_bytes
    of_library = max(Path(rwwce.__file__).parent.rglob("*.py"), key=lambda path: len(path.parts))
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + b"#" * (path == of_library))
    keys.append(store.key(digits(), PLAN, 0))
    assert len(set(keys)) == len(keys)
    assert keys[-1] == store.key(digits(), PLAN, 0)


def test_store_gives_back_what_it_took(tmp_path: Path) -> None:
    kept = store.Store(tmp_path, "key")
    assert kept.load("Table I, an arm") is None
    kept.save("Table I, an arm", {"outcomes": [1]})
    assert store.Store(tmp_path, "key").load("Table I, an arm") == {"outcomes": [1]}
    assert store.Store(tmp_path, "other").load("Table I, an arm") is None
