"""What the losses become: one program for all values, small collectives, exported programs."""

import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from programs import collectives

import rwwce_jax as rwwce

pytestmark = pytest.mark.optimized

BATCH, CLASSES = 64, 512
COSTS = {
    "no fp": 0,
    "scalar": 2.5,
    "dense": np.float32(np.random.default_rng(1).random((512, 512))),
}


def batch(rng):
    logits = jnp.asarray(rng.normal(size=(BATCH, CLASSES)) * 5, jnp.float32)
    return logits, jnp.asarray(rng.integers(0, CLASSES, BATCH), jnp.int32)


@pytest.fixture
def mesh():
    assert len(jax.devices()) == 8
    return jax.make_mesh((8,), ("device",), axis_types=(jax.sharding.AxisType.Auto,))


@pytest.mark.sampled(5)
@pytest.mark.parametrize("fp", COSTS.values(), ids=COSTS)
@pytest.mark.parametrize("spec", [P("device", None), P(None, "device")], ids=["batch", "classes"])
@pytest.mark.parametrize("kind", ["ids", "one-hot"])
def test_sharded_logits(mesh, spec, fp, kind):
    logits, labels = batch(np.random.default_rng(0))
    labels_spec = P(spec[0])
    if kind == "one-hot":
        labels, labels_spec = jax.nn.one_hot(labels, CLASSES), spec
    loss = jax.value_and_grad(rwwce.categorical)
    expected_value, expected_gradient = loss(logits, labels, 1.5, fp)
    program = jax.jit(lambda z, y: loss(z, y, 1.5, fp))
    logits = jax.device_put(logits, NamedSharding(mesh, spec))
    labels = jax.device_put(labels, NamedSharding(mesh, labels_spec))
    value, gradient = program(logits, labels)
    np.testing.assert_allclose(value, expected_value, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-7)
    assert gradient.sharding.is_equivalent_to(logits.sharding, ndim=2)
    sizes = collectives(program.lower(logits, labels).compile().as_text())
    assert sizes, "a sharded mean needs a collective"
    # Soft labels with dense costs are a matrix product over the classes, of the logits' size.
    if not (kind == "one-hot" and fp is COSTS["dense"] and spec[1]):
        assert max(sizes) <= BATCH


@pytest.mark.parametrize("platform", ["default", "tpu"])
@pytest.mark.parametrize("fp", COSTS.values(), ids=COSTS)
def test_accelerators_gather_no_logits(mesh, fp, platform, monkeypatch):
    """Their one reduction of a sharded class axis moves a few numbers of each row per device."""
    monkeypatch.setattr(
        lax, "platform_dependent", lambda *arguments, **code: code[platform](*arguments)
    )
    rows = {"default": 40, "tpu": 48}[platform]  # no other test's, whose program is in a cache
    sharding = NamedSharding(mesh, P(None, "device"))
    logits = jax.ShapeDtypeStruct((rows, CLASSES), jnp.float32, sharding=sharding)
    labels = jax.ShapeDtypeStruct((rows,), jnp.int32, sharding=NamedSharding(mesh, P()))
    program = jax.jit(lambda z, y: jax.value_and_grad(rwwce.categorical)(z, y, 1.5, fp))
    text = program.lower(logits, labels).compile().as_text()
    assert max(collectives(text)) == rows * mesh.size


def test_sharded_binary(mesh):
    logits, labels = jnp.linspace(-30, 30, BATCH), jnp.arange(BATCH) % 2
    loss = jax.value_and_grad(rwwce.binary)
    expected = loss(logits, labels, 2.0, 3.0)
    sharding = NamedSharding(mesh, P("device"))
    program = jax.jit(loss)
    arguments = jax.device_put((logits, labels), sharding)
    actual = program(*arguments, 2.0, 3.0)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), actual, expected)
    assert max(collectives(program.lower(*arguments, 2.0, 3.0).compile().as_text())) == 1


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_values_do_not_recompile(large):
    """Neither other logits, labels and costs, nor hopeless logits, nor NaN are another program."""
    rng = np.random.default_rng(0)
    rows = 64 if large else 4
    traces = 0

    @jax.jit
    def loss(logits, labels, fn, fp, where):
        nonlocal traces
        traces += 1
        return jax.value_and_grad(rwwce.categorical)(logits, labels, fn, fp, where=where)

    for scale, label, fn in ((1.0, 0, 1.0), (1e4, -1, 0.0), (np.nan, CLASSES, 2.0)):
        logits = jnp.asarray(rng.normal(size=(rows, CLASSES)) * scale, jnp.float32)
        labels = jnp.full(rows, label)
        loss(logits, labels, jnp.float32(fn), jnp.asarray(COSTS["dense"]) * fn, labels < 2)
    assert traces == 1

    # Nor does another Python number as a cost.
    column, halves = logits[:, 0], labels % 2
    for cost in (2.0, 3.0, 4.5, 1e6):
        with CountCompilations() as compiled:
            rwwce.categorical(logits, labels, cost, 2 * cost)
            rwwce.binary(column, halves, cost, 2 * cost)
        assert (compiled() == 0) == (cost != 2.0)


