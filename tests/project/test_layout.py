"""The imports of the package go one way, and costs are asked, not told apart."""

import ast
from pathlib import Path

import pytest

import rwwce_jax

pytestmark = pytest.mark.always

ROOT = Path(rwwce_jax.__file__).parent
# Each room may import from the rooms before it, and from itself.
ROOMS = ["_numerics", "_checks", "costs", "losses", "decisions", "metrics"]
DOORS = ["flax", "keras", "plot", "sklearn"]
FILES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rwwce_jax."):
            yield node.module.split(".")[1]


def test_every_file_is_in_a_room():
    assert {room(path) for path in FILES} == {*ROOMS, *DOORS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    here = room(path)
    allowed = ROOMS if here in DOORS else ROOMS[: ROOMS.index(here)]
    assert set(imported_rooms(path)) <= {*allowed, here}


def test_losses_and_decisions_do_not_need_each_other():
    of_losses = {x for path in FILES if room(path) == "decisions" for x in imported_rooms(path)}
    assert "losses" not in of_losses


def test_no_kind_of_costs_is_told_apart_outside_of_costs():
    kinds = {"PairCosts", "ExampleCosts", "Costs", "Nothing", "Number", "ByClass", "Mapping"}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if is_call and node.func.id == "isinstance" and room(path) != "costs":
                names = {x.id for x in ast.walk(node.args[1]) if isinstance(x, ast.Name)}
                assert not names & kinds, path
