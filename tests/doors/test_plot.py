"""What the pictures show."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import binomtest

import rwwce_jax as rwwce
from rwwce_jax import plot


def forecasts(num_classes, rows=3000):
    """Overconfident probabilities of several classes, and the labels."""
    rng = np.random.default_rng(num_classes)
    logits = rng.normal(size=(rows, num_classes))
    labels = (2 * logits + rng.gumbel(size=logits.shape)).argmax(-1)
    odds = np.exp(4 * logits)
    return np.float32(odds / odds.sum(-1, keepdims=True)), labels


PROBS, LABELS = forecasts(2, rows=800)
PROBS = PROBS[:, 1]
AMOUNTS = np.random.default_rng(7).exponential(200, LABELS.size)


def cells(ax):
    """What is written in the cell of each row and column."""
    places = (tuple(round(x) for x in text.get_position()) for text in ax.texts)
    return {(y, x): text.get_text() for (x, y), text in zip(places, ax.texts, strict=True)}


def ticks(ax):
    return [[label.get_text() for label in axis.get_ticklabels()] for axis in (ax.yaxis, ax.xaxis)]


def test_confusion_shows_counts_times_costs():
    counts = [[50, 3, 0], [4, 60, 10], [2, 1, 70]]
    fn, fp = [1.0, 2.0, 3.0], np.arange(9).reshape(3, 3)
    names = ["refuse", "grant", "half"]
    ax = plot.confusion_in_money(counts, fn, fp, class_names=names)
    # counts[k, j] * (fn[k] + fp[k, j]), nothing on the diagonal and where nothing happened.
    assert cells(ax) == {(0, 1): "6", (1, 0): "20", (1, 2): "70", (2, 0): "18", (2, 1): "10"}
    assert ax.get_title(loc="left") == (
        "Real World Cost 0.62 per example, 124 in all\nmost: 70 for true grant predicted half"
    )
    assert ticks(ax) == [names, names]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("prediction", "truth")
    shown = ax.images[0].get_array()
    np.testing.assert_array_equal(shown.mask, np.eye(3, dtype=bool))
    np.testing.assert_array_equal(shown.filled(0), [[0, 6, 0], [20, 0, 70], [18, 10, 0]])


def test_actions_are_columns_of_their_own():
    counts, actions = [[50, 3, 4, 0], [4, 60, 0, 2]], [[0.5, 1.0], [2.0, 3.0]]
    ax = plot.confusion_in_money(counts, 1.0, 0.0, actions=actions, action_names=["ask", "wait"])
    assert cells(ax) == {(0, 1): "3", (0, 2): "2", (1, 0): "4", (1, 3): "6"}
    assert ax.get_title(loc="left").endswith("most: 6 for true 1 predicted wait")
    assert ticks(ax) == [["0", "1"], ["0", "1", "ask", "wait"]]
    unnamed = plot.confusion_in_money(counts, 1.0, 0.0, actions=actions)
    assert ticks(unnamed)[1] == ["0", "1", "2", "3"]


def test_no_mistakes():
    nothing = plot.confusion_in_money(np.diag([5, 3]), 1.0, rwwce.pair_costs({(0, 1): 10.0}, 2))
    assert nothing.get_title(loc="left") == "Real World Cost 0 per example, 0 in all"
    assert not nothing.texts


def test_axes_that_are_given_are_drawn_on():
    left, right = Figure().subplots(1, 2)
    assert plot.reliability(PROBS, LABELS, ax=right) is right
    assert (left.has_data(), right.has_data()) == (False, True)


def lines(ax):
    return {line.get_label().split(":")[0].split(",")[0]: line for line in ax.lines}


@pytest.mark.always
@pytest.mark.parametrize(
    ("fn", "fp", "stretch"), [(20.0, 5.0, 1), (AMOUNTS, 50.0, 1), (20.0, 5.0, 9)]
)
def test_cost_curve_is_the_cost_of_each_threshold(fn, fp, stretch):
    scores = np.float32(np.round(stretch * PROBS, 2))  # with ties
    found = lines(plot.cost_curve(scores, LABELS, fn, fp))

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
    heights = {"all positive": cost(scores >= 0), "all negative": cost(scores < 0)}
    by_bayes = cost(scores > fp / (fn + fp))
    if np.ndim(fn):
        heights["each its own Bayes"] = by_bayes
    elif stretch == 1:
        np.testing.assert_allclose(found["Bayes"].get_xdata(), 0.2, rtol=1e-6)
        assert found.pop("Bayes").get_label() == f"Bayes, at 0.2: {by_bayes:.3g}"
    assert found.keys() == {"one threshold", "cheapest", *heights}
    for name, height in heights.items():
        np.testing.assert_allclose(found[name].get_ydata(), height, rtol=1e-6)


def test_cheapest_may_be_constant():
    for fn, fp, said in ((9.0, 1.0, "all positive: 0.5"), (1.0, 9.0, "all negative: 0.5")):
        ax = plot.cost_curve(np.float32([0.2, 0.8]), np.array([1, 0]), fn, fp)
        assert lines(ax)["cheapest"].get_label() == f"cheapest, {said}"
    ax = plot.cost_curve(np.float32([-np.inf, 3.0, np.inf]), [0, 1, 1], 1.0, 1.0)
    assert np.all(np.isfinite(ax.get_xlim()))


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
    counts = []
    for b in range(10):
        mean, truth = probs[bins == b].mean(), labels[bins == b]
        np.testing.assert_allclose(found[b], [mean, truth.mean()], 1e-6)
        expected = binomtest(int(truth.sum()), truth.size).proportion_ci(method="wilson")
        np.testing.assert_allclose(intervals[b], expected, rtol=1e-5, atol=1e-7)
        counts.append(f"{truth.size:,}")
    (above,) = ax.child_axes
    assert [t.get_text() for t in above.get_xticklabels()] == counts


def test_reliability_of_several_classes_counts_each_of_them():
    probs, labels = forecasts(3, rows=200)
    ax = plot.reliability(probs, labels)
    each, _ = points(plot.reliability(probs.ravel(), np.eye(3)[labels].ravel()))
    np.testing.assert_array_equal(points(ax)[0], each)
    assert "class" in ax.get_xlabel()


def test_reliability_shows_where_the_thresholds_are():
    ax = plot.reliability(PROBS, LABELS, fn=19.0, fp=1.0)
    np.testing.assert_allclose(lines(ax)["Bayes threshold 0.05"].get_xdata(), 0.05, rtol=1e-6)
    fn = np.linspace(1, 99, LABELS.size)
    (band,) = plot.reliability(PROBS, LABELS, fn=fn, fp=1.0).patches
    expected = np.quantile(1 / (1 + fn), [0.05, 0.95])
    np.testing.assert_allclose([band.get_x(), band.get_x() + band.get_width()], expected, rtol=1e-5)