class CountCompilations:
    """Counts what XLA compiles while the context is open."""

    def __enter__(self):
        self.count, self.open = 0, True
        jax.monitoring.register_event_duration_secs_listener(self._listen)
        return lambda: self.count

    def _listen(self, event, *_, **__):
        self.count += self.open and event == "/jax/core/compile/backend_compile_duration"

    def __exit__(self, *_):
        self.open = False  # the listener stays: jax 0.7 cannot take it back


PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


@pytest.mark.sampled(3)
@pytest.mark.parametrize("fp", COSTS.values(), ids=COSTS)
def test_export_categorical(fp):
    (rows,) = jax.export.symbolic_shape("batch")
    logits = jax.ShapeDtypeStruct((rows, CLASSES), jnp.float32)
    labels = jax.ShapeDtypeStruct((rows,), jnp.int32)
    program = jax.jit(lambda z, y: jax.value_and_grad(rwwce.categorical)(z, y, 1.5, fp))
    exported = jax.export.export(program, platforms=PLATFORMS)(logits, labels)
    assert exported.platforms == PLATFORMS
    again = jax.export.deserialize(exported.serialize())
    logits, labels = batch(np.random.default_rng(0))
    for size in (1, 7, BATCH):
        actual = again.call(logits[:size], labels[:size])
        expected = program(logits[:size], labels[:size])
        np.testing.assert_allclose(actual[0], expected[0], rtol=1e-6)
        np.testing.assert_allclose(actual[1], expected[1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("ids", ["int32", "int8"])
def test_export_with_any_number_of_classes(ids):
    """A symbol cannot be compared while tracing, and ids of 8 bits must not wrap around."""
    rows, classes = jax.export.symbolic_shape("rows, classes", constraints=["classes >= 2"])
    shapes = jax.ShapeDtypeStruct((rows, classes), jnp.float32), jax.ShapeDtypeStruct((rows,), ids)
    loss = functools.partial(rwwce.categorical, fn=1.5, fp=2.0, reduction="none")
    again = jax.export.deserialize(jax.export.export(jax.jit(loss))(*shapes).serialize())
    for number in (3, 300):
        logits = np.random.default_rng(0).normal(size=(4, number)).astype(np.float32)
        labels = np.array([0, min(number - 1, 127), -1, 5], ids)
        np.testing.assert_allclose(again.call(logits, labels), loss(logits, labels), rtol=1e-6)


def test_export_binary():
    (rows,) = jax.export.symbolic_shape("batch")
    shape = jax.ShapeDtypeStruct((rows,), jnp.float32)
    program = jax.jit(lambda z, y: jax.value_and_grad(rwwce.binary)(z, y, 2000.0, 100.0))
    exported = jax.export.export(program, platforms=PLATFORMS)(shape, shape)
    again = jax.export.deserialize(exported.serialize())
    logits, labels = jnp.linspace(-3, 3, 5), jnp.array([0.0, 1, 1, 0, 1])
    actual, expected = again.call(logits, labels), program(logits, labels)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), actual, expected)


def test_integer_labels_build_no_one_hot():
    """No array of the logits' size holds the labels or a mask of them."""
    logits = jax.ShapeDtypeStruct((2048, 1000), jnp.float32)
    labels = jax.ShapeDtypeStruct((2048,), jnp.int32)
    program = jax.jit(jax.value_and_grad(lambda z, y: rwwce.categorical(z, y, 1.5, 0)))
    compiled = program.lower(logits, labels).compile()
    entry = compiled.as_text().split("ENTRY")[1]
    assert "pred[2048,1000]" not in entry
    assert "s32[2048,1000]" not in entry
    # The exponentials, and nothing else, beside the gradient.
    assert compiled.memory_analysis().temp_size_in_bytes < 1.1 * 2048 * 1000 * 4


@pytest.mark.parametrize("fp", [0, 2.5], ids=["no fp", "scalar"])
def test_more_axes_take_no_more_memory(fp):
    """A copy of the logits was stored, for a flattened scatter."""

    def temporary_bytes(shape):
        logits = jax.ShapeDtypeStruct((*shape, 8192), jnp.float32)
        labels = jax.ShapeDtypeStruct(shape, jnp.int32)
        loss = jax.jit(jax.value_and_grad(lambda z, y: rwwce.categorical(z, y, 1.0, fp)))
        return loss.lower(logits, labels).compile().memory_analysis().temp_size_in_bytes

    assert temporary_bytes((4, 32)) <= temporary_bytes((128,)) + 2**16


@pytest.mark.parametrize("kind", ["no fp", "dense", "pairs"])
def test_two_sharded_batch_axes_move_no_logits(kind):
    pairs = rwwce.pair_costs({(k, (k + 1) % CLASSES): 2.0 for k in range(CLASSES)}, CLASSES)
    fp = (COSTS | {"pairs": pairs})[kind]
    mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    sharding = NamedSharding(mesh, P("a", "b"))
    logits = jax.ShapeDtypeStruct((8, 16, CLASSES), jnp.float32, sharding=sharding)
    labels = jax.ShapeDtypeStruct((8, 16), jnp.int32, sharding=sharding)
    program = jax.jit(lambda z, y: jax.value_and_grad(rwwce.categorical)(z, y, 1.5, fp))
    sizes = collectives(program.lower(logits, labels).compile().as_text())
    assert max(sizes) < 8 * 16 * CLASSES / 8
