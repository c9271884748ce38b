"""Finished arms on disk: what an interrupted run keeps, and a second one goes on from."""

import dataclasses
import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

import rwwce_jax
from examples.commands import write
from examples.paper.data import Images, Plan

LIBRARIES = ("jax", "jaxlib", "numpy", "optax", "scipy", "scikit-learn", "imbalanced-learn")
# The files of this folder that what is stored depends on; the others only show it.
CODE = ("data.py", "training.py", "table1.py", "table2.py")


def versions() -> dict[str, str]:
    """The libraries that the results may depend on."""
    return {library: version(library) for library in LIBRARIES}


def device() -> str:
    """What the networks are trained on."""
    first = jax.devices()[0]
    return f"{len(jax.devices())} × {first.platform} {first.device_kind}"


def key(images: Images, plan: Plan, seed: int) -> str:
    """A hash of all that an arm's results depend on: options, data, code, libraries and device."""
    facts = [dataclasses.asdict(plan), seed, versions(), device()]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for array in images:
        digest.update(array.tobytes())
    here = Path(__file__).parent
    library = Path(rwwce_jax.__file__).parent
    for path in [*(here / name for name in CODE), *sorted(library.rglob("*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class Store:
    """The arms of one key, each in a file of its own.

    Another key is another folder: results of different options or code never meet.
    """

    def __init__(self, folder: Path, key: str) -> None:
        """Makes the folder."""
        self.folder = folder / key
        self.folder.mkdir(parents=True, exist_ok=True)

    def load(self, arm: str) -> Any:
        """Returns what was saved of an arm, or None."""
        try:
            return json.loads(self._path(arm).read_text())
        except FileNotFoundError:
            return None

    def save(self, arm: str, result: Any) -> None:
        """Saves an arm, whole or not at all."""
        write(self._path(arm), json.dumps(result).encode())

    def _path(self, arm: str) -> Path:
        return self.folder / f"{''.join(c if c.isalnum() else '-' for c in arm)}.json"
