"""The losses and the metric for Keras: values, gradients, labels, weights, what counts nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from keras_problem import (
    CATEGORICAL,
    FN,
    FP,
    IDS,
    LOGITS,
    MARKS,
    PAIRS,
    SCORES,
    TRUTHS,
    WEIGHTS,
    functional,
)

import rwwce_jax as rwwce
from rwwce_jax.keras import BinaryRWWCE, CategoricalRWWCE, RealWorldCost

pytestmark = MARKS


# --- The losses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [None, WEIGHTS, WEIGHTS[:, None]])
@CATEGORICAL
def test_categorical_is_the_functional_loss(costs, labels, weights):
    loss = CategoricalRWWCE(*costs)
    found = jax.value_and_grad(lambda logits: loss(labels, logits, sample_weight=weights))(LOGITS)
    flat = None if weights is None else weights.ravel()
    expected = jax.value_and_grad(functional)(LOGITS, IDS, costs, flat)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    assert found[0] > 0


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("labels", [TRUTHS, TRUTHS[:, None], TRUTHS.astype(bool), TRUTHS * 1.0])
@pytest.mark.parametrize("column", [False, True])
def test_binary_is_the_functional_loss(labels, column, weights):
    loss = BinaryRWWCE(20, 0.5)

    def of(scores):
        return loss(labels, scores[:, None] if column else scores, sample_weight=weights)

    expected = jax.value_and_grad(functional)(SCORES, TRUTHS, (20, 0.5), weights)
    for a, b in zip(jax.value_and_grad(of)(SCORES), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_several_binary_outputs_are_averaged_in_each_example():
    labels = (LOGITS[::-1] > 0).astype(np.int32)
    found = BinaryRWWCE(20.0, 0.5, reduction=None)(labels, LOGITS)
    expected = rwwce.binary(LOGITS, labels, 20.0, 0.5, reduction="none").mean(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("reduction", ["sum", None, "mean_with_sample_weight"])
def test_other_reductions_of_keras(reduction):
    losses = rwwce.categorical(LOGITS, IDS, FN, FP, reduction="none") * WEIGHTS
    found = CategoricalRWWCE(FN, FP, reduction=reduction)(IDS, LOGITS, sample_weight=WEIGHTS)
    expected = {None: losses, "sum": losses.sum()}.get(reduction, losses.sum() / WEIGHTS.sum())
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "labels", [[0, -1, 3, 1.5, 2.0], [0, -1, 3, 2**32 + 1, 2], [0, -(2**32) + 1, 3, 2**33, 2]]
)
def test_a_label_that_is_no_class_is_nan(labels):
    losses = CategoricalRWWCE(FN, FP, reduction=None)(np.array(labels), LOGITS[:5])
    assert np.isnan(losses).tolist() == [False, True, True, True, False]
    metric = RealWorldCost(FN, FP)
    metric.update_state(np.array(labels)[3:], LOGITS[3:5])
    assert np.isnan(metric.result())


def test_names_as_labels_are_refused():
    for made in (CategoricalRWWCE(FN, FP), RealWorldCost(FN, FP).update_state):
        with pytest.raises(TypeError, match=r"^labels must be .*; encode labels and predictions"):
            made(np.array(["b", "a"]), LOGITS[:2])


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_logits_and_ids_that_it_cannot_tell_apart(dtype):
    labels = np.array([4095, 4094, 257, 2049])
    logits = jnp.asarray(np.random.default_rng(1).normal(size=(4, 4096)), dtype)
    loss = CategoricalRWWCE(1.0, 0.5)
    value, gradient = jax.value_and_grad(lambda logits: loss(labels, logits))(logits)
    expected = rwwce.categorical(logits, labels, 1.0, 0.5)
    assert value.dtype == jnp.float32
    assert gradient.dtype == dtype
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_soft_labels_keep_float32_beside_half_precision_outputs():
    labels = 0.9 * np.eye(1000, dtype=np.float32)[[3]] + 0.0001
    loss = CategoricalRWWCE(1.0, 0.0)(labels, jnp.zeros((1, 1000), jnp.bfloat16))
    np.testing.assert_allclose(loss, np.log(1000), rtol=1e-4)


# --- Probabilities --------------------------------------------------------------------------------


def test_through_a_softmax_come_the_loss_and_the_gradient_of_the_logits():
    """A cost over the probability of 1e-36 is more than float32 holds."""
    scales = np.float32([1, 10, 40, 83])
    logits = scales[:, None] * np.eye(3, dtype=np.float32)[[1, 2, 0, 1]]
    labels, costs = np.array([0, 1, 1, 0]), ([20.0, 1.0, 4.0], FP)
    of = CategoricalRWWCE(*costs, from_logits=False)
    found = jax.value_and_grad(lambda z: of(labels, jax.nn.softmax(z)))(logits)
    expected = jax.value_and_grad(functional)(logits, labels, costs)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_through_a_sigmoid_up_to_where_a_probability_is_1():
    scores = np.float32([-80, -20, -1, 0, 3, 7] * 2 + [30])
    labels = np.repeat([0, 1, 0], (6, 6, 1))
    of = BinaryRWWCE(2000.0, 100.0, from_logits=False, reduction=None)
    found, pullback = jax.vjp(lambda z: of(labels, jax.nn.sigmoid(z)), scores)
    expected, exact = jax.vjp(lambda z: rwwce.binary(z, labels, 2e3, 1e2, reduction="none"), scores)
    (gradient,), (exact_gradient,) = pullback(np.ones(13, "f")), exact(np.ones(13, "f"))
    np.testing.assert_allclose(found[:-1], expected[:-1], rtol=2e-4)
    np.testing.assert_allclose(gradient[:-1], exact_gradient[:-1], rtol=2e-4)
    np.testing.assert_allclose([found[-1], gradient[-1]], [100 * np.log(2.0**23), 0.0], rtol=1e-5)


def test_numbers_that_are_no_probabilities_are_nan():
    p = np.array([[0.0, 1.0], [1.0, 0.0], [1.1, -0.1], [np.nan, 0.5]])
    for kind, outputs in ((CategoricalRWWCE, p), (BinaryRWWCE, p[:, :1])):
        losses = kind(1.0, 1.0, from_logits=False, reduction=None)([1, 1, 1, 1], outputs)
        assert np.isnan(losses).tolist() == [False, False, True, True]


# --- Costs that come as weights -------------------------------------------------------------------


@pytest.mark.sampled(5)
@pytest.mark.parametrize("costs", [(None, 5.0), (2.0, None), (None, None), (None, 0.0)])
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("column", [False, True])
def test_costs_of_the_examples_come_as_their_weights(costs, binary, column):
    """They are not divided by their own sum; only a mask leaves an example out."""
    outputs, labels = (SCORES[:, None], TRUTHS) if binary else (LOGITS, IDS)
    own = np.where(np.arange(20) == 4, 0, WEIGHTS)
    fn, fp = (own if given is None else np.full(20, given) for given in costs)
    decided = (outputs > 0).ravel() if binary else outputs.argmax(-1)
    if not binary:
        fn, fp = rwwce.ExampleCosts(fn), rwwce.ExampleCosts(np.stack([fp] * 3, -1))
    flat = outputs[:, 0] if binary else outputs
    expected = functional(flat, labels, (fn, fp))
    cost = rwwce.binary_real_world_cost if binary else rwwce.categorical_real_world_cost
    kinds = (BinaryRWWCE, {"threshold": 0.0}) if binary else (CategoricalRWWCE, {})
    sent = own[:, None] if column else own
    np.testing.assert_allclose(
        kinds[0](*costs)(labels, outputs, sample_weight=sent), expected, rtol=1e-5
    )
    metric = RealWorldCost(*costs, **kinds[1])
    for given in (outputs, decided):
        if given is decided and not (binary or costs[1]):
            continue  # nothing tells the number of classes
        metric.reset_state()
        metric.update_state(labels, given, sample_weight=sent)
        np.testing.assert_allclose(metric.result(), cost(decided, labels, fn, fp), rtol=1e-5)
    with pytest.raises(ValueError, match=r"^sample_weight must hold the costs of the examples"):
        metric.update_state(labels, outputs)


# --- What counts nothing --------------------------------------------------------------------------


@pytest.mark.parametrize("column", [True, False])
@pytest.mark.parametrize("binary", [True, False])
def test_what_has_weight_0_changes_nothing_whatever_it_holds(binary, column):
    weights, outputs, labels = WEIGHTS.copy(), SCORES[:, None].copy(), TRUTHS.copy()
    loss, metric = BinaryRWWCE(20.0, 0.5), RealWorldCost(20.0, 0.5, threshold=0.0)
    clean = RealWorldCost(20.0, 0.5, threshold=0.0)
    if not binary:
        outputs, labels = LOGITS.copy(), IDS.copy()
        loss, metric, clean = CategoricalRWWCE(FN, FP), *(RealWorldCost(FN, FP) for _ in range(2))
    weights[3], weights[7] = 0, 0
    weights = weights[:, None] if column else weights
    expected = jax.value_and_grad(lambda x: loss(labels, x, sample_weight=weights))(outputs)
    clean.update_state(labels, outputs, sample_weight=weights)
    outputs[3], labels[7] = np.nan, -1
    found = jax.value_and_grad(lambda x: loss(labels, x, sample_weight=weights))(outputs)
    metric.update_state(labels, outputs, sample_weight=weights)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert metric.result() == clean.result() > 0
    assert np.isnan(loss(labels, outputs))


# --- The metric -----------------------------------------------------------------------------------


@CATEGORICAL
@pytest.mark.parametrize("weighted", [False, True])
def test_categorical_metric_over_batches_of_different_sizes(costs, labels, weighted):
    metric = RealWorldCost(*costs)
    for batch in (slice(0, 13), slice(13, 20)):
        weights = WEIGHTS[batch] if weighted else None
        metric.update_state(labels[batch], LOGITS[batch], sample_weight=weights)
    decided = LOGITS.argmax(-1)
    each = [
        float(rwwce.categorical_real_world_cost(*x, *costs)) for x in zip(decided, IDS, strict=True)
    ]
    expected = np.average(each, weights=WEIGHTS if weighted else None)
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-5)
    assert expected > 0


@pytest.mark.parametrize("threshold", [0.0, -0.5])
@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize("decisions", [False, True])
def test_binary_metric(threshold, column, decisions):
    metric = RealWorldCost(20.0, 0.5, threshold=threshold)
    decided = np.greater(SCORES, threshold)
    outputs = decided if decisions else SCORES
    metric.update_state(TRUTHS, outputs[:, None] if column else outputs)
    expected = rwwce.binary_real_world_cost(decided, TRUTHS, 20.0, 0.5)
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)
    metric.reset_state()
    assert metric.result() == 0


@pytest.mark.parametrize("column", [False, True])
def test_integers_are_decisions(column):
    decided = IDS[::-1]
    metric = RealWorldCost(FN, FP)
    metric.update_state(IDS.astype(np.float32), decided[:, None] if column else decided)
    expected = rwwce.categorical_real_world_cost(decided, IDS, FN, FP)
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)


@pytest.mark.parametrize(("labels", "outputs"), [([3], [[0.0, 1, 2]]), ([0], [[0.0, np.nan, 2]])])
def test_nan_stays_visible_until_the_reset(labels, outputs):
    metric = RealWorldCost(FN, FP)
    metric.update_state(labels, outputs)
    metric.update_state([0], [[1.0, 0, 0]])
    assert np.isnan(metric.result())
    metric.reset_state()
    metric.update_state([0], [[1.0, 0, 0]])
    assert metric.result() == 0


# --- What is refused ------------------------------------------------------------------------------


@pytest.mark.always
@pytest.mark.parametrize(
    ("kind", "arguments", "error", "name"),
    [
        (BinaryRWWCE, {"fn": FN, "fp": 1.0}, ValueError, "fn"),
        (BinaryRWWCE, {"fn": 1.0, "fp": PAIRS}, TypeError, "fp"),
        (BinaryRWWCE, {"fn": rwwce.ExampleCosts(SCORES), "fp": 1.0}, TypeError, "fn"),
        (CategoricalRWWCE, {"fn": FN, "fp": np.ones((4, 4))}, ValueError, "fn"),
        (CategoricalRWWCE, {"fn": 1.0, "fp": {("a", "b"): 1.0}}, TypeError, "fp"),
        (CategoricalRWWCE, {"fn": "costly", "fp": 1.0}, TypeError, "fn"),
        (CategoricalRWWCE, {"fn": 1.0, "fp": rwwce.ExampleCosts(FP)}, TypeError, "fp"),
        (RealWorldCost, {"fn": 1.0, "fp": np.ones((3, 2))}, ValueError, "fp"),
        (RealWorldCost, {"fn": 1.0, "fp": FP, "threshold": 0.0}, ValueError, "fp"),
    ],
)
def test_costs_that_are_refused(kind, arguments, error, name):
    with pytest.raises(error, match=rf"^{name} must [^\n]+\.$"):
        kind(**arguments)


@pytest.mark.always
@pytest.mark.parametrize(
    ("made", "labels", "outputs"),
    [
        (CategoricalRWWCE(FN, FP), IDS[:7], LOGITS),
        (CategoricalRWWCE(1.0, 0.0), np.zeros(20), np.zeros((20, 20, 3))),
        (CategoricalRWWCE(FN, FP), IDS, np.zeros((20, 4))),
        (BinaryRWWCE(1.0, 1.0), TRUTHS, LOGITS),
        (RealWorldCost(FN, FP).update_state, IDS[:7], LOGITS),
        (RealWorldCost(FN, FP).update_state, IDS, np.zeros((20, 4))),
        (RealWorldCost(FN, FP).update_state, IDS[:7], IDS),
        (RealWorldCost(2.0, 1.0).update_state, TRUTHS[:, None], LOGITS[:, :1]),  # no threshold
        (RealWorldCost(2.0, 1.0).update_state, TRUTHS, LOGITS[:, :1]),
        (RealWorldCost(1.0, 1.0, threshold=0.0).update_state, TRUTHS, LOGITS),
        (RealWorldCost(1.0, 1.0, threshold=0.0).update_state, LOGITS > 0, LOGITS.T),
    ],
)
def test_batches_that_are_refused(made, labels, outputs):
    with pytest.raises(ValueError, match=r"^(labels|logits|y_true|fn) must [^\n]+\.$"):
        made(labels, outputs)
