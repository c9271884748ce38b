"""The networks of `make paper`, all those of a table at once.

``python -m benchmarks.keras_speed.ours`` prints, as JSON, the seconds per network of one epoch of
each table, that of compiling left out.
"""

import json
import time

import numpy as np

from experiments.paper import data, networks, table1, table2


def seconds() -> dict[str, float]:
    """The seconds of an epoch of each table's networks, by their number."""
    images = data.images("mnist", data.FULL)

    def epoch(splits, task, losses, widths) -> float:
        examples = [data.Examples(each.train) for each in splits]

        def train(epochs: int) -> float:
            started = time.perf_counter()
            networks.train(images, examples, task, losses, widths, epochs, 0, 1)
            return time.perf_counter() - started

        # Both compile; the shorter has two epochs less.
        return (train(3) - train(1)) / 2 / (len(losses) * len(splits))

    digits, splits = data.binary_sets(images.classes, data.FULL, 0)
    task = table1.Task(digits, np.ones((len(digits), 2), np.float32))
    pairs = data.pairs(data.FULL)
    fp = np.zeros((len(pairs), 10, 10), np.float32)
    fp[np.arange(len(pairs)), pairs[:, 0], pairs[:, 1]] = 19
    every = data.categorical_sets(len(images.classes), data.FULL, 0)
    return {
        "Table I": epoch(splits, task, table1.ARMS[table1.PAPERS].losses, table1.WIDTHS),
        "Table II": epoch(
            every, table2.Task(fp, fp[:, 0]), [table2.ARMS["RWWCE"].loss], table2.WIDTHS
        ),
    }


if __name__ == "__main__":
    print(json.dumps(seconds()))
