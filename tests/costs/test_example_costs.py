"""Costs of each example are those of a loop over the examples, with a matrix for each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import rwwce_jax as rwwce
from rwwce_jax.flax import RealWorldCost

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
SLOTS = RNG.random((B, P)) * 3


def matrix_of(row):
    """The matrix of one example: its row for every truth."""
    return jnp.broadcast_to(row, (K, K))


def row_of(classes, costs):
    row = np.zeros(K)
    for k, cost in zip(classes, costs, strict=True):
        row[k] += cost if k >= 0 else 0
    return row


def spread(costs):
    return np.array([row_of(*example) for example in zip(CLASSES, costs, strict=True)])


KINDS = {
    "dense": (rwwce.ExampleCosts(ROWS), ROWS),
    "candidates": (rwwce.ExampleCosts(SLOTS, classes=CLASSES), spread(SLOTS)),
    "candidates of one cost": (
        rwwce.ExampleCosts(2.0, classes=CLASSES),
        spread(np.full((B, P), 2.0)),
    ),
}


def loop(logits, labels, fn, rows):
    return jnp.stack(
        [
            rwwce.categorical(logits[i], labels[i], fn[i], matrix_of(rows[i]))
            for i in range(len(rows))
        ]
    )


@pytest.mark.sampled(5)
@pytest.mark.parametrize("labels", [LABELS, SOFT], ids=["ids", "probabilities"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_over_the_examples(kind, labels, x64):
    fp, rows = KINDS[kind]
    fn = rwwce.ExampleCosts(FN)

    def loss(logits):
        return rwwce.categorical(logits, labels, fn, fp, reduction="none")

    weights = np.arange(1.0, B + 1)
    value, pull = jax.vjp(loss, LOGITS)
    expected, pull_loop = jax.vjp(lambda logits: loop(logits, labels, FN, rows), LOGITS)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(pull(weights)[0], pull_loop(weights)[0], rtol=1e-9, atol=1e-12)
    check_grads(loss, (LOGITS,), order=2, modes=["fwd", "rev"], rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_metric(kind):
    fp, rows = KINDS[kind]
    expected = np.mean(
        [FN[i] + rows[i, PREDICTIONS[i]] if PREDICTIONS[i] != LABELS[i] else 0.0 for i in range(B)]
    )
    fn = rwwce.ExampleCosts(FN)
    cost = jax.jit(rwwce.categorical_real_world_cost)(PREDICTIONS, LABELS, fn, fp)
    np.testing.assert_allclose(cost, expected, rtol=1e-6)
    metric = RealWorldCost(1.0, 0.0)
    for half in (slice(0, 2), slice(2, B)):
        part = jax.tree.map(lambda x, half=half: x[half] if np.ndim(x) else x, (fn, fp))
        metric.update(predictions=PREDICTIONS[half], labels=LABELS[half], fn=part[0], fp=part[1])
    np.testing.assert_allclose(metric.compute(), expected, rtol=1e-6)
    metric = RealWorldCost(fn, fp)
    metric.update(logits=jax.nn.one_hot(PREDICTIONS, K), labels=LABELS)
    np.testing.assert_allclose(metric.compute(), expected, rtol=1e-6)


def test_gradients_by_the_costs(x64):
    def by(fn, rows, slots):
        dense = rwwce.categorical(LOGITS, LABELS, rwwce.ExampleCosts(fn), rwwce.ExampleCosts(rows))
        fp = rwwce.ExampleCosts(slots, classes=CLASSES)
        return dense + rwwce.categorical(LOGITS, LABELS, 1.0, fp)

    of_fn, of_rows, of_slots = jax.grad(by, (0, 1, 2))(FN, ROWS, SLOTS)
    log_p = jax.nn.log_softmax(LOGITS)
    each = np.arange(B)
    np.testing.assert_allclose(of_fn, -log_p[each, LABELS] / B, rtol=1e-10)
    log_others = -np.log1p(-np.exp(np.asarray(log_p))) / B
    log_others[each, LABELS] = 0
    np.testing.assert_allclose(of_rows, log_others, rtol=1e-9)
    expected = np.where(CLASSES >= 0, np.take_along_axis(log_others, CLASSES, axis=1), 0)
    np.testing.assert_allclose(of_slots, expected, rtol=1e-9)
    check_grads(by, (FN, ROWS, SLOTS), order=2, modes=["fwd", "rev"], rtol=1e-6)


@pytest.mark.parametrize("wrong", [K, K + 7, -2, 2**31 - 1])
@pytest.mark.parametrize("labels", [LABELS, SOFT], ids=["ids", "probabilities"])
def test_an_id_that_is_no_class_is_nan(labels, wrong):
    classes = CLASSES.copy()
    classes[1, 2] = wrong
    fp = rwwce.ExampleCosts(SLOTS, classes=classes)

    def loss(logits, fp):
        return rwwce.categorical(logits, labels, 1.0, fp, reduction="none")

    value, pull = jax.vjp(lambda logits: loss(logits, fp), jnp.float32(LOGITS))
    (gradient,) = pull(jnp.ones(B))
    good = loss(jnp.float32(LOGITS), KINDS["candidates"][0])
    others = np.arange(B) != 1
    np.testing.assert_array_equal(value[others], good[others])
    assert np.isnan(value[1])
    assert np.all(np.isnan(gradient[1]))
    assert np.all(np.isfinite(gradient[others]))
    if labels is LABELS:
        cost = rwwce.categorical_real_world_cost(PREDICTIONS, LABELS, np.ones(K), fp)
        assert np.isnan(cost) == (PREDICTIONS[1] != LABELS[1])


def test_masked_examples_may_have_any_costs():
    where = np.array([True, False, True, True, False, True])
    costs = np.float32(ROWS)
    costs[~where] = np.nan
    fn = np.where(where, FN, np.inf).astype(np.float32)
    classes = np.where(where[:, None], CLASSES, K + 3)
    for fp in (rwwce.ExampleCosts(costs), rwwce.ExampleCosts(1.0, classes=classes)):
        loss = jax.value_and_grad(rwwce.categorical)
        value, gradient = loss(jnp.float32(LOGITS), LABELS, rwwce.ExampleCosts(fn), fp, where=where)
        assert np.isfinite(value)
        assert np.all(np.isfinite(gradient))
        np.testing.assert_array_equal(gradient[~where], 0)


def test_shapes_that_could_be_taken_for_one_another():
    """With as many examples as classes and candidates, the name decides what an array is."""
    n = K
    logits, labels = jnp.float32(LOGITS[:n]), np.array([4, 3, 2, 1, 0])
    square = np.float32(ROWS[:n])
    by_class = rwwce.categorical(logits, labels, 1.0, square)
    by_example = rwwce.categorical(logits, labels, 1.0, rwwce.ExampleCosts(square))
    expected = rwwce.categorical(logits, labels, 1.0, square[labels])
    assert abs(by_class - by_example) > 0.1
    loop_of_rows = np.mean(loop(logits, labels, np.ones(n), square))
    np.testing.assert_allclose(by_example, loop_of_rows, rtol=1e-6)
    # A row for each example in the order of its label is the matrix.
    in_order = rwwce.categorical(logits, labels, 1.0, rwwce.ExampleCosts(square[labels]))
    np.testing.assert_allclose(in_order, by_class, rtol=1e-6)
    assert abs(expected - by_class) > 0.1
    vector = np.arange(1.0, n + 1)
    of_classes = rwwce.categorical(logits, labels, vector, 0)
    of_examples = rwwce.categorical(logits, labels, rwwce.ExampleCosts(vector), 0)
    reordered = rwwce.categorical(logits, labels, rwwce.ExampleCosts(vector[labels]), 0)
    assert abs(of_classes - of_examples) > 0.1
    np.testing.assert_allclose(of_classes, reordered, rtol=1e-6)


def test_unlikelihood_has_a_gradient_where_the_clamped_formula_has_none():
    """Welleck et al. clamp 1 - p at 1e-5: at a gap of 20 nothing is left of the gradient."""
    logits, labels = jnp.array([[0.0, 20.0, 0.0]]), np.array([0])
    candidates = np.array([[1]])

    def clamped(logits):
        p = jax.nn.softmax(logits)[0, 1]
        return -jnp.log(jnp.clip(1 - p, 1e-5, None))

    def ours(logits):
        fp = rwwce.ExampleCosts(1.0, classes=candidates)
        return rwwce.categorical(logits, labels, 0.0, fp)

    np.testing.assert_array_equal(jax.grad(clamped)(logits), 0)
    np.testing.assert_allclose(jax.grad(ours)(logits), [[-0.5, 1, -0.5]], rtol=1e-6)
    np.testing.assert_allclose(ours(logits), 20 - np.log(2), rtol=1e-6)


@pytest.mark.parametrize("kind", ["dense", "candidates"])
def test_memory(kind):
    """At most three times the memory of the logits, where a matrix for each takes 3.9 GB."""
    rows, classes = 1024, 1000
    logits = jax.ShapeDtypeStruct((rows, classes), jnp.float32)
    labels = jax.ShapeDtypeStruct((rows,), jnp.int32)
    costs = jax.ShapeDtypeStruct((rows, classes if kind == "dense" else 8), jnp.float32)
    ids = jax.ShapeDtypeStruct((rows, 8), jnp.int32)

    def loss(logits, labels, costs, ids):
        fp = rwwce.ExampleCosts(costs, None if kind == "dense" else ids)
        return rwwce.categorical(logits, labels, 1.0, fp)

    compiled = jax.jit(jax.value_and_grad(loss)).lower(logits, labels, costs, ids).compile()
    of_logits = rows * classes * 4
    assert compiled.memory_analysis().temp_size_in_bytes <= 3 * of_logits


def test_vmap_over_costs():
    fp = rwwce.ExampleCosts(SLOTS, classes=CLASSES)
    each = jax.vmap(rwwce.categorical, in_axes=(0, 0, None, 0))(
        jnp.float32(LOGITS), LABELS, 1.0, fp
    )
    together = rwwce.categorical(jnp.float32(LOGITS), LABELS, 1.0, fp, reduction="none")
    np.testing.assert_allclose(each, together, rtol=1e-6)
    assert rwwce.check_costs(1.0, fp) is None
    with pytest.raises(ValueError, match=r"fp\.costs\[0\] must be a finite cost >= 0"):
        rwwce.check_costs(1.0, rwwce.ExampleCosts(np.array([-1.0]), classes=CLASSES[:, :1]))
