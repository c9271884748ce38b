"""Every public function on every mesh: the numbers of one device, wherever the arrays are.

A new function or kind of costs is one more line in a table.
"""

import contextlib
import itertools
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from programs import collectives

import rwwce_jax as rwwce
from rwwce_jax.flax import RealWorldCost

BATCH, CLASSES = 16, 8
RNG = np.random.default_rng(0)
# Whole numbers, so that they are the same costs as integers.
MATRIX = np.float32(RNG.integers(0, 6, (CLASSES, CLASSES)))
BY_CLASS = np.float32(RNG.integers(1, 4, CLASSES))
PAIRS = rwwce.pair_costs({(k, (k * 3 + 1) % CLASSES): k + 1 for k in range(CLASSES - 1)}, CLASSES)
OF_EXAMPLES = np.float32(RNG.random((BATCH, CLASSES)) + 0.5)
CANDIDATES = RNG.integers(-1, CLASSES, (BATCH, 3))

# What the functions are given, and which of its axes are those of the batch and of the classes.
DATA = {
    "logits": (np.float32(RNG.normal(size=(BATCH, CLASSES)) * 4), ("batch", "classes")),
    "soft": (np.float32(RNG.dirichlet(np.ones(CLASSES), BATCH)), ("batch", "classes")),
    "sets": (RNG.integers(0, 2, (BATCH, CLASSES)), ("batch", "classes")),
    "other_sets": (RNG.integers(0, 2, (BATCH, CLASSES)), ("batch", "classes")),
    "ids": (RNG.integers(0, CLASSES, BATCH), ("batch",)),
    "other_ids": (RNG.integers(0, CLASSES, BATCH), ("batch",)),
    "scores": (np.float32(RNG.normal(size=BATCH) * 4), ("batch",)),
    "truth": (RNG.integers(0, 2, BATCH), ("batch",)),
    "decided": (RNG.integers(0, 2, BATCH), ("batch",)),
    "amounts": (np.float32(RNG.random(BATCH) + 0.1), ("batch",)),
    "known": (np.arange(BATCH) % 5 > 0, ("batch",)),
    "counts": (RNG.integers(0, 9, (BATCH, CLASSES, CLASSES)), ("batch",)),
}

# `fn` and `fp` of the categorical functions. `put(array, axes)` places what follows the examples.
COSTS = {
    "no fp": lambda put: (1.5, 0),
    "scalars": lambda put: (1.5, 2.5),
    "examples": lambda put: (
        rwwce.ExampleCosts(put(OF_EXAMPLES[:, 0], ("batch",))),
        rwwce.ExampleCosts(put(OF_EXAMPLES, ("batch", "classes"))),
    ),
    "candidates": lambda put: (
        1.5,
        rwwce.ExampleCosts(2.0, classes=put(CANDIDATES, ("batch", None))),
    ),
}


def on_one_device(tree):
    return jax.device_put(tree, jax.devices()[0])


# Each case of the main test takes one of these, so that each meets each kind of mesh and each
# layout, inside and outside: their programs are the same but for where the costs come from.
PLACES = {
    "NumPy": lambda: {"matrix": (BY_CLASS, MATRIX), "pairs": (BY_CLASS, PAIRS)},
    "JAX": lambda: {
        "matrix": (jnp.asarray(BY_CLASS), jnp.asarray(MATRIX)),
        "pairs": (jnp.asarray(BY_CLASS), PAIRS),
    },
    "one device": lambda: {
        "matrix": on_one_device((BY_CLASS, MATRIX)),
        "pairs": on_one_device((BY_CLASS, PAIRS)),
    },
    "integers on one device": lambda: {
        "matrix": on_one_device((BY_CLASS.astype(int), MATRIX.astype(int))),
        "pairs": (on_one_device(BY_CLASS.astype(int)), PAIRS),
    },
}

# For all that takes costs; the categorical loss is tried with all that a case has.
SOME = ("matrix", "pairs")

# Losses by name: the costs, and the function, which is differentiated by the logits.
LOSSES = {
    "categorical": ((*COSTS, *SOME), lambda z, d, fn, fp: rwwce.categorical(z, d["ids"], fn, fp)),
    "categorical, soft": (SOME, lambda z, d, fn, fp: rwwce.categorical(z, d["soft"], fn, fp)),
}
# With costs of their own: what they are differentiated by, and the function.
OTHER_LOSSES = {
    "categorical, masked": (
        "logits",
        lambda z, d: rwwce.categorical(z.T, d["ids"], 1.0, MATRIX, axis=0, where=d["known"]),
    ),
    "categorical, none": (
        "logits",
        lambda z, d: rwwce.categorical(z, d["ids"], BY_CLASS, MATRIX, reduction="none"),
    ),
    "multilabel": (
        "logits",
        lambda z, d: rwwce.multilabel(
            z, d["sets"], 1.0, BY_CLASS, fp_pairs=PAIRS, where=d["known"]
        ),
    ),
    "binary": (
        "scores",
        lambda z, d: rwwce.binary(z, d["truth"], d["amounts"], 3.0, where=d["known"]),
    ),
}


