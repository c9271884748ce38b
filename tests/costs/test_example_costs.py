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
ROWS = RNG.random((B, K)) * 3
# Repeats, empty slots, the label itself, nothing at all.
CLASSES = np.array([[1, 1, 3, -1], [1, 0, -1, 4], [-1, -1, -1, -1], [4, 4, 4, 4], [4, 3, 4, 3]])
MANY = np.tile(CLASSES, 3)[:, ::-1]  # so many slots are sorted
SLOTS = RNG.random((B, P)) * 3

# The costs, and their classes.
KINDS = {
    "dense": (ROWS, None),
    "candidates": (SLOTS, CLASSES),
    "candidates of one cost": (np.array(2.0), CLASSES),
    "many candidates": (RNG.random(MANY.shape), MANY),
}


def spread(costs, classes):
    """The row of costs of each example."""
    if classes is None:
        return costs
    costs = jnp.broadcast_to(costs, classes.shape)[..., None]
    return jnp.sum(jnp.where(classes[..., None] == np.arange(K), costs, 0), axis=1)


def loop(logits, labels, fn, rows):
    """The losses of examples that each have a matrix of their own."""
    matrices = jnp.broadcast_to(rows[:, None], (*rows.shape, rows.shape[-1]))
    return jax.vmap(rwwce.categorical)(logits, labels, fn, matrices)


@pytest.mark.always
@pytest.mark.parametrize("kind", ["dense", "candidates", "many candidates"])
def test_a_loop_over_the_examples(kind, x64):
    """Values, gradients by logits and costs, and of ids the derivatives of both forward."""
    costs, classes = KINDS[kind]

    def losses(truth, logits, fn, costs):
        of_examples = rwwce.ExampleCosts(fn), rwwce.ExampleCosts(costs, classes=classes)
        return rwwce.categorical(logits, truth, *of_examples, reduction="none")

    def by_loop(truth, logits, fn, costs):
        return loop(logits, truth, fn, spread(costs, classes))

    def gradients(function, truth, *arguments):
        value, pull = jax.vjp(functools.partial(function, truth), *arguments)
        return value, pull(jnp.arange(1.0, B + 1))

    @jax.jit
    def derivatives(*arguments):
        found = []
        for function in (losses, by_loop):
            of_ids = functools.partial(gradients, function, LABELS)
            forward = jax.jvp(of_ids, arguments, jax.tree.map(jnp.cos, arguments))
            found.append((forward, gradients(function, SOFT, *arguments)))
        return found

    actual, expected = map(jax.tree.leaves, derivatives(LOGITS, FN, costs))
    for x, y in zip(actual, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)


def test_the_metric():
    for kind, (costs, classes) in KINDS.items():
        of_predictions = np.asarray(spread(costs, classes))[np.arange(B), PREDICTIONS]
        expected = np.mean(np.where(PREDICTIONS == LABELS, 0, FN + of_predictions))
        fn, fp = rwwce.ExampleCosts(FN), rwwce.ExampleCosts(costs, classes=classes)
        cost = rwwce.categorical_real_world_cost(PREDICTIONS, LABELS, fn, fp)
        np.testing.assert_allclose(cost, expected, rtol=1e-6, err_msg=kind)


@pytest.mark.parametrize("labels", [LABELS, SOFT], ids=["ids", "probabilities"])
def test_an_id_that_is_no_class_is_nan(labels):
    classes, wrong, others = CLASSES.copy(), np.array([0, 1, 3]), np.array([2, 4])
    classes[wrong, 2] = [K, -2, 2**31 - 1]
    logits = jnp.float32(LOGITS)

    def losses(logits, classes):
        fp = rwwce.ExampleCosts(SLOTS, classes=classes)
        return rwwce.categorical(logits, labels, 1.0, fp, reduction="none")

    value, pull = jax.vjp(lambda z: losses(z, classes), logits)
    (gradient,) = pull(jnp.ones(B))
    np.testing.assert_array_equal(value[others], losses(logits, CLASSES)[others])
    assert np.all(np.isnan(value[wrong]))
    assert np.all(np.isnan(gradient[wrong]))
    assert np.all(np.isfinite(gradient[others]))
    if labels is LABELS:
        fp = rwwce.ExampleCosts(SLOTS, classes=classes)
        costs = rwwce.categorical_real_world_cost(
            PREDICTIONS, LABELS, np.ones(K), fp, reduction="none"
        )
        is_wrong = np.isin(np.arange(B), wrong)
        np.testing.assert_array_equal(np.isnan(costs), is_wrong & (PREDICTIONS != LABELS))


def test_masked_examples_may_have_any_costs():
    where = np.array([True, False, True, True, False])
    costs = np.float32(np.where(where[:, None], ROWS, np.nan))
    fn = np.where(where, FN, np.inf).astype(np.float32)
    classes = np.where(where[:, None], CLASSES, K + 3)
    for fp in (rwwce.ExampleCosts(costs), rwwce.ExampleCosts(1.0, classes=classes)):
        loss = jax.value_and_grad(rwwce.categorical)
        value, gradient = loss(jnp.float32(LOGITS), LABELS, rwwce.ExampleCosts(fn), fp, where=where)
        assert np.isfinite(value)
        assert np.all(np.isfinite(gradient))
        np.testing.assert_array_equal(gradient[~where], 0)


@pytest.mark.parametrize("slots", [None, 8], ids=["dense", "candidates"])
def test_memory(slots):
    """At most three times the memory of the logits, where a matrix for each takes 3.9 GB."""
    rows, classes = 1024, 1000
    costs = jax.ShapeDtypeStruct((rows, slots or classes), jnp.float32)
    ids = jax.ShapeDtypeStruct((rows, slots), jnp.int32) if slots else None

    def loss(logits, labels, costs, ids):
        return rwwce.categorical(logits, labels, 1.0, rwwce.ExampleCosts(costs, classes=ids))

    logits = jax.ShapeDtypeStruct((rows, classes), jnp.float32)
    labels = jax.ShapeDtypeStruct((rows,), jnp.int32)
    compiled = jax.jit(jax.value_and_grad(loss)).lower(logits, labels, costs, ids).compile()
    assert compiled.memory_analysis().temp_size_in_bytes <= 3 * rows * classes * 4
