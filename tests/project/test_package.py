"""What is published: the wheel, its metadata, the names it exports and what importing it costs."""

import re
import subprocess
import sys
import tomllib
import types
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import rwwce_jax

pytestmark = pytest.mark.always

ROOT = Path(__file__).parents[2]

# Built from pieces that do not match themselves: this file is among those that are searched.
REGISTRY = re.compile(
    r"(?:pypi|npmjs|yarnpkg|anaconda|conda)\.(?:com|io|org)|pythonhosted\.org|(?:index|registry)-url\b",
    re.IGNORECASE,
)
CONSTRAINT = re.compile(r"[a-z0-9.-]+==[0-9][0-9a-z.]*(; python_version (<|>=) \"3\.\d+\")?")


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """What the wheel says of itself."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


@pytest.mark.repository
def test_wheel_holds_the_package_alone(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    source = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("rwwce_jax/**/*.py")}
    assert held == source | {"rwwce_jax/py.typed"}


@pytest.mark.repository
def test_wheel_carries_its_licence(wheel: Path, metadata: Message):
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/licenses/LICENSE"))
        assert archive.read(name) == (ROOT / "LICENSE").read_bytes()


@pytest.mark.repository
def test_runtime_needs_jax_and_numpy_only(metadata: Message):
    requirements = [Requirement(text) for text in metadata.get_all("Requires-Dist")]
    assert {r.name for r in requirements if r.marker is None} == {"jax", "numpy"}
    assert all("extra ==" in str(r.marker) for r in requirements if r.marker is not None)
    extras = {"flax", "keras", "plot", "sklearn"}
    assert set(metadata.get_all("Provides-Extra")) == extras


@pytest.mark.repository
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


@pytest.mark.repository
def test_version_is_the_cited_one(metadata: Message):
    assert f"\nversion: {metadata['Version']}\n" in (ROOT / "CITATION.cff").read_text()


def test_import_brings_no_other_library():
    others = "{'flax', 'keras', 'matplotlib', 'optax', 'sklearn'}"
    code = f"import sys, rwwce_jax; print(*sorted({others} & sys.modules.keys()))"
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert printed.split() == []


def test_all_names_what_is_exported():
    public = {
        name
        for name, value in vars(rwwce_jax).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert set(rwwce_jax.__all__) == public


def test_tab_completion_shows_what_is_public():
    code = "import rwwce_jax as r; print(*dir(r)); import rwwce_jax.sklearn; print(*dir(r))"
    shown = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()
    public = {*rwwce_jax.__all__, "__version__"}
    assert [set(line.split()) for line in shown] == [public, public | {"sklearn"}]


@pytest.mark.repository
def test_version_is_that_of_the_wheel(metadata: Message):
    assert rwwce_jax.__version__ == metadata["Version"]


@pytest.mark.repository
def test_workflows_make_targets_that_exist():
    if not (ROOT / ".github").exists():
        pytest.skip("not a git checkout")
    workflow = (ROOT / ".github/workflows/tests.yml").read_text()
    named = re.findall(r"run: make ([\w-]+)", workflow)
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(named) == {"test", "test-all", "test-floor", "test-newest", "test-wheel"}
    assert set(named) <= set(targets)
    assert "run: .ci/run" in workflow  # make lint and make docs among it


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-floor.txt"])
@pytest.mark.repository
def test_constraints_are_exact(name: str):
    lines = (ROOT / name).read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert pins == sorted(pins, key=lambda pin: pin.split("==")[0])
    assert [pin for pin in pins if not CONSTRAINT.fullmatch(pin)] == []


@pytest.mark.repository
def test_no_file_names_a_package_registry():
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    texts = {path: path.read_bytes().decode(errors="replace") for path in paths if path.is_file()}
    assert [str(path) for path, text in texts.items() if REGISTRY.search(text)] == []
