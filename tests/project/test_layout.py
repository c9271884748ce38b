"""The imports of the package go one way, and costs are asked, not told apart."""

import ast
from pathlib import Path

import rwwce_jax

ROOT = Path(rwwce_jax.__file__).parent
# Each room may import from the rooms before it, and from itself.
ROOMS = ["_numerics", "_checks", "costs", "losses", "decisions", "metrics"]
DOORS = ["flax", "keras", "plot", "sklearn"]
FILES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def nodes(path):
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def imported_rooms(path):
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rwwce_jax."):
            yield node.module.split(".")[1]


def test_imports_go_one_way():
    assert {room(path) for path in FILES} == {*ROOMS, *DOORS}
    for path in FILES:
        here = room(path)
        allowed = ROOMS if here in DOORS else ROOMS[: ROOMS.index(here)]
        allowed = {*allowed, here} - ({"losses"} if here == "decisions" else set())
        assert set(imported_rooms(path)) <= allowed, path


def test_no_kind_of_costs_is_told_apart_outside_of_costs():
    kinds = {"PairCosts", "ExampleCosts", "Costs", "Nothing", "Number", "ByClass", "Mapping"}
    for path in FILES:
        for node in nodes(path):
            is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if is_call and node.func.id == "isinstance" and room(path) != "costs":
                names = {x.id for x in ast.walk(node.args[1]) if isinstance(x, ast.Name)}
                assert not names & kinds, path
