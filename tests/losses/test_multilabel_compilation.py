"""What the loss of several labels becomes: vmapped, compiled, sharded, exported."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_label_sets import PAIRS, draw
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from rwwce_jax import multilabel


def test_vmapped_costs():
    rng = np.random.default_rng(6)
    examples = [draw(rng, 4, 3) for _ in range(5)]
    stacked = [jnp.asarray(np.stack(x), jnp.float32) for x in zip(*examples, strict=True)]
    loss = jax.value_and_grad(lambda *x: multilabel(*x[:4], fp_pairs=x[4]), argnums=range(5))
    values, gradients = jax.jit(jax.vmap(loss))(*stacked)
    for row in range(5):
        value, gradient = loss(*(x[row] for x in stacked))
        np.testing.assert_allclose(values[row], value, rtol=1e-6)
        for actual, expected in zip(gradients, gradient, strict=True):
            np.testing.assert_allclose(actual[row], expected, rtol=1e-5, atol=1e-6)


def test_one_matrix_product_for_value_and_gradient_by_logits():
    shape = jax.ShapeDtypeStruct((64, 128), jnp.float32)
    pairs = jax.ShapeDtypeStruct((128, 128), jnp.float32)

    def loss(z, y, pairs):
        return jax.value_and_grad(multilabel)(z, y, 1.0, 1.0, fp_pairs=pairs)

    assert str(jax.make_jaxpr(loss)(shape, shape, pairs)).count("dot_general") == 1
    lowered = jax.jit(loss).lower(shape, shape, pairs).as_text()
    assert lowered.count("stablehlo.dot_general") == 1
    assert "precision = [HIGHEST, HIGHEST]" in lowered
    without = jax.jit(jax.value_and_grad(lambda z, y: multilabel(z, y, 1.0, 1.0)))
    assert "dot_general" not in without.lower(shape, shape).as_text()


@pytest.mark.parametrize("spec", [P("device", None), P(None, "device")], ids=["batch", "classes"])
def test_sharded(spec):
    logits, labels, fn, fp, pairs = draw(np.random.default_rng(7), 16, 8)
    z = jnp.asarray(logits, jnp.float32)
    loss = jax.value_and_grad(lambda z, y: multilabel(z, y, fn, fp, fp_pairs=pairs))
    expected = loss(z, labels)
    mesh = jax.make_mesh((8,), ("device",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.device_put((z, jnp.asarray(labels)), NamedSharding(mesh, spec))
    value, gradient = jax.jit(loss)(*sharded)
    np.testing.assert_allclose(value, expected[0], rtol=1e-6)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-5, atol=1e-7)
    assert gradient.sharding.is_equivalent_to(sharded[0].sharding, ndim=2)


def test_export_with_a_symbolic_batch():
    (rows,) = jax.export.symbolic_shape("batch")
    shape = jax.ShapeDtypeStruct((rows, 3), jnp.float32)
    program = jax.jit(lambda z, y: jax.value_and_grad(multilabel)(z, y, 1.0, 3.0, fp_pairs=PAIRS))
    exported = jax.export.export(program, platforms=("cpu", "cuda", "tpu"))(shape, shape)
    z, y = jnp.ones((5, 3)), jnp.eye(5, 3)
    actual = jax.export.deserialize(exported.serialize()).call(z, y)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), actual, program(z, y))
