"""Two processes with two devices each, over the loopback address: the numbers of one process."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from ports import free_port

import rwwce_jax as rwwce
from rwwce_jax.flax import RealWorldCost

BATCH, CLASSES = 16, 8
RNG = np.random.default_rng(0)
LOGITS = np.float32(RNG.normal(size=(BATCH, CLASSES)) * 4)
IDS = RNG.integers(0, CLASSES, BATCH).astype(np.int32)
FN = np.float32(RNG.random(CLASSES) + 0.5)
MATRIX = np.float32(RNG.random((CLASSES, CLASSES)) * 3)
PAIRS = {(k, (k * 3 + 1) % CLASSES): k + 1.0 for k in range(CLASSES - 1)}
SECONDS = 120


def results(logits, ids):
    """What each process prints: all of it is on every device, or its own part of the batch."""
    found = {}
    for name, fp in {"matrix": MATRIX, "pairs": rwwce.pair_costs(PAIRS, CLASSES)}.items():
        loss = jax.jit(jax.value_and_grad(lambda z, y, fp=fp: rwwce.categorical(z, y, FN, fp)))
        found[f"loss, {name}"], found[f"gradient, {name}"] = loss(logits, ids)
        decided = rwwce.decide(jax.nn.softmax(logits), FN, fp)
        found[f"decisions, {name}"] = decided
        found[f"cost, {name}"] = rwwce.categorical_real_world_cost(decided, ids, FN, fp)
        metric = RealWorldCost(FN, fp)
        metric.update(logits=logits, labels=ids)
        metric.update(predictions=decided, labels=ids)
        found[f"metric, {name}"] = metric.compute()
    found["confusion"] = rwwce.confusion_matrix(logits.argmax(-1), ids, CLASSES)
    found["threshold"] = rwwce.best_threshold(logits.max(-1), ids % 2, 3.0, 1.0)
    return found


def work(process: int, port: int, kind: str) -> None:
    """The program of one of the processes: prints every part of the results that it holds."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, process)
    assert jax.device_count() == 4
    assert jax.local_device_count() == 2
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType[kind],))
    sharding = NamedSharding(mesh, P("data"))
    arrays = (
        jax.make_array_from_callback(array.shape, sharding, lambda part, array=array: array[part])
        for array in (LOGITS, IDS)
    )
    held = {
        name: [
            (
                [s.indices(n)[:2] for s, n in zip(shard.index, array.shape, strict=True)],
                np.asarray(shard.data).tolist(),
            )
            for shard in array.addressable_shards
        ]
        for name, array in results(*arrays).items()
    }
    print(json.dumps(held), flush=True)
    jax.distributed.shutdown()


@pytest.mark.slow
@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", ["Explicit", "Auto"])
def test_two_processes_as_one(kind, tmp_path):
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    port, deadline = free_port(), time.monotonic() + SECONDS
    processes = []
    try:
        for process in range(2):
            program = f"import test_processes; test_processes.work({process}, {port}, {kind!r})"
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

    one_process = jax.tree.map(np.asarray, results(jnp.asarray(LOGITS), jnp.asarray(IDS)))
    # Gloo prints lines of its own before.
    parts = [json.loads((tmp_path / f"{i}.out").read_text().splitlines()[-1]) for i in range(2)]
    for name, expected in one_process.items():
        covered = np.zeros(expected.shape, bool)
        for index, data in parts[0][name] + parts[1][name]:
            part = tuple(slice(*bounds) for bounds in index)
            np.testing.assert_allclose(data, expected[part], 1e-5, 1e-6, err_msg=name)
            covered[part] = True
        assert covered.all(), name
    # The gradient stays where the logits are: a quarter of the examples on each device.
    assert {np.shape(data) for _, data in parts[0]["gradient, matrix"]} == {(BATCH // 4, CLASSES)}
