"""Seconds per network and epoch: Keras on TensorFlow, one network at a time, against ours.

``python -m benchmarks.keras_speed --keras PYTHON`` where PYTHON has tensorflow-cpu. The two take
turns on the same machine, each time in a new process, and the medians are compared. Both train on
RWWCE (ours for Table I on cross-entropy too, as `make paper` does). Compilation is left out on both
sides: what is timed is the second epoch.
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROUNDS = 3
GOAL = 10  # times as fast, for each table
ROOT = Path(__file__).parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark, or as a process of its own one contestant.

    Args:
        arguments: The command line, default ``sys.argv[1:]``.

    Returns:
        The exit code: 0 if both goals are met, else 1.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keras", required=True, help="a Python that has tensorflow-cpu")
    parser.add_argument("--output", type=Path, help="where to write the seconds as JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        return _compare(options, str(Path(folder, "mnist.npz")))


def _compare(options: argparse.Namespace, file: str) -> int:
    import numpy as np

    from examples import mnist
    from examples.paper import data

    images = data.images(mnist.load("mnist"), data.FULL)
    digits, splits = data.binary_sets(images.classes, data.FULL, seed=0)
    rows = splits[0].train
    every = data.categorical_sets(len(images.classes), data.FULL, seed=0)[0].train
    np.savez(
        file,
        x1=images.pixels[rows],
        y1=(images.classes[rows] == digits[0]).astype(np.float32),
        x2=images.pixels[every],
        y2=images.classes[every],
    )
    commands = {
        "Keras": [options.keras, __file__, "keras", file],
        "ours": [sys.executable, __file__, "ours", file],
    }
    seconds = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
            seconds[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{name}: {seconds[name][-1]}", file=sys.stderr, flush=True)
    return _report(seconds, options.output)


def _report(seconds: dict[str, list[dict[str, float]]], output: Path | None) -> int:
    worst = float("inf")
    print("Seconds per network and epoch, medians of", ROUNDS, "rounds")
    for table in ("Table I", "Table II"):
        keras, ours = (
            statistics.median(each[table] for each in seconds[name]) for name in ("Keras", "ours")
        )
        worst = min(worst, keras / ours)
        print(
            f"{table}: Keras {keras:.3f}, ours {ours:.4f}: {keras / ours:.0f} times as fast"
            f" (goal: {GOAL})"
        )
    if output:
        output.write_text(json.dumps(seconds, indent=1) + "\n")
    return 0 if worst >= GOAL else 1


def _keras(file: str) -> dict[str, float]:
    import keras
    import numpy as np
    from keras import layers, ops

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
        model.compile(optimizer="adam", loss=loss)
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


def _ours() -> dict[str, float]:
    from examples import mnist
    from examples.paper import data, table1, table2, training

    plan = dataclasses.replace(data.FULL, epochs=2)
    images = data.images(mnist.load("mnist"), plan)

    def second_epoch(table, arm: str, losses: int) -> float:
        moments = []
        outcome = table.run(
            table.ARMS[arm], images, plan, 0, arm, lambda: moments.append(time.perf_counter())
        )
        networks = losses * len(next(iter(outcome["outcomes"].values()))["examples"])
        return (moments[-1] - moments[training.CALLS - 1]) / networks

    return {
        "Table I": second_epoch(table1, "the paper's", 2),
        "Table II": second_epoch(table2, "RWWCE", 1),
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["keras"]:
        print(json.dumps(_keras(sys.argv[2])))
    elif sys.argv[1:2] == ["ours"]:
        os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(os.cpu_count()))
        print(json.dumps(_ours()))
    else:
        sys.exit(main())
