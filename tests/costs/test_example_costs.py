"""Costs of each example are those of a loop over the examples, with a matrix for each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

B, K, P = 6, 5, 4
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(B, K)) * 4
LABELS = np.array([0, 1, 2, 3, 4, 2])
PREDICTIONS = np.array([1, 1, 0, 4, 4, 3])
SOFT = RNG.dirichlet(np.ones(K), B)
FN = RNG.random(B) + 0.5
ROWS = RNG.random((B, K)) * 3
# Repeats, empty slots, the label itself, nothing at all, all classes but one.
CLASSES = np.array(
    [[1, 1, 3, -1], [1, 0, -1, 4], [-1, -1, -1, -1], [4, 4, 4, 4], [4, 3, 4, 3], [0, 1, 3, 4]]
)
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
    """Values, gradients by logits and costs, and the derivatives of those forward."""
    costs, classes = KINDS[kind]
    labels = {"ids": LABELS, "probabilities": SOFT}

    def losses(truth, logits, fn, costs):
        of_examples = rwwce.ExampleCosts(fn), rwwce.ExampleCosts(costs, classes=classes)
        return rwwce.categorical(logits, truth, *of_examples, reduction="none")

    def by_loop(truth, logits, fn, costs):
        return loop(logits, truth, fn, spread(costs, classes))

    @jax.jit
    def derivatives(logits, fn, costs):
        found = []
        for function in (losses, by_loop):
            for name, truth in labels.items():

                def gradients(*x, f=function, truth=truth):
                    value, pull = jax.vjp(lambda *x: f(truth, *x), *x)
                    return value, pull(jnp.arange(1.0, B + 1))

                arguments = (logits, fn, costs)
                directions = jax.tree.map(jnp.cos, arguments)
                # The Hessian of probabilities takes the same way.
                forward = jax.jvp(gradients, arguments, directions) if name == "ids" else ()
                found.append((gradients(*arguments), forward))
        return found[:2], found[2:]

    actual, expected = derivatives(LOGITS, FN, costs)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
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
    classes, wrong, others = CLASSES.copy(), np.array([0, 1, 3, 5]), np.array([2, 4])
    classes[wrong, 2] = [K, K + 7, -2, 2**31 - 1]
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
    where = np.array([True, False, True, True, False, True])
    costs = np.float32(np.where(where[:, None], ROWS, np.nan))
    fn = np.where(where, FN, np.inf).astype(np.float32)
    classes = np.where(where[:, None], CLASSES, K + 3)
    for fp in (rwwce.ExampleCosts(costs), rwwce.ExampleCosts(1.0, classes=classes)):
        loss = jax.value_and_grad(rwwce.categorical)
        value, gradient = loss(jnp.float32(LOGITS), LABELS, rwwce.ExampleCosts(fn), fp, where=where)
        assert np.isfinite(value)
        assert np.all(np.isfinite(gradient))
        np.testing.assert_array_equal(gradient[~where], 0)


def test_shapes_that_could_be_taken_for_one_another():
    """With as many examples as classes, the name decides what an array is."""
    logits, labels = jnp.float32(LOGITS[:K]), np.array([4, 3, 2, 1, 0])
    square, vector = np.float32(ROWS[:K]), np.arange(1.0, K + 1)

    def loss(fn, fp):
        return rwwce.categorical(logits, labels, fn, fp)

    by_class = loss(vector, square)
    by_example = loss(rwwce.ExampleCosts(vector), rwwce.ExampleCosts(square))
    assert abs(by_class - by_example) > 0.1
    np.testing.assert_allclose(by_example, np.mean(loop(logits, labels, vector, square)), rtol=1e-6)
    # A cost for each example in the order of its label is that of its class.
    in_order = loss(rwwce.ExampleCosts(vector[labels]), rwwce.ExampleCosts(square[labels]))
    np.testing.assert_allclose(in_order, by_class, rtol=1e-6)


def test_unlikelihood_of_a_saturated_candidate():
    """Welleck et al. clamp 1 - p at 1e-5: at a gap of 20 nothing is left of the gradient."""
    fp = rwwce.ExampleCosts(1.0, classes=np.array([[1]]))
    logits, labels = jnp.array([[0.0, 20.0, 0.0]]), np.array([0])
    value, gradient = jax.value_and_grad(rwwce.categorical)(logits, labels, 0.0, fp)
    np.testing.assert_allclose(gradient, [[-0.5, 1, -0.5]], rtol=1e-6)
    np.testing.assert_allclose(value, 20 - np.log(2), rtol=1e-6)


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
