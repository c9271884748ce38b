"""Two processes with two devices each, over the loopback address: the numbers of one process."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from ports import free_port
from public_functions import BATCH, ROWS, SHARED, results

SECONDS = 300


# What computes when it is imported comes after the first line.
PROGRAM = """
import jax; jax.distributed.initialize("127.0.0.1:{port}", 2, {process})
import test_processes
test_processes.work({kind!r})
"""


def work(kind: str) -> None:
    """What one of the processes does: it prints every part of the results that it holds."""
    assert jax.device_count() == 4
    assert jax.local_device_count() == 2
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType[kind],))
    sharding = NamedSharding(mesh, P("data"))
    batch = {
        name: jax.make_array_from_callback(x.shape, sharding, lambda part, x=x: x[part])
        for name, x in BATCH.items()
    }
    held = [
        [
            (
                [s.indices(n)[:2] for s, n in zip(shard.index, array.shape, strict=True)],
                np.asarray(shard.data).tolist(),
            )
            for shard in array.addressable_shards
        ]
        for array in jax.tree.leaves(jax.jit(results)(batch, SHARED))
    ]
    print(json.dumps(held), flush=True)
    jax.distributed.shutdown()


@pytest.mark.slow
@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", ["Explicit", "Auto"])
def test_two_processes_as_one(kind, tmp_path):
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    port, deadline = free_port(), time.monotonic() + SECONDS
    processes = []
    try:
        for process in range(2):
            program = PROGRAM.format(port=port, process=process, kind=kind)
            printed, errors = (tmp_path / f"{process}.{ending}" for ending in ("out", "err"))
            with printed.open("w") as out, errors.open("w") as err:
                command = [sys.executable, "-c", program]
                processes.append(subprocess.Popen(command, env=environment, stdout=out, stderr=err))
        for running in processes:
            running.wait(deadline - time.monotonic())
    finally:
        for running in processes:
            running.kill()
            running.wait()
    for process, running in enumerate(processes):
        assert running.returncode == 0, (tmp_path / f"{process}.err").read_text()

    one_process = jax.tree_util.tree_leaves_with_path(jax.jit(results)(BATCH, SHARED))
    # Gloo prints lines of its own before.
    parts = [json.loads((tmp_path / f"{i}.out").read_text().splitlines()[-1]) for i in range(2)]
    for (name, expected), *held in zip(one_process, *parts, strict=True):
        covered = np.zeros(expected.shape, bool)
        for index, data in held[0] + held[1]:
            part = tuple(slice(*bounds) for bounds in index)
            np.testing.assert_allclose(data, expected[part], 2e-5, 1e-6, err_msg=str(name))
            covered[part] = True
        assert covered.all(), name
        # A gradient stays where the logits are: a part of the examples on each device.
        if len(name) > 1 and name[1].idx == 1:
            assert {len(data) for _, data in held[0]} == {ROWS // 4}, name
