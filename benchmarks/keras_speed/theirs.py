"""Keras on TensorFlow: run by a Python that has both, and nothing of ours.

``theirs.py FILE STEPS`` prints, as JSON, the seconds that the second epoch of each table's network
takes on the data in FILE, with STEPS batches handed to TensorFlow at once.
"""

import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers, ops


def seconds(file: str, steps: int) -> dict[str, float]:
    """The seconds of each table's second epoch."""
    arrays = np.load(file)
    fp = np.zeros((10, 10), np.float32)
    fp[0, 1] = 19

    def logarithm(p: Any) -> Any:
        return ops.log(ops.clip(p, 1e-7, 1))

    def binary(y: Any, p: Any) -> Any:
        return -ops.mean(2000 * y * logarithm(p) + 100 * (1 - y) * logarithm(1 - p))

    def categorical(y: Any, p: Any) -> Any:
        return -ops.mean(ops.sum(y * logarithm(p) + ops.matmul(y, fp) * logarithm(1 - p), axis=-1))

    def second_epoch(widths: list[int], last: str, loss: Any, x: Any, y: Any) -> float:
        hidden = [layers.Dense(width, "relu") for width in widths[:-1]]
        model = keras.Sequential([*hidden, layers.Dense(widths[-1], last)])
        model.compile(optimizer="adam", loss=loss, steps_per_execution=steps)
        ends = []
        clock = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda *_: ends.append(time.perf_counter())
        )
        model.fit(x, y, batch_size=100, epochs=2, verbose=0, callbacks=[clock])
        return ends[1] - ends[0]

    return {
        "Table I": second_epoch(
            [10, 1], "sigmoid", binary, arrays["x1"], arrays["y1"][:, np.newaxis]
        ),
        "Table II": second_epoch(
            [50, 20, 10], "softmax", categorical, arrays["x2"], np.eye(10, dtype="f")[arrays["y2"]]
        ),
    }


if __name__ == "__main__":
    print(json.dumps(seconds(sys.argv[1], int(sys.argv[2]))))
