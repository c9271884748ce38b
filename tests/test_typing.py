"""What a type checker accepts of the calls that the documentation shows, and what it refuses."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WRONG = [
    'rwwce.binary(z, y, 1, 1, reduction="average")',
    "rwwce.binary(z, y, 1, fp={0: 1})",
    'rwwce.categorical(z, y, fn="1", fp=1)',
    'rwwce.costs_from_matrix([[0, 1], [1, 0]], split="best")',
    "rwwce.binery(z, y, 1, 1)",
]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch):
    """mypy on a file, with this checkout's package."""
    api = pytest.importorskip("mypy.api")
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MYPYPATH", str(ROOT))
    return lambda path: api.run([str(path)])[0]


@pytest.mark.repository
def test_documented_calls_are_accepted(check):
    assert check(ROOT / "tests" / "typed_calls.py").startswith("Success")


@pytest.mark.repository
def test_each_wrong_call_is_an_error(check, tmp_path: Path):
    lines = ["import numpy as np", "import rwwce_jax as rwwce", "z, y = np.ones(2), np.ones(2)"]
    path = tmp_path / "wrong.py"
    path.write_text("\n".join([*lines, *WRONG]))
    found = [int(line.split(":")[1]) for line in check(path).splitlines() if ": error: " in line]
    assert found == [len(lines) + 1 + i for i in range(len(WRONG))]
