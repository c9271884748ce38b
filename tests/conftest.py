"""What every test runs under: eight CPU devices, and nothing promoted in silence."""

import gc
import math
import os
import subprocess
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

# Read by JAX when it is imported and when it first looks for devices.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
)
os.environ["KERAS_BACKEND"] = "jax"  # read by Keras when it is imported

import hypothesis
import jax
import pytest
from precision import enable_x64

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# Most programs run once here: LLVM's optimizations would take longer than they save.
jax.config.update("jax_disable_most_optimizations", True)

# The same examples in every run; no deadline, because the first call of a shape compiles.
hypothesis.settings.register_profile("repository", deadline=None, derandomize=True, max_examples=15)
hypothesis.settings.load_profile("repository")
hypothesis.settings.register_profile("all", max_examples=60)

ROOT = Path(__file__).parents[1]

gc.set_threshold(50_000, 20, 20)  # tracing makes many objects, few of them garbage


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what is slow
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks most cases of a table as slow: `make test` runs a sample, `make test-all` all of them.

    The sample of n cases has the square root of n, or of n / m of a table marked `sampled(m)`, and
    none that is marked `always` is left out. It is always the same, but drawn by a checksum: every
    n-th case would leave out whole rows of a table.

    Skips what needs the package's source where its wheel is tested (`make test-wheel`).
    """
    tables = defaultdict(list)
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        if hasattr(item, "callspec") and not marks & {"always", "slow"}:
            tables[item.nodeid.partition("[")[0]].append(item)
    for table in tables.values():
        sampled = table[0].get_closest_marker("sampled")
        number = (len(table) / (sampled.args[0] if sampled else 1)) ** 0.5
        table.sort(key=lambda item: zlib.crc32(item.name.encode()))
        for item in table[math.ceil(number) :]:
            item.add_marker(pytest.mark.slow)
    if (ROOT / "rwwce_jax").is_dir():
        return
    for item in items:
        if item.get_closest_marker("repository"):
            item.add_marker(pytest.mark.skip(reason="the package's source is not here"))


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Forgets what JAX traced and compiled for a file, and freezes what modules hold.

    Else Python's garbage collector looks through all of it again and again.
    """
    if nextitem is None or nextitem.path != item.path:
        jax.clear_caches()
        gc.collect()
        gc.freeze()


@pytest.fixture
def x64() -> Iterator[None]:
    """Runs the test in double precision; inside `hypothesis.given`, enter the context itself."""
    with enable_x64(True):
        yield


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without network by the backend that is installed."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def standard_promotion() -> Iterator[None]:
    """JAX's defaults, which Optax and Keras count on, as in ``decay**count``."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(autouse=True)
def compilation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Optimizes what a test compiles as users' programs are, where it is marked so."""
    optimized = request.node.get_closest_marker("optimized") is not None
    jax.config.update("jax_disable_most_optimizations", not optimized)
    yield
    jax.config.update("jax_disable_most_optimizations", True)