def metric(batches, **costs):
    metric = RealWorldCost(**costs)
    for batch in batches:
        metric.update(**batch)
    return metric.compute()


# What is not differentiated, with the costs of the table; then with costs of its own.
FUNCTIONS = {
    "expected_cost": ("soft", lambda d, fn, fp: rwwce.expected_cost(d["soft"], fn, fp)),
    "decide": ("soft", lambda d, fn, fp: rwwce.decide(d["soft"], fn, fp)),
    "real world cost": (
        "ids",
        lambda d, fn, fp: rwwce.categorical_real_world_cost(d["other_ids"], d["ids"], fn, fp),
    ),
    "posterior": ("logits", lambda d, fn, fp: rwwce.categorical_posterior(d["logits"], fn, fp)),
    "from confusion": (
        "counts",
        lambda d, fn, fp: rwwce.real_world_cost_from_confusion(d["counts"], fn, fp),
    ),
}
OTHER_FUNCTIONS = {
    "metric": (
        "logits",
        lambda d: metric(
            [
                {"logits": d["logits"], "labels": d["ids"]},
                {"predictions": d["other_ids"], "labels": d["ids"], "mask": d["known"]},
            ],
            fn=BY_CLASS,
            fp=MATRIX,
        ),
    ),
    "metric of examples": (
        "ids",
        lambda d: metric(
            [{"predictions": d["other_ids"], "labels": d["ids"]}],
            fn=rwwce.ExampleCosts(d["amounts"]),
            fp=rwwce.ExampleCosts(3.0, classes=d["other_ids"][:, None]),
        ),
    ),
    "metric, binary": (
        "scores",
        lambda d: metric(
            [{"logits": d["scores"], "labels": d["truth"]}], fn=2.0, fp=1.0, threshold=0.0
        ),
    ),
    "confusion": (
        "ids",
        lambda d: rwwce.confusion_matrix(d["other_ids"], d["ids"], CLASSES, where=d["known"]),
    ),
    "savings": ("ids", lambda d: rwwce.savings(0.5, d["ids"], BY_CLASS, MATRIX)),
    "savings, binary": ("truth", lambda d: rwwce.savings(0.5, d["truth"], d["amounts"], 2.0)),
    "binary real world cost": (
        "decided",
        lambda d: rwwce.binary_real_world_cost(d["decided"], d["truth"], d["amounts"], 2.0),
    ),
    "bayes_threshold": ("amounts", lambda d: rwwce.bayes_threshold(2.0, d["amounts"])),
    "best_threshold": (
        "scores",
        lambda d: rwwce.best_threshold(d["scores"], d["truth"], d["amounts"], 1.0),
    ),
    "fit_temperature": (
        "logits",
        lambda d: rwwce.fit_temperature(d["logits"], d["ids"], where=d["known"]),
    ),
    "fit_temperature, binary": (
        "scores",
        lambda d: rwwce.fit_temperature(d["scores"], d["truth"], where=d["known"]),
    ),
    "binary_posterior": (
        "scores",
        lambda d: rwwce.binary_posterior(d["scores"], d["amounts"], 2.0),
    ),
    "multilabel real world cost": (
        "sets",
        lambda d: rwwce.multilabel_real_world_cost(
            d["other_sets"], d["sets"], BY_CLASS, 2.0, fp_pairs=MATRIX
        ),
    ),
    "multilabel_decide": (
        "soft",
        lambda d: rwwce.multilabel_decide(d["soft"], BY_CLASS, 2.0, fp_pairs=PAIRS),
    ),
}
LAYOUTS = {
    "batch": {"batch": "data"},
    "class": {"classes": "model"},
    "both": {"batch": "data", "classes": "model"},
    "none": {},
}


def value_and_gradient(loss, logits):
    # Where each of several examples has a loss, the gradient is that of their sum. By `jax.vjp`,
    # because `jax.grad` outside of jit and `jax.set_mesh` fails on an explicit mesh for any
    # function, jnp.sum included: "Length of device assignment 1 is not equal to the size of the
    # mesh 8 of aval f32[]({Explicit: ...}). Please enter your `jit` into a mesh context".
    value, pull_back = jax.vjp(loss, logits)
    return value, pull_back(jnp.ones_like(value))[0]


