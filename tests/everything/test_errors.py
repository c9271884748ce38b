"""What the losses and metrics refuse, and how: one sentence, the same eagerly and under jit."""

import jax
import numpy as np
import pytest
from refusals import (
    ACCEPTED,
    CATEGORICAL,
    COUNTING,
    COUNTS,
    IDS,
    KEYS,
    LOGITS,
    MASK,
    MATRIX,
    ONE_HOT,
    PROBS,
    RAGGED,
    REDUCING,
    SCORES,
    TRUTHS,
    WAYS,
    ones,
    refuses,
)

import rwwce_jax as rwwce

pytestmark = pytest.mark.always

# What is refused by shape or by value: ValueError.
TOO_FEW = "; for one score per example use rwwce_jax.binary"
LAST_AXIS = "; give the examples without their last axis, x[..., 0]"
SHAPES = [
    # Logits and their class axis.
    *[
        (
            rwwce.categorical,
            {"logits": ones(*shape), "axis": axis},
            f"logits must score at least 2 classes along axis {axis}, got shape {shape}{TOO_FEW}.",
        )
        for shape, axis in (((4, 1), -1), ((4, 0), -1), ((1, 3), 0))
    ],
    *[
        (
            rwwce.categorical,
            {"logits": ones(*shape), "axis": axis},
            f"logits must have a class axis {axis}, got logits of shape {shape}.",
        )
        for shape, axis in (((), -1), ((4, 3), 2), ((4, 3), -3))
    ],
    # Labels: ids, probabilities, and those of the binary loss.
    *[
        (
            function,
            {"labels": ids},
            f"labels must be class ids with the shape of the examples (4,), got shape {got}.",
        )
        for function, ids, got in (
            (rwwce.categorical, IDS[:, None], "(4, 1); remove the last axis"),
            (rwwce.categorical, ONE_HOT, "(4, 3); one-hot labels must be floats"),
            (rwwce.categorical, IDS[:3], "(3,)"),
            (rwwce.categorical, IDS[0], "()"),
            (rwwce.categorical_real_world_cost, IDS[:, None], "(4, 1); remove the last axis"),
            (rwwce.categorical_real_world_cost, IDS[:3], "(3,)"),
            (rwwce.confusion_matrix, IDS[None], "(1, 4)"),
        )
    ],
    (
        rwwce.categorical,
        {"axis": 0},
        "labels must be class ids with the shape of the examples (3,), got shape (4,).",
    ),
    *[
        (
            rwwce.categorical,
            {"labels": probs},
            f"labels must have the logits' shape (4, 3), got shape {probs.shape}.",
        )
        for probs in (PROBS[:, :2], PROBS.T, PROBS[0], PROBS[None])
    ],
    *[
        (
            function,
            {"labels": probs} | more,
            (
                "labels must have one probability per class of each example, "
                f"shape (4, {classes}), got shape {probs.shape}."
            ),
        )
        for function, more, probs, classes in (
            (rwwce.confusion_matrix, {}, PROBS[:, :2], 3),
            (rwwce.confusion_matrix, {}, PROBS[:3], 3),
            (rwwce.categorical_real_world_cost, {"fp": MATRIX}, PROBS[:, :2], 3),
            (rwwce.categorical_real_world_cost, {}, PROBS[:3, :2], 2),
        )
    ],
    *[
        (
            function,
            {"labels": labels},
            f"labels must have the shape of the examples (4,), got shape {labels.shape}{hint}.",
        )
        for function in (rwwce.binary, rwwce.binary_real_world_cost)
        for labels, hint in (
            (TRUTHS[:, None], "; remove the last axis"),
            (TRUTHS[:3], ""),
            (TRUTHS[0], ""),
        )
    ],
    *[
        (
            function,
            {name: value[:, None]},
            f"labels must have the shape of the examples (4, 1), got shape (4,){LAST_AXIS}.",
        )
        for function, name, value in (
            (rwwce.binary, "logits", SCORES),
            (rwwce.binary_real_world_cost, "predictions", TRUTHS),
        )
    ],
    # Masks.
    *[
        (
            function,
            {"where": mask},
            f"where must have the shape of the examples (4,), got shape {np.shape(mask)}.",
        )
        for function in COUNTING
        for mask in (MASK[:3], MASK[:1], MASK[:, None], ones(4, 3, dtype=bool), True)
    ],
    # Weights.
    *[
        (
            function,
            {"weights": weights},
            f"weights must have the shape of the examples (4,), got shape {np.shape(weights)}.",
        )
        for function in COUNTING
        for weights in (SCORES[:3], TRUTHS[:1], SCORES[:, None], PROBS, 1.0)
    ],
    # Reductions and numbers of classes.
    *[
        (
            loss,
            {"reduction": wrong},
            f"reduction must be one of mean, sum, none, got {wrong!r}.",
        )
        for loss in REDUCING
        for wrong in ("average", "Mean", None, ["mean"])
    ],
    *[
        (
            rwwce.confusion_matrix,
            {"num_classes": wrong},
            f"num_classes must be at least 2, got {wrong}.",
        )
        for wrong in (1, 0, -3)
    ],
    *[
        (
            rwwce.real_world_cost_from_confusion,
            {"confusion": confusion},
            f"confusion must have shape (..., K, K) with K >= 2, got shape {confusion.shape}.",
        )
        for confusion in (COUNTS[:2], COUNTS[:1, :1], IDS, ones())
    ],
    # What has no shape.
    *[
        (
            rwwce.categorical,
            {name: RAGGED},
            f"{name} must be an array of numbers, got [[0.0], [1.0, 2.0]].",
        )
        for name in ("logits", "labels", "fn", "fp", "where", "weights")
    ],
]

