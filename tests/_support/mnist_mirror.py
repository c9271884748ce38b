"""MNIST's four files in small, and a server on this machine that has them or misbehaves."""

import gzip
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

TRAIN, TEST = 6, 4


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def small_files() -> dict[str, bytes]:
    """The four files in small: 6 and 4 images."""
    random = np.random.default_rng(0)
    files = {}
    for part, number in (("train", TRAIN), ("t10k", TEST)):
        images = random.integers(0, 256, (number, 28, 28), np.uint8)
        files[f"{part}-images-idx3-ubyte"] = idx(images)
        files[f"{part}-labels-idx1-ubyte"] = idx(random.integers(0, 10, number, np.uint8))
    return files


FILES = small_files()
VICTIM = "train-images-idx3-ubyte"


class Mirror(ThreadingHTTPServer):
    """A mirror on this machine, which can be told to misbehave on one file."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/mnist"
        self.bodies = {f"/mnist/{file}.gz": gzip.compress(body) for file, body in FILES.items()}
        self.asked: list[str] = []
        self.stall_after: int | None = None
        self.stalled = threading.Event()
        self.closing = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self._answer(self.server.bodies.get(self.path, b""))

    def _answer(self, body: bytes) -> None:
        self.send_response(200 if self.path in self.server.bodies else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.stall_after is not None and body:
            self.wfile.write(body[: self.server.stall_after])
            self.server.stalled.set()
            self.server.closing.wait(30)
        else:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
