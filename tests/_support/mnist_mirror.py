"""MNIST's four files in small, and a server on this machine that has them or misbehaves."""

import gzip
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np


def _idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


_random = np.random.default_rng(0)
FILES = {}
for part, number in (("train", 6), ("t10k", 4)):
    images = _random.integers(0, 256, (number, 28, 28), np.uint8)
    FILES[f"{part}-images-idx3-ubyte"] = _idx(images)
    FILES[f"{part}-labels-idx1-ubyte"] = _idx(_random.integers(0, 10, number, np.uint8))
VICTIM = "train-images-idx3-ubyte"


class Mirror(ThreadingHTTPServer):
    """A mirror on this machine, whose files a test may replace."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/mnist"
        self.bodies = {f"/mnist/{file}.gz": gzip.compress(body) for file, body in FILES.items()}
        self.asked = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self._answer(b"")

    def do_GET(self):
        self.server.asked.append(self.path)
        self._answer(self.server.bodies.get(self.path, b""))

    def _answer(self, body):
        self.send_response(200 if self.path in self.server.bodies else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
