"""What compiled programs do, read from their text."""

import math
import re


def collectives(text):
    """The number of elements of each result of a collective in compiled HLO."""
    sizes = []
    for line in text.splitlines():
        found = re.search(
            r"= (.*?) (all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)"
            r"(-start)?\(",
            line,
        )
        if found:
            shapes = re.findall(r"\w+\[([\d,]*)\]", found[1])
            sizes += [math.prod(int(n) for n in shape.split(",") if n) for shape in shapes]
    return sizes
