"""An example of weight w counts as w examples, in the value and all gradients of every loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from weighted import LOSSES, SCORES, SOME, WEIGHTS, B, as_floats, close, repeated

import rwwce_jax as rwwce

NAN, INF = np.nan, np.inf
ONE = jnp.float32(1)
every = pytest.mark.parametrize("name", LOSSES)
some = pytest.mark.parametrize("name", SOME)


# --- What weights mean ----------------------------------------------------------------------------


@pytest.mark.sampled(3)
@every
def test_integer_weights_repeat_examples(name):
    loss = LOSSES[name]

    @jax.jit
    def both(z, times):
        weighted = jax.value_and_grad(lambda *x: loss(*x, weights=WEIGHTS), (0, 1))(z, times)
        return weighted, jax.value_and_grad(lambda *x: loss(*x, take=repeated), (0, 1))(z, times)

    weighted, of_repeated = both(SCORES, ONE)
    close(weighted, of_repeated)


@some
def test_reductions(name):
    """With "none" each loss times its weight, which adds up to "sum"."""
    loss, z = LOSSES[name], SCORES
    each = loss(z, ONE, reduction="none")
    weighted = loss(z, ONE, weights=WEIGHTS, reduction="none")
    close(weighted, each * WEIGHTS.astype(np.float32))
    total = loss(z, ONE, weights=WEIGHTS, reduction="sum")
    close(total, jnp.sum(weighted))
    close(loss(z, ONE, weights=WEIGHTS), total / float(WEIGHTS.sum()))
    close(loss(z, ONE, weights=np.ones(B)), loss(z, ONE))


@some
def test_scaling_all_weights_changes_no_mean(name):
    mean = jax.jit(jax.value_and_grad(lambda z, w: LOSSES[name](z, ONE, weights=w)))
    expected = mean(SCORES, as_floats(WEIGHTS))
    for scale in (2.0**-20, 3.0, 1e6):
        close(mean(SCORES, as_floats(WEIGHTS * scale)), expected)


@pytest.mark.sampled(5)
@every
def test_gradient_by_the_weights(name):
    """The loss of each example, over the mean; and of its gradient too, also where weights are 0.

    Ren et al. (2018), "Learning to Reweight Examples", start from weights that are all 0.
    """
    loss = LOSSES[name]

    @jax.jit
    def run(z, w):
        each = loss(z, ONE, reduction="none")
        of_each = jax.jacrev(lambda z: loss(z, ONE, reduction="none"))(z)

        def total(z, w):
            return loss(z, ONE, weights=w, reduction="sum")

        by_weights = jax.grad(total, 1)(z, w), jax.grad(total, 1)(z, 0 * w)
        of_gradient = [jax.jacfwd(jax.grad(total), 1)(z, x) for x in (w, 0 * w)]
        of_mean = jax.grad(lambda w: loss(z, ONE, weights=w))(w)
        return each, jnp.moveaxis(of_each, 0, -1), by_weights, of_gradient, of_mean

    w = as_floats(WEIGHTS)
    each, of_each, by_weights, of_gradient, of_mean = run(SCORES, w)
    close(by_weights, (each, each))
    close(of_gradient, [of_each, of_each], rtol=1e-5)
    mean = np.sum(each * w) / np.sum(w)
    close(of_mean, (each - mean) / np.sum(w), rtol=1e-5)


@some
def test_no_weight_at_all(name):
    """The mean is 0, and all of its gradients, also the one by the weights."""
    run = jax.value_and_grad(lambda z, times, w: LOSSES[name](z, times, weights=w), (0, 1, 2))
    value, gradients = jax.jit(run)(SCORES, ONE, jnp.zeros(B))
    assert value == 0
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, 0)


@some
def test_mapped_over_the_weights_alone(name):
    several = jnp.stack([as_floats(WEIGHTS), jnp.ones(B), jnp.arange(B, dtype=jnp.float32)])
    run = jax.value_and_grad(lambda w, z: LOSSES[name](z, ONE, weights=w), (0, 1))
    close(
        jax.jit(jax.vmap(run, (0, None)))(several, SCORES),
        jax.tree.map(lambda *x: jnp.stack(x), *[jax.jit(run)(w, SCORES) for w in several]),
        rtol=1e-5,
    )


# --- What weighs nothing, and what is no weight ---------------------------------------------------


@pytest.mark.parametrize("labels", [[0, 1], [[1.0, 0], [0, 1]]], ids=["ids", "soft"])
@pytest.mark.parametrize("fp", [0, 2.0])
def test_an_infinite_loss_of_weight_0_counts_0(labels, fp):
    """As with costs of 0; the gradient by the weights is finite too."""
    logits, labels = jnp.array([[-INF, 0.0], [0.0, 1.0]]), np.array(labels)
    labels = labels if labels.dtype.kind == "i" else jnp.asarray(labels, jnp.float32)

    def loss(z, w, **more):
        return rwwce.categorical(z, labels, 1.0, fp, weights=w, **more)

    assert loss(logits, [1.0, 1.0]) == INF
    value, (by_logits, by_weights) = jax.value_and_grad(loss, (0, 1))(logits, jnp.array([0.0, 2]))
    close(value, rwwce.categorical(logits[1:], labels[1:], 1.0, fp))
    np.testing.assert_array_equal(by_logits[0], 0)
    assert not np.any(np.isnan(by_weights))
    assert loss(logits, [0.0, 2.0], reduction="none")[0] == 0


def test_an_infinite_binary_loss_of_weight_0_counts_0():
    z, y, w = jnp.array([INF, -INF, 0.5]), jnp.array([0, 1, 1]), jnp.array([0.0, 0, 4])
    assert rwwce.binary(z, y, 2.0, 3.0) == INF
    value, gradients = jax.value_and_grad(
        lambda z, w: rwwce.binary(z, y, 2.0, 3.0, weights=w), (0, 1)
    )(z, w)
    close(value, rwwce.binary(z[2:], y[2:], 2.0, 3.0))
    np.testing.assert_array_equal(gradients[0][:2], 0)
    assert not np.any(np.isnan(gradients[1]))
    several = rwwce.multilabel(z[:, None], y[:, None], 2.0, 3.0, weights=w)
    close(several, value)


@some
def test_nan_of_weight_0_stays_nan_unless_it_is_masked(name):
    """The weights of what is masked are not looked at."""
    loss, spoilt = LOSSES[name], SCORES.copy()
    spoilt[1] = NAN
    assert WEIGHTS[1] == 0
    assert np.isnan(loss(spoilt, ONE, weights=WEIGHTS))
    where = np.arange(B) != 1
    for weight in (NAN, -1.0, INF, 7.0):
        weights = as_floats(WEIGHTS).at[1].set(weight)
        value, gradients = jax.value_and_grad(
            lambda z, times, w: loss(z, times, weights=w, where=where), (0, 1, 2)
        )(spoilt, ONE, weights)
        expected = jax.value_and_grad(lambda z, t, w: loss(z, t, weights=w), (0, 1, 2))(
            SCORES, ONE, as_floats(WEIGHTS)
        )
        close(value, expected[0])
        close(gradients[1], expected[1][1])
        for gradient, of_whole in zip(gradients[::2], expected[1][::2], strict=True):
            np.testing.assert_array_equal(gradient[1], 0)
            close(gradient[where], of_whole[where])


@pytest.mark.parametrize("wrong", [-1.0, -1e-30, INF, NAN])
@some
def test_what_is_no_weight_gives_nan(name, wrong):
    loss, weights = LOSSES[name], np.ones(B, np.float32)
    weights[2] = wrong
    for reduction in ("mean", "sum"):
        assert np.isnan(loss(SCORES, ONE, weights=weights, reduction=reduction))

    def total(z):
        each = loss(z, ONE, weights=weights, reduction="none")
        return jnp.sum(each), each

    (_, each), gradient = jax.value_and_grad(total, has_aux=True)(SCORES)
    for values in (each, np.max(np.abs(gradient), axis=-1)):
        np.testing.assert_array_equal(np.isnan(values), np.arange(B) == 2)


def test_a_negative_integer_is_no_weight():
    assert np.isnan(rwwce.binary([0.0, 1.0], [0, 1], 1.0, 1.0, weights=[2, -1]))


def test_weights_that_are_too_large_to_add_up():
    """Visible, and not 0."""
    weights = np.float32([3e38, 3e38])
    assert np.isnan(rwwce.binary([20.0, 20.0], [1, 1], 1.0, 1.0, weights=weights))


def test_masked_labels_of_an_example_keep_its_weight():
    rng = np.random.default_rng(1)
    logits, labels = np.float32(rng.normal(size=(B, 3))), rng.integers(0, 2, (B, 3))
    known = rng.random((B, 3)) < 0.6
    known[2] = False  # nothing is known of it, and its weight is not looked at
    weights = np.float32([1, 2, NAN, 0, 3, 1])
    each = rwwce.multilabel(logits, labels, 1.0, 2.0, where=known, reduction="none")
    counted = np.where(known.any(-1), weights, 0)
    assert counted[2] == 0
    assert known[[0, 1, 4, 5]].any(-1).all()
    expected = np.sum(each * counted) / np.sum(counted)
    close(rwwce.multilabel(logits, labels, 1.0, 2.0, where=known, weights=weights), expected)
