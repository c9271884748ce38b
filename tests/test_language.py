"""The language model: what its command prints, and that Ctrl-C keeps what is done for the next."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.language import ARMS, Size

pytestmark = [pytest.mark.repository, pytest.mark.experiments]

ROOT = Path(__file__).parents[1]
TINY = Size(None, 8, 12, 10, 2)
STEPS = TINY.seeds * (TINY.first_steps + len(ARMS) * TINY.steps)

# A quick run made tiny, on texts that are made here; each step takes as long as it is told to.
COMMAND = f"""
import sys, time
from examples import datasets
from examples import language as example
from experiments import language

def brown():
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "one", "more"]
    texts = [[words[start:] + words[:start]] * 20 for start in range(10)]
    return "Small corpus", [*texts, texts[0]]

def slow_step(*arguments, loss):
    global steps
    steps += 1
    time.sleep(pause)
    return step(*arguments, loss=loss)

steps, step = 0, example.step
datasets.brown, example.step, language.QUICK = brown, slow_step, language.{TINY}
pause, folder = float(sys.argv[1]), sys.argv[2]
sys.argv[1:] = ["--quick", f"--output={{folder}}"]
language.main()
print("Steps:", steps)
"""


def start(folder, pause=0.0):
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(pause), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": "", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
    )


def end(running):
    """Returns what was printed without times and memory, and how many steps were made."""
    try:
        said, errors = running.communicate(timeout=600)
    finally:
        running.kill()
    assert running.returncode == 0, errors.decode()
    text, steps = said.decode().rsplit("Steps:", 1)
    text = re.sub(r"(\d+\.\d\d|nan) \|$", "", text, flags=re.MULTILINE)
    return re.sub(r"[\d.]+ (GB|minutes)", "", text), int(steps)


def check(text):
    """The table: a row for each arm, all of which start from the same weights."""
    lines = [line.strip("|") for line in text.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    assert head[:5] == ["trained by", "perplexity", "rep/128", "seq-rep-4", "clamped steps"]
    assert [row[0] for row in rows] == list(ARMS)
    assert all(" ± " in cell for row in rows for cell in row[1:4])
    # Without a clamped step, the two formulas are the same but for rounding.
    assert rows[2][4] == "0.0%"
    assert rows[1][1:4] == rows[2][1:4] != rows[0][1:4]
    assert "10 words, 2 seeds" in text
    assert "Peak memory" in text


@pytest.mark.slow  # a minute, in three processes; `.ci/run` runs the command in small
def test_interrupted_command_goes_on_to_the_same_end(tmp_path):
    running = start(tmp_path / "interrupted", pause=0.2)
    try:
        deadline = time.monotonic() + 300
        while not list(tmp_path.glob("*/*/checkpoints/seed 0/costs, exact/[0-9]*")):
            assert running.poll() is None, running.stderr.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130
    assert b"The same command goes on from the last checkpoint" in errors.splitlines()[-1]
    assert b"Traceback" not in errors

    whole, steps = end(start(tmp_path / "whole"))
    check(whole)
    assert steps == STEPS
    rest, steps = end(start(tmp_path / "interrupted"))
    assert steps <= STEPS - TINY.first_steps - TINY.steps  # of the first seed, at least
    assert rest == whole
