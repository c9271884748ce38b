"""The example for several devices and machines, on the small digits: what it reaches, what ends it.

The first time limit is that of a busy machine, the second what the example promises.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx
from ports import free_port

import rwwce_jax as rwwce
from examples import datasets, distributed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("standard_promotion")]

ROOT = Path(__file__).parents[2]
RUN_SECONDS, END_SECONDS = 300, 60
ONE, TWO = ("--processes=1", "--devices=4"), ("--processes=2", "--devices=2")
ENDLESS = 1000  # epochs
# Without the tests' own number of devices; compiled quickly, for a run of a few seconds.
SETTINGS = {"PYTHONPATH": str(ROOT), "XLA_FLAGS": "", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


class Run(subprocess.Popen):
    """The command in a session of its own, as in a terminal of its own, and what it prints."""

    def __init__(self, folder, epochs, *options, **environment):
        command = [sys.executable, "-m", "examples.distributed", "--data=digits", *options]
        command += [f"--epochs={epochs}", f"--checkpoints={folder}"]
        self.log = folder.with_name(f"{folder.name}-{time.monotonic_ns()}.txt")
        given = {"cwd": ROOT, "env": os.environ | SETTINGS | environment}
        with self.log.open("w") as log:
            super().__init__(command, stdout=log, stderr=log, start_new_session=True, **given)

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def printed(self):
        return self.log.read_text().replace("\r", "\n")

    def end(self, seconds=END_SECONDS):
        """Waits; returns the exit code and the last line, once none of its processes is left."""
        deadline = time.monotonic() + seconds
        code = self.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < deadline:
                os.killpg(self.pid, 0)
                time.sleep(0.05)
            raise AssertionError("A process is left.")
        return code, self.printed().splitlines()[-1]


def last(folder):
    """The number of epochs of the last checkpoint; one that is not whole has another name."""
    names = (path.name for path in (folder / "digits").glob("*"))
    return max((int(name) for name in names if name.isdecimal()), default=0)


def wait_until(epochs, folder, *runs):
    deadline = time.monotonic() + RUN_SECONDS
    while last(folder) < epochs:
        for run in runs:
            assert run.poll() is None, run.printed()
            assert time.monotonic() < deadline, run.printed()
        time.sleep(0.05)


def complete(folder, epochs, *options):
    """Runs the command to its end; returns the costs that its processes have printed."""
    with Run(folder, epochs, *options) as run:
        code, _ = run.end(RUN_SECONDS)
    assert code == 0, run.printed()
    costs = re.findall(rf"Real World Cost (\S+) on digits, {epochs} epochs", run.printed())
    assert options[0] == f"--processes={len(costs)}", run.printed()
    return {float(cost) for cost in costs}


def trained(folder, epochs):
    """The model and the state of it and its optimizer, as this process reads them."""
    model = distributed.network(64)
    both = (model, nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param))
    like = ocp.args.StandardRestore(nnx.state(both))
    with ocp.CheckpointManager(folder / "digits") as checkpoints:
        nnx.update(both, checkpoints.restore(epochs, args=like))
    return model, nnx.state(both)


# `.ci/run` runs `make distributed` in small.
def test_two_processes_as_one(tmp_path):
    """Weights and moments but for rounding, and the same cost in each process."""
    one, two = tmp_path / "one", tmp_path / "two"
    (printed,) = complete(one, 3, *ONE) | complete(two, 3, *TWO)
    (_, state), (model, other) = trained(one, 3), trained(two, 3)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), state, other)

    data = datasets.mnist("digits")
    decided = model(data.test_images).argmax(-1)
    fp = rwwce.pair_costs({(4, 9): 19.0}, 10)
    cost = rwwce.categorical_real_world_cost(decided, data.test_labels, 1.0, fp)
    assert printed == pytest.approx(cost.item(), abs=1e-6)


def test_goes_on_to_the_same_weights(tmp_path):
    """A process killed, then a host, then Ctrl-C, which a terminal sends to all processes."""
    folder, whole = tmp_path / "ended", tmp_path / "whole"
    again = f"The same command goes on from the last checkpoint in {folder}."
    with Run(folder, ENDLESS, *TWO) as run:
        wait_until(2, folder, run)
        workers = subprocess.check_output(["pgrep", "-P", str(run.pid), "-f", "spawn_main"])
        os.kill(min(map(int, workers.split())), signal.SIGKILL)
        assert run.end() == (1, f"Process 0 got SIGKILL, so all end. {again}")

    # Two hosts: on one, JAX finds the others as Slurm says; on the other, the options say it.
    port = free_port()
    slurm = {"JOB_ID": 1, "STEP_NODELIST": "127.0.0.1", "NTASKS": 2, "LOCALID": 0, "PROCID": 0}
    environment = {f"SLURM_{name}": str(value) for name, value in slurm.items()}
    environment["JAX_COORDINATOR_PORT"] = str(port)
    options = ("--devices=2", "--processes=2", "--process=1", f"--coordinator=127.0.0.1:{port}")
    with (
        Run(folder, ENDLESS, "--devices=2", **environment) as host,
        Run(folder, ENDLESS, *options) as lost,
    ):
        wait_until(last(folder) + 1, folder, host, lost)
        os.killpg(lost.pid, signal.SIGKILL)
        assert host.end() == (1, f"The process of this host lost another one, so all end. {again}")

    with Run(folder, ENDLESS, *TWO) as run:
        wait_until(last(folder) + 1, folder, run)
        os.killpg(run.pid, signal.SIGINT)
        assert run.end() == (130, f"Interrupted. {again}")
    assert "Traceback" not in run.printed()

    epochs = last(folder) + 1
    assert complete(folder, epochs, *TWO) == complete(whole, epochs, *TWO)
    states = (trained(each, epochs)[1] for each in (folder, whole))
    jax.tree.map(np.testing.assert_array_equal, *states)
