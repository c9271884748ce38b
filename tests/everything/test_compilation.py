"""What the losses become: one program for all values, and no copies of the logits."""

import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import rwwce_jax as rwwce

pytestmark = pytest.mark.optimized

CLASSES = 512


def test_another_python_number_as_a_cost_compiles_nothing():
    logits, labels, events = np.ones((4, CLASSES), np.float32), np.zeros(4, np.int32), []
    # The listener stays: jax 0.7 cannot take it back.
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: events.append(event)
    )
    for cost in (2.0, 3.0, 4.5, 1e6):
        events.clear()
        rwwce.categorical(logits, labels, cost, 2 * cost)
        rwwce.binary(logits[:, 0], labels, cost, 2 * cost)
        assert ("/jax/core/compile/backend_compile_duration" in events) == (cost == 2.0)


@pytest.mark.parametrize("ids", ["int32", "int8"])
def test_exported_for_every_platform_and_any_number_of_classes(ids):
    """A symbol cannot be compared while tracing, and ids of 8 bits must not wrap around."""
    rows, classes = jax.export.symbolic_shape("rows, classes", constraints=["classes >= 2"])
    shapes = jax.ShapeDtypeStruct((rows, classes), jnp.float32), jax.ShapeDtypeStruct((rows,), ids)
    loss = functools.partial(rwwce.categorical, fn=1.5, fp=2.0, reduction="none")
    platforms = ("cpu", "cuda", "rocm", "tpu")
    exported = jax.export.export(jax.jit(loss), platforms=platforms)(*shapes)
    again = jax.export.deserialize(exported.serialize())
    for number in (3, 300):
        logits = np.random.default_rng(0).normal(size=(4, number)).astype(np.float32)
        labels = np.array([0, min(number - 1, 127), -1, 5], ids)
        np.testing.assert_allclose(again.call(logits, labels), loss(logits, labels), rtol=1e-6)


def test_integer_labels_build_no_one_hot():
    """No array of the logits' size holds the labels or a mask of them."""
    shapes = jax.ShapeDtypeStruct((2048, 1000), "float32"), jax.ShapeDtypeStruct((2048,), "int32")
    loss = jax.value_and_grad(functools.partial(rwwce.categorical, fn=1.5, fp=0))
    program = jax.jit(loss).lower(*shapes).compile()
    entry = program.as_text().split("ENTRY")[1]
    assert "pred[2048,1000]" not in entry
    assert "s32[2048,1000]" not in entry
    # The exponentials, and nothing else, beside the gradient.
    assert program.memory_analysis().temp_size_in_bytes < 1.1 * 2048 * 1000 * 4