def results(data, costs, of_classes):
    """The results by name: values, and of losses the gradients as well."""
    found = {}
    skipped = {name for name, (_, axes) in DATA.items() if of_classes and "classes" not in axes}
    losses = {
        f"{name}, {kind}": ("logits", lambda z, d, f=loss, kind=kind: f(z, d, *costs[kind]))
        for name, (kinds, loss) in LOSSES.items()
        for kind in kinds
        if kind in costs
    }
    for name, (at, loss) in (losses | OTHER_LOSSES).items():
        if at not in skipped:
            found[name] = value_and_gradient(lambda z, f=loss: f(z, data), data[at])
    for name, (at, function) in FUNCTIONS.items():
        for kind in SOME if at not in skipped else ():
            found[f"{name}, {kind}"] = (function(data, *costs[kind]),)
    for name, (at, function) in OTHER_FUNCTIONS.items():
        if at not in skipped:
            found[name] = (function(data),)
    return found


def a_mesh(kind):
    return jax.make_mesh((4, 2), ("data", "model"), axis_types=(kind,) * 2)


@cache
def expected():
    data = {name: jnp.asarray(array) for name, (array, _) in DATA.items()}
    costs = {kind: make(lambda array, _: jnp.asarray(array)) for kind, make in COSTS.items()}
    costs |= PLACES["NumPy"]()
    run = partial(results, costs=costs, of_classes=False)
    return jax.tree.map(np.asarray, jax.jit(run)(data))


KINDS = {"explicit": AxisType.Explicit, "automatic": AxisType.Auto}


# Those that `make test` runs have each value of each column.
FIRST = (
    ("explicit", "batch", "inside", "jit"),
    ("automatic", "class", "outside", "jit"),
    ("automatic", "both", "inside", "eager"),
    ("explicit", "none", "outside", "jit"),
)
CELLS = itertools.product(KINDS, LAYOUTS, ("inside", "outside"), ("jit", "eager"))


@pytest.mark.always
@pytest.mark.parametrize(
    ("kind", "layout", "place", "how"),
    [
        pytest.param(*cell, id="-".join(cell), marks=() if cell in FIRST else pytest.mark.slow)
        for cell in CELLS
    ],
)
def test_as_on_one_device(kind, layout, place, how):
    inside = place == "inside"
    mesh, of_classes = a_mesh(KINDS[kind]), layout in ("class", "both")
    case = (list(LAYOUTS).index(layout), 2 * list(KINDS).index(kind), inside, how == "jit")
    turn = sum(case) % 4
    # Eagerly, each kind of costs is several programs more: one at a time is enough.
    some = COSTS if how == "jit" else dict([list(COSTS.items())[turn]])

    def put(array, axes):
        spec = P(*(LAYOUTS[layout].get(axis) for axis in axes))
        return jax.device_put(array, NamedSharding(mesh, spec))

    with jax.set_mesh(mesh) if inside else contextlib.nullcontext():
        data = {name: put(*of_data) for name, of_data in DATA.items()}
        costs = {name: make(put) for name, make in some.items()} | list(PLACES.values())[turn]()
        run = partial(results, costs=costs, of_classes=of_classes)  # the costs are closed over
        actual = (jax.jit(run) if how == "jit" else run)(data)
    for name, parts in actual.items():
        for part, one_device in zip(parts, expected()[name], strict=True):
            np.testing.assert_allclose(part, one_device, rtol=2e-5, atol=1e-6, err_msg=name)
        if len(parts) == 2:
            logits = data[OTHER_LOSSES.get(name, ("logits",))[0]]
            assert parts[1].sharding.is_equivalent_to(logits.sharding, logits.ndim), name
    each = actual["categorical, none"][0]
    if kind == "explicit":
        assert each.sharding.is_equivalent_to(data["ids"].sharding, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_costs_on_one_device_go_to_those_of_the_batch(kind):
    sharding = NamedSharding(a_mesh(KINDS[kind]), P("data"))
    logits, ids = (jax.device_put(DATA[name][0], sharding) for name in ("logits", "ids"))
    loss = rwwce.categorical(logits, ids, *on_one_device((BY_CLASS, MATRIX)))
    expected = rwwce.categorical(DATA["logits"][0], DATA["ids"][0], BY_CLASS, MATRIX)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("check_vma", [True, False], ids=["checked", "unchecked"])
@pytest.mark.parametrize("kind", KINDS)
def test_in_shard_map(kind, check_vma):
    """Each device has a part of the batch, and the sums over these are the caller's."""
    mesh = a_mesh(KINDS[kind])
    total = partial(rwwce.categorical, reduction="sum")
    logits, ids, other_ids = (jnp.asarray(DATA[name][0]) for name in ("logits", "ids", "other_ids"))

    parts = jax.device_put((logits, ids, other_ids), NamedSharding(mesh, P("data")))

    def everything(logits, ids, other_ids):
        costs = (0.0, 2.5, MATRIX, PAIRS)
        losses = [jax.value_and_grad(total)(logits, ids, BY_CLASS, fp) for fp in costs]
        truth = ids[:, None] == jnp.arange(CLASSES)[None]
        sums = {
            "losses": [value for value, _ in losses],
            "counts": rwwce.confusion_matrix(other_ids, ids, CLASSES),
            "binary": rwwce.binary(logits, truth, 1.0, 2.0, reduction="sum"),
        }
        probs = jax.nn.softmax(logits)
        decided = [rwwce.decide(probs, BY_CLASS, fp) for fp in costs]
        return sums, ([gradient for _, gradient in losses], decided)

    def on_a_part(*part):
        sums, parts = everything(*part)
        return lax.psum(sums, "data"), parts

    on_parts = jax.shard_map(
        on_a_part,
        mesh=mesh,
        in_specs=P("data"),
        out_specs=(P(), P("data")),
        check_vma=check_vma,
    )
    actual = jax.jit(on_parts)(*parts)
    one_device = jax.jit(everything)(logits, ids, other_ids)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), actual, one_device
    )


