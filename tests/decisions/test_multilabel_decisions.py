"""The set of labels of least cost, against all sets there are."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from drawn_label_sets import draw

from rwwce_jax import multilabel_decide, multilabel_real_world_cost

INF, NAN = np.inf, np.nan


def sets(num_classes):
    return np.array(list(itertools.product([0, 1], repeat=num_classes)))


def cost_of_sets(all_sets, fn, fp, pairs):
    """The paper's matrix of 2^K by 2^K: rows are the truth, columns the decision."""
    off_diagonal = np.where(np.eye(len(fn), dtype=bool), 0, pairs)
    truth, decided = all_sets[:, None], all_sets[None]
    missed, false = truth & (1 - decided), decided & (1 - truth)
    return missed @ fn + false @ fp + np.sum(truth @ off_diagonal * false, axis=-1)


@pytest.mark.usefixtures("x64")
def test_no_set_of_labels_is_cheaper_if_they_are_independent():
    for num_classes in (1, 2, 5):
        rng = np.random.default_rng(num_classes)
        all_sets = sets(num_classes)
        for _ in range(20):
            _, probs, fn, fp, pairs = draw(rng, 1, num_classes, soft=True)
            chances = np.prod(np.where(all_sets, probs[0], 1 - probs[0]), axis=1)
            best = all_sets[np.argmin(chances @ cost_of_sets(all_sets, fn, fp, pairs))]
            decided = multilabel_decide(probs[0], fn, fp, fp_pairs=pairs)
            np.testing.assert_array_equal(decided, best)


@pytest.mark.always
@pytest.mark.parametrize(
    ("probs", "fn", "fp", "pairs", "expected"),
    [
        ([0.25, 0.75], 1.0, 1.0, None, [0, 1]),
        ([0.5, 0.5], 1.0, 1.0, None, [0, 0]),  # a tie
        ([1.0, 0.0], 0.0, 1.0, None, [0, 0]),  # never
        ([1.0, 0.0], 1.0, 0.0, None, [1, 0]),
        ([0.6, 0.4], 0.0, 0.0, None, [1, 0]),  # free either way
        ([0.6, 0.4], 1.0, [-1.0, 1.0], None, [1, 0]),
        ([0.6, 0.9], -1.0, [-1.0, 1.0], None, [-1, 0]),
        ([NAN, 0.7], 1.0, 1.0, None, [-1, 1]),
        ([1.1, -0.1], 1.0, 1.0, None, [-1, -1]),
        ([0.9, NAN], 1.0, 1.0, np.zeros((2, 2)), [-1, -1]),
        ([1.0, 0.6], 1.0, 1.0, [[INF, 1.0], [INF, NAN]], [-1, 0]),
    ],
)
def test_decisions_table(probs, fn, fp, pairs, expected):
    decided = multilabel_decide(jnp.array(probs), fn, fp, fp_pairs=pairs)
    np.testing.assert_array_equal(decided, expected)
    assert decided.dtype == jnp.int32


def test_undecided_is_nan_in_the_metric():
    assert np.isnan(multilabel_real_world_cost([[1, -1]], [[1, 0]], 1.0, 1.0))
