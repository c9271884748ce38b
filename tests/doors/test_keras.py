"""The losses and the metric for Keras: called alone, and in models that are trained and saved."""

import doctest
import sys

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import rwwce_jax as rwwce
import rwwce_jax.keras
from rwwce_jax.keras import BinaryRWWCE, CategoricalRWWCE, RealWorldCost

# Keras promotes dtypes and ranks; its variables have NumPy's old ``__array__``.
pytestmark = [
    pytest.mark.usefixtures("standard_promotion"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),  # jax 0.12
]

FN = [1.0, 2.0, 4.0]
FP = [[np.nan, 2.0, 3.0], [5.0, np.nan, 7.0], [11.0, 13.0, np.nan]]
PAIRS = rwwce.pair_costs({("b", "a"): 2.1, ("a", "c"): 13.0}, class_names="abc")
COSTS = {
    "binary": (20.0, 0.5),
    "by class": (FN, 0.0),
    "matrix": (1, FP),
    "pairs": (FN, PAIRS),
}

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(20, 3)).astype(np.float32)
IDS = RNG.integers(0, 3, 20)
SCORES = RNG.normal(size=20).astype(np.float32)
TRUTHS = RNG.integers(0, 2, 20)
WEIGHTS = RNG.uniform(0, 3, 20).astype(np.float32)
ONE_HOT = np.eye(3, dtype=np.int32)[IDS]


def made(costs, binary, **more):
    """The loss and the metric."""
    if binary:
        return BinaryRWWCE(*costs, **more), RealWorldCost(*costs, threshold=-0.5)
    return CategoricalRWWCE(*costs, **more), RealWorldCost(*costs)


def counted(metric, labels, outputs, weights=None):
    """The result of a metric after two batches."""
    metric.reset_state()
    assert metric.result() == 0
    for batch in (slice(0, 13), slice(13, None)):
        given = None if weights is None else weights[batch]
        metric.update_state(labels[batch], outputs[batch], sample_weight=given)
    return metric.result()


def found(loss, metric, labels, outputs, weights=None):
    """The value of the loss, its gradient, and the result of the metric."""
    value, gradient = jax.value_and_grad(lambda x: loss(labels, x, sample_weight=weights))(outputs)
    return value, np.squeeze(gradient), counted(metric, labels, outputs, weights)


def functional(logits, labels, costs, weights=None):
    """The weighed sum over the number of examples, as Keras reduces it."""
    function = rwwce.categorical if logits.ndim > 1 else rwwce.binary
    losses = function(logits, labels, *costs, reduction="none")
    return jnp.mean(losses if weights is None else losses * weights)


def expected(costs, binary, weights=None):
    """What `found` finds, by the functions that are not for Keras."""
    outputs, labels, cost = LOGITS, IDS, rwwce.categorical_real_world_cost
    if binary:
        outputs, labels, cost = SCORES, TRUTHS, rwwce.binary_real_world_cost
    weights = None if weights is None else weights.ravel()
    decided = outputs > -0.5 if binary else outputs.argmax(-1)
    values = jax.value_and_grad(functional)(outputs, labels, costs, weights)
    return *values, cost(decided, labels, *costs, weights=weights)


def assert_close(found, expected, rtol=1e-5, atol=1e-7):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


@pytest.mark.always
@pytest.mark.parametrize(
    ("costs", "labels", "outputs", "weights"),
    [
        ("binary", TRUTHS, SCORES, None),
        ("binary", TRUTHS[:, None] > 0, SCORES, WEIGHTS),
        ("binary", TRUTHS * 1.0, SCORES[:, None], WEIGHTS),
        ("by class", np.float32(IDS)[:, None], LOGITS, WEIGHTS),
        ("matrix", IDS[:, None], LOGITS, WEIGHTS[:, None]),
        ("pairs", ONE_HOT, LOGITS, WEIGHTS[:, None]),
        ("pairs", np.float32(ONE_HOT), LOGITS, None),
    ],
)
def test_loss_and_metric_are_those_of_the_functions(costs, labels, outputs, weights):
    binary, costs = costs == "binary", COSTS[costs]
    exact = expected(costs, binary, weights)
    assert_close(found(*made(costs, binary), labels, outputs, weights), exact)
    assert min(exact[0], exact[2]) > 0


def test_booleans_and_integers_are_decisions():
    binary, categorical = made(COSTS["binary"], True)[1], made(COSTS["pairs"], False)[1]
    cost = rwwce.binary_real_world_cost(SCORES > 0, TRUTHS, *COSTS["binary"])
    np.testing.assert_allclose(counted(binary, TRUTHS, SCORES > 0), cost, rtol=1e-6)
    cost = rwwce.categorical_real_world_cost(IDS[::-1], IDS, *COSTS["pairs"])
    np.testing.assert_allclose(counted(categorical, np.float32(IDS), IDS[::-1]), cost, rtol=1e-6)


