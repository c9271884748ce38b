"""The loss and the metric of several labels at once, against loops over the pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_label_sets import PAIRS, draw
from jax.test_util import check_grads

import rwwce_jax as rwwce
from rwwce_jax import multilabel, multilabel_decide, multilabel_real_world_cost

INF, NAN = np.inf, np.nan
ALL = (0, 1, 2, 3, 4)
HOSTILE = [NAN, INF, -INF, 1e30, -1]


def with_pairs(logits, labels, fn, fp, pairs, **options):
    return multilabel(logits, labels, fn, fp, fp_pairs=pairs, **options)


def pair_by_pair(logits, labels, fn, fp, pairs, known, weights):
    """The mean over the examples of which something is known, written as the equation is."""
    total = 0.0
    num_classes = logits.shape[1]
    for z, y, is_known, weight in zip(logits, labels, known, weights, strict=True):
        for j in filter(is_known.__getitem__, range(num_classes)):
            cost = fp[j]
            for k in range(num_classes):
                if k != j and is_known[k]:
                    cost += y[k] * pairs[k, j]
            total -= weight * fn[j] * y[j] * jax.nn.log_sigmoid(z[j])
            total -= weight * (1 - y[j]) * cost * jax.nn.log_sigmoid(-z[j])
    return total / np.sum(weights[known.any(axis=1)])


@pytest.mark.sampled(3)
@pytest.mark.parametrize("num_classes", [1, 2, 5])
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
def test_loss_and_gradients_equal_a_loop_over_the_pairs(num_classes, soft, masked, x64):
    """Unknown labels are as if they were not there, whatever stands in their place.

    Of an example of which nothing is known, the weight is not looked at.
    """
    rng = np.random.default_rng([num_classes, soft, masked])
    arguments = draw(rng, 6, num_classes, soft=soft)
    known = rng.random((6, num_classes)) < (0.6 if masked else 1)
    known[0] = not masked
    weights = np.where(known.any(axis=1), rng.random(6), NAN)
    spoilt = (np.where(known, x, rng.choice(HOSTILE, x.shape)) for x in arguments[:2])

    def loss(*arguments):
        return with_pairs(*arguments, where=known if masked else None, weights=weights)

    value, gradients = jax.jit(jax.value_and_grad(loss, ALL))(*spoilt, *arguments[2:])
    expected = jax.value_and_grad(pair_by_pair, ALL)(*map(jnp.asarray, arguments), known, weights)
    np.testing.assert_allclose(value, expected[0], rtol=1e-13)
    for actual, wanted in zip(gradients, expected[1], strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-12, atol=1e-13)
    for gradient in gradients[:2]:
        np.testing.assert_array_equal(gradient[~known], 0)
    np.testing.assert_array_equal(np.diag(gradients[4]), np.zeros(num_classes))


@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
def test_metric_equals_a_loop_over_the_pairs(masked):
    """Labels in [0, 1] are independent chances, of which it is the expected cost."""
    rng = np.random.default_rng(masked)
    _, labels, fn, fp, pairs = draw(rng, 30, 4, soft=True)
    predictions = rng.integers(0, 2, labels.shape)
    known = rng.random(labels.shape) < (0.5 if masked else 1)
    cost = 0.0
    for truth, prediction, is_known in zip(labels, predictions, known, strict=True):
        for j in np.flatnonzero(is_known):
            if prediction[j]:
                others = [k for k in np.flatnonzero(is_known) if k != j]
                cost += (1 - truth[j]) * (fp[j] + truth[others] @ pairs[others, j])
            else:
                cost += truth[j] * fn[j]
    cost /= np.count_nonzero(known.any(axis=1))
    predictions, labels = np.where(known, predictions, 5), np.where(known, labels, 7)
    options = {"fp_pairs": pairs, "where": known if masked else None}
    actual = multilabel_real_world_cost(predictions, labels, fn, fp, **options)
    np.testing.assert_allclose(actual, cost, rtol=1e-6)
    for decided in (predictions == 1, np.int8(predictions)):
        found = multilabel_real_world_cost(decided, labels, fn, fp, **options)
        np.testing.assert_array_equal(found, actual)
    assert multilabel_real_world_cost(predictions, labels, fn, fp, where=known & False) == 0


def test_without_pairs_it_is_the_sum_of_the_binary_losses():
    logits, labels, fn, fp, pairs = draw(np.random.default_rng(1), 20, 3, soft=True)
    logits = np.float32(logits)
    expected = sum(
        rwwce.binary(logits[:, j], labels[:, j], fn[j], fp[j], reduction="none") for j in range(3)
    )
    for none in (None, np.where(np.isnan(pairs), NAN, 0)):
        actual = with_pairs(logits, labels, fn, fp, none, reduction="none")
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_pair_costs_are_their_matrix():
    rng = np.random.default_rng(9)
    logits, probs, fn, fp, _ = draw(rng, 20, 5, soft=True)
    logits, probs = np.float32(logits), np.float32(probs)
    few = rwwce.pair_costs({(0, 3): 2.5, (4, 3): 7.0, (1, 0): 0.5}, num_classes=5)
    matrix = few.as_matrix(5)
    known = rng.random(probs.shape) < 0.7
    decided = multilabel_decide(probs, fn, fp, fp_pairs=few)
    np.testing.assert_array_equal(decided, multilabel_decide(probs, fn, fp, fp_pairs=matrix))
    for function, given in (
        (jax.value_and_grad(with_pairs, (0, 1)), logits),
        (lambda *x, **more: multilabel_real_world_cost(*x[:4], fp_pairs=x[4], **more), decided),
    ):
        for where in (None, known):
            actual, expected = (
                function(given, probs, fn, fp, pairs, where=where) for pairs in (few, matrix)
            )
            for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7)


def test_second_derivatives(x64):
    arguments = tuple(map(jnp.asarray, draw(np.random.default_rng(3), 3, 3, soft=True)))
    arguments = (*arguments[:4], jnp.nan_to_num(arguments[4]))
    check_grads(jax.jit(with_pairs), arguments, order=2, rtol=1e-6, atol=1e-6)
    # Each sigmoid by itself: no logit bends another's slope.
    hessian = np.asarray(jax.hessian(with_pairs)(*arguments)).reshape(9, 9)
    np.testing.assert_allclose(hessian, np.diag(np.diag(hessian)), atol=1e-15)
    assert np.all(np.diag(hessian) > 0)


def test_one_matrix_product_for_value_and_gradient_by_logits():
    shape, pairs = (jax.ShapeDtypeStruct((n, 128), jnp.float32) for n in (64, 128))

    def text(pairs):
        def run(z, y, pairs):
            return jax.value_and_grad(with_pairs)(z, y, 1.0, 1.0, pairs)

        return jax.jit(run).lower(shape, shape, pairs).as_text()

    assert text(pairs).count("stablehlo.dot_general") == 1
    assert "precision = [HIGHEST, HIGHEST]" in text(pairs)
    assert "dot_general" not in text(None)


# Logits, labels; the loss and the gradient with fn = 1, fp = 3 and PAIRS.
EXTREME = {
    "harmless": ([0.0, 0, 0], [0, 0, 0], 9 * np.log(2), [1.5, 1.5, 1.5]),
    "infinite and right": ([INF, -INF, INF], [1, 0, 1], 0, [0, 0, 0]),
    "infinite and wrong": ([0, INF, -INF], [1, 0, 0], INF, [-0.5, 5, 0]),
    "missed for certain": ([0, 0, -INF], [0, 0, 1], INF, [4, 1.5, -1]),
    "a gap of 1e4": ([1e4, -1e4, 0], [0, 1, 0], 4e4 + 3 * np.log(2), [3, -1, 1.5]),
    "NaN": ([NAN, 0, 0], [1, 0, 0], NAN, [NAN, 2.5, 1.5]),
    "label 2": ([0, 0, 0], [2, 0, 0], NAN, [NAN, NAN, NAN]),
    "label -1": ([0, 0, 0], [-1, 0, 0], NAN, [NAN, NAN, NAN]),
}


@pytest.mark.optimized
def test_hostile_input():
    logits, labels, values, gradients = map(np.float32, zip(*EXTREME.values(), strict=True))

    def losses(z):
        return multilabel(z, labels, 1.0, 3.0, fp_pairs=PAIRS, reduction="none")

    def forward(z):
        along = jax.vmap(
            lambda x: jax.jvp(losses, (z,), (jnp.tile(x, (len(z), 1)),))[1], out_axes=-1
        )
        return along(jnp.eye(3))

    np.testing.assert_allclose(losses(logits), values, rtol=1e-6)
    backward = jax.grad(lambda z: jnp.sum(losses(z)))(logits)
    np.testing.assert_allclose(backward, gradients, rtol=1e-6)
    # Forward mode adds up the slopes times the tangents: 0 times NaN is NaN.
    gradients[np.isnan(values)] = NAN
    np.testing.assert_allclose(jax.jit(forward)(logits), gradients, rtol=1e-6)


def test_zero_costs_contribute_nothing():
    z = jnp.array([[INF, -INF, 0.0]])
    value, gradient = jax.value_and_grad(multilabel)(z, [[0, 1, 0]], [1, 0, 1], [0, 1, 0])
    assert value == 0
    np.testing.assert_array_equal(gradient, [[0, 0, 0]])


def test_costs_of_1e30_and_integers():
    z, huge = jnp.ones((4, 3)), np.full((3, 3), 1e30)
    value, gradient = jax.value_and_grad(multilabel)(z, z, 1e30, 1e30, fp_pairs=huge)
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))
    pairs = np.array([[0, 2, 3], [4, 0, 5], [6, 7, 0]])
    as_floats = multilabel(z, z, 2.0, 3.0, fp_pairs=np.float32(pairs))
    assert multilabel(z, z, 2, 3, fp_pairs=pairs) == as_floats
