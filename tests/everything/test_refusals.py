"""What is refused, and how: one sentence, the same eagerly and under jit.

Costs are in tests/costs/test_refused_costs.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusals import (
    ACCEPTED,
    BINARY_COST,
    COMPLEX,
    COST,
    COUNTING,
    COUNTS,
    FROM_CONFUSION,
    IDS,
    KEYS,
    LOGITS,
    MASK,
    MULTILABEL_COST,
    ONE_HOT,
    PROBS,
    REDUCING,
    SCORES,
    TRUTHS,
    WAYS,
    assert_refused,
    eagerly,
    gets,
    ones,
    refuses,
    with_jax_arrays,
)

import rwwce_jax as rwwce

pytestmark = pytest.mark.always

LINEAR = rwwce.linear_categorical

ENCODE = "; encode labels and predictions by one table, [names.index(x) for x in labels]"
ARGMAX = "; of logits or probabilities take argmax(-1)"
LAST_AXIS = "; give the examples without their last axis, x[..., 0]"
BINARY = "; for one score per example use rwwce_jax.binary"
FOR_TWO = (
    "; for two classes give scores[..., 1], for more use rwwce_jax.decide on their probabilities"
)
ONE_HOT_LABELS = (
    ": of one-hot labels take labels.argmax(-1); of several labels at once logits.ravel() and "
    "labels.ravel()"
)
OF_EXAMPLES = "must have the shape of the examples (4,), got shape"
CLASS_IDS = "labels must be class ids with the shape of the examples (4,), got shape"
KERNEL = (
    "kernel must have shape (H, K) with H = 3 as hidden's last axis and K >= 2 classes, got shape"
)

test_shapes_and_values = refuses(
    ValueError,
    {
        f"logits must score at least 2 classes along axis -1, got shape (4, 1){BINARY}.": gets(
            {"logits": ones(4, 1)}, rwwce.categorical
        ),
        "logits must have a class axis 2, got logits of shape (4, 3).": gets(
            {"axis": 2}, rwwce.categorical
        ),
        "logits must have shape (..., K) with K >= 1 classes, got shape (4, 0).": gets(
            {"logits": ones(4, 0)}, rwwce.multilabel
        ),
        f"scores must be one per example, shape (4,), got shape (4, 3){FOR_TWO}.": gets(
            {"scores": LOGITS}, rwwce.best_threshold
        ),
        # The layer before the loss.
        "hidden must have shape (..., H), got shape ().": gets({"hidden": ones()}, LINEAR),
        **{
            f"{KERNEL} {wrong}.": gets({"kernel": ones(*wrong)}, LINEAR)
            for wrong in ((4, 3), (3, 1), (3,))
        },
        "bias must have one number per class, shape (3,), got shape (4,).": gets(
            {"bias": ones(4)}, LINEAR
        ),
        "chunk_size must be 1 row or more, got 0.": gets({"chunk_size": 0}, LINEAR),
        "soft_cap must be greater than 0, got 0.0.": gets({"soft_cap": 0.0}, LINEAR),
        "z_loss must have a number, shape (), got shape (2,).": gets(
            {"z_loss": ones(2)}, rwwce.categorical, LINEAR
        ),
        # Labels: ids, probabilities, and those of the binary loss.
        f"{CLASS_IDS} (4, 1); remove the last axis.": gets(
            {"labels": IDS[:, None]}, rwwce.categorical, LINEAR, COST
        ),
        f"{CLASS_IDS} (4, 3); one-hot labels must be floats.": gets(
            {"labels": ONE_HOT}, rwwce.categorical
        ),
        f"{CLASS_IDS} (3,).": gets(
            {"labels": IDS[:3]}, rwwce.categorical, COST, rwwce.confusion_matrix
        ),
        "labels must have the logits' shape (4, 3), got shape (4, 2).": gets(
            {"labels": PROBS[:, :2]}, rwwce.categorical, LINEAR
        ),
        f"labels {OF_EXAMPLES} (4, 1); remove the last axis.": gets(
            {"labels": TRUTHS[:, None]}, rwwce.binary, BINARY_COST
        ),
        f"labels must have the shape of the examples (4, 1), got shape (4,){LAST_AXIS}.": gets(
            {"logits": SCORES[:, None]}, rwwce.binary
        )
        + gets({"predictions": TRUTHS[:, None]}, BINARY_COST)
        + gets({"scores": SCORES[:, None]}, rwwce.best_threshold),
        "labels must have the shape of the examples (4, 3), got shape (4,).": gets(
            {"labels": TRUTHS}, rwwce.multilabel, MULTILABEL_COST
        ),
        f"labels must be class ids, got the logits' shape (4, 3){ONE_HOT_LABELS}.": gets(
            {"labels": ONE_HOT}, rwwce.fit_temperature
        ),
        # Masks and weights, which do not broadcast.
        **{
            f"{name} {OF_EXAMPLES} {np.shape(wrong)}.": gets({name: wrong}, *COUNTING)
            for name, all_wrong in (
                ("where", (MASK[:3], MASK[:1], True)),
                ("weights", (SCORES[:3], TRUTHS[:1], 1.0)),
            )
            for wrong in all_wrong
        },
        # What has no shape.
        **{
            f"{name} must be an array of numbers, got [[0.0], [1.0, 2.0]].": gets(
                {name: [[0.0], [1.0, 2.0]]}, rwwce.categorical
            )
            for name in ("logits", "labels", "fn", "fp", "where", "weights")
        },
        # Words and numbers.
        **{
            f"reduction must be one of mean, sum, none, got {wrong!r}.": gets(
                {"reduction": wrong}, *REDUCING
            )
            for wrong in ("average", None, ["mean"])
        },
        "num_classes must be at least 2, got 1.": gets({"num_classes": 1}, rwwce.confusion_matrix),
        "confusion must have shape (..., K, K) with K >= 2, got shape (2, 3).": gets(
            {"confusion": COUNTS[:2]}, FROM_CONFUSION
        ),
    },
)

NUMBERS = "labels must be an array of numbers, got"
IDS_OF_FLOATS = "must be integer class ids, got dtype float32"
A_BOOLEAN_MASK = "must be a boolean mask, got dtype float32; of numbers take"
DECISIONS = (
    "predictions must be decisions, booleans or the integers 0 and 1, got dtype float32; compare a "
    "probability with a threshold first."
)

test_dtypes = refuses(
    TypeError,
    {
        **{
            f"logits must be floating-point unnormalised scores, got dtype {wrong.dtype}.": gets(
                {"logits": wrong}, rwwce.binary, rwwce.categorical, rwwce.multilabel
            )
            for wrong in (ONE_HOT, ONE_HOT == 1, LOGITS * COMPLEX, KEYS)
        },
        **{
            f"{name} must be floating-point, got dtype int32.": gets({name: ONE_HOT[:3]}, LINEAR)
            for name in ("hidden", "kernel", "bias")
        },
        "probs must be floating-point, got dtype int32.": gets(
            {"probs": ONE_HOT}, rwwce.expected_cost, rwwce.decide, rwwce.multilabel_decide
        ),
        # Floats or booleans where ids are meant, and what no label is made of.
        **{
            f"labels of shape {wrong.shape} must be integer class ids, got dtype {wrong.dtype}; "
            "class probabilities have the logits' shape (4, 3).": gets(
                {"labels": wrong}, rwwce.categorical, LINEAR
            )
            for wrong in (SCORES, SCORES[:, None], MASK)
        },
        **{
            f"labels must be real numbers, got dtype {wrong.dtype}.": gets(
                {"labels": wrong[:, 0]}, rwwce.binary, BINARY_COST
            )
            + gets({"labels": wrong}, rwwce.categorical)
            for wrong in (PROBS * COMPLEX, jnp.stack([KEYS] * 3, axis=1))
        },
        f"labels {IDS_OF_FLOATS}.": gets({"labels": SCORES}, COST)
        + gets({"labels": SCORES[:, None]}, rwwce.confusion_matrix),
        f"predictions {IDS_OF_FLOATS}{ARGMAX}.": gets({"predictions": LOGITS}, COST)
        + gets({"predictions": PROBS}, rwwce.confusion_matrix),
        DECISIONS: gets({"predictions": SCORES}, BINARY_COST)
        + gets({"predictions": LOGITS}, MULTILABEL_COST),
        # Masks and weights.
        f"where {A_BOOLEAN_MASK} where != 0, or give them as weights.": gets(
            {"where": SCORES}, *COUNTING
        ),
        **{
            f"weights must be {expected}.": gets({"weights": wrong}, *COUNTING)
            for wrong, expected in (
                (MASK, "integers or floats, got dtype bool; a mask is where"),
                (SCORES * COMPLEX, "real numbers, got dtype complex64"),
                (KEYS, f"real numbers, got dtype {KEYS.dtype}"),
            )
        },
        # What is no array of numbers, and how to make one of it.
        f"{NUMBERS} ['yes', 'no']{ENCODE}.": gets({"labels": ["yes", "no"]}, rwwce.binary),
        f"{NUMBERS} None.": gets({"labels": None}, rwwce.categorical),
        # What must be known while tracing.
        **{
            f"{name} must be a Python integer, got {wrong!r}.": gets({name: wrong}, function)
            for function, name in (
                (rwwce.categorical, "axis"),
                (rwwce.confusion_matrix, "num_classes"),
            )
            for wrong in (None, 2.0, "2", (0, 1))
        },
        "chunk_size must be a Python integer, got 2.5.": gets({"chunk_size": 2.5}, LINEAR),
    },
)


@pytest.mark.parametrize("function", ACCEPTED)
def test_every_argument_is_looked_at(function):
    """Strings and NumPy's masks are refused in each; what the tables change is accepted."""
    accepted = ACCEPTED[function]
    for way in WAYS if function is not rwwce.check_costs else [eagerly]:
        way(function, accepted)
    masked = np.ma.masked_array(np.zeros(4, np.int32), mask=[0, 1, 0, 0])
    no_mask = (
        "must be an array without a mask, got a numpy.ma.MaskedArray; give its data, and by where "
        "the examples that count."
    )
    names = {*accepted, *(["where", "weights"] if function in COUNTING else [])} - {"num_classes"}
    for name in names:
        hint = ENCODE if name in ("labels", "predictions") else ""
        numbers = f"{name} must be an array of numbers, got 'abc'{hint}."
        assert_refused(TypeError, numbers, function, {name: "abc"})
        assert_refused(TypeError, f"{name} {no_mask}", function, {name: masked})


