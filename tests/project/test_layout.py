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


def nodes(path, kind):
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return (node for node in tree if isinstance(node, kind))


def test_imports_go_one_way():
    assert {room(path) for path in FILES} == {*ROOMS, *DOORS}
    for path in FILES:
        here = room(path)
        before = ROOMS if here in DOORS else ROOMS[: ROOMS.index(here)]
        allowed = {*before, here}
        if here == "decisions":
            allowed.remove("losses")  # neither needs the other
        for node in nodes(path, ast.ImportFrom):
            package, *rooms = (node.module or "").split(".")
            assert package != "rwwce_jax" or {*rooms[:1]} <= allowed, path


def test_no_kind_of_costs_is_told_apart_outside_of_costs():
    kinds = {"PairCosts", "ExampleCosts", "Costs", "Nothing", "Number", "ByClass", "Mapping"}
    for path in (path for path in FILES if room(path) != "costs"):
        for node in nodes(path, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id == "isinstance":
                names = {x.id for x in ast.walk(node.args[1]) if isinstance(x, ast.Name)}
                assert not names & kinds, path
