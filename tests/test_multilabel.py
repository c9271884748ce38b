"""Several labels at once, against loops over the pairs and all sets; and the example."""

import itertools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

import rwwce_jax as rwwce
from examples import multilabel as example
from rwwce_jax.label_sets import multilabel, multilabel_decide, multilabel_real_world_cost
from rwwce_jax.pairs import pair_costs

INF, NAN = np.inf, np.nan


def draw(rng, rows, num_classes, *, soft=False):
    """Logits, labels and costs, the diagonal of the pairs being NaN: no one may look at it."""
    logits = rng.normal(size=(rows, num_classes)) * 3
    labels = rng.random(logits.shape)
    fn, fp = rng.uniform(0.1, 5, (2, num_classes))
    pairs = rng.uniform(0, 3, (num_classes, num_classes))
    pairs[np.diag_indices(num_classes)] = NAN
    return logits, labels if soft else np.round(labels), fn, fp, pairs


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
    with jax.enable_x64(True):
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


# --- What numerics.md promises --------------------------------------------------------------------

PAIRS = np.array([[NAN, 2.0, 0.0], [0.0, NAN, 0.0], [5.0, 0.0, NAN]])
# Logits, labels; the loss and the gradient with fn = 1, fp = 3 and the pairs above.
HOSTILE = {
    "infinite and right": ([INF, -INF, INF], [1, 0, 1], 0, [0, 0, 0]),
    "infinite and wrong": ([0, INF, -INF], [1, 0, 0], INF, [-0.5, 5, 0]),
    "missed for certain": ([0, 0, -INF], [0, 0, 1], INF, [4, 1.5, -1]),
    "a gap of 1e4": ([1e4, -1e4, 0], [0, 1, 0], 4e4 + 3 * np.log(2), [3, -1, 1.5]),
    "NaN": ([NAN, 0, 0], [1, 0, 0], NAN, [NAN, 2.5, 1.5]),
    "label 2": ([0, 0, 0], [2, 0, 0], NAN, [NAN, NAN, NAN]),
    "label -1": ([0, 0, 0], [-1, 0, 0], NAN, [NAN, NAN, NAN]),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_hostile_input(case, transform):
    logits, labels, value, gradient = HOSTILE[case]
    harmless = [0.3, -0.2, 0.5]
    z, y = jnp.array([harmless, logits], jnp.float32), jnp.array([[1, 0, 1], labels])

    def losses(z):
        return multilabel(z, y, 1.0, 3.0, fp_pairs=PAIRS, reduction="none")

    actual = transform(losses)(z)
    np.testing.assert_allclose(actual[1], value, rtol=1e-6)
    np.testing.assert_allclose(actual[0], multilabel(z[0], y[0], 1.0, 3.0, fp_pairs=PAIRS))
    backward = transform(jax.jacrev(losses))(z)
    forward = transform(jax.jacfwd(losses))(z)
    np.testing.assert_allclose(backward[1, 1], gradient, rtol=1e-6)
    # Forward mode adds up the slopes times the tangents: 0 times NaN is NaN.
    np.testing.assert_allclose(forward[1, 1], gradient if value == value else [NAN] * 3, rtol=1e-6)
    assert np.all(np.isfinite(backward[0, 0]))


def test_zero_costs_contribute_nothing():
    z = jnp.array([[INF, -INF, 0.0]])
    value, gradient = jax.value_and_grad(multilabel)(z, [[0, 1, 0]], [1, 0, 1], [0, 1, 0])
    assert value == 0
    np.testing.assert_array_equal(gradient, [[0, 0, 0]])


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision(dtype):
    z = jnp.tile(jnp.array([1.5, -3.0, 8.0], dtype), (100_000, 1))
    y = jnp.zeros(z.shape, dtype).at[:, 0].set(1)
    loss = jax.value_and_grad(multilabel)
    value, gradient = loss(z, y, 2000.0, 3.0, fp_pairs=PAIRS, reduction="sum")
    exact = multilabel(z[0].astype(jnp.float32), [1, 0, 0], 2000.0, 3.0, fp_pairs=PAIRS)
    assert value.dtype == jnp.float32
    assert gradient.dtype == dtype
    np.testing.assert_allclose(value, 1e5 * exact, rtol=1e-5)
    assert multilabel_decide(jax.nn.sigmoid(z[0]), 1.0, 1.0, fp_pairs=PAIRS).dtype == jnp.int32


def test_dtypes_with_x64(x64):
    for dtype in (jnp.float32, jnp.float64):
        z = jnp.zeros((2, 3), dtype)
        for costs in (2, np.float64(2), np.full(3, 2), jnp.full(3, 2.0)):
            value, gradient = jax.value_and_grad(multilabel)(z, z, costs, costs, fp_pairs=PAIRS)
            assert value.dtype == gradient.dtype == dtype
            np.testing.assert_allclose(value, 6 * np.log(2), rtol=1e-6)
    assert multilabel_real_world_cost(z > 0, z, 1.0, 1.0).dtype == jnp.float32
    for name in ("fn", "fp", "fp_pairs"):
        costs = {"fn": 1.0, "fp": 1.0, name: jnp.ones((3, 3) if name == "fp_pairs" else 3)}
        assert multilabel_real_world_cost(z > 0, z, **costs).dtype == jnp.float64


def test_costs_of_1e30_and_integers():
    z = jnp.ones((4, 3))
    value, gradient = jax.value_and_grad(multilabel)(
        z, z, 1e30, 1e30, fp_pairs=np.full((3, 3), 1e30)
    )
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))
    pairs = np.array([[0, 2, 3], [4, 0, 5], [6, 7, 0]])
    assert multilabel(z, z, 2, 3, fp_pairs=pairs) == multilabel(
        z, z, 2.0, 3.0, fp_pairs=pairs.astype(np.float32)
    )


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


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"logits": jnp.zeros((4, 3), int)}, TypeError, "logits"),
        ({"logits": jnp.zeros(())}, ValueError, "logits"),
        ({"logits": jnp.zeros((4, 0))}, ValueError, "logits"),
        ({"labels": np.zeros(4, int)}, ValueError, "labels"),
        ({"labels": np.array("cat")}, TypeError, "labels"),
        ({"fn": np.ones(4)}, ValueError, "fn"),
        ({"fp": np.ones((3, 3))}, ValueError, "fp"),
        ({"fp": True}, TypeError, "fp"),
        ({"fp_pairs": 1.0}, ValueError, "fp_pairs"),
        ({"fp_pairs": np.ones((3, 4))}, ValueError, "fp_pairs"),
        ({"where": np.ones(3, bool)}, ValueError, "where"),
        ({"where": np.ones((4, 3))}, TypeError, "where"),
        ({"reduction": "average"}, ValueError, "reduction"),
    ],
)
def test_what_is_refused(arguments, error, name):
    good = {"logits": jnp.zeros((4, 3)), "labels": np.zeros((4, 3), int), "fn": 1.0, "fp": 1.0}
    with pytest.raises(error, match=rf"^{name} must [^\n]+\.$"):
        multilabel(**good | arguments)
    if "logits" in arguments or "reduction" in arguments:
        return
    good["predictions"] = good.pop("logits") > 0
    with pytest.raises(error, match=rf"^{name} must [^\n]+\.$"):
        multilabel_real_world_cost(**good | arguments)


