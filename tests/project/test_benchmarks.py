"""The recorded times: their tables are those of the JSON that the picture is drawn from."""

import itertools
import json

import pytest

from benchmarks.picture import RESULTS, draw
from benchmarks.summary import ratios, table

pytestmark = pytest.mark.repository


def test_tables_are_those_of_the_recorded_run():
    results = json.loads((RESULTS / "losses.json").read_text())["results"]
    written = (RESULTS / "losses.md").read_text()
    blocks = itertools.groupby(
        results, lambda result: [result[x] for x in ("rows", "classes", "dtype")]
    )
    for text in (*(table(list(block), None) for _, block in blocks), ratios(results, "float32")):
        assert text in written


def test_the_picture_shows_every_shape():
    results = json.loads((RESULTS / "losses.json").read_text())["results"]
    estimates = json.loads((RESULTS / "aot_colab.json").read_text())
    panels = draw(results, estimates).axes
    for axes, recorded in zip(panels, (results, results, estimates), strict=True):
        shapes = {f"{result['rows']} x {result['classes']}" for result in recorded}
        assert {label.get_text() for label in axes.get_xticklabels()} == shapes
