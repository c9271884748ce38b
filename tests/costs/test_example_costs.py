"""Costs of each example are those of a loop over the examples, with a matrix for each."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

# As many examples as classes: only their name tells costs of examples from costs of classes.
B, K, P = 5, 5, 4
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(B, K)) * 4
LABELS = np.array([2, 1, 0, 3, 4])
PREDICTIONS = np.array([1, 1, 2, 4, 3])
SOFT = RNG.dirichlet(np.ones(K), B)
FN = RNG.random(B) + 0.5
# Repeats, empty slots, the label itself, nothing at all.
CLASSES = np.array([[1, 1, 3, -1], [1, 0, -1, 4], [-1, -1, -1, -1], [4, 4, 4, 4], [4, 3, 4, 3]])
MANY = np.tile(CLASSES, 3)[:, ::-1]  # so many slots are sorted

# The costs, and their classes.
KINDS = {
    "dense": (RNG.random((B, K)) * 3, None),
    "candidates": (RNG.random((B, P)) * 3, CLASSES),
    "candidates of one cost": (np.array(2.0), CLASSES),
    "many candidates": (RNG.random(MANY.shape), MANY),
}


def losses(labels, logits, fn, costs, classes, where=None):
    fp = rwwce.ExampleCosts(costs, classes=classes)
    return rwwce.categorical(logits, labels, fn, fp, where=where, reduction="none")


def spread(costs, classes):
    """The row of costs of each example."""
    if classes is None:
        return costs
    costs = jnp.broadcast_to(costs, classes.shape)[..., None]
    return jnp.sum(jnp.where(classes[..., None] == np.arange(K), costs, 0), axis=1)


def loop(labels, logits, fn, costs, classes):
    """The losses of examples that each have a matrix of their own."""
    rows = spread(costs, classes)
    matrices = jnp.broadcast_to(rows[:, None], (B, K, K))
    return jax.vmap(rwwce.categorical)(logits, labels, fn.costs, matrices)


@pytest.mark.always
@pytest.mark.parametrize("kind", ["dense", "candidates", "many candidates"])
def test_a_loop_over_the_examples(kind, x64):
    """Values, gradients by logits and costs, and of ids the derivatives of both forward."""
    costs, classes = KINDS[kind]

    def gradients(function, labels, *arguments):
        value, pull = jax.vjp(lambda *x: function(labels, *x, classes), *arguments)
        return value, pull(jnp.arange(1.0, B + 1))

    @jax.jit
    def derivatives(*arguments):
        found = []
        for function in (losses, loop):
            of_ids = functools.partial(gradients, function, LABELS)
            forward = jax.jvp(of_ids, arguments, jax.tree.map(jnp.cos, arguments))
            found.append((forward, gradients(function, SOFT, *arguments)))
        return found

    found = derivatives(LOGITS, rwwce.ExampleCosts(FN), costs)
    for x, y in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)


def test_the_metric():
    for kind, (costs, classes) in KINDS.items():
        of_predictions = np.asarray(spread(costs, classes))[np.arange(B), PREDICTIONS]
        expected = np.mean(np.where(PREDICTIONS == LABELS, 0, FN + of_predictions))
        fn, fp = rwwce.ExampleCosts(FN), rwwce.ExampleCosts(costs, classes=classes)
        cost = rwwce.categorical_real_world_cost(PREDICTIONS, LABELS, fn, fp)
        np.testing.assert_allclose(cost, expected, rtol=1e-6, err_msg=kind)


@pytest.mark.always
@pytest.mark.parametrize(
    ("kind", "labels"),
    [("candidates", LABELS), ("candidates", SOFT), ("many candidates", LABELS)],
    ids=["ids", "probabilities", "many candidates"],
)
def test_an_id_that_is_no_class_is_nan_unless_it_is_masked(kind, labels):
    costs, given = KINDS[kind]
    is_wrong = np.array([True, True, False, True, False])
    classes = given.copy()
    classes[is_wrong, 2] = [K, -2, 2**31 - 1]

    @jax.jit
    def loss_and_gradient(classes, where):
        def loss(logits):
            return losses(labels, logits, 1.0, np.float32(costs), classes, where)

        value, pull = jax.vjp(loss, jnp.float32(LOGITS))
        return value, pull(jnp.ones(B))[0]

    everyone = np.ones(B, bool)
    expected = loss_and_gradient(given, everyone)
    for actual, masked, correct in zip(
        loss_and_gradient(classes, everyone),
        loss_and_gradient(classes, ~is_wrong),
        expected,
        strict=True,
    ):
        assert np.all(np.isnan(actual[is_wrong]))
        np.testing.assert_array_equal(masked[is_wrong], 0)
        for others in (actual, masked):
            np.testing.assert_array_equal(others[~is_wrong], correct[~is_wrong])
    if labels is LABELS:
        of_ids = np.ones(K), rwwce.ExampleCosts(costs, classes=classes)
        cost = rwwce.categorical_real_world_cost(PREDICTIONS, LABELS, *of_ids, reduction="none")
        np.testing.assert_array_equal(np.isnan(cost), is_wrong & (PREDICTIONS != LABELS))


def test_masked_examples_may_have_any_costs():
    where = np.array([True, False, True, True, False])
    costs = np.float32(np.where(where[:, None], KINDS["dense"][0], np.nan))
    fn = rwwce.ExampleCosts(np.where(where, FN, np.inf).astype(np.float32))
    value, pull = jax.vjp(lambda z: losses(LABELS, z, fn, costs, None, where), jnp.float32(LOGITS))
    for x in (value, *pull(jnp.ones(B))):
        assert np.all(np.isfinite(x))
        np.testing.assert_array_equal(x[~where], 0)


@pytest.mark.parametrize("slots", [None, 8], ids=["dense", "candidates"])
def test_memory(slots):
    """At most three times the memory of the logits, where a matrix for each takes 3.9 GB."""
    rows, classes = 1024, 1000
    costs = jax.ShapeDtypeStruct((rows, slots or classes), jnp.float32)
    ids = jax.ShapeDtypeStruct((rows, slots), jnp.int32) if slots else None

    def loss(logits, labels, costs, ids):
        return jnp.mean(losses(labels, logits, 1.0, costs, ids))

    logits = jax.ShapeDtypeStruct((rows, classes), jnp.float32)
    labels = jax.ShapeDtypeStruct((rows,), jnp.int32)
    compiled = jax.jit(jax.value_and_grad(loss)).lower(logits, labels, costs, ids).compile()
    assert compiled.memory_analysis().temp_size_in_bytes <= 3 * rows * classes * 4