ENCODE = "; encode labels and predictions by one table, [names.index(x) for x in labels]"
# And the remedy, where they are labels or predictions.
MASKED = np.ma.masked_array(np.zeros(4, np.int32), mask=[0, 1, 0, 0])
NO_NUMBERS = (
    (None, ""),
    ("abc", ENCODE),
    (["a", "b"], ENCODE),
    ({(0, 1): 2.0}, ""),
    (np.timedelta64(3, "s"), ""),
)

# What is refused by its dtype: TypeError.
DTYPES = [
    *[
        (
            function,
            {name: wrong},
            "fp must be costs, got a mapping; rwwce_jax.pair_costs makes costs of it."
            if name == "fp" and isinstance(wrong, dict) and function in CATEGORICAL
            else f"{name} must be an array of numbers, got {wrong!r}"
            f"{hint if name in ('labels', 'predictions') else ''}.",
        )
        for function in ACCEPTED
        for name in ("logits", "labels", "fn", "fp", "predictions", "confusion", "cost")
        if name in ACCEPTED[function]
        for wrong, hint in NO_NUMBERS
    ],
    *[
        (
            loss,
            {"logits": wrong},
            f"logits must be floating-point unnormalised scores, got dtype {wrong.dtype}.",
        )
        for loss in (rwwce.binary, rwwce.categorical)
        for wrong in (ONE_HOT, ONE_HOT == 1, ONE_HOT.astype(np.complex64), KEYS)
    ],
    # Labels: floats or booleans where ids are meant, and what no label is made of.
    *[
        (
            rwwce.categorical,
            {"labels": wrong},
            (
                f"labels of shape {wrong.shape} must be integer class ids, "
                f"got dtype {wrong.dtype}; class probabilities have the logits' shape (4, 3)."
            ),
        )
        for wrong in (SCORES, SCORES[:, None], MASK)
    ],
    *[
        (function, {"labels": wrong}, f"labels must be real numbers, got dtype {wrong.dtype}.")
        for function in (rwwce.binary, rwwce.categorical, rwwce.binary_real_world_cost)
        for wrong in (ONE_HOT.astype(np.complex64), KEYS)
    ],
    *[
        (
            function,
            {name: wrong},
            f"{name} must be integer class ids, got dtype {wrong.dtype}{hint}.",
        )
        for function in (rwwce.categorical_real_world_cost, rwwce.confusion_matrix)
        for name, wrong, hint in (
            *(("labels", wrong, "") for wrong in (SCORES, MASK, SCORES[:, None], PROBS[0])),
            ("predictions", SCORES, "; of logits or probabilities take argmax(-1)"),
            ("predictions", MASK, ""),
            ("predictions", PROBS, "; of logits or probabilities take argmax(-1)"),
        )
    ],
    *[
        (
            rwwce.binary_real_world_cost,
            {"predictions": wrong},
            (
                "predictions must be decisions, booleans or the integers 0 and 1, "
                f"got dtype {wrong.dtype}; compare a probability with a threshold first."
            ),
        )
        for wrong in (SCORES, SCORES.astype(np.complex64))
    ],
    # Costs.
    *[
        (function, {name: wrong}, f"{name} must be {message}.")
        for function in ACCEPTED
        if "fn" in ACCEPTED[function]
        for name in ("fn", "fp")
        for wrong, message in (
            (True, "costs, integers or floats, got dtype bool"),
            (np.array(True), "costs, integers or floats, got dtype bool"),
            (np.complex64(1j), "real numbers, got dtype complex64"),
            (KEYS[0, 0], f"real numbers, got dtype {KEYS.dtype}"),
        )
    ],
    (
        rwwce.real_world_cost_from_confusion,
        {"confusion": COUNTS.astype(np.complex64)},
        "confusion must be real numbers, got dtype complex64.",
    ),
    (rwwce.savings, {"cost": KEYS[0, 0]}, f"cost must be real numbers, got dtype {KEYS.dtype}."),
    (rwwce.savings, {"cost": np.complex64(1j)}, "cost must be real numbers, got dtype complex64."),
    # Masks.
    *[
        (
            function,
            {"where": wrong},
            (
                f"where must be a boolean mask, got dtype {wrong.dtype}; "
                "of numbers take where != 0, or give them as weights."
            ),
        )
        for function in COUNTING
        for wrong in (TRUTHS, SCORES)
    ],
    # Weights.
    *[
        (function, {"weights": wrong}, f"weights must be {message}.")
        for function in COUNTING
        for wrong, message in (
            (MASK, "integers or floats, got dtype bool; a mask is where"),
            (SCORES.astype(np.complex64), "real numbers, got dtype complex64"),
            (KEYS[:, 0], f"real numbers, got dtype {KEYS.dtype}"),
            ("abc", "an array of numbers, got 'abc'"),
        )
    ],
    # NumPy's masks.
    *[
        (
            function,
            {name: MASKED},
            (
                f"{name} must be an array without a mask, got a numpy.ma.MaskedArray; give its "
                "data, and by where the examples that count."
            ),
        )
        for function, accepted in ACCEPTED.items()
        for name in (*accepted, *(["where", "weights"] if function in COUNTING else []))
        if name != "num_classes"
    ],
    # What is no array.
    *[
        (function, {name: wrong}, f"{name} must be a Python integer, got {wrong!r}.")
        for function, name in ((rwwce.categorical, "axis"), (rwwce.confusion_matrix, "num_classes"))
        for wrong in (None, 2.0, "2", (0, 1))
    ],
]


