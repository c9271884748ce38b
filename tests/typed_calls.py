"""Calls as the documentation shows them, for type checkers and not to be run."""

from typing import assert_type

import jax
import jax.numpy as jnp
import numpy as np

import rwwce_jax as rwwce

LOGITS, LABELS = jnp.zeros((4, 3)), np.array([0, 1, 2, 0])
TRUTHS, MATRIX = LABELS > 0, [[0.0, 1.0, 5.0], [2.0, 0.0, 0.0], [1.0, 1.5, 0.0]]

# Costs as numbers, lists, lists of lists, NumPy's and JAX's arrays, and the classes for costs.
assert_type(rwwce.binary(LOGITS[:, 0], TRUTHS, fn=2000, fp=[1.0, 2, 3, 4]), jax.Array)
assert_type(
    rwwce.categorical(LOGITS, LABELS, fn=1.0, fp=[[0, 1, 5], [2, 0, 0], [1, 1, 0]]), jax.Array
)
rwwce.categorical(LOGITS, LABELS, [1, 2, 3], MATRIX, reduction="none")
rwwce.categorical(LOGITS, LABELS, np.ones(3), jnp.ones((3, 3)), reduction="sum")
rwwce.categorical(LOGITS, LABELS, 1, rwwce.pair_costs({("a", "b"): 2.0}, class_names="abc"))
rwwce.categorical(LOGITS, LABELS, 1, rwwce.ExampleCosts(1.0, classes=LABELS[:, None]))
rwwce.multilabel(LOGITS, jnp.ones((4, 3)), 1, [1, 2, 3], fp_pairs=MATRIX)
rwwce.linear_categorical(jnp.ones((4, 2)), jnp.ones((2, 3)), LABELS, 1, fp=MATRIX)
costs = rwwce.costs_from_matrix([[0, 20], [1, 0]], class_names=["keep", "call"], split="fp_only")
rwwce.categorical(LOGITS, LABELS, *costs)
rwwce.Costs(fn=[1.0, 2.0], fp=[[0.0, 4.0], [0.0, 0.0]])
rwwce.check_costs(fn=1, fp=[[0, 3.0], [3.0, 0]])

# Decisions and metrics.
assert_type(rwwce.decide(LOGITS, 1, MATRIX), jax.Array)
rwwce.bayes_threshold(fn=[700, 300], fp=100.0)
rwwce.categorical_posterior(LOGITS, fn=[1, 2, 3], fp=MATRIX)
rwwce.real_world_cost_from_confusion([[90, 10], [2, 98]], [0, 2000], [[0, 100], [0, 0]])
rwwce.savings(15.0, LABELS, fn=2100.0, fp=[0.0, 50.0, 50.0, 100.0])
rwwce.savings(15.0, LABELS, fn=[1, 2, 3], fp=0, num_classes=3)
