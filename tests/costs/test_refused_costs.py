"""Which costs are refused, and how: one sentence, the same eagerly and under jit."""

import dataclasses
import re

import numpy as np
import pytest
from refusals import (
    BETWEEN_CLASSES,
    COMPLEX,
    COSTLY,
    IDS,
    KEYS,
    MATRIX,
    ONE_HOT,
    PAIRS,
    SCORES,
    TRUTHS,
    assert_refused,
    eagerly,
    ones,
    refuses,
)

import rwwce_jax as rwwce
from rwwce_jax import plot

pytestmark = pytest.mark.always

EACH = rwwce.ExampleCosts(SCORES)
OWN = "; costs of each example are rwwce_jax.ExampleCosts"
EXAMPLES = (rwwce.categorical, rwwce.linear_categorical, rwwce.categorical_real_world_cost)
TWO_CLASSES = (
    "fn and fp must be scalars or one cost per example, got those of costs_from_matrix, shapes "
    "(2,) and (2, 2); for two classes use rwwce_jax.binary_costs."
)
BROADCAST = "must be a scalar or broadcast to the shape of the examples"
BY_CLASS = "must be a scalar or of shape (3,) for 3 classes, got shape"
BETWEEN = "must be a scalar or of shape (3, 3) for 3 classes, got shape"
ROWS_AND_COLUMNS = "fp_pairs must have one row and one column per class, shape (3, 3), got shape ()"
IMAGES = {"logits": ones(2, 3, 4, 5), "labels": ones(2, 4, 5, dtype=int)}
MANY_IMAGES = "for 5 classes, got shape"
AXIS_1 = "; for classes along axis 1 give axis=1 to the loss"
CHANNELS = "(2, 3, 4, 5), got shape (3,); one cost per channel of axis 1 is fn[:, None, None]"

test_shapes = refuses(
    ValueError,
    {
        # Costs of classes.
        **{
            f"fp {BETWEEN} {shape}.": [
                (function, {"fp": ones(*shape)})
                for function in (rwwce.categorical, rwwce.real_world_cost_from_confusion)
            ]
            for shape in ((2, 2), (3,), (1, 3), (4, 3, 3))
        },
        f"fp {BETWEEN} (4, 3){OWN}.": [(function, {"fp": ones(4, 3)}) for function in EXAMPLES],
        f"fp {BETWEEN} (4, 3).": [(rwwce.real_world_cost_from_confusion, {"fp": ones(4, 3)})],
        **{
            f"fn {BY_CLASS} {shape}.": [
                (function, {"fn": ones(*shape)})
                for function in (rwwce.real_world_cost_from_confusion, rwwce.multilabel)
            ]
            for shape in ((4,), (1,), (3, 1), (3, 3))
        },
        f"fn {BY_CLASS} (4,){OWN}.": [
            (function, {"fn": ones(4), "fp": MATRIX}) for function in EXAMPLES
        ],
        f"fp {BY_CLASS} (3, 3).": [(rwwce.multilabel_real_world_cost, {"fp": MATRIX})],
        f"{ROWS_AND_COLUMNS}.": [
            (rwwce.multilabel, {"fp_pairs": 1.0}),
            (rwwce.multilabel_real_world_cost, {"fp_pairs": 1.0}),
        ],
        f"fp_pairs {BETWEEN} (3, 4).": [
            (rwwce.multilabel, {"fp_pairs": ones(3, 4)}),
            (rwwce.multilabel_decide, {"fp_pairs": ones(3, 4)}),
        ],
        **{
            f"{name} must hold the costs of 2 or more classes, got shape {shape}.": [
                (rwwce.categorical_real_world_cost, {name: ones(*shape)})
            ]
            for name, shape in (("fn", (1,)), ("fn", (0,)), ("fp", (1, 1)), ("fp", (0, 0)))
        },
        # Costs of examples, which must not enlarge the loss.
        **{
            f"{name} {BROADCAST} (4,), got shape {shape}.": [
                (function, {name: ones(*shape)})
                for function in (rwwce.binary, rwwce.binary_real_world_cost, rwwce.savings)
            ]
            for name, shape in (("fn", (4, 1)), ("fp", (3,)), ("fp", (2, 1, 4)))
        },
        # Costs of channels, by which PyTorch's users weigh images (N, C, H, W).
        f"fn {BROADCAST} {CHANNELS}.": [
            (rwwce.binary, IMAGES | {"labels": ones(2, 3, 4, 5), "fn": ones(3)}),
        ],
        f"fn must be a scalar or of shape (5,) {MANY_IMAGES} (3,){AXIS_1}.": [
            (rwwce.categorical, IMAGES | {"fn": ones(3)}),
        ],
        f"fp must be a scalar or of shape (5, 5) {MANY_IMAGES} (3, 3){AXIS_1}.": [
            (rwwce.categorical, IMAGES | {"fp": ones(3, 3)}),
        ],
        # Costs of two classes as one matrix.
        TWO_CLASSES: [
            (rwwce.binary, {"fn": ones(2), "fp": ones(2, 2)}),
            (
                rwwce.binary,
                {"logits": ones(2, 2), "labels": ones(2, 2), "fn": ones(2), "fp": ones(2, 2)},
            ),
            (rwwce.binary_real_world_cost, {"fn": ones(2), "fp": ones(2, 2)}),
            (rwwce.savings, {"labels": TRUTHS[:, None], "fn": ones(2), "fp": ones(2, 2)}),
        ],
        # Costs of examples between classes, and of pairs.
        **{
            message: [(function, changes) for function in EXAMPLES]
            for message, changes in {
                "fn.costs must have the shape of the examples (4,), got shape (3,).": {
                    "fn": rwwce.ExampleCosts(ones(3))
                },
                "fn must be ExampleCosts without classes: it has no prediction.": {
                    "fn": rwwce.ExampleCosts(1.0, classes=ONE_HOT)
                },
                "fp.costs must have one cost per class of each example, shape (4, 3), got shape "
                "(3, 3).": {"fn": ones(3), "fp": rwwce.ExampleCosts(ones(3, 3))},
                "fp.classes must be class ids with the shape of the examples (4,) and one more "
                "axis, got shape (4,).": {"fp": rwwce.ExampleCosts(1.0, classes=IDS)},
                "fp.costs must broadcast to the shape of fp.classes (4, 3), got shape (4, 2).": {
                    "fp": rwwce.ExampleCosts(ones(4, 2), classes=ONE_HOT)
                },
                "fp.costs must have one cost per pair, shape (1,), got shape (2,).": {
                    "fp": dataclasses.replace(PAIRS, costs=[1.0, 2.0])
                },
            }.items()
        },
    },
)

