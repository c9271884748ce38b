"""Which costs are refused, and how: one sentence, the same eagerly and under jit."""

import dataclasses

import numpy as np
import pytest
from refusals import (
    BETWEEN_CLASSES,
    BINARY_COST,
    COMPLEX,
    COST,
    COSTLY,
    FROM_CONFUSION,
    IDS,
    KEYS,
    MATRIX,
    MULTILABEL_COST,
    ONE_HOT,
    PAIRS,
    SCORES,
    TRUTHS,
    eagerly,
    gets,
    ones,
    refuses,
)

import rwwce_jax as rwwce

pytestmark = pytest.mark.always

EACH = rwwce.ExampleCosts(SCORES)
OWN = "; costs of each example are rwwce_jax.ExampleCosts"
OF_PROBABILITIES = (rwwce.categorical_posterior, rwwce.expected_cost, rwwce.decide)
EXAMPLES = (rwwce.categorical, rwwce.linear_categorical, COST)
# The Bayes threshold of these was a matrix of zeros: it is 1/6.
OF_MATRIX = dict(zip(("fn", "fp"), rwwce.costs_from_matrix([[0, 1], [5, 0]]), strict=True))
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
            f"fp {BETWEEN} {shape}.": gets(
                {"fp": ones(*shape)}, rwwce.categorical, FROM_CONFUSION, *OF_PROBABILITIES
            )
            for shape in ((2, 2), (3,), (1, 3), (4, 3, 3))
        },
        f"fp {BETWEEN} (4, 3){OWN}.": gets({"fp": ones(4, 3)}, *EXAMPLES),
        f"fp {BETWEEN} (4, 3).": gets({"fp": ones(4, 3)}, FROM_CONFUSION),
        **{
            f"fn {BY_CLASS} {shape}.": gets({"fn": ones(*shape)}, FROM_CONFUSION, rwwce.multilabel)
            for shape in ((4,), (1,), (3, 1), (3, 3))
        },
        "fn must be a scalar or of shape (4,) for 4 classes, got shape (3,).": gets(
            {"fn": ones(3), "axis": 0}, *OF_PROBABILITIES
        ),
        "actions must be a scalar or of shape (3, A) for A actions, got shape (2, 1).": gets(
            {"actions": ones(2, 1)}, rwwce.expected_cost, rwwce.decide
        ),
        "fn and fp must have shapes that broadcast, got (2,) and (3,).": gets(
            {"fn": ones(2), "fp": ones(3)}, rwwce.bayes_threshold
        ),
        f"fn {BY_CLASS} (4,){OWN}.": gets({"fn": ones(4), "fp": MATRIX}, *EXAMPLES),
        f"fp {BY_CLASS} (3, 3).": gets({"fp": MATRIX}, MULTILABEL_COST),
        f"{ROWS_AND_COLUMNS}.": gets({"fp_pairs": 1.0}, rwwce.multilabel, MULTILABEL_COST),
        f"fp_pairs {BETWEEN} (3, 4).": gets(
            {"fp_pairs": ones(3, 4)}, rwwce.multilabel, rwwce.multilabel_decide
        ),
        **{
            f"{name} must hold the costs of 2 or more classes, got shape {shape}.": gets(
                {name: ones(*shape)}, COST
            )
            for name, shape in (("fn", (1,)), ("fn", (0,)), ("fp", (1, 1)), ("fp", (0, 0)))
        },
        # Costs of examples, which must not enlarge the loss.
        **{
            f"{name} {BROADCAST} (4,), got shape {shape}.": gets(
                {name: ones(*shape)},
                rwwce.binary,
                BINARY_COST,
                rwwce.savings,
                rwwce.best_threshold,
                rwwce.binary_posterior,
            )
            for name, shape in (("fn", (4, 1)), ("fp", (3,)), ("fp", (2, 1, 4)))
        },
        # Costs of channels, by which PyTorch's users weigh images (N, C, H, W).
        f"fn {BROADCAST} {CHANNELS}.": gets(
            IMAGES | {"labels": ones(2, 3, 4, 5), "fn": ones(3)}, rwwce.binary
        ),
        f"fn must be a scalar or of shape (5,) {MANY_IMAGES} (3,){AXIS_1}.": gets(
            IMAGES | {"fn": ones(3)}, rwwce.categorical
        ),
        # Costs of two classes as one matrix.
        TWO_CLASSES: gets(
            OF_MATRIX,
            rwwce.binary,
            BINARY_COST,
            rwwce.bayes_threshold,
            rwwce.best_threshold,
            rwwce.binary_posterior,
        )
        + gets(OF_MATRIX | {"logits": ones(2, 2), "labels": ones(2, 2)}, rwwce.binary)
        + gets(OF_MATRIX | {"logits": ones(2, 2)}, rwwce.binary_posterior)
        + gets(OF_MATRIX | {"labels": TRUTHS[:, None]}, rwwce.savings),
        # Costs of examples between classes, and of pairs.
        **{
            message: gets(changes, *EXAMPLES)
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
            f"{name} must be {message}.": gets({name: wrong}, *ON_ARRAYS)
            for name in ("fn", "fp")
            for wrong, message in (
                (True, "costs, integers or floats, got dtype bool"),
                (np.array(True), "costs, integers or floats, got dtype bool"),
                (COMPLEX, "real numbers, got dtype complex64"),
                (KEYS[0], f"real numbers, got dtype {KEYS.dtype}"),
            )
        },
        **{
            f"{name} {SHARED}": gets({name: EACH}, FROM_CONFUSION, rwwce.decide)
            for name in ("fn", "fp")
        },
        "fp.classes must be integer class ids, got dtype float32.": gets(
            {"fp": rwwce.ExampleCosts(1.0, classes=SCORES[:, None])}, *EXAMPLES
        ),
        "fn must be an array of numbers, got array([2, 1], dtype=object); convert it by "
        "astype(float).": gets({"fn": np.array([2, 1], object)}, rwwce.categorical),
    },
)


