"""What importing the package brings, and what its doors say where the other library is missing."""

import json
import subprocess
import sys
import types

import rwwce_jax

LIBRARIES = {
    "flax": "Flax",
    "keras": "Keras",
    "matplotlib": "matplotlib",
    "sklearn": "scikit-learn",
}


def run(code):
    """Runs this code in a new Python, and returns the JSON that it prints."""
    return json.loads(subprocess.check_output([sys.executable, "-c", code], text=True))


def test_all_names_what_is_exported():
    public = {name: value for name, value in vars(rwwce_jax).items() if name[0] != "_"}
    names = {name for name in public if not isinstance(public[name], types.ModuleType)}
    assert set(rwwce_jax.__all__) == names


def test_an_import_brings_and_shows_no_more_than_it_says():
    code = """
import json, sys
import rwwce_jax
bare, others = dir(rwwce_jax), sorted({"optax", *%r} & sys.modules.keys())
import rwwce_jax.sklearn
with_sklearn = dir(rwwce_jax)
from rwwce_jax import plot
plot.confusion_in_money([[1, 2], [3, 4]], 1.0, 0.0)._repr_png_()
plot.cost_curve([0.1, 0.9], [0, 1], 1.0, 1.0)._repr_png_()
plot.reliability([0.1, 0.9], [0, 1])._repr_png_()
print(json.dumps([bare, others, with_sklearn, "matplotlib.pyplot" in sys.modules]))
"""
    bare, others, with_sklearn, has_pyplot = run(code % [*LIBRARIES])
    assert others == []
    assert set(bare) == {*rwwce_jax.__all__, "__version__"}
    assert set(with_sklearn) == {*bare, "sklearn"}
    assert not has_pyplot


# As where they are not installed: the import of a package fails, and so that of its submodules.
WITHOUT = """
import importlib, json, os, sys, traceback, types

class Missing:
    def find_spec(self, name, *_):
        if name in %r:
            raise ModuleNotFoundError(name=name)

def said(door):
    try:
        importlib.import_module("rwwce_jax." + door)
    except ImportError:
        return traceback.format_exc()

sys.meta_path.insert(0, Missing())
printed = {door: said(door) for door in ("flax", "keras", "plot", "sklearn")}
sys.meta_path.pop(0)
config = types.SimpleNamespace(backend=lambda: "numpy")
sys.modules["keras"] = types.SimpleNamespace(config=config)
printed["on numpy"] = said("keras")
del sys.modules["keras"]
os.environ["KERAS_BACKEND"] = "torch"
printed["on torch"] = said("keras")
print(json.dumps(printed))
"""


def test_one_sentence_tells_what_to_do_where_a_library_is_missing():
    printed = run(WITHOUT % [*LIBRARIES])
    for door, library in zip(("flax", "keras", "plot", "sklearn"), LIBRARIES.values(), strict=True):
        said = f"rwwce_jax.{door} needs {library}, which is not installed: "
        said += f"pip install {library.lower()}."
        assert printed[door].splitlines()[-1] == f"ModuleNotFoundError: {said}"
    needs = "ImportError: rwwce_jax.keras needs Keras on the JAX backend, got "
    assert printed["on numpy"].splitlines()[-1].startswith(f"{needs}numpy; set the environment")
    assert printed["on torch"].splitlines()[-1].startswith(f"{needs}torch")
    for text in printed.values():
        assert text.endswith(".\n")
        assert "During handling" not in text
