"""What is published: the wheel and its metadata; and what the repository pins and names."""

import re
import subprocess
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import rwwce_jax

pytestmark = pytest.mark.repository

ROOT = Path(__file__).parents[2]

# Built from pieces that do not match themselves: this file is among those that are searched.
REGISTRY = re.compile(
    r"(?:pypi|npmjs|yarnpkg|anaconda|conda)\.(?:com|io|org)|pythonhosted\.org|(?:index|registry)-url\b",
    re.IGNORECASE,
)
CONSTRAINT = re.compile(r"[a-z0-9.-]+==[0-9][0-9a-z.]*(; python_version (<|>=) \"3\.\d+\")?")


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_wheel_holds_the_package_and_its_licence_alone(wheel: Path, metadata: Message):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (licence,) = (name for name in names if name.endswith("/licenses/LICENSE"))
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
    source = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("rwwce_jax/**/*.py")}
    assert {x for x in names if ".dist-info/" not in x} == source | {"rwwce_jax/py.typed"}
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]


def test_runtime_needs_jax_and_numpy_only(metadata: Message):
    requirements = [Requirement(text) for text in metadata.get_all("Requires-Dist")]
    assert {r.name for r in requirements if r.marker is None} == {"jax", "numpy"}
    assert all("extra ==" in str(r.marker) for r in requirements if r.marker is not None)
    assert set(metadata.get_all("Provides-Extra")) == {"flax", "keras", "plot", "sklearn"}


def test_the_floor_is_what_make_test_floor_installs(metadata: Message):
    """Those are Colab's packages, so that pip has nothing to upgrade there."""
    lines = (ROOT / "constraints-floor.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    for text in metadata.get_all("Requires-Dist") + groups["examples"]:
        asked = Requirement(text)
        (least,) = (Version(one.version) for one in asked.specifier if one.operator == ">=")
        pinned = {Version(str(pin.specifier)[2:]) for pin in pins if pin.name == asked.name}
        assert min(pinned) == least, asked.name


def test_version_is_that_of_the_package_and_the_cited_one(metadata: Message):
    assert rwwce_jax.__version__ == metadata["Version"]
    assert f"\nversion: {metadata['Version']}\n" in (ROOT / "CITATION.cff").read_text()


def test_constraints_are_exact():
    for name in ("constraints.txt", "constraints-floor.txt"):
        lines = (ROOT / name).read_text().splitlines()
        pins = [line for line in lines if not line.startswith("#")]
        assert pins == sorted(pins, key=lambda pin: pin.split("==")[0])
        assert [pin for pin in pins if not CONSTRAINT.fullmatch(pin)] == []


def test_no_file_names_a_package_registry():
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    texts = {path: path.read_bytes().decode(errors="replace") for path in paths if path.is_file()}
    assert [str(path) for path, text in texts.items() if REGISTRY.search(text)] == []
