"""Keras models with the losses and the metric: trained, saved, loaded, masked, on many devices."""

import doctest
import subprocess
import sys

import jax
import keras
import numpy as np
import pytest
from keras_problem import (
    COSTS,
    FN,
    FP,
    IDS,
    LOGITS,
    MARKS,
    PAIRS,
    TRUTHS,
    WEIGHTS,
    functional,
)

import rwwce_jax as rwwce
import rwwce_jax.keras
from rwwce_jax.keras import BinaryRWWCE, CategoricalRWWCE, RealWorldCost

pytestmark = MARKS


def linear(classes, loss, metric, seed=0):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(classes)])
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=[], weighted_metrics=[metric])
    return model


@pytest.mark.parametrize("labels", [IDS[:, None], IDS.astype(np.float32)])
def test_a_step_of_training_with_class_weights_is_that_of_the_functional_loss(labels):
    model = linear(3, CategoricalRWWCE(FN, FP), RealWorldCost(FN, FP))
    kernel, bias = model.get_weights()
    each = np.array([1.0, 5.0, 0.2], np.float32)

    def of(parameters):
        return functional(LOGITS @ parameters[0] + parameters[1], IDS, (FN, FP), each[IDS])

    value, gradients = jax.value_and_grad(of)([kernel, bias])
    history = model.fit(
        LOGITS, labels, batch_size=20, verbose=0, class_weight=dict(enumerate(each))
    ).history
    np.testing.assert_allclose(history["loss"], [value], rtol=1e-5)
    for before, after, gradient in zip([kernel, bias], model.get_weights(), gradients, strict=True):
        np.testing.assert_allclose(after, before - 0.1 * gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("classes", [1, 3])
def test_a_model_of_probabilities_trains_as_one_of_logits(classes):
    labels, losses = (TRUTHS if classes == 1 else IDS), []
    for from_logits in (True, False):
        loss, costs = (BinaryRWWCE, (None, 0.5)) if classes == 1 else (CategoricalRWWCE, (FN, FP))
        metric = RealWorldCost(*costs, threshold=(0.5, 0.0)[from_logits] if classes == 1 else None)
        model = linear(classes, loss(*costs, from_logits=from_logits), metric)
        if not from_logits:
            model.add(keras.layers.Activation("sigmoid" if classes == 1 else "softmax"))
        fitted = model.fit(
            LOGITS, labels, sample_weight=WEIGHTS, epochs=5, shuffle=False, verbose=0
        )
        losses.append([fitted.history[name] for name in ("loss", "real_world_cost")])
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert losses[0][0][-1] < losses[0][0][0]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("costs", "policy"),
    [("binary", "float32"), ("matrix", "mixed_float16"), ("pairs", "mixed_bfloat16")],
)
def test_train_save_load_evaluate(costs, policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    try:
        if costs == "binary":
            loss, metric = BinaryRWWCE(20.0, 0.1), RealWorldCost(20.0, 0.1, threshold=0.25)
        else:
            loss, metric = CategoricalRWWCE(*COSTS[costs]), RealWorldCost(*COSTS[costs])
        labels = TRUTHS if costs == "binary" else IDS
        model = linear(1 if costs == "binary" else 3, loss, metric)
        history = model.fit(LOGITS, labels, epochs=5, batch_size=8, verbose=0).history
        assert history["loss"][-1] < history["loss"][0]
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
    finally:
        keras.config.set_dtype_policy("float32")
    found, expected = (
        x.evaluate(LOGITS, labels, sample_weight=WEIGHTS, verbose=0) for x in (loaded, model)
    )
    assert found == expected
    outputs = loaded.predict(LOGITS, verbose=0).astype(np.float32)
    outputs = outputs[:, 0] if costs == "binary" else outputs
    given = (20.0, 0.1) if costs == "binary" else COSTS[costs]
    np.testing.assert_allclose(found[0], functional(outputs, labels, given, WEIGHTS), rtol=1e-5)


@pytest.mark.parametrize("costs", COSTS.values(), ids=COSTS)
def test_configs_are_numbers_and_lists_and_come_back(costs):
    for made in (CategoricalRWWCE(*costs, reduction="sum", name="a"), RealWorldCost(*costs)):
        config = made.get_config()
        again = type(made).from_config(config)
        np.testing.assert_equal(again.get_config(), config)
        assert repr(again.fp) == repr(made.fp)
        assert not any(hasattr(leaf, "dtype") for leaf in jax.tree.leaves(config))
    assert CategoricalRWWCE(*costs, reduction="sum").get_config()["reduction"] == "sum"
    config = RealWorldCost(None, 2.0, threshold=0.25, name="b").get_config()
    assert config == {"name": "b", "fn": None, "fp": 2.0, "threshold": 0.25}
    loss = BinaryRWWCE.from_config(BinaryRWWCE(1.0, None, from_logits=False).get_config())
    assert (loss.fn, loss.fp, loss.from_logits) == (1.0, None, False)


def test_data_parallel_counts_as_one_device():
    assert len(jax.devices()) == 8
    inputs, labels = np.tile(LOGITS, (4, 1)), np.tile(IDS, 4)
    alone = linear(3, CategoricalRWWCE(FN, PAIRS), RealWorldCost(FN, PAIRS))
    expected = alone.evaluate(inputs, labels, batch_size=40, verbose=0)
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    try:
        spread = linear(3, CategoricalRWWCE(FN, PAIRS), RealWorldCost(FN, PAIRS))
        spread.set_weights(alone.get_weights())
        found = spread.evaluate(inputs, labels, batch_size=40, verbose=0)
    finally:
        keras.distribution.set_distribution(None)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_masked_steps_of_sequences_count_nothing():
    """Padded steps have label -1; Keras divides by the number of the others.

    The metric is evaluated: on JAX, Keras hands its metrics no mask while it trains.
    """
    steps = np.random.default_rng(2).normal(size=(4, 6, 5)).astype(np.float32)
    labels = np.random.default_rng(3).integers(0, 3, (4, 6))
    padding = np.arange(6) >= np.array([6, 2, 4, 1])[:, None]
    steps[padding], labels[padding] = 0, -1
    model = keras.Sequential(
        [keras.layers.Input((6, 5)), keras.layers.Masking(), keras.layers.Dense(3)]
    )
    metric = RealWorldCost(FN, FP)
    model.compile(keras.optimizers.SGD(0.1), CategoricalRWWCE(FN, FP), metrics=[metric])
    logits, before = model(steps), model.get_weights()
    expected = rwwce.categorical(logits, labels, FN, FP, where=~padding)
    cost = rwwce.categorical_real_world_cost(logits.argmax(-1), labels, FN, FP, where=~padding)
    found = model.evaluate(steps, labels, verbose=0)
    np.testing.assert_allclose(found, [expected, cost], rtol=1e-5)
    model.fit(steps, labels, batch_size=4, verbose=0)
    assert all(np.isfinite(x).all() for x in model.get_weights())
    assert not np.array_equal(before[0], model.get_weights()[0])


def test_examples_of_the_module():
    modules = (sys.modules[f"rwwce_jax.keras.{name}"] for name in ("_losses", "_metric"))
    results = [doctest.testmod(module, optionflags=doctest.ELLIPSIS) for module in modules]
    assert sum(result.attempted for result in results) > 10
    assert sum(result.failed for result in results) == 0


ON_NUMPY = "types.SimpleNamespace(config=types.SimpleNamespace(backend=lambda: 'numpy'))"


@pytest.mark.parametrize(
    ("setup", "sentence"),
    [
        ("os.environ['KERAS_BACKEND'] = 'torch'", "got torch"),
        (f"sys.modules['keras'] = {ON_NUMPY}", "got numpy; set the environment variable"),
    ],
)
def test_without_keras_on_jax_one_sentence_tells_what_to_do(setup, sentence):
    code = f"import os, sys, types; {setup}; import rwwce_jax.keras"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert "rwwce_jax.keras needs Keras" in last
    assert sentence in last
    assert last.endswith(".")
    assert "During handling" not in result.stderr