TRANSFORMS = {
    "vmap over the batch": lambda z, y: jax.vmap(
        jax.value_and_grad(lambda z, y: rwwce.categorical(z, y, BY_CLASS, MATRIX))
    )(z, y),
    "vmap over the batch, pairs": lambda z, y: jax.vmap(
        lambda z, y: rwwce.categorical(z, y, 1.0, PAIRS)
    )(z, y),
    "vmap over costs": lambda z, y: jax.vmap(lambda fp: rwwce.categorical(z, y, 1.0, fp))(
        jnp.stack([MATRIX, 2 * MATRIX])
    ),
    "jvp of grad": lambda z, y: jax.jvp(
        jax.grad(lambda z: rwwce.categorical(z, y, 1.0, MATRIX)), (z,), (z,)
    ),
    "grad by the costs": lambda z, y: jax.grad(lambda fp: rwwce.categorical(z, y, BY_CLASS, fp))(
        jnp.asarray(MATRIX)
    ),
    "checkpoint": lambda z, y: jax.grad(
        jax.checkpoint(lambda z: rwwce.categorical(z, y, 1.0, MATRIX))
    )(z),
    "scan": lambda z, y: lax.scan(
        lambda z, _: (z - jax.grad(rwwce.categorical)(z, y, 1.0, MATRIX), None), z, length=3
    )[0],
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("layout", "inside"), [("batch", False), ("both", True)])
def test_transforms_on_an_explicit_mesh(layout, inside):
    def run(logits, ids):
        return {name: transform(logits, ids) for name, transform in TRANSFORMS.items()}

    mesh, axes = a_mesh(AxisType.Explicit), LAYOUTS[layout]
    logits, ids = jnp.asarray(DATA["logits"][0]), jnp.asarray(DATA["ids"][0])
    one_device = jax.jit(run)(logits, ids)
    specs = P(axes["batch"], axes.get("classes")), P(axes["batch"])
    sharded = (
        jax.device_put(x, NamedSharding(mesh, s)) for x, s in zip((logits, ids), specs, strict=True)
    )
    with jax.set_mesh(mesh) if inside else contextlib.nullcontext():
        actual = jax.jit(run)(*sharded)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), actual, one_device
    )


@pytest.mark.parametrize("costs", ["scalar", "dense", "pairs"])
@pytest.mark.parametrize("kind", KINDS)
def test_sharded_classes_move_a_few_numbers_per_example(kind, costs):
    rows, num_classes = 16, 512
    fp = {
        "scalar": 2.5,
        "dense": np.tile(MATRIX, (64, 64)),
        "pairs": rwwce.pair_costs({(k, (k + 1) % 512): 1.0 + k for k in range(512)}, num_classes),
    }[costs]
    sharding = NamedSharding(a_mesh(KINDS[kind]), P(None, "model"))
    logits = jax.ShapeDtypeStruct((rows, num_classes), jnp.float32, sharding=sharding)
    ids = jax.ShapeDtypeStruct((rows,), jnp.int32, sharding=NamedSharding(sharding.mesh, P()))
    loss = jax.jit(jax.value_and_grad(lambda z, y: rwwce.categorical(z, y, 1.5, fp)))
    sizes = collectives(loss.lower(logits, ids).compile().as_text())
    assert sizes, "the sum over the classes needs a collective"
    # For pairs: the label and the costly classes of each example, here one.
    assert max(sizes) <= 2 * rows
