"""The loss and the metric of several labels at once, against loops over the pairs."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_label_sets import draw
from jax.test_util import check_grads
from precision import enable_x64

import rwwce_jax as rwwce
from rwwce_jax import (
    multilabel,
    multilabel_decide,
    multilabel_real_world_cost,
    pair_costs,
)

INF, NAN = np.inf, np.nan


def pair_by_pair(logits, labels, fn, fp, pairs, known=None):
    """The sum over the examples, written as the equation is."""
    total = 0.0
    num_classes = logits.shape[1]
    known = np.ones(logits.shape, bool) if known is None else known
    for z, y, is_known in zip(logits, labels, known, strict=True):
        for j in range(num_classes):
            if is_known[j]:
                cost = fp[j]
                for k in range(num_classes):
                    if k != j and is_known[k]:
                        cost += y[k] * pairs[k, j]
                total -= fn[j] * y[j] * jax.nn.log_sigmoid(z[j])
                total -= (1 - y[j]) * cost * jax.nn.log_sigmoid(-z[j])
    return total


@pytest.mark.sampled(5)
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("num_classes", [1, 2, 5])
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
def test_loss_and_gradients_equal_a_loop_over_the_pairs(num_classes, soft, masked):
    rng = np.random.default_rng([num_classes, soft, masked])
    arguments = tuple(map(jnp.asarray, draw(rng, 4, num_classes, soft=soft)))
    known = rng.random((4, num_classes)) < 0.6 if masked else None

    def loss(logits, labels, fn, fp, pairs):
        return multilabel(logits, labels, fn, fp, fp_pairs=pairs, where=known, reduction="sum")

    each = tuple(range(5))
    value, gradients = jax.value_and_grad(loss, each)(*arguments)
    expected = jax.value_and_grad(pair_by_pair, each)(*arguments, known)
    np.testing.assert_allclose(value, expected[0], rtol=1e-13)
    for actual, wanted in zip(gradients, expected[1], strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(np.diag(gradients[4]), np.zeros(num_classes))


@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
def test_metric_equals_a_loop_over_the_pairs(masked):
    rng = np.random.default_rng(masked)
    _, labels, fn, fp, pairs = draw(rng, 30, 4)
    predictions = rng.integers(0, 2, labels.shape)
    known = rng.random(labels.shape) < 0.5 if masked else np.ones(labels.shape, bool)
    cost = 0.0
    for truth, prediction, is_known in zip(labels, predictions, known, strict=True):
        for j in range(4):
            if is_known[j] and truth[j] and not prediction[j]:
                cost += fn[j]
            if is_known[j] and prediction[j] and not truth[j]:
                cost += fp[j]
                cost += sum(pairs[k, j] for k in range(4) if truth[k] and is_known[k])
    cost /= np.count_nonzero(known.any(axis=1))
    actual = multilabel_real_world_cost(
        predictions, labels, fn, fp, fp_pairs=pairs, where=known if masked else None
    )
    np.testing.assert_allclose(actual, cost, rtol=1e-6)
    as_booleans = multilabel_real_world_cost(
        predictions == 1, jnp.asarray(labels == 1), fn, fp, fp_pairs=jnp.asarray(pairs), where=known
    )
    np.testing.assert_allclose(as_booleans, cost, rtol=1e-6)


def test_one_class_is_binary():
    rng = np.random.default_rng(0)
    logits, labels, *_ = (jnp.asarray(x, jnp.float32) for x in draw(rng, 50, 1))
    for reduction in ("mean", "sum", "none"):
        actual = multilabel(
            logits, labels, 3.0, jnp.array([2.0]), fp_pairs=[[NAN]], reduction=reduction
        )
        expected = rwwce.binary(logits[:, 0], labels[:, 0], 3.0, 2.0, reduction=reduction)
        np.testing.assert_allclose(actual, expected, rtol=1e-6)
    predictions, probs = logits > 0.3, jax.nn.sigmoid(logits)
    np.testing.assert_allclose(
        multilabel_real_world_cost(predictions, labels, 3.0, 2.0),
        rwwce.binary_real_world_cost(predictions, labels, 3.0, 2.0),
        rtol=1e-6,
    )
    for fn, fp in ((3.0, 2.0), (0.0, 2.0), (3.0, 0.0), (0.0, 0.0), (1e30, 1e-30)):
        np.testing.assert_array_equal(
            multilabel_decide(probs, fn, fp), probs > rwwce.bayes_threshold(fn, fp)
        )


def test_without_pairs_it_is_the_sum_of_the_binary_losses():
    logits, labels, fn, fp, pairs = draw(np.random.default_rng(1), 20, 6, soft=True)
    logits = jnp.asarray(logits, jnp.float32)
    alone = sum(rwwce.binary(logits[:, j], labels[:, j], fn[j], fp[j]) for j in range(6))
    for none in (None, np.zeros((6, 6)), np.where(np.isnan(pairs), NAN, 0)):
        np.testing.assert_allclose(
            multilabel(logits, labels, fn, fp, fp_pairs=none), alone, rtol=1e-6
        )


def test_expected_cost_of_probabilities_as_labels():
    """Labels in [0, 1] are independent chances: the loss and the metric are expectations."""
    with enable_x64(True):
        logits, probs, fn, fp, pairs = draw(np.random.default_rng(2), 1, 3, soft=True)
        decided = np.array([[1, 0, 1]])
        loss = cost = 0.0
        for truth in itertools.product([0, 1], repeat=3):
            chance = np.prod(np.where(truth, probs[0], 1 - probs[0]))
            loss += chance * multilabel(logits, [truth], fn, fp, fp_pairs=pairs)
            cost += chance * multilabel_real_world_cost(
                decided, [truth], fn, jnp.asarray(fp), fp_pairs=pairs
            )
        np.testing.assert_allclose(multilabel(logits, probs, fn, fp, fp_pairs=pairs), loss)
        np.testing.assert_allclose(
            multilabel_real_world_cost(decided, probs, fn, jnp.asarray(fp), fp_pairs=pairs), cost
        )


def test_pair_costs_are_their_matrix():
    rng = np.random.default_rng(9)
    logits, labels, fn, fp, _ = draw(rng, 20, 5, soft=True)
    logits, probs = jnp.asarray(logits, jnp.float32), jnp.asarray(labels, jnp.float32)
    few = pair_costs({(0, 3): 2.5, (4, 3): 7.0, (1, 0): 0.5}, num_classes=5)
    matrix = np.zeros((5, 5), np.float32)
    matrix[[0, 4, 1], [3, 3, 0]] = 2.5, 7.0, 0.5
    loss = jax.value_and_grad(multilabel, argnums=(0, 1))
    known = rng.random(labels.shape) < 0.7
    for where in (None, known):
        actual, expected = (
            loss(logits, probs, fn, fp, fp_pairs=pairs, where=where) for pairs in (few, matrix)
        )
        for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    decided, as_decided = (
        multilabel_decide(probs, fn, fp, fp_pairs=pairs) for pairs in (few, matrix)
    )
    np.testing.assert_array_equal(decided, as_decided)
    np.testing.assert_allclose(
        multilabel_real_world_cost(decided, probs, fn, fp, fp_pairs=few),
        multilabel_real_world_cost(decided, probs, fn, fp, fp_pairs=matrix),
        rtol=1e-6,
    )
    with pytest.raises(ValueError, match=r"^fp_pairs must be the costs of 4 classes"):
        multilabel(logits[:, :4], probs[:, :4], 1.0, 1.0, fp_pairs=few)


@pytest.mark.usefixtures("x64")
def test_derivatives_by_finite_differences():
    arguments = tuple(map(jnp.asarray, draw(np.random.default_rng(3), 3, 3, soft=True)))
    pairs = jnp.nan_to_num(arguments[4])

    def loss(*z):
        return multilabel(*z[:4], fp_pairs=z[4])

    check_grads(jax.jit(loss), (*arguments[:4], pairs), order=2, rtol=1e-6, atol=1e-6)
    hessian = jax.hessian(loss)(*arguments[:4], pairs)
    assert hessian.shape == (3, 3, 3, 3)
    # Each sigmoid by itself: no logit bends another's slope.
    diagonal = np.diag(np.asarray(hessian).reshape(9, 9))
    np.testing.assert_allclose(hessian.reshape(9, 9), np.diag(diagonal), atol=1e-15)
    assert np.all(diagonal > 0)


# --- Unknown labels -------------------------------------------------------------------------------


def test_unknown_labels_are_as_if_they_were_not_there():
    rng = np.random.default_rng(4)
    logits, labels, fn, fp, pairs = draw(rng, 40, 5)
    known = rng.random(logits.shape) < 0.5
    known[:3] = False
    hostile = rng.choice([NAN, INF, -INF, 1e30, -1], logits.shape)
    z = jnp.asarray(np.where(known, logits, hostile), jnp.float32)
    y = jnp.asarray(np.where(known, labels, hostile), jnp.float32)
    loss = jax.jit(
        jax.value_and_grad(lambda *x: multilabel(*x[:4], fp_pairs=x[4], where=known), range(5))
    )
    value, gradients = loss(z, y, *(jnp.asarray(x, jnp.float32) for x in (fn, fp, pairs)))
    np.testing.assert_array_equal(gradients[0][~known], 0)
    np.testing.assert_array_equal(gradients[1][~known], 0)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)
    by_hand = float(pair_by_pair(logits, labels, fn, fp, pairs, known))
    np.testing.assert_allclose(value, by_hand / np.count_nonzero(known.any(axis=1)), rtol=1e-5)
    each = multilabel(z, y, fn, fp, fp_pairs=pairs, where=known, reduction="none")
    assert each.shape == (40,)
    np.testing.assert_array_equal(each[:3], 0)


def test_a_mask_over_the_examples_drops_them():
    logits, labels, fn, fp, pairs = draw(np.random.default_rng(5), 8, 3)
    z, keep = jnp.asarray(logits, jnp.float32), np.arange(8) % 3 != 0
    hostile, unknown = z.at[~keep].set(NAN), labels.copy()
    unknown[~keep] = 7
    for reduction in ("mean", "sum"):
        loss = jax.value_and_grad(multilabel)
        value, gradient = loss(
            hostile, unknown, fn, fp, fp_pairs=pairs, where=keep, reduction=reduction
        )
        expected = loss(z[keep], labels[keep], fn, fp, fp_pairs=pairs, reduction=reduction)
        np.testing.assert_allclose(value, expected[0], rtol=1e-6)
        np.testing.assert_allclose(gradient[keep], expected[1], rtol=1e-6)
        np.testing.assert_array_equal(gradient[~keep], 0)
    assert multilabel(z[0], labels[0], fn, fp, fp_pairs=pairs, where=True) == multilabel(
        z[0], labels[0], fn, fp, fp_pairs=pairs, where=[True] * 3
    )
    decided = np.where(keep[:, None], labels == 0, 5)
    np.testing.assert_allclose(
        multilabel_real_world_cost(decided, unknown, fn, fp, fp_pairs=pairs, where=keep),
        multilabel_real_world_cost(decided[keep], labels[keep], fn, fp, fp_pairs=pairs),
        rtol=1e-6,
    )


def test_nothing_to_average():
    for z, where in ((jnp.zeros((0, 3)), None), (jnp.full((2, 3), NAN), np.zeros((2, 3), bool))):
        loss = jax.value_and_grad(multilabel)
        for reduction in ("mean", "sum"):
            value, gradient = loss(z, z, 1.0, 1.0, where=where, reduction=reduction)
            assert value == 0
            np.testing.assert_array_equal(gradient, np.zeros(z.shape))
        assert multilabel_real_world_cost(z == 0, z, 1.0, 1.0, where=where) == 0