def test_several_binary_outputs_are_averaged_in_each_example():
    labels = (LOGITS[::-1] > 0).astype(np.int32)
    expected = rwwce.binary(LOGITS, labels, 20.0, 0.5, reduction="none").mean(-1)
    found = BinaryRWWCE(20.0, 0.5, reduction=None)(labels, LOGITS)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.always
@pytest.mark.parametrize("wrong", [[-1, 3, 1.5], [-1, 3, 2**32 + 1], [-(2**32) + 1, 3, 2**33]])
def test_a_label_that_is_no_class_is_nan(wrong):
    for position, label in enumerate(wrong):
        labels = np.where(np.arange(20) == position, label, IDS)
        losses = CategoricalRWWCE(FN, FP, reduction=None)(labels, LOGITS)
        np.testing.assert_array_equal(np.isnan(losses), np.arange(20) == position)
        assert np.isnan(counted(RealWorldCost(FN, FP), labels, LOGITS))


def test_soft_labels_keep_their_digits_beside_half_precision_logits():
    logits, labels = jnp.asarray(LOGITS, jnp.bfloat16), np.float32(0.9 * ONE_HOT + 0.1 / 3)
    value = CategoricalRWWCE(1.0, 0.0)(labels, logits)
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, rwwce.categorical(logits, labels, 1.0, 0.0), rtol=1e-6)


@pytest.mark.parametrize("binary", [True, False])
def test_what_has_weight_0_changes_nothing_whatever_it_holds(binary):
    weights = np.where(np.isin(np.arange(20), [3, 17]), 0, WEIGHTS)
    outputs, labels = (SCORES[:, None].copy(), TRUTHS) if binary else (LOGITS.copy(), IDS)
    loss, metric = made(COSTS["binary" if binary else "matrix"], binary)
    before = found(loss, metric, labels, outputs, weights)
    outputs[3] = np.nan
    for value in (loss(labels, outputs), counted(metric, labels, outputs)):
        assert np.isnan(value)
    labels = np.where(np.arange(20) == 17, -1, labels)
    assert_close(found(loss, metric, labels, outputs, weights), before, rtol=0, atol=0)


@pytest.mark.always
@pytest.mark.parametrize(
    ("costs", "binary"),
    [((None, 5.0), True), ((2.0, None), False), ((None, None), False), ((None, 0.0), False)],
)
def test_costs_of_the_examples_come_as_their_weights(costs, binary):
    """They are not divided by their own sum; only a mask leaves an example out."""
    own = np.where(np.arange(20) == 4, 0, WEIGHTS)
    fn, fp = (own if given is None else np.full(20, given) for given in costs)
    if not binary:
        fn, fp = rwwce.ExampleCosts(fn), rwwce.ExampleCosts(np.stack([fp] * 3, -1))
    exact = expected((fn, fp), binary)
    loss, metric = made(costs, binary)
    outputs, labels = (SCORES[:, None], TRUTHS) if binary else (LOGITS, IDS)
    for weights in (own, own[:, None]):
        assert_close(found(loss, metric, labels, outputs, weights), exact)
    with pytest.raises(ValueError, match=r"^sample_weight must hold the costs of the examples"):
        metric.update_state(labels, outputs)


def test_through_a_softmax_come_the_loss_and_the_gradient_of_the_logits():
    scales = np.float32([1, 10, 40, 83, 83])
    logits = scales[:, None] * np.eye(3, dtype=np.float32)[[1, 2, 0, 1, 1]]
    labels, costs = np.array([0, 1, 1, 2, 0]), ([1e4, 1.0, 20.0], FP)
    loss = CategoricalRWWCE(*costs, from_logits=False)
    run = jax.jit(jax.value_and_grad(lambda z: loss(labels, jax.nn.softmax(z))))
    value, gradient = run(logits)
    expected, exact = jax.value_and_grad(functional)(logits, labels, costs)
    assert_close((value, gradient[:4]), (expected, exact[:4]), atol=1e-5)
    # A cost of 1e4 over the probability of 1e-36 is more than float32 holds.
    assert np.isfinite(gradient[4]).all()
    assert gradient[4, 0] < -100


def test_through_a_sigmoid_up_to_where_a_probability_is_1():
    scores = np.float32([-80, -20, -1, 0, 3, 7] * 3 + [30] * 2)
    labels = np.repeat([0, 1, 0], (6, 12, 2))
    loss = BinaryRWWCE(2000.0, 100.0, from_logits=False, reduction=None)
    found, expected = (
        (losses, pull_back(np.ones(20, "f"))[0])
        for losses, pull_back in (
            jax.vjp(lambda z: loss(labels, jax.nn.sigmoid(z)), scores),
            jax.vjp(lambda z: rwwce.binary(z, labels, 2e3, 1e2, reduction="none"), scores),
        )
    )
    assert_close([x[:18] for x in found], [x[:18] for x in expected], rtol=2e-4, atol=0)
    assert_close([x[19] for x in found], [100 * np.log(2.0**23), 0], atol=0)