@WAYS
@pytest.mark.parametrize("function", ACCEPTED)
def test_accepted(function, way):
    """What the rows below differ from is fine: they are refused for that difference."""
    assert np.all(np.isfinite(way(function, ACCEPTED[function])))


test_shapes_and_values_that_are_refused = refuses(ValueError, SHAPES)
test_dtypes_that_are_refused = refuses(TypeError, DTYPES)


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="no wider floats here")
@pytest.mark.parametrize("loss", [rwwce.binary, rwwce.categorical])
def test_wider_floats_than_jax_has(loss):
    wide = np.asarray(ACCEPTED[loss]["logits"], np.longdouble)
    with pytest.raises(
        TypeError, match=r"^logits must be floating-point .*, got dtype float\d+\.$"
    ):
        loss(**ACCEPTED[loss] | {"logits": wide})


def test_what_must_be_known_while_tracing():
    def of_axis(axis):
        return rwwce.categorical(LOGITS, IDS, 1, 1, axis=axis)

    with pytest.raises(TypeError, match=r"^axis must be a Python integer, got .*Tracer"):
        jax.jit(of_axis)(1)
    assert of_axis(np.int64(1)) == of_axis(-1)

    def of_classes(num_classes):
        return rwwce.confusion_matrix(IDS, IDS, num_classes)

    with pytest.raises(TypeError, match=r"^num_classes must be a Python integer, got .*Tracer"):
        jax.jit(of_classes)(3)
    np.testing.assert_array_equal(of_classes(np.int64(3)), of_classes(3))


@pytest.mark.parametrize("loss", [rwwce.binary, rwwce.categorical])
def test_a_vmapped_example_is_checked_by_its_own_shape(loss):
    """The batch axis is none of the shapes that the messages name."""
    accepted = ACCEPTED[loss]
    each = jax.vmap(lambda logits, labels: loss(logits, labels, np.ones(4), 1))
    with pytest.raises(ValueError, match=r"^fn must be a scalar or .* got shape \(4,\)\."):
        each(accepted["logits"], accepted["labels"])


def test_a_long_argument_is_cut_short():
    with pytest.raises(TypeError) as caught:
        rwwce.binary(SCORES, IDS, "1" * 1000, 1)
    assert len(str(caught.value)) < 150
