"""The z-loss of large models: the plain formula. See test_linear for that of the fused loss."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

N, K = 24, 6
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(K, N)) * np.resize([3, 400], N)  # in every second example, one p is 1
IDS, SOFT = RNG.integers(0, K, N), RNG.dirichlet(np.ones(K), N)
WHERE, WEIGHTS, Z = RNG.random(N) < 0.7, RNG.random(N), 0.03


@pytest.mark.parametrize("labels", [IDS, SOFT], ids=["ids", "probabilities"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_equals_the_formula(labels, reduction, x64):
    """Value, gradients by logits and z, and their derivative."""
    truth = labels if labels.ndim == 1 else labels.T
    given = {"axis": 0, "where": WHERE, "weights": WEIGHTS, "reduction": reduction}
    loss = functools.partial(rwwce.categorical, labels=truth, fn=1.0, fp=2.0, **given)

    def formula(logits, z_loss):
        squares = WHERE * WEIGHTS * z_loss * jax.nn.logsumexp(logits, axis=0) ** 2
        squares = squares if reduction == "none" else squares.sum() / WEIGHTS[WHERE].sum()
        return jnp.sum(jnp.cos(loss(logits) + squares))

    def of(function):
        gradient = jax.grad(function, (0, 1))
        along = np.ones_like(LOGITS), 1.0
        return jax.jit(lambda *a: (function(*a), gradient(*a), jax.jvp(gradient, a, along)[1]))

    def ours(logits, z_loss):
        return jnp.sum(jnp.cos(loss(logits, z_loss=z_loss)))

    results = (jax.tree.leaves(of(function)(LOGITS, Z)) for function in (ours, formula))
    for x, y in zip(*results, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12 * np.max(np.abs(y)))


def test_nothing_to_add_compiles_to_the_same_program():
    arguments = {rwwce.categorical: [(N, K)], rwwce.linear_categorical: [(N, 5), (5, K)]}
    for loss, shapes in arguments.items():
        arrays = [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes]

        def text(loss=loss, arrays=arrays, **extra):
            run = jax.value_and_grad(lambda *a: loss(*a, IDS, 1.0, 2.0, **extra))
            return jax.jit(run).lower(*arrays).as_text()

        assert text(z_loss=0) == text() != text(z_loss=Z)
