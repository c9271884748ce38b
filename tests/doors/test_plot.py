"""What the pictures show, and that all of it can be read at 600 pixels."""

import io
import subprocess
import sys
from itertools import combinations

import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy.stats import binomtest

import rwwce_jax as rwwce
from rwwce_jax import plot

LONG = [f"a class with a rather long name {k}" for k in range(40)]


def drawn(num_classes, rows=3000):
    """Overconfident probabilities of several classes, and the labels."""
    rng = np.random.default_rng(num_classes)
    logits = rng.normal(size=(rows, num_classes))
    labels = (2 * logits + rng.gumbel(size=logits.shape)).argmax(-1)
    odds = np.exp(4 * logits)
    return np.float32(odds / odds.sum(-1, keepdims=True)), labels


def drawn_of_two(rows=800):
    probs, labels = drawn(2, rows)
    return probs[:, 1], labels


PROBS, LABELS = drawn_of_two()
AMOUNTS = np.random.default_rng(7).exponential(200, LABELS.size)


def confusion_of(num_classes):
    probs, labels = drawn(num_classes)
    fp = 3000 * np.random.default_rng(1).random((num_classes, num_classes)) ** 9
    return rwwce.confusion_matrix(probs.argmax(-1), labels, num_classes), 1.0, fp


PICTURES = {
    **{
        f"confusion, {k} classes{', long names' if names else ''}": (
            lambda ax, k=k, names=names: plot.confusion_in_money(
                *confusion_of(k), class_names=names and names[:k], ax=ax
            )
        )
        for k in (2, 3, 10, 20, 40)
        for names in (None, LONG)
    },
    "confusion, actions": lambda ax: plot.confusion_in_money(
        np.pad(confusion_of(10)[0], ((0, 0), (0, 2)), constant_values=9),
        1.0,
        19.0 * np.eye(10)[::-1],
        actions=[[0.5, 2.0]] * 10,
        class_names=[*LONG[:9], "<$50k, $\\frac$"],  # no formula, and not one that cannot be read
        action_names=["ask somebody", "wait"],
        ax=ax,
    ),
    "cost curve": lambda ax: plot.cost_curve(PROBS, LABELS, 20.0, 1.0, ax=ax),
    "cost curve, logits": lambda ax: plot.cost_curve(9 * PROBS - 4, LABELS, 20.0, 1.0, ax=ax),
    "cost curve, amounts": lambda ax: plot.cost_curve(PROBS, LABELS, AMOUNTS, 99.0, ax=ax),
    "reliability": lambda ax: plot.reliability(PROBS, LABELS, ax=ax),
    "reliability, costs": lambda ax: plot.reliability(PROBS, LABELS, fn=AMOUNTS, fp=10, ax=ax),
    **{
        f"reliability, {k} classes": lambda ax, k=k: plot.reliability(*drawn(k), ax=ax)
        for k in (3, 10, 40)
    },
}


def texts(figure):
    """All that is written, with the place it takes once the picture is drawn."""
    figure.draw_without_rendering()
    out_of_view = set()
    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        low, high = sorted(axis.get_view_interval())
        out_of_view |= {
            tick.label1
            for tick in axis.get_major_ticks() + axis.get_minor_ticks()
            if not low <= tick.get_loc() <= high
        }
    shown = [t for t in figure.findobj(Text) if t.get_visible() and t not in out_of_view]
    return [(t.get_text(), t.get_window_extent()) for t in shown if t.get_text()]


@pytest.mark.parametrize("name", PICTURES)
def test_nothing_is_cut_off_or_written_over(name):
    ax = PICTURES[name](None)
    width, height = ax.figure.bbox.size
    assert width == 600
    written = texts(ax.figure)
    assert len(written) > 5
    for text, box in written:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= width + 1, text
        assert box.y1 <= height + 1, text
    for (one, first), (other, second) in combinations(written, 2):
        # Two labels of ticks may touch.
        assert not first.padded(-1).overlaps(second.padded(-1)), (one, other)


