"""The networks of `make paper`, all those of a table at once.

``python -m benchmarks.keras_speed.ours`` prints, as JSON, the seconds per network of each table's
second epoch.
"""

import dataclasses
import json
import os
import time

from experiments.commands import cores

# One CPU device for each core, as `make paper` has. Read when JAX is imported.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(cores()))

from examples import mnist
from experiments.paper import data, table1, table2, training


def seconds() -> dict[str, float]:
    """The seconds of each table's second epoch, by the number of networks."""
    plan = dataclasses.replace(data.FULL, epochs=2)
    images = data.images(mnist.load("mnist"), plan)

    def second_epoch(table, arm: str, losses: int) -> float:
        moments = []
        outcome = table.run(
            table.ARMS[arm], images, plan, 0, arm, lambda: moments.append(time.perf_counter())
        )
        networks = losses * len(next(iter(outcome["outcomes"].values()))["examples"])
        return (moments[-1] - moments[-1 - training.CALLS]) / networks

    return {
        "Table I": second_epoch(table1, table1.PAPERS, 2),
        "Table II": second_epoch(table2, "RWWCE", 1),
    }


if __name__ == "__main__":
    print(json.dumps(seconds()))
