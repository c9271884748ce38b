"""Which costs check_costs refuses, and in which words."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

pytestmark = pytest.mark.always

NAN, INF = np.nan, np.inf
PAIRS = rwwce.pair_costs({(0, 1): 1.0}, 2)
EACH = rwwce.ExampleCosts(np.array([1.0, -1.0]), classes=[[0], [1]])
COST = "must be a finite cost >= 0"
FREE = "fn and fp must hold a cost above 0, got only zeros: no mistake costs."
OF_TWO = "fn must be a scalar or of shape (2,) for 2 classes, got shape (3,)."
NUMBERS = "must be costs, integers or floats, got dtype"
BY_CLASS = "actions must be a scalar or of shape"
ONE_ACTION = "for A actions, got shape (2,); what one action costs by class is actions[:, None]."
NO_CLASSES = (
    "for A actions, got shape (); where no other cost tells the number K of classes give "
    "fn=[...] * K."
)

# fn, fp, actions
VALUES = [
    (1, NAN, None, f"fp {COST}, got nan."),
    (INF, 1, None, f"fn {COST}, got inf."),
    (-2, -3, None, f"fn {COST}, got -2.0."),
    ([1, 2, -0.5], 0, None, f"fn[2] {COST}, got -0.5."),
    (1, [[0, 3], [-3, 0]], None, f"fp[1, 0] {COST}, got -3.0."),
    (1, [[0, 3, 1], [3, 0, NAN], [INF, 1, 0]], None, f"fp[1, 2] {COST}, got nan."),
    (1, [[-1, 3, 1], [3, 0, 1]], None, f"fp[0, 0] {COST}, got -1.0."),  # no matrix: no diagonal
    (1, 1e39, None, f"fp {COST} in float32, got 1e+39."),
    (0, dataclasses.replace(PAIRS, costs=-PAIRS.costs), None, f"fp.costs[0] {COST}, got -1.0."),
    (1, EACH, None, f"fp.costs[1] {COST}, got -1.0."),
    (0, 0, None, FREE),
    ([0, 0], [[5, 0], [0, 5]], None, FREE),
    ([1, 2, 3], [[0, 1], [1, 0]], None, OF_TWO),
    ([1, 2, 3], PAIRS, None, OF_TWO),
    (np.ones(3), np.ones(2), None, "fn and fp must have shapes that broadcast, got (3,) and (2,)."),
    ([1, 2], 0, -0.5, f"actions {COST}, got -0.5."),
    ([1, 2], 0, [[1.0], [NAN]], f"actions[1, 0] {COST}, got nan."),
    ([1, 2], 0, 1e39, f"actions {COST} in float32, got 1e+39."),
    ([0, 0], 0, 0.5, FREE),
    ([1, 2], 0, np.ones(2), f"{BY_CLASS} (2, A) {ONE_ACTION}"),
    ([1, 2], 0, np.ones((3, 1)), f"{BY_CLASS} (2, A) for A actions, got shape (3, 1)."),
    (1.0, 0, 0.5, f"{BY_CLASS} (K, A) {NO_CLASSES}"),
]
KINDS = [
    (True, 1, None, f"fn {NUMBERS} bool."),
    (1, [1j], None, f"fp {NUMBERS} complex128."),
    (None, 1, None, "fn must be an array of numbers, got None."),
    ([1, 2], 0, True, f"actions {NUMBERS} bool."),
    ([1, 2], 0, "ask", "actions must be an array of numbers, got 'ask'."),
]


@pytest.mark.parametrize(
    ("error", "fn", "fp", "actions", "message"),
    [(ValueError, *row) for row in VALUES] + [(TypeError, *row) for row in KINDS],
)
def test_costs_that_are_refused(error, fn, fp, actions, message):
    with pytest.raises(error) as caught:
        rwwce.check_costs(fn, fp, actions=actions)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("fn", "fp"),
    [
        (2000, 100),
        (0, 1),
        (np.ones(5), np.ones((4, 5))),  # costs of examples, for two classes
        (rwwce.ExampleCosts(np.ones(5)), 1.0),
        ([1, 0], PAIRS),
        ([0, 0], [[0, 1], [0, 0]]),
        (1, [[-5, 1], [1, NAN]]),
        (np.array([1, 2], np.uint8), np.ones((2, 2), np.int32)),
        (jnp.ones(3, jnp.bfloat16), 1),  # which the losses accept
        ([jnp.float32(1), jnp.float32(2)], 0),
    ],
)
def test_costs_that_pass(fn, fp):
    rwwce.check_costs(fn, fp)