SHARED = (
    "must not be ExampleCosts where the truth is not known or the examples are summed; for costs "
    "of each example use jax.vmap over plain ones."
)
ON_ARRAYS = [function for function in COSTLY if function is not rwwce.check_costs]

test_dtypes = refuses(
    TypeError,
    {
        **{
            f"{name} must be {message}.": [(function, {name: wrong}) for function in ON_ARRAYS]
            for name in ("fn", "fp")
            for wrong, message in (
                (True, "costs, integers or floats, got dtype bool"),
                (np.array(True), "costs, integers or floats, got dtype bool"),
                (COMPLEX, "real numbers, got dtype complex64"),
                (KEYS[0], f"real numbers, got dtype {KEYS.dtype}"),
            )
        },
        **{
            f"{name} {SHARED}": [
                (rwwce.real_world_cost_from_confusion, {name: EACH}),
                (rwwce.decide, {name: EACH}),
            ]
            for name in ("fn", "fp")
        },
        "fp.classes must be integer class ids, got dtype float32.": [
            (function, {"fp": rwwce.ExampleCosts(1.0, classes=SCORES[:, None])})
            for function in EXAMPLES
        ],
        "fn must be an array of numbers, got 100000000000000000000; convert it by float().": [
            (rwwce.categorical, {"fn": 10**20}),
        ],
        "fn must be an array of numbers, got array([2, 1], dtype=object); convert it by "
        "astype(float).": [(rwwce.categorical, {"fn": np.array([2, 1], object)})],
    },
)


@pytest.mark.parametrize(
    "call",
    [
        rwwce.bayes_threshold,
        lambda *costs: rwwce.best_threshold(SCORES, TRUTHS, *costs),
        lambda *costs: rwwce.binary_posterior(ones(2, 2), *costs),
        lambda *costs: plot.cost_curve(SCORES, TRUTHS, *costs),
    ],
    ids=["bayes_threshold", "best_threshold", "binary_posterior", "cost_curve"],
)
def test_a_matrix_of_two_classes_is_not_read_as_costs_of_examples(call):
    """The Bayes threshold of these costs was a matrix of zeros: it is 1/6."""
    with pytest.raises(ValueError, match=f"^{re.escape(TWO_CLASSES)}$"):
        call(*rwwce.costs_from_matrix([[0, 1], [5, 0]]))


MAPPING = {(0, 1): 2.0}
NO_ARRAY = "must be an array of numbers, got"
FORMS = {
    "both": (
        rwwce.Costs(1, 2),
        f"{NO_ARRAY} Costs, which holds both fn and fp: pass *costs in place of the two.",
    ),
    "pairs": (PAIRS, f"{NO_ARRAY} PairCosts, which is for fp between classes."),
    "examples": (EACH, f"{NO_ARRAY} ExampleCosts, which is for costs of classes."),
    "mapping": (MAPPING, f"{NO_ARRAY} {MAPPING!r}."),
    "strings": (["1", "2"], f"{NO_ARRAY} ['1', '2']."),
    "pairs to be": (
        MAPPING,
        "must be costs, got a mapping; rwwce_jax.pair_costs makes costs of it.",
    ),
}


@pytest.mark.parametrize("function", COSTLY)
def test_a_form_that_is_made_for_another_argument(function):
    """Costs(1, 2) is a tuple, and was taken for an array of two costs."""
    forms = {name: ["both", "pairs", "examples", "mapping", "strings"] for name in ("fn", "fp")}
    if function in BETWEEN_CLASSES:
        forms = {
            "fn": ["both", "pairs", "mapping", "strings"],
            "fp": ["both", "strings", "pairs to be"],
        }
    if function is rwwce.check_costs:
        forms["fp"] = ["both", "mapping", "strings"]
    if function is rwwce.savings:  # pairs and a mapping as fp tell that it is of several classes
        forms["fp"] = ["both", "examples", "strings"]
    if function is rwwce.multilabel:
        forms["fp_pairs"] = ["both", "pairs to be"]
    for name, kinds in forms.items():
        for wrong, expected in map(FORMS.get, kinds):
            assert_refused(TypeError, f"{name} {expected}", function, {name: wrong}, [eagerly])
