"""Which costs the losses and metrics refuse, and how: one sentence, the same under jit."""

from refusals import (
    CATEGORICAL,
    EXAMPLES,
    IDS,
    MATRIX,
    OF_EXAMPLES,
    ONE_HOT,
    SCORES,
    ones,
    refuses,
)

import rwwce_jax as rwwce

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
                "fn must be ExampleCosts without classes: a miss has no prediction.",
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
    # Costs in a form that is made for something else.
    *[
        (
            function,
            {"fp": rwwce.Costs(1.0, 2.0)},
            "fp must be costs, got Costs, which hold both: pass *costs.",
        )
        for function in CATEGORICAL
    ],
    *[
        (
            rwwce.real_world_cost_from_confusion,
            {name: rwwce.ExampleCosts(SCORES)},
            (
                f"{name} must not be ExampleCosts where the truth is not known or the examples are "
                "added up; for costs of each example use jax.vmap over plain ones."
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
