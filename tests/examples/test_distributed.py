"""The example for several devices and machines, on the digits: what it reaches, what ends it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx

from examples import distributed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("standard_promotion")]

ROOT = Path(__file__).parents[2]
ONE, TWO = ("--processes=1", "--devices=4"), ("--processes=2", "--devices=2")
# Without the tests' own number of devices; compiled quickly, for a run of a few seconds.
SETTINGS = {"PYTHONPATH": str(ROOT), "XLA_FLAGS": "", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


@contextlib.contextmanager
def running(folder, epochs, *options):
    """The command as in a terminal of its own, and the file of what it prints."""
    command = [sys.executable, "-m", "examples.distributed", "--data=digits", *options]
    command += [f"--epochs={epochs}", f"--checkpoints={folder}"]
    log = folder.with_name(f"{time.monotonic_ns()}.txt")
    given = {"cwd": ROOT, "env": os.environ | SETTINGS, "start_new_session": True}
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file, **given) as run:
        try:
            yield run, log
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)


def complete(folder, epochs, *options):
    """Runs the command to its end; returns the cost that all its processes have printed."""
    with running(folder, epochs, *options) as (run, log):
        assert run.wait(300) == 0, log.read_text()
    costs = re.findall(rf"Real World Cost (\S+) on digits, {epochs} epochs", log.read_text())
    assert options[0] == f"--processes={len(costs)}"
    (cost,) = set(costs)
    return cost


def last(folder):
    """The number of epochs of the last checkpoint; one that is not whole has another name."""
    names = (path.name for path in (folder / "digits").glob("*"))
    return max((int(name) for name in names if name.isdecimal()), default=0)


def trained(folder, epochs):
    model = distributed.network(64)
    both = model, nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    with ocp.CheckpointManager(folder / "digits") as checkpoints:
        return checkpoints.restore(epochs, args=ocp.args.StandardRestore(nnx.state(both)))


def test_killed_process_ends_all_which_go_on_to_the_same_weights(tmp_path):
    ended, whole, one = (tmp_path / name for name in ("ended", "whole", "one"))
    with running(ended, 1000, *TWO) as (run, log):
        while last(ended) < 2:
            assert run.poll() is None, log.read_text()
            time.sleep(0.05)
        workers = subprocess.check_output(["pgrep", "-P", str(run.pid), "-f", "spawn_main"])
        os.kill(min(map(int, workers.split())), signal.SIGKILL)
        assert run.wait(60) == 1
    again = f"The same command goes on from the last checkpoint in {ended}."
    assert log.read_text().endswith(f"Process 0 got SIGKILL, so all end. {again}\n")

    epochs = last(ended) + 1
    cost = complete(whole, epochs, *TWO)
    assert complete(ended, epochs, *TWO) == cost == complete(one, epochs, *ONE)
    states = [trained(folder, epochs) for folder in (ended, whole, one)]
    jax.tree.map(np.testing.assert_array_equal, *states[:2])
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6), *states[1:])
