"""The notebook for Colab, run from its first cell to its last on virtual devices."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.repository

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "rwwce_on_colab.ipynb"

# In a process of its own: the client leaves sockets to the garbage collector, which is a warning.
RUN = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=240).execute()
nbformat.write(notebook, sys.argv[1])
"""

# Run after the notebook's own cells: what was split, and what the compiler made of it.
CHECK = """
print("shards", sorted(shard.index[1].start or 0 for shard in batches[0].addressable_shards))
state = jax.device_put((initial, optimizer.init(initial)), replicated)
program = train_epoch.lower(state, jax.random.key(0), batches, real_world).compile().as_text()
print("share of a batch", "f32[16,128]" in program)
print("whole batch", "f32[128,128]" in program)
print("sum over devices", "all-reduce" in program)
print("weights replicated", all(w.is_fully_replicated for w in jax.tree.leaves(weights)))
"""


def read() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_notebook_is_valid_and_holds_no_outputs():
    notebook = read()
    nbformat.validate(notebook)
    identifiers = [cell["id"] for cell in notebook.cells]
    assert len(set(identifiers)) == len(identifiers)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_every_step_is_explained():
    kinds = [cell.cell_type for cell in read().cells]
    assert kinds[0] == "markdown"
    assert kinds[1:] == ["markdown", "code"] * ((len(kinds) - 1) // 2)


def run(folder: Path) -> nbformat.NotebookNode:
    """Runs the notebook and one cell of checks in ``folder``, and returns it with its outputs."""
    notebook = read()
    notebook.cells.append(nbformat.v4.new_code_cell(CHECK, id="check"))
    copy = folder / NOTEBOOK.name
    nbformat.write(notebook, copy)
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
        "RWWCE_NOTEBOOK_DATA": "digits",
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
    }
    command = [sys.executable, "-c", RUN, copy.name]
    subprocess.run(command, cwd=folder, env=environment, check=True, timeout=300)
    return nbformat.read(copy, as_version=4)


def test_notebook_trains_over_all_devices(tmp_path):
    outputs = {cell.id: cell.get("outputs", []) for cell in run(tmp_path).cells}
    text = {
        name: "".join(output.text for output in cell if output.get("name") == "stdout")
        for name, cell in outputs.items()
    }
    assert text["devices"].startswith("8 x ")
    assert text["shard"] == "12 batches of 128, split over 8 devices\n"
    assert text["check"].splitlines() == [
        "shards [0, 16, 32, 48, 64, 80, 96, 112]",
        "share of a batch True",
        "whole batch False",
        "sum over devices True",
        "weights replicated True",
    ]
    header, *rows = text["table"].splitlines()
    assert header.split("  ")[0] == "trained with"
    assert [row[:37].split(maxsplit=1)[0] for row in rows] == ["cross-entropy"] * 2 + ["RWWCE"] * 2
    for row in rows:
        accuracy, costly, cost = row[37:].split()
        assert float(accuracy.rstrip("%")) > 90
        mistakes = round(257 * (1 - float(accuracy.rstrip("%")) / 100))
        assert float(cost) == pytest.approx((mistakes + 19 * int(costly)) / 257, abs=1e-4)
    (displayed,) = outputs["picture"]
    picture = base64.b64decode(displayed.data["image/png"])
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000
