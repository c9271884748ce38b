"""The paper's data sets: which images each network is trained and judged on."""

import numpy as np
import pytest
from paper_in_small import digits

from experiments.paper import data
from experiments.paper.data import Plan

pytestmark = pytest.mark.repository


def test_full_plan_is_the_papers() -> None:
    full = Plan(images=70_000, sets_per_digit=10, pairs=90, epochs=10, more_seeds=5)
    assert full == data.FULL
    assert data.FULL.positives == 630


def test_binary_sets_are_batches_of_a_digit_against_all_others() -> None:
    classes = np.random.default_rng(0).integers(10, size=7000)
    plan = Plan(images=7000, sets_per_digit=10, pairs=0, epochs=0, more_seeds=0)
    positive, splits = data.binary_sets(classes, plan, seed=0)
    assert len(splits) == 100
    for number, (digit, split) in enumerate(zip(positive, splits, strict=True)):
        rows = np.concatenate(split)
        assert len(np.unique(rows)) == len(rows)
        own = np.flatnonzero(classes == digit)[number % 10 * 63 :][:63]
        others = np.flatnonzero(classes != digit)
        np.testing.assert_array_equal(np.sort(rows), np.sort(np.concatenate([own, others])))
        shares = np.array([len(part) for part in split]) / len(rows)
        np.testing.assert_allclose(shares, [0.675, 0.075, 0.25], atol=3e-4)


def test_pairs_are_all_ordered_pairs() -> None:
    pairs = data.pairs(data.FULL)
    assert len(np.unique(pairs, axis=0)) == 90
    assert np.all(pairs[:, 0] != pairs[:, 1])
    assert data.pairs(data.QUICK).shape == (data.QUICK.pairs, 2)


def test_streams_are_apart() -> None:
    """Also where one's numbers begin with the other's, and a zero follows."""
    uses = [(), (1,), (1, 0), (1, 0, 0), (2,), (1, 2), (2, 1)]
    drawn = {data.stream(5, *of).integers(2**62) for of in uses}
    assert len(drawn) == len(uses)


def test_splits_follow_from_the_seed() -> None:
    plan = Plan(images=100, sets_per_digit=1, pairs=2, epochs=1, more_seeds=0)
    first, again, other = (data.categorical_sets(100, plan, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first[0].train, again[0].train)
    assert np.any(first[0].train != first[1].train)
    assert np.any(first[0].train != other[0].train)


def test_smote_is_imbalanced_learns() -> None:
    over_sampling = pytest.importorskip("imblearn.over_sampling")
    rows = np.flatnonzero((digits().classes != 3) | (np.arange(1797) < 300))
    positive = digits().classes[rows] == 3
    ours = data.smote(digits().pixels, rows, positive, 7)
    pixels = digits().pixels.astype(np.float32)
    base, partner = (pixels[each] for each in (ours.rows, ours.partners))
    images = base + ours.steps[:, None] * (partner - base)
    theirs, labels = over_sampling.SMOTE(random_state=7).fit_resample(pixels[rows], positive)
    np.testing.assert_allclose(images, theirs, rtol=1e-6, atol=1e-4)  # pixels from 0 to 255
    np.testing.assert_array_equal(digits().classes[ours.rows] == 3, labels)


@pytest.mark.parametrize(
    ("resampling", "expected"), [(data.oversampled, (90, 90)), (data.undersampled, (10, 10))]
)
def test_resampling_balances(resampling: data.Resampling, expected: tuple[int, int]) -> None:
    rows, positive = np.arange(1000, 1100), np.arange(100) < 10
    drawn = resampling(np.zeros(0), rows, positive, 0).rows
    assert set(drawn) <= set(rows)
    assert (np.sum(drawn < 1010), np.sum(drawn >= 1010)) == expected
