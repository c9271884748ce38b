"""The example for several devices and machines, on the small digits: what ends it, and its result.

Two processes with two devices each, and one with four. The time limits are those of a busy machine.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from test_processes import free_port

ROOT = Path(__file__).parents[1]
EPOCHS = 6
RUN_SECONDS = 300
END_SECONDS = 60  # what the example promises, heartbeats of JAX included


class Run:
    """One command, whose output goes to a file, so that a full pipe stops nothing."""

    def __init__(self, folder, *arguments):
        self.printed = folder.with_name(f"{folder.name}-{time.monotonic_ns()}.txt")
        command = [sys.executable, "-m", "examples.distributed", "--data=digits"]
        command += [f"--epochs={EPOCHS}", f"--checkpoints={folder}", *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        environment.pop("XLA_FLAGS")  # it would set the number of devices
        with self.printed.open("w") as file:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT
            )

    def end(self, seconds=RUN_SECONDS):
        """Waits, and returns the exit code and what was printed."""
        code = self.process.wait(seconds)
        return code, self.printed.read_text()

    def children(self):
        """The processes that this one started to work in, by number."""
        listed = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
        )
        rows = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
        own = [row for row in rows if int(row[1]) == self.process.pid and "spawn_main" in row[2]]
        return sorted(int(row[0]) for row in own)


@pytest.fixture
def start(tmp_path):
    """Starts commands, none of which outlives the test."""
    runs = []

    def start(name, *arguments):
        runs.append(Run(tmp_path / name, *arguments))
        return runs[-1]

    yield start
    for run in runs:
        workers = run.children()
        run.process.kill()
        run.process.wait()
        for worker in workers:  # each ends by itself as well
            try:
                os.kill(worker, signal.SIGKILL)
            except ProcessLookupError:
                continue


def cost_and_state(run, folder):
    """What each process printed, which is one cost, and the last checkpoint as arrays."""
    code, printed = run.end()
    assert code == 0, printed
    costs = set(re.findall(rf"Real World Cost (\S+) on digits, {EPOCHS} epochs", printed))
    assert len(costs) == 1, printed
    with ocp.CheckpointManager(
        folder / "digits", item_handlers=ocp.StandardCheckpointHandler()
    ) as checkpoints:
        assert checkpoints.latest_step() == EPOCHS
        shapes = checkpoints.item_metadata(EPOCHS)
        here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        as_arrays = jax.tree.map(
            lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=here), shapes
        )
        state = checkpoints.restore(EPOCHS, args=ocp.args.StandardRestore(as_arrays))
    return costs.pop(), jax.tree.leaves_with_path(state)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unkilled") / "checkpoints"
    run = Run(folder, "--processes=2", "--devices=2")
    try:
        return cost_and_state(run, folder)
    finally:
        run.process.kill()
        run.process.wait()


def test_two_processes_as_one(start, tmp_path, expected):
    cost, state = cost_and_state(start("one", "--processes=1", "--devices=4"), tmp_path / "one")
    assert cost == expected[0]
    assert len(state) == 20  # weights, and Adam's two moments of each
    for (path, array), (other_path, other) in zip(state, expected[1], strict=True):
        assert path == other_path
        np.testing.assert_allclose(array, other, rtol=1e-4, atol=1e-6, err_msg=str(path))


def wait_for_checkpoint(folder, after, run):
    """Waits for a whole checkpoint later than that, which is not the last: returns its number."""
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        steps = [int(path.name) for path in (folder / "digits").glob("*") if path.name.isdecimal()]
        if max(steps, default=0) > after:
            return max(steps)
        assert run.process.poll() is None, run.printed.read_text()
        time.sleep(0.01)
    raise AssertionError(run.printed.read_text())


def ended(run):
    """The last line that a command prints which has lost a process."""
    code, printed = run.end(END_SECONDS)
    assert code == 1
    assert "Traceback" not in printed
    return printed.splitlines()[-1]


@pytest.mark.xfail(run=False, reason="not yet shown: its wait for a checkpoint fails")
def test_killed_and_started_again(start, tmp_path, expected):
    """Killed under the launcher, then as one of two commands, then left to reach the end."""
    folder = tmp_path / "killed"
    again = f"The same command goes on from the last checkpoint in {folder}."

    run = start("killed", "--processes=2", "--devices=2")
    reached = wait_for_checkpoint(folder, 0, run)
    workers = run.children()
    os.kill(workers[1], signal.SIGKILL)
    assert ended(run) == f"Process 1 got SIGKILL, so all end. {again}"
    with pytest.raises(ProcessLookupError):
        os.kill(workers[0], 0)

    by_hand = ["--processes=2", "--devices=2", f"--coordinator=127.0.0.1:{free_port()}"]
    first, second = (start("killed", *by_hand, f"--process={number}") for number in range(2))
    reached = wait_for_checkpoint(folder, reached, first)
    second.process.kill()
    assert ended(first) == f"Process 0 lost another one, so all end. {again}"

    last = start("killed", "--processes=2", "--devices=2")
    cost, state = cost_and_state(last, folder)
    shown = re.search(r"(\d+)/(\d+) \[", last.printed.read_text())  # the progress bar's first line
    assert int(shown[2]) > int(shown[1]) >= reached * int(shown[2]) // EPOCHS
    assert cost == expected[0]
    for (path, array), (other_path, other) in zip(state, expected[1], strict=True):
        assert path == other_path
        np.testing.assert_array_equal(array, other, err_msg=str(path))
