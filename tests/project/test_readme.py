"""README, documentation and recorded results: their code runs, and one says what the other says."""

import doctest
import io
import re
from pathlib import Path

import jax
import pytest

import rwwce_jax
from benchmarks.picture import RESULTS

pytestmark = pytest.mark.repository

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
# The longest first: the last ones to run then end at about the same time.
PAGES = sorted([README, *(ROOT / "docs").glob("*.md")], key=lambda page: -page.stat().st_size)

# Of a directive, without its options.
FENCE = re.compile(r"^(`{3,})([^\n`]*)\n(?::\w+:[^\n]*\n)*(.*?)^\1 *$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
MAKE_TARGET = re.compile(r"(?:^|`)make ([a-z-]+)", re.MULTILINE)

CODE = ("python", "{doctest}", "{testcode}")
ANY_SPACE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def examples(page: Path) -> list[doctest.Example]:
    """The code of a page, from top to bottom: a block without prompts is one example."""
    found: list[doctest.Example] = []
    for fence in FENCE.finditer(page.read_text(encoding="utf-8")):
        kind = fence[2].split(maxsplit=1)[:1]  # without the group of a directive
        if kind == ["{testoutput}"]:
            found[-1].want = fence[3]
        elif set(kind) & set(CODE) and fence[3].lstrip().startswith(">>> "):
            found += doctest.DocTestParser().get_examples(fence[3])
        elif set(kind) & set(CODE):
            found.append(doctest.Example(f"exec({fence[3]!r})", want="..."))
    return found


# A user has JAX's defaults, not the strict promotion of these tests.
@pytest.mark.docs
@pytest.mark.optimized
@pytest.mark.filterwarnings("ignore:The default axis_types will change")  # jax 0.8
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTest(examples(page), {"__name__": page.stem}, page.name, str(page), 0, None)
    assert test.examples or page.stem not in ("README", "quickstart")
    report = io.StringIO()
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        failed, _ = doctest.DocTestRunner(optionflags=ANY_SPACE).run(test, out=report.write)
    assert failed == 0, report.getvalue()


def anchors(page: Path) -> set[str]:
    """What a link may name after ``#``: headings, as GitHub and MyST write them, and labels."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r"^\((\S+)\)=$", prose(page), re.MULTILINE))


def test_links_and_images_are_there():
    for page in (*PAGES, ROOT / "CONTRIBUTING.md"):
        for link in (link for link in LINK.findall(prose(page)) if ":" not in link):
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            assert target.exists(), (page, link)
            assert not anchor or anchor in anchors(target), (page, link)


def test_make_targets_that_pages_name_exist():
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in MAKE_TARGET.findall(page.read_text("utf-8"))}
    assert {"demo", "test"} <= named <= targets


def test_every_public_name_has_a_page():
    named = set(re.findall(r"\brwwce_jax\.(\w+)", (ROOT / "docs" / "api.md").read_text("utf-8")))
    assert set(rwwce_jax.__all__) - named == set()


def test_the_results_are_those_of_the_demo():
    recorded = (RESULTS / "mnist.md").read_text(encoding="utf-8")
    for page, least in ((README, 4), (ROOT / "docs" / "decisions.md", 2)):
        figures = re.findall(r"\b0\.0\d{3}\b", prose(page))
        assert len(figures) >= least
        assert [figure for figure in figures if figure not in recorded] == []
