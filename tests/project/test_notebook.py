"""The notebook for Colab, run from its first cell to its last on virtual devices."""

import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path

import flax
import jax
import nbformat
import numpy as np
import pytest

import rwwce_jax

pytestmark = pytest.mark.repository

ROOT = Path(__file__).parents[2]
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
print(sorted(shard.index[1].start or 0 for shard in batches[0].addressable_shards))
state = jax.device_put((initial, optimizer.init(initial)), replicated)
program = train_epoch.lower(state, jax.random.key(0), batches, real_world).compile().as_text()
share, whole, are_summed = (x in program for x in ("f32[16,128]", "f32[128,128]", "all-reduce"))
print(share, not whole, are_summed, all(w.is_fully_replicated for w in jax.tree.leaves(weights)))
"""


def test_notebook_is_valid_explains_every_step_and_holds_no_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds == ["markdown", *["markdown", "code"] * (len(kinds) // 2)]
    assert len({cell["id"] for cell in notebook.cells}) == len(kinds)
    for cell in notebook.cells[2::2]:
        assert (cell.outputs, cell.execution_count) == ([], None)


def run(folder: Path, wheel: Path, notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Runs a notebook beside the wheel, which it installs alone, into a folder of its own."""
    shutil.copy(wheel, folder)
    copy = folder / NOTEBOOK.name
    nbformat.write(notebook, copy)
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
        "RWWCE_NOTEBOOK_DATA": "digits",
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_TARGET": str(folder / "site"),
        "PYTHONPATH": str(folder / "site"),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
    }
    command = [sys.executable, "-c", RUN, copy.name]
    subprocess.run(command, cwd=folder, env=environment, check=True, timeout=300)
    return nbformat.read(copy, as_version=4)


def test_a_restart_is_asked_for_where_pip_replaced_what_is_loaded(tmp_path: Path, wheel: Path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    loaded = nbformat.v4.new_code_cell("import numpy; numpy.__version__ = '1.0'", id="loaded")
    (install,) = (cell for cell in notebook.cells if cell.id == "install")
    install.metadata["tags"] = ["raises-exception"]
    notebook.cells = [loaded, install]
    outputs = run(tmp_path, wheel, notebook).cells[1].outputs
    (stopped,) = (output for output in outputs if output.output_type == "error")
    assert stopped.ename == "SystemExit"
    assert stopped.evalue == "pip replaced numpy: restart the session, then run this cell again."


@pytest.mark.docs
def test_notebook_trains_over_all_devices(tmp_path: Path, wheel: Path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    # Colab's own kernel has it loaded before the first cell.
    notebook.cells.insert(0, nbformat.v4.new_code_cell("import numpy", id="numpy"))
    notebook.cells.append(nbformat.v4.new_code_cell(CHECK, id="check"))
    outputs = {cell.id: cell.get("outputs", []) for cell in run(tmp_path, wheel, notebook).cells}
    text = {
        name: "".join(output.text for output in cell if output.get("name") == "stdout")
        for name, cell in outputs.items()
    }
    (installed,) = (line for line in text["install"].splitlines() if "installed" in line)
    said = f"Successfully installed rwwce-jax-{rwwce_jax.__version__}"
    assert installed.replace("_", "-") == said
    *packages, devices = text["devices"].splitlines()
    modules = (rwwce_jax, jax, flax, np)
    assert packages == [f"{module.__name__} {module.__version__}" for module in modules]
    assert devices.startswith("8 x ")
    assert text["shard"] == "12 batches of 128, split over 8 devices\n"
    assert text["check"] == f"{list(range(0, 128, 16))}\nTrue True True True\n"
    header, *rows = text["table"].splitlines()
    assert header.split("  ")[0] == "trained with"
    assert [row[:37].split(maxsplit=1)[0] for row in rows] == ["cross-entropy"] * 2 + ["RWWCE"] * 2
    for row in rows:
        accuracy, costly, cost = row[37:].split()
        assert float(accuracy.rstrip("%")) > 90
        mistakes = round(257 * (1 - float(accuracy.rstrip("%")) / 100))
        assert float(cost) == pytest.approx((mistakes + 19 * int(costly)) / 257, abs=1e-4)
    (displayed,) = outputs["picture"]
    assert len(base64.b64decode(displayed.data["image/png"])) > 10_000
