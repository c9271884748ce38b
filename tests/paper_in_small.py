"""What the tests of the paper run on: a reduced plan, and the digits that need no network."""

import functools

from examples import mnist
from experiments.paper import data
from experiments.paper.data import Images, Plan

PLAN = Plan(images=1797, sets_per_digit=1, pairs=6, epochs=2, more_seeds=0)

load = mnist.load


def load_digits(source: str) -> mnist.ImageData:
    """In the place of ``mnist.load``."""
    return load("digits")


@functools.cache
def digits() -> Images:
    return data.images(load("digits"), PLAN)