def test_numbers_that_are_no_probabilities_are_nan():
    p = np.float32(np.eye(3)[IDS])
    p[2:4] = [1.1, -0.1, 0], [np.nan, 0.5, 0.5]
    for kind, labels, outputs in ((CategoricalRWWCE, IDS, p), (BinaryRWWCE, TRUTHS, p[:, :1])):
        losses = kind(1.0, 1.0, from_logits=False, reduction=None)(labels, outputs)
        np.testing.assert_array_equal(np.isnan(losses), np.isin(np.arange(20), [2, 3]))


def linear(classes, loss, metric, activation=None):
    keras.utils.set_random_seed(0)
    layer = keras.layers.Dense(classes, activation=activation)
    model = keras.Sequential([keras.layers.Input((3,)), layer])
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=[], weighted_metrics=[metric])
    return model


@pytest.mark.parametrize("binary", [True, False])
def test_train_save_load_evaluate(binary, tmp_path):
    costs, labels = (COSTS["binary"], TRUTHS) if binary else (COSTS["pairs"], IDS)
    loss, metric = made(costs, binary, from_logits=not binary)
    keras.config.set_dtype_policy("float32" if binary else "mixed_float16")
    try:
        model = linear(1, loss, metric, "sigmoid") if binary else linear(3, loss, metric)
        history = model.fit(LOGITS, labels, epochs=5, batch_size=10, verbose=0).history
        assert history["loss"][-1] < history["loss"][0]
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
    finally:
        keras.config.set_dtype_policy("float32")
    outputs = np.asarray(model(LOGITS), np.float32)
    logits = np.log(outputs / (1 - outputs))[:, 0] if binary else outputs
    expected = functional(logits, labels, costs, WEIGHTS), counted(metric, labels, outputs, WEIGHTS)
    found = loaded.evaluate(LOGITS, labels, sample_weight=WEIGHTS, verbose=0)
    assert_close(found, expected)


def test_configs_are_numbers_and_lists_and_come_back():
    objects = [
        *(kind(*costs) for costs in COSTS.values() for kind in (CategoricalRWWCE, RealWorldCost)),
        CategoricalRWWCE(1.0, 2.0, reduction="sum", name="a"),
        RealWorldCost(None, 2.0, threshold=0.25, name="b"),
    ]
    for one in objects:
        config = one.get_config()
        again = type(one).from_config(config)
        np.testing.assert_equal(again.get_config(), config)
        assert repr((again.fn, again.fp)) == repr((one.fn, one.fp))
        assert not any(hasattr(leaf, "dtype") for leaf in jax.tree.leaves(config))
    assert objects[-2].get_config().items() >= {"reduction": "sum", "name": "a"}.items()
    assert objects[-1].get_config() == {"fn": None, "fp": 2.0, "name": "b", "threshold": 0.25}


def test_masked_steps_of_sequences_count_nothing():
    # The metric is evaluated: on JAX, Keras hands its metrics no mask while it trains.
    kept = np.arange(5) < np.array([5, 2, 4, 1])[:, None]
    steps = np.where(kept[..., None], LOGITS.reshape(4, 5, 3), 0)
    labels = np.where(kept, IDS.reshape(4, 5), -1)
    layers = keras.layers.Input((5, 3)), keras.layers.Masking(), keras.layers.Dense(3)
    model = keras.Sequential(layers)
    model.compile("sgd", CategoricalRWWCE(FN, FP), metrics=[RealWorldCost(FN, FP)])
    logits = model(steps)
    expected = rwwce.categorical(logits, labels, FN, FP, where=kept)
    cost = rwwce.categorical_real_world_cost(logits.argmax(-1), labels, FN, FP, where=kept)
    assert_close(model.evaluate(steps, labels, verbose=0), [expected, cost])


def test_examples_of_the_module():
    modules = (sys.modules[f"rwwce_jax.keras.{name}"] for name in ("_losses", "_metric"))
    results = [doctest.testmod(module, optionflags=doctest.ELLIPSIS) for module in modules]
    assert sum(result.attempted for result in results) > 10
    assert sum(result.failed for result in results) == 0


def test_data_parallel_counts_as_one_device():
    inputs, labels = np.tile(LOGITS, (4, 1)), np.tile(IDS, 4)
    alone = linear(3, CategoricalRWWCE(FN, PAIRS), RealWorldCost(FN, PAIRS))
    parallel = keras.distribution.DataParallel()
    assert parallel.device_mesh.shape == (8,)
    keras.distribution.set_distribution(parallel)
    try:
        spread = linear(3, CategoricalRWWCE(FN, PAIRS), RealWorldCost(FN, PAIRS))
        found = spread.evaluate(inputs, labels, batch_size=40, verbose=0)
    finally:
        keras.distribution.set_distribution(None)
    alone.set_weights(spread.get_weights())
    assert_close(found, alone.evaluate(inputs, labels, batch_size=40, verbose=0))
