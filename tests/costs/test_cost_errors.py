"""Which costs the losses and metrics refuse, and how: one sentence, the same under jit."""

import re

import numpy as np
import pytest
from refusals import (
    COUNTS,
    EXAMPLES,
    IDS,
    LOGITS,
    MATRIX,
    OF_EXAMPLES,
    ONE_HOT,
    PROBS,
    SCORES,
    TRUTHS,
    ones,
    refuses,
)

import rwwce_jax as rwwce
from rwwce_jax import plot

pytestmark = pytest.mark.always

TWO_CLASSES = (
    "fn and fp must be scalars or one cost per example, got those of costs_from_matrix, shapes "
    "(2,) and (2, 2); for two classes use rwwce_jax.binary_costs."
)
SHAPES = [
    # Costs of classes.
    *[
        (
            function,
            {"fp": ones(*shape)},
            (
                f"fp must be a scalar or of shape (3, 3) for 3 classes, got shape {shape}"
                f"{OF_EXAMPLES if shape == (4, 3) and function in EXAMPLES else ''}."
            ),
        )
        for function, shapes in (
            (rwwce.categorical, [(2, 2), (4, 4), (3,), (1, 3), (4, 3), (4, 3, 3)]),
            (rwwce.categorical_real_world_cost, [(3,), (1, 3), (4, 3), (4, 3, 3)]),
            (rwwce.real_world_cost_from_confusion, [(2, 2), (3,), (4, 3), (4, 3, 3)]),
        )
        for shape in shapes
    ],
    *[
        (
            function,
            {"fn": ones(*shape), "fp": MATRIX},
            (
                f"fn must be a scalar or of shape (3,) for 3 classes, got shape {shape}"
                f"{OF_EXAMPLES if shape == (4,) and function in EXAMPLES else ''}."
            ),
        )
        for function in (
            rwwce.categorical,
            rwwce.categorical_real_world_cost,
            rwwce.real_world_cost_from_confusion,
            rwwce.savings,
        )
        for shape in ((4,), (1,), (3, 1), (3, 3))
    ],
    *[
        (
            rwwce.categorical_real_world_cost,
            {name: ones(*shape)},
            f"{name} must hold the costs of 2 or more classes, got shape {shape}.",
        )
        for name, shape in (("fn", (1,)), ("fn", (0,)), ("fp", (1, 1)), ("fp", (0, 0)))
    ],
    # Costs of examples, which must not enlarge the loss.
    *[
        (
            function,
            {name: ones(*shape)},
            (
                f"{name} must be a scalar or broadcast to the shape of the examples (4,), "
                f"got shape {shape}."
            ),
        )
        for function in (rwwce.binary, rwwce.binary_real_world_cost, rwwce.savings)
        for name, shape in (("fn", (4, 1)), ("fn", (1, 4)), ("fp", (3,)), ("fp", (2, 1, 4)))
    ],
    # Costs of channels, by which PyTorch's users weigh images (N, C, H, W).
    *[
        (
            function,
            {scores: ones(2, 3, 4, 5, dtype=dtype), "labels": ones(2, 3, 4, 5), "fn": ones(3)},
            (
                "fn must be a scalar or broadcast to the shape of the examples (2, 3, 4, 5), "
                "got shape (3,); one cost per channel of axis 1 is fn[:, None, None]."
            ),
        )
        for function, scores, dtype in (
            (rwwce.binary, "logits", np.float32),
            (rwwce.binary_real_world_cost, "predictions", np.int32),
        )
    ],
    *[
        (
            rwwce.categorical,
            {"logits": ones(2, 3, 4, 5), "labels": ones(2, 4, 5, dtype=int), name: ones(*shape)},
            (
                f"{name} must be a scalar or of shape {(5,) * len(shape)} for 5 classes, got shape "
                f"{shape}; for classes along axis 1 give axis=1 to the loss."
            ),
        )
        for name, shape in (("fn", (3,)), ("fp", (3, 3)))
    ],
    # Costs of two classes as one matrix.
    *[
        (function, {"fn": ones(2), "fp": ones(2, 2)} | changes, TWO_CLASSES)
        for function, changes in (
            (rwwce.binary, {}),
            (rwwce.binary, {"logits": ones(2, 2), "labels": ones(2, 2)}),
            (rwwce.binary_real_world_cost, {}),
            (rwwce.savings, {"labels": TRUTHS[:, None]}),
        )
    ],
    # Costs of examples between classes.
    *[
        (function, changes, message)
        for function in EXAMPLES
        for changes, message in (
            (
                {"fn": rwwce.ExampleCosts(ones(3))},
                "fn.costs must have the shape of the examples (4,), got shape (3,).",
            ),
            (
                {"fn": rwwce.ExampleCosts(1.0, classes=ONE_HOT)},
                "fn must be ExampleCosts without classes: it has no prediction.",
            ),
            (
                {"fn": ones(3), "fp": rwwce.ExampleCosts(ones(3, 3))},
                (
                    "fp.costs must have one cost per class of each example, shape (4, 3), "
                    "got shape (3, 3)."
                ),
            ),
            (
                {"fp": rwwce.ExampleCosts(1.0, classes=IDS)},
                (
                    "fp.classes must be class ids with the shape of the examples (4,) and one more "
                    "axis, got shape (4,)."
                ),
            ),
            (
                {"fp": rwwce.ExampleCosts(ones(4, 2), classes=ONE_HOT)},
                "fp.costs must broadcast to the shape of fp.classes (4, 3), got shape (4, 2).",
            ),
        )
    ],
]

