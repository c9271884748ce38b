"""The paper's data sets: which images of MNIST train, tune and judge which network."""

from functools import cache
from itertools import permutations
from typing import NamedTuple

import numpy as np
from imblearn.over_sampling import RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors

from examples import datasets

CLASSES = 10
NEIGHBOURS = 5  # of SMOTE, as in its paper and in imbalanced-learn


class Plan(NamedTuple):
    images: int  # of the 70,000, the first
    sets_per_digit: int  # in Table I
    pairs: int  # in Table II
    epochs: int
    more_seeds: int  # with which the paper's networks of Table I are trained once more


FULL = Plan(images=70_000, sets_per_digit=10, pairs=90, epochs=10, more_seeds=5)
QUICK = Plan(images=7_000, sets_per_digit=1, pairs=3, epochs=1, more_seeds=1)


class Images(NamedTuple):
    pixels: np.ndarray  # (N, pixels) uint8: a quarter of the memory traffic of floats
    classes: np.ndarray  # (N,) int32


class Split(NamedTuple):  # row numbers of one data set
    train: np.ndarray  # 67.5 %
    validation: np.ndarray  # 7.5 %
    test: np.ndarray  # 25 %


class Examples(NamedTuple):  # images, or points on the way from one image to another
    rows: np.ndarray  # (examples,)
    partners: np.ndarray | None = None  # (examples,): row numbers
    steps: np.ndarray | None = None  # (examples,): how far to go to the partner, 0 to 1


@cache
def images(source, plan):
    source = datasets.mnist(source)
    pixels = np.concatenate([source.train_images, source.test_images])[: plan.images]
    classes = np.concatenate([source.train_labels, source.test_labels])[: plan.images]
    return Images(np.rint(255 * pixels).astype(np.uint8), classes.astype(np.int32))


def stream(seed, *of):
    """Random numbers of their own for each use, whatever else is drawn or left out."""
    # Not [seed, *of]: NumPy takes zeros at its end for nothing.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=of))


def split(rows, rng):
    first, second = map(int, rng.integers(2**32, size=2))
    rest, test = train_test_split(rows, test_size=0.25, random_state=first)
    train, validation = train_test_split(rest, test_size=0.1, random_state=second)
    return Split(train, validation, test)


def binary_sets(classes, plan, seed):
    """Of each digit the first batches of 630 images, each against all images of the others."""
    digits = np.repeat(np.arange(CLASSES), plan.sets_per_digit)
    size, splits = plan.images * 630 // 70_000, []
    for number, digit in enumerate(digits):
        first = number % plan.sets_per_digit * size
        positives = np.flatnonzero(classes == digit)[first : first + size]
        rows = np.concatenate([positives, np.flatnonzero(classes != digit)])
        splits.append(split(rows, stream(seed, 1, number)))
    return digits, splits


def pairs(plan):
    """The ordered pairs (true, predicted) of Table II: ``(pairs, 2)``."""
    every = list(permutations(range(CLASSES), 2))
    return np.array(every[:: len(every) // plan.pairs][: plan.pairs])


def categorical_sets(images_, plan, seed):
    return [split(np.arange(images_), stream(seed, 2, number)) for number in range(plan.pairs)]


# Resampling takes pixels, the training rows, which of these are positive, and a seed.


def as_they_are(pixels, rows, positive, seed):
    return Examples(rows)


def balanced(sampler):
    def resampled(_, rows, positive, seed):
        # Row numbers in place of images: what is drawn depends on the classes alone.
        return Examples(sampler(random_state=seed).fit_resample(rows[:, None], positive)[0][:, 0])

    return resampled


oversampled, undersampled = balanced(RandomOverSampler), balanced(RandomUnderSampler)


def smote(pixels, rows, positive, seed):
    """What ``imblearn.over_sampling.SMOTE(random_state=seed)`` draws, as row numbers and steps.

    A hundred data sets of synthetic images would take 13 GB.
    """
    minority = rows[positive]
    count = min(NEIGHBOURS, len(minority) - 1)
    points = pixels[minority].astype(np.float32)
    search = NearestNeighbors(n_neighbors=count + 1).fit(points)
    # The nearest neighbour of an image is the image itself.
    neighbours = search.kneighbors(points, return_distance=False)[:, 1:]
    missing = len(rows) - 2 * len(minority)
    random = np.random.RandomState(seed)
    drawn = random.randint(low=0, high=neighbours.size, size=missing)
    steps = random.uniform(size=missing)
    base, neighbour = np.divmod(drawn, count)
    return Examples(
        np.concatenate([rows, minority[base]]),
        np.concatenate([rows, minority[neighbours[base, neighbour]]]),
        np.concatenate([np.zeros(len(rows)), steps]).astype(np.float32),
    )