def test_what_the_decisions_refuse():
    with pytest.raises(TypeError, match=r"^predictions must be decisions"):
        multilabel_real_world_cost(jnp.zeros((4, 3)), jnp.zeros((4, 3)), 1.0, 1.0)
    with pytest.raises(TypeError, match=r"^probs must be floating-point"):
        multilabel_decide(np.zeros((4, 3), int), 1.0, 1.0)
    with pytest.raises(ValueError, match=r"^probs must have shape \(\.\.\., K\)"):
        multilabel_decide(jnp.zeros(()), 1.0, 1.0)


# --- Decisions ------------------------------------------------------------------------------------


def sets(num_classes):
    return np.array(list(itertools.product([0, 1], repeat=num_classes)))


def cost_of_sets(truth, decided, fn, fp, pairs):
    """The paper's matrix of 2^K by 2^K, one entry at a time."""
    off_diagonal = np.where(np.eye(len(fn), dtype=bool), 0, pairs)
    missed = truth & (1 - decided)
    false = decided & (1 - truth)
    return missed @ fn + false @ fp + truth @ off_diagonal @ false


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("num_classes", [1, 2, 3, 4, 5])
def test_no_set_of_labels_is_cheaper_if_they_are_independent(num_classes):
    rng = np.random.default_rng(num_classes)
    all_sets = sets(num_classes)
    for _ in range(20):
        _, probs, fn, fp, pairs = draw(rng, 1, num_classes, soft=True)
        chances = np.prod(np.where(all_sets, probs[0], 1 - probs[0]), axis=1)
        expected = [
            sum(
                chance * cost_of_sets(truth, decided, fn, fp, pairs)
                for chance, truth in zip(chances, all_sets, strict=True)
            )
            for decided in all_sets
        ]
        np.testing.assert_array_equal(
            multilabel_decide(probs[0], fn, fp, fp_pairs=pairs), all_sets[np.argmin(expected)]
        )


