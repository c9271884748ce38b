"""What a type checker accepts of the calls that the documentation shows, and what it refuses."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import assert_type

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

ROOT = Path(__file__).parents[2]
LOGITS, LABELS, PROBS = jnp.zeros((4, 3)), np.array([0, 1, 2, 0]), np.full((4, 3), 1 / 3)
MATRIX = [[0.0, 1.0, 5.0], [2.0, 0.0, 0.0], [1.0, 1.5, 0.0]]
WRONG = """
import numpy as np
import rwwce_jax as rwwce
z, y = np.ones(2), np.ones(2)
rwwce.binary(z, y, 1, 1, reduction="average")
rwwce.binary(z, y, 1, fp={0: 1})
rwwce.categorical(z, y, fn="1", fp=1)
rwwce.costs_from_matrix([[0, 1], [1, 0]], split="best")
rwwce.binery(z, y, 1, 1)"""


def documented_calls() -> None:
    """Costs as numbers, lists, lists of lists, arrays, and the classes for costs."""
    assert_type(rwwce.binary(LOGITS[:, 0], LABELS > 0, fn=2000, fp=[1.0, 2, 3, 4]), jax.Array)
    assert_type(rwwce.decide(PROBS, 1, MATRIX), jax.Array)
    rwwce.categorical(LOGITS, LABELS, fn=1.0, fp=[[0, 1, 5], [2, 0, 0], [1, 1, 0]])
    rwwce.categorical(LOGITS, LABELS, [1, 2, 3], MATRIX, reduction="none")
    rwwce.categorical(LOGITS, LABELS, np.ones(3), jnp.ones((3, 3)), reduction="sum")
    rwwce.categorical(LOGITS, LABELS, 1, rwwce.pair_costs({("a", "b"): 2.0}, class_names="abc"))
    rwwce.categorical(LOGITS, LABELS, 1, rwwce.ExampleCosts(1.0, classes=LABELS[:, None]))
    rwwce.multilabel(LOGITS, jnp.ones((4, 3)), 1, [1, 2, 3], fp_pairs=MATRIX)
    rwwce.linear_categorical(jnp.ones((4, 2)), jnp.ones((2, 3)), LABELS, 1, fp=MATRIX)
    costs = rwwce.costs_from_matrix([[0, 20], [1, 0]], class_names=["keep", "call"])
    rwwce.categorical(LOGITS[:, :2], LABELS % 2, *costs)
    rwwce.Costs(fn=[1.0, 2.0], fp=[[0.0, 4.0], [0.0, 0.0]])
    rwwce.check_costs(fn=1, fp=[[0, 3.0], [3.0, 0]])
    rwwce.bayes_threshold(fn=[700, 300], fp=100.0)
    rwwce.categorical_posterior(LOGITS, fn=[1, 2, 3], fp=MATRIX)
    rwwce.real_world_cost_from_confusion([[90, 10], [2, 98]], [0, 2000], [[0, 100], [0, 0]])
    rwwce.savings(15.0, LABELS > 0, fn=2100.0, fp=[0.0, 50.0, 50.0, 100.0])
    rwwce.savings(15.0, LABELS, [1, 2, 3], 0, num_classes=3, actions=0.2, right=[0, -1, -2])
    assert_type(rwwce.decide(PROBS, 1, MATRIX, actions=[[0.2], [0.1], [1.0]]), jax.Array)
    rwwce.bayes_threshold(*rwwce.binary_costs([[0, 20], [1, 0]]))
    costs.ordered(np.array(["call", "keep"]))


def test_documented_calls_run() -> None:
    jax.eval_shape(documented_calls)  # without compiling what other tests run


@pytest.mark.repository
def test_documented_calls_are_accepted_and_each_wrong_one_refused(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    path = tmp_path / "wrong.py"
    path.write_text(WRONG)
    command = [sys.executable, "-m", "mypy", "--no-pretty", __file__, str(path)]
    here = os.environ | {"MYPYPATH": str(ROOT)}  # this checkout's package
    run = subprocess.run(command, cwd=ROOT, env=here, capture_output=True, text=True)
    errors = re.findall(r"^(.*): error: ", run.stdout, re.MULTILINE)
    assert [Path(error).name for error in errors] == [f"wrong.py:{line}" for line in range(5, 10)]
