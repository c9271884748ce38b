"""The recorded times: their Markdown is that of the JSON, and the docs leave out the goals."""

import itertools
import json
from pathlib import Path

import pytest

from benchmarks.summary import END_OF_DOCS, conclusion, table

pytestmark = pytest.mark.repository

ROOT = Path(__file__).parents[1]
RECORDED = ROOT / "benchmarks" / "results" / "losses.json"


def test_results_are_those_of_the_recorded_run():
    recorded = json.loads(RECORDED.read_text())
    written = RECORDED.with_suffix(".md").read_text()
    blocks = itertools.groupby(
        recorded["results"], key=lambda result: [result[f] for f in ("rows", "classes", "dtype")]
    )
    tables = "\n".join(table(list(block), None) for _, block in blocks)
    end = conclusion(recorded["results"], on_cpu=True, then=recorded["against"])
    assert written.endswith(f"\n{tables}\n{end}\n")


@pytest.mark.parametrize("name", ["losses", "linear"])
def test_the_page_shows_neither_goals_nor_other_revisions(name):
    shown, _, hidden = RECORDED.with_name(f"{name}.md").read_text().partition(END_OF_DOCS)
    assert "wanted" in hidden
    assert "wanted" not in shown
    assert str(json.loads(RECORDED.read_text())["against"]) not in shown
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    assert f'results/{name}.md\n:end-before: "{END_OF_DOCS}"\n' in page