TWO_LOGITS = np.float32([[2.0, -1.0, 0.5], [0.1, 0.2, 3.0]])
NOT_ONE = "probs must add up to 1 over the classes of each example, got a sum of"
SOFTMAX = "; of logits take jax.nn.softmax first"

test_logits_to_decide = refuses(
    ValueError,
    {
        f"{NOT_ONE} 3.3{SOFTMAX}.": gets({"probs": TWO_LOGITS}, rwwce.decide)
        + gets({"probs": TWO_LOGITS.T, "axis": 0}, rwwce.decide),
        f"{NOT_ONE} -5.22{SOFTMAX}.": gets(
            {"probs": np.asarray(jax.nn.log_softmax(TWO_LOGITS[0]))}, rwwce.decide
        ),
    },
    ways=(eagerly, with_jax_arrays),
)


def test_compiled_code_cannot_look_and_does_not_raise():
    each = jax.vmap(lambda z: rwwce.decide(z, 1.0, 0.0))
    for decide in (each, jax.jit(each)):
        np.testing.assert_array_equal(decide(TWO_LOGITS), [-1, 2])
        np.testing.assert_array_equal(decide(jax.nn.softmax(TWO_LOGITS)), [0, 2])


@pytest.mark.parametrize("dtype", [np.float32, np.float16, jnp.bfloat16])
def test_rounded_probabilities_are_accepted(dtype):
    for num_classes in (2, 10, 100_000):
        logits = 3 * np.random.default_rng(0).normal(size=(4, num_classes)).astype(np.float32)
        probs = np.asarray(jax.nn.softmax(logits)).astype(dtype)
        np.testing.assert_array_equal(rwwce.decide(probs, 1.0, 0.0), probs.argmax(-1))
        uniform = np.full((2, num_classes), 1 / num_classes).astype(dtype)
        np.testing.assert_array_equal(rwwce.decide(uniform, 1.0, 0.0), 0)


def test_what_is_no_logit_is_not_taken_for_one():
    """An example of which nothing is known is decided as -1, among others or alone."""
    probs = np.float32([[0.33] * 3, [np.nan, 1.0, 2.0], [np.inf, 1.0, 0.0], [-0.1, 0.6, 0.5]])
    np.testing.assert_array_equal(rwwce.decide(probs, 1.0, 0.0), [0, -1, -1, -1])
    assert rwwce.decide(np.zeros((0, 3), np.float32), 1.0, 0.0).shape == (0,)
    with pytest.raises(ValueError, match=r"got a sum of 3\.3"):
        rwwce.decide(np.concatenate([probs, TWO_LOGITS]), 1.0, 0.0)


@pytest.mark.parametrize(
    ("function", "name", "integer"),
    [(rwwce.categorical, "axis", 1), (rwwce.confusion_matrix, "num_classes", 3)],
)
def test_what_must_be_known_while_tracing(function, name, integer):
    def call(value):
        return function(**ACCEPTED[function] | {name: value})

    with pytest.raises(TypeError, match=rf"^{name} must be a Python integer, got .*Tracer"):
        jax.jit(call)(integer)
    np.testing.assert_array_equal(call(np.int64(integer)), call(integer))