DTYPES = [
    *[
        (
            rwwce.real_world_cost_from_confusion,
            {name: rwwce.ExampleCosts(SCORES)},
            (
                f"{name} must not be ExampleCosts where the truth is not known or the examples are "
                "summed; for costs of each example use jax.vmap over plain ones."
            ),
        )
        for name in ("fn", "fp")
    ],
    *[
        (
            function,
            {"fp": rwwce.ExampleCosts(1.0, classes=SCORES[:, None])},
            "fp.classes must be integer class ids, got dtype float32.",
        )
        for function in EXAMPLES
    ],
]


test_shapes_and_values_that_are_refused = refuses(ValueError, SHAPES)
test_dtypes_that_are_refused = refuses(TypeError, DTYPES)


@pytest.mark.parametrize(
    "call",
    [
        rwwce.bayes_threshold,
        lambda *costs: rwwce.best_threshold(SCORES, TRUTHS, *costs),
        lambda *costs: rwwce.binary_posterior(ones(2, 2), *costs),
        lambda *costs: plot.cost_curve(SCORES, TRUTHS, *costs),
    ],
)
def test_a_matrix_of_two_classes_is_not_read_as_costs_of_examples(call):
    """The Bayes threshold of these costs was a matrix of zeros: it is 1/6."""
    with pytest.raises(ValueError, match=f"^{re.escape(TWO_CLASSES)}$"):
        call(*rwwce.costs_from_matrix([[0, 1], [5, 0]]))


# --- Costs in a form that is made for another argument -------------------------------------------

HIDDEN, KERNEL = np.zeros((4, 2), np.float32), np.zeros((2, 3), np.float32)
PAIRS = rwwce.pair_costs({(0, 1): 2.0}, num_classes=3)
EACH = rwwce.ExampleCosts(SCORES)
MAPPING = {(0, 1): 2.0}
NO_ARRAY = "must be an array of numbers, got"
WRONG = {
    "Costs": (
        rwwce.Costs(1, 2),
        f"{NO_ARRAY} Costs, which holds both fn and fp: pass *costs in place of the two.",
    ),
    "PairCosts": (PAIRS, f"{NO_ARRAY} PairCosts, which is for fp between classes."),
    "ExampleCosts": (EACH, f"{NO_ARRAY} ExampleCosts, which is for costs of classes."),
    "mapping": (MAPPING, f"{NO_ARRAY} {MAPPING!r}."),
    "string": ("free", f"{NO_ARRAY} 'free'."),
    "strings": (["1", "2"], f"{NO_ARRAY} ['1', '2']."),
}

# What takes one cost per class or example, and what takes costs between classes as fp.
SIMPLE = {
    rwwce.binary: (SCORES, TRUTHS),
    rwwce.binary_real_world_cost: (TRUTHS, TRUTHS),
    rwwce.binary_posterior: (SCORES,),
    rwwce.bayes_threshold: (),
    rwwce.best_threshold: (SCORES, TRUTHS),
    rwwce.multilabel: (LOGITS, ONE_HOT),
    rwwce.multilabel_real_world_cost: (ONE_HOT, ONE_HOT),
    rwwce.multilabel_decide: (PROBS,),
}
OF_CLASSES = {
    rwwce.categorical: (LOGITS, IDS),
    rwwce.linear_categorical: (HIDDEN, KERNEL, IDS),
    rwwce.categorical_real_world_cost: (IDS, IDS),
    rwwce.categorical_posterior: (LOGITS,),
    rwwce.expected_cost: (PROBS,),
    rwwce.decide: (PROBS,),
    rwwce.real_world_cost_from_confusion: (COUNTS,),
    rwwce.check_costs: (),
}
FORMS = [
    *[
        (function, arguments, name, kind)
        for function, arguments in SIMPLE.items()
        for name in ("fn", "fp")
        for kind in WRONG
    ],
    *[
        (function, arguments, name, kind)
        for function, arguments in OF_CLASSES.items()
        for name, kinds in (("fn", WRONG.keys() - {"ExampleCosts"}), ("fp", ("Costs", "strings")))
        for kind in sorted(kinds)
    ],
    (rwwce.savings, (1.0, TRUTHS), "fp", "Costs"),
    (rwwce.savings, (1.0, TRUTHS), "fp", "ExampleCosts"),
    (rwwce.multilabel, (LOGITS, ONE_HOT, 1.0, 1.0), "fp_pairs", "Costs"),
]


@pytest.mark.parametrize(
    ("function", "arguments", "name", "kind"),
    [pytest.param(*row, id=f"{row[0].__name__}-{row[2]}-{row[3]}") for row in FORMS],
)
def test_a_form_that_is_made_for_another_argument(function, arguments, name, kind):
    """Costs(1, 2) is a tuple, and was taken for an array of two costs."""
    wrong, message = WRONG[kind]
    costs = {} if name == "fp_pairs" else {"fn": 1.0, "fp": 1.0}
    with pytest.raises(TypeError) as caught:
        function(*arguments, **costs | {name: wrong})
    assert str(caught.value) == f"{name} {message}"


@pytest.mark.parametrize(
    ("call", "name"),
    [
        *[
            (lambda fp, f=function, a=arguments: f(*a, 1.0, fp), "fp")
            for function, arguments in OF_CLASSES.items()
            if function is not rwwce.check_costs
        ],
        (lambda fp: rwwce.multilabel(LOGITS, ONE_HOT, 1.0, 1.0, fp_pairs=fp), "fp_pairs"),
    ],
)
def test_a_mapping_becomes_pair_costs(call, name):
    call(PAIRS)
    with pytest.raises(TypeError) as caught:
        call(MAPPING)
    remedy = "rwwce_jax.pair_costs makes costs of it."
    assert str(caught.value) == f"{name} must be costs, got a mapping; {remedy}"