@pytest.mark.usefixtures("x64")
def test_the_loss_is_least_where_the_signs_of_the_logits_are_the_best_set_independent_or_not():
    """It learns how often k is there and j is not, which the labels' probabilities do not tell."""
    rng = np.random.default_rng(8)
    all_sets = sets(3)
    disagreements = 0
    for _ in range(50):
        _, _, fn, fp, pairs = draw(rng, 1, 3)
        pairs *= 3
        chances = rng.dirichlet(np.full(8, 0.3))
        costs = np.array(
            [[cost_of_sets(truth, one, fn, fp, pairs) for one in all_sets] for truth in all_sets]
        )
        best = all_sets[np.argmin(chances @ costs)]

        def loss(z, chances=chances, fn=fn, fp=fp, pairs=pairs):
            rows = jnp.broadcast_to(z, (8, 3))
            each = multilabel(rows, all_sets, fn, fp, fp_pairs=pairs, reduction="none")
            return each @ chances

        # At equal odds of both mistakes the gradient is 0; each class by itself is convex.
        signs = -np.sign(jax.grad(loss)(jnp.zeros(3)))
        np.testing.assert_array_equal(signs > 0, best == 1)
        decided = multilabel_decide(chances @ all_sets, fn, fp, fp_pairs=pairs)
        disagreements += not np.array_equal(decided, best)
    assert 0 < disagreements < 50


@pytest.mark.parametrize(
    ("probs", "fn", "fp", "pairs", "expected"),
    [
        ([0.25, 0.75], 1.0, 1.0, None, [0, 1]),
        ([0.5, 0.5], 1.0, 1.0, None, [0, 0]),  # a tie
        ([1.0, 0.0], 0.0, 1.0, None, [0, 0]),  # never
        ([1.0, 0.0], 1.0, 0.0, None, [1, 0]),
        ([0.6, 0.4], 0.0, 0.0, None, [1, 0]),  # free either way
        ([0.6, 0.4], 1.0, [-1.0, 1.0], None, [-1, 0]),
        ([0.6, 0.4], 1.0, [1.0, INF], None, [1, -1]),
        ([NAN, 0.7], 1.0, 1.0, None, [-1, 1]),
        ([1.1, -0.1], 1.0, 1.0, None, [-1, -1]),
        ([0.9, NAN], 1.0, 1.0, np.zeros((2, 2)), [-1, -1]),
        ([1.0, 0.6], 1.0, 1.0, [[INF, 1.0], [INF, NAN]], [-1, 0]),
    ],
)
def test_decisions_table(probs, fn, fp, pairs, expected):
    decided = multilabel_decide(jnp.array(probs), fn, fp, fp_pairs=pairs)
    np.testing.assert_array_equal(decided, expected)
    assert decided.dtype == jnp.int32


def test_undecided_is_nan_in_the_metric():
    assert np.isnan(multilabel_real_world_cost([[1, -1]], [[1, 0]], 1.0, 1.0))


# --- The example ----------------------------------------------------------------------------------


@pytest.fixture
def standard_promotion():
    """Optax's Adam computes ``decay**count`` of a float and an int32."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.repository
@pytest.mark.usefixtures("standard_promotion")
def test_example_prints_the_costs_of_three_ways(capsys, monkeypatch):
    monkeypatch.setattr(example, "TEST", 200)
    assert example.main(["--runs", "2", "--steps", "30"]) == 0
    header, _, *rows, blank, verdict = capsys.readouterr().out.splitlines()
    assert [row.split("|")[1].strip() for row in rows] == list(example.WAYS)
    means = [float(row.split("|")[2].split("±")[0]) for row in rows]
    np.testing.assert_allclose(means, example.costs(0, 2, 30).mean(axis=1), atol=1e-3)
    assert max(means[1:]) < means[0]  # to know the costs pays, wherever they enter
    assert "Real World Cost" in header
    assert blank == ""
    assert verdict.startswith("Costs in the ")


@pytest.mark.repository
@pytest.mark.parametrize(
    ("measured", "sentence"),
    [
        (
            [[9, 9, 9], [2, 4, 3], [1, 2, 1.5]],
            "Costs in the loss beat costs in the decision by 50.0% (paired t-test p = 0.035).",
        ),
        (
            [[9, 9], [3, 3], [2, 4.5]],
            "Costs in the decision beat costs in the loss by 7.7% (paired t-test p = 0.87: may be",
        ),
        (
            [[9], [4], [5]],
            "Costs in the decision beat costs in the loss by 20.0% (one run: may be ch",
        ),
    ],
)
def test_verdict_of_the_example_follows_the_numbers(measured, sentence):
    measured = np.array(measured, float)
    assert example.verdict(measured).startswith(sentence)
    assert "nan" not in example.verdict(measured)
    assert example.table(measured).count("±") == 3 * (measured.shape[1] > 1)