BOTH, MAPPING = rwwce.Costs(1, 2), {(0, 1): 2.0}
NO_ARRAY = "must be an array of numbers, got"
BOTH_REFUSED = f"{NO_ARRAY} Costs, which holds both fn and fp: pass *costs in place of the two."
PAIRS_REFUSED = f"{NO_ARRAY} PairCosts, which is for fp between classes."
EXAMPLES_REFUSED = f"{NO_ARRAY} ExampleCosts, which is for costs of classes."
PAIRS_TO_BE = "must be costs, got a mapping; rwwce_jax.pair_costs makes costs of it."
# What takes costs of two classes only. Pairs as fp tell ``savings`` that there are more.
OF_TWO = [function for function in COSTLY if function not in (*BETWEEN_CLASSES, rwwce.savings)]

# Costs(1, 2) is a tuple, and was taken for an array of two costs.
test_forms_that_are_made_for_another_argument = refuses(
    TypeError,
    {
        **{
            f"{name} {message}": gets({name: wrong}, *COSTLY)
            for name in ("fn", "fp")
            for wrong, message in ((BOTH, BOTH_REFUSED), (["1", "2"], f"{NO_ARRAY} ['1', '2']."))
        },
        f"fp_pairs {BOTH_REFUSED}": gets({"fp_pairs": BOTH}, rwwce.multilabel),
        f"fn {PAIRS_REFUSED}": gets({"fn": PAIRS}, *COSTLY),
        f"fp {PAIRS_REFUSED}": gets({"fp": PAIRS}, *OF_TWO),
        f"fn {EXAMPLES_REFUSED}": gets({"fn": EACH}, rwwce.savings, *OF_TWO),
        f"fp {EXAMPLES_REFUSED}": gets({"fp": EACH}, rwwce.savings, *OF_TWO),
        f"fn {NO_ARRAY} {MAPPING!r}.": gets({"fn": MAPPING}, *COSTLY),
        f"fp {NO_ARRAY} {MAPPING!r}.": gets({"fp": MAPPING}, *OF_TWO),
        f"fp {PAIRS_TO_BE}": gets({"fp": MAPPING}, *BETWEEN_CLASSES),
        f"fp_pairs {PAIRS_TO_BE}": gets({"fp_pairs": MAPPING}, rwwce.multilabel),
    },
    ways=[eagerly],
)
