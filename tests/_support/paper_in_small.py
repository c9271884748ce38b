"""What the tests of the paper run on: a reduced plan, and the digits that need no network."""

from experiments.paper import data
from experiments.paper.data import Images, Plan

PLAN = Plan(images=1797, sets_per_digit=1, pairs=3, epochs=1, more_seeds=1)


def digits() -> Images:
    return data.images("digits", PLAN)
