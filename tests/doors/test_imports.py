"""What importing the package brings, and what its doors say where a library is missing."""

import json
import subprocess
import sys

import rwwce_jax

LIBRARIES = {"flax": "Flax", "keras": "Keras", "plot": "matplotlib", "sklearn": "scikit-learn"}
MODULES = ["flax", "keras", "matplotlib", "sklearn"]


def run(code):
    """Runs this code in a new Python, and returns the JSON that it prints."""
    return json.loads(subprocess.check_output([sys.executable, "-c", code], text=True))


def test_an_import_brings_and_shows_no_more_than_it_says():
    code = f"""
import json, sys
import rwwce_jax
bare, others = dir(rwwce_jax), sorted({{"optax", "pandas", *{MODULES}}} & sys.modules.keys())
import rwwce_jax.sklearn
with_sklearn = dir(rwwce_jax)
from rwwce_jax import plot
plot.reliability([0.1, 0.9], [0, 1])._repr_png_()
print(json.dumps([bare, others, with_sklearn, "matplotlib.pyplot" in sys.modules]))
"""
    bare, others, with_sklearn, has_pyplot = run(code)
    assert others == []
    assert set(bare) == {*rwwce_jax.__all__, "__version__"}
    assert set(with_sklearn) == {*bare, "sklearn"}
    assert not has_pyplot


# As where they are not installed: the import of a package fails, and so that of its submodules.
WITHOUT = f"""
import importlib, json, os, sys, traceback

class Missing:
    def find_spec(self, name, *_):
        if name in {MODULES}:
            raise ModuleNotFoundError(name=name)

def said(door):
    try:
        importlib.import_module("rwwce_jax." + door)
    except ImportError:
        return traceback.format_exc()

sys.meta_path.insert(0, Missing())
printed = [said(door) for door in {[*LIBRARIES]}]
sys.meta_path.pop(0)
os.environ["KERAS_BACKEND"] = "torch"
printed.append(said("keras"))
print(json.dumps(printed))
"""


def test_one_sentence_tells_what_to_do_where_a_library_is_missing():
    expected = [
        *(
            f"ModuleNotFoundError: rwwce_jax.{door} needs {library}, which is not installed: "
            f"pip install {library.lower()}."
            for door, library in LIBRARIES.items()
        ),
        "ImportError: rwwce_jax.keras needs Keras on the JAX backend, got torch",
    ]
    for text, sentence in zip(run(WITHOUT), expected, strict=True):
        assert text.splitlines()[-1].startswith(sentence)
        assert text.endswith(".\n")
        assert "During handling" not in text