@pytest.mark.parametrize("name", PICTURES)
def test_axes_that_are_given_are_drawn_on(name):
    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    assert PICTURES[name](right) is right
    assert not left.has_data()
    assert right.has_data()


def test_a_notebook_shows_the_picture():
    ax = plot.cost_curve(PROBS, LABELS, 20.0, 1.0)
    shown, _ = DisplayFormatter().format(ax)
    picture = matplotlib.image.imread(io.BytesIO(shown["image/png"]))
    assert picture.shape[1] == 600
    assert len(np.unique(picture.reshape(-1, 4), axis=0)) > 20


def test_pyplot_is_not_imported():
    code = (
        "import sys; from rwwce_jax import plot;"
        "plot.confusion_in_money([[1, 2], [3, 4]], 1.0, 0.0)._repr_png_();"
        "plot.cost_curve([0.1, 0.9], [0, 1], 1.0, 1.0)._repr_png_();"
        "plot.reliability([0.1, 0.9], [0, 1])._repr_png_();"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


# --- confusion_in_money ---------------------------------------------------------------------------


def test_confusion_shows_counts_times_costs():
    counts, fn, fp = (
        [[50, 3, 0], [4, 60, 10], [2, 1, 70]],
        [1.0, 2.0, 3.0],
        np.arange(9).reshape(3, 3),
    )
    names = ["refuse", "grant", "half"]
    ax = plot.confusion_in_money(counts, fn, fp, class_names=names)
    cells = {
        (round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in ax.texts
    }
    # counts[k, j] * (fn[k] + fp[k, j]), nothing on the diagonal and where nothing happened.
    assert cells == {(0, 1): "6", (1, 0): "20", (1, 2): "70", (2, 0): "18", (2, 1): "10"}
    assert ax.get_title(loc="left") == (
        "Real World Cost 0.62 per example, 124 in all\nmost: 70 for true grant predicted half"
    )
    for axis in (ax.xaxis, ax.yaxis):
        assert [label.get_text() for label in axis.get_ticklabels()] == names
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("prediction", "truth")
    shown = ax.images[0].get_array()
    np.testing.assert_array_equal(shown.mask, np.eye(3, dtype=bool))
    np.testing.assert_array_equal(shown.filled(0), [[0, 6, 0], [20, 0, 70], [18, 10, 0]])


def test_actions_are_columns_of_their_own():
    counts, actions = [[50, 3, 4, 0], [4, 60, 0, 2]], [[0.5, 1.0], [2.0, 3.0]]
    ax = plot.confusion_in_money(counts, 1.0, 0.0, actions=actions, action_names=["ask", "wait"])
    cells = {
        (round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in ax.texts
    }
    assert cells == {(0, 1): "3", (0, 2): "2", (1, 0): "4", (1, 3): "6"}
    assert ax.get_title(loc="left").endswith("most: 6 for true 1 predicted wait")
    ticks = [[x.get_text() for x in axis.get_ticklabels()] for axis in (ax.xaxis, ax.yaxis)]
    assert ticks == [["0", "1", "ask", "wait"], ["0", "1"]]
    unnamed = plot.confusion_in_money(counts, 1.0, 0.0, actions=actions)
    assert [x.get_text() for x in unnamed.xaxis.get_ticklabels()] == ["0", "1", "2", "3"]


def test_many_classes_have_a_scale_of_colours_instead_of_numbers():
    few, many = (plot.confusion_in_money(*confusion_of(k)) for k in (10, 40))
    assert (len(few.texts) > 50, len(few.figure.axes)) == (True, 1)
    assert (len(many.texts), len(many.figure.axes)) == (0, 2)


def test_costs_of_pairs_and_no_mistakes():
    counts, pairs = [[5, 2], [0, 3]], rwwce.pair_costs({(0, 1): 10.0}, 2)
    assert [t.get_text() for t in plot.confusion_in_money(counts, 1.0, pairs).texts] == ["22"]
    nothing = plot.confusion_in_money(np.diag([5, 3]), 1.0, pairs)
    assert nothing.get_title(loc="left") == "Real World Cost 0 per example, 0 in all"
    assert not nothing.texts


# --- cost_curve -----------------------------------------------------------------------------------


def lines(ax):
    return {line.get_label().split(":")[0].split(",")[0]: line for line in ax.lines}


@pytest.mark.parametrize(("fn", "fp"), [(20.0, 5.0), (AMOUNTS, 50.0)])
@pytest.mark.parametrize("stretch", [1, 9])
def test_cost_curve_is_the_cost_of_each_threshold(fn, fp, stretch):
    scores = np.float32(np.round(stretch * PROBS, 2))  # with ties
    ax = plot.cost_curve(scores, LABELS, fn, fp)
    found = lines(ax)

    def cost(decided):
        return np.mean(np.where(decided, fp * (1 - LABELS), fn * LABELS))

    assert found["one threshold"].get_drawstyle() == "steps-post"
    across, up = found["one threshold"].get_data()
    for threshold in (-0.01, 0.005, 0.5, 0.735, 0.995 * stretch):
        shown = up[np.searchsorted(across, threshold, side="right") - 1]
        np.testing.assert_allclose(shown, cost(scores > threshold), rtol=1e-6)
    (x,), (y,) = found["cheapest"].get_data()
    best = rwwce.best_threshold(scores, LABELS, fn, fp)
    np.testing.assert_allclose([x, y], [best, cost(scores > best)], rtol=1e-6)
    assert y == pytest.approx(min(up))
    for name, decision in (("all positive", True), ("all negative", False)):
        np.testing.assert_allclose(
            found[name].get_ydata(), cost(np.full(LABELS.shape, decision)), rtol=1e-6
        )
    threshold = fp / (fn + fp)
    height = f"{cost(scores > threshold):.3g}"
    if stretch > 1:
        assert len(found) == 4
    elif np.ndim(fn) == 0:
        np.testing.assert_allclose(found["Bayes"].get_xdata(), threshold, rtol=1e-6)
        assert found["Bayes"].get_label() == f"Bayes, at 0.2: {height}"
    else:
        np.testing.assert_allclose(
            found["each its own Bayes"].get_ydata(), cost(scores > threshold), rtol=1e-6
        )


def test_cheapest_may_be_constant():
    labels = np.array([1, 0])
    for fn, fp, said in ((9.0, 1.0, "all positive: 0.5"), (1.0, 9.0, "all negative: 0.5")):
        ax = plot.cost_curve(np.float32([0.2, 0.8]), labels, fn, fp)
        assert lines(ax)["cheapest"].get_label() == f"cheapest, {said}"
    ax = plot.cost_curve(np.float32([-np.inf, 3.0, np.inf]), [0, 1, 1], 1.0, 1.0)
    assert np.all(np.isfinite(ax.get_xlim()))


# --- reliability ----------------------------------------------------------------------------------


def points(ax):
    (container,) = ax.containers
    line, _, (bars,) = container
    return np.transpose(line.get_data()), np.array(bars.get_segments())[..., 1]


def test_reliability_is_mean_and_share_of_each_tenth():
    probs = np.append(PROBS, np.float32([0.0, 1.0, 1.0]))
    labels = np.append(LABELS, [0, 1, 0])
    ax = plot.reliability(probs, labels)
    found, intervals = points(ax)
    bins = np.minimum(np.floor(np.float64(probs) * 10), 9)
    counts = [np.sum(bins == b) for b in range(10)]
    assert min(counts) > 0
    for b in range(10):
        inside = bins == b
        np.testing.assert_allclose(found[b], [probs[inside].mean(), labels[inside].mean()], 1e-6)
        expected = binomtest(int(labels[inside].sum()), counts[b]).proportion_ci(method="wilson")
        np.testing.assert_allclose(intervals[b], expected, rtol=1e-5, atol=1e-7)
    (above,) = ax.child_axes
    assert [t.get_text() for t in above.get_xticklabels()] == [f"{n:,}" for n in counts]


def test_reliability_of_several_classes_counts_each_of_them():
    probs, labels = drawn(3, rows=200)
    several, _ = points(plot.reliability(probs, labels))
    each, _ = points(plot.reliability(probs.ravel(), np.eye(3)[labels].ravel()))
    np.testing.assert_array_equal(several, each)
    assert "class" in plot.reliability(probs, labels).get_xlabel()


def test_empty_bins_have_no_point():
    found, _ = points(plot.reliability(jnp.array([0.05, 0.95, 0.97]), [0, 1, 0]))
    np.testing.assert_allclose(found, [[0.05, 0], [0.96, 0.5]], rtol=1e-6)


def test_reliability_shows_where_the_thresholds_are():
    ax = plot.reliability(PROBS, LABELS, fn=19.0, fp=1.0)
    np.testing.assert_allclose(lines(ax)["Bayes threshold 0.05"].get_xdata(), 0.05, rtol=1e-6)
    fn = np.linspace(1, 99, LABELS.size)
    ax = plot.reliability(PROBS, LABELS, fn=fn, fp=1.0)
    (band,) = ax.patches
    expected = np.quantile(1 / (1 + fn), [0.05, 0.95])
    np.testing.assert_allclose([band.get_x(), band.get_x() + band.get_width()], expected, rtol=1e-5)


NAN = np.nan


@pytest.mark.always
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plot.confusion_in_money(np.ones((2, 3)), 1, 1), ValueError, "confusion must have"),
        (
            lambda: plot.confusion_in_money(np.ones((4, 2, 2)), 1, 1),
            ValueError,
            r"confusion must have shape \(K, K\), got shape \(4, 2, 2\)",
        ),
        (lambda: plot.confusion_in_money([[1, -1], [0, 1]], 1, 1), ValueError, "confusion must"),
        (lambda: plot.confusion_in_money([[1, 1], [0, 1]], NAN, 1), ValueError, "confusion must"),
        (
            lambda: plot.confusion_in_money(
                np.ones((2, 3)), 1, 1, actions=1, action_names=["a", "b"]
            ),
            ValueError,
            "action_names must be 1 names, got 2",
        ),
        (
            lambda: plot.confusion_in_money(np.ones((2, 2)), 1, 1, class_names=["a"]),
            ValueError,
            "class_names must be 2 names, got 1",
        ),
        (lambda: plot.cost_curve(PROBS, LABELS[:-1], 1, 1), ValueError, "labels must"),
        (lambda: plot.cost_curve(np.float32([]), [], 1, 1), ValueError, "scores must be of one"),
        (lambda: plot.cost_curve([0.5, NAN], [0, 1], 1, 1), ValueError, "scores must be of one"),
        (lambda: plot.cost_curve([0.5, 0.6], [0, 2], 1, 1), ValueError, "scores must be of one"),
        (lambda: plot.reliability([0.5, 1.6], [0, 1]), ValueError, "probs must .* jax.nn.sigmoid"),
        (lambda: plot.reliability([0.5, NAN], [0, 1]), ValueError, "probs must"),
        (lambda: plot.reliability(np.float32([]), []), ValueError, "probs must"),
        (lambda: plot.reliability([0.5, 0.6], [0, 2]), ValueError, "labels must be in"),
        (lambda: plot.reliability([[0.5, 0.5]], [2]), ValueError, "labels must be in"),
        (lambda: plot.reliability([[0.5]], [1]), ValueError, "probs must score at least 2"),
        (lambda: plot.reliability([0.5, 0.6], [0, 1, 1]), ValueError, "labels must have"),
        (lambda: plot.reliability([0, 1], [0, 1]), TypeError, "probs must be floating-point"),
        (lambda: plot.reliability([0.5], [1], fn=1.0), ValueError, "fn and fp must be given"),
        (
            lambda: plot.reliability([[0.5, 0.5]], [1], fn=1.0, fp=1.0),
            ValueError,
            "fn and fp must be given together, and for two",
        ),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call()
