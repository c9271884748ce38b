"""Configuration of Sphinx; `make docs` builds with every warning fatal."""

import os
from importlib.metadata import version as installed_version

from jax.typing import ArrayLike
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

from rwwce_jax._typing import CostsLike

os.environ["KERAS_BACKEND"] = "jax"  # read by Keras when it is imported

project = "rwwce_jax"
author = "The rwwce_jax authors"
copyright = author
release = version = installed_version("rwwce_jax")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "rwwce_jax"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

napoleon_numpy_docstring = False

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True

doctest_test_doctest_blocks = "default"

# The build needs no network, hence no intersphinx: what others define stays without a link.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:(class|obj)", r"CostsLike|(jax|numpy|collections|flax|keras|matplotlib)(\.\w+)+"),
]

# The longer one first: it begins with the other.
ALIASES = {
    stringify_annotation(CostsLike, "smart"): "CostsLike",
    stringify_annotation(ArrayLike, "smart"): "~jax.typing.ArrayLike",
}


def name_aliases(app, what, name, obj, options, signature, returns):
    """Writes ArrayLike and CostsLike where autodoc would list the types they stand for."""
    for types, alias in ALIASES.items():
        signature = signature and signature.replace(types, alias)
    return signature, returns


def keep_returns_whole(app, what, name, obj, options, lines):
    """Keeps Napoleon from taking what stands before a colon for a type: the annotation has it."""
    if "Returns:" in (stripped := [line.strip() for line in lines]):
        first = stripped.index("Returns:") + 1
        indent = len(lines[first]) - len(lines[first].lstrip())
        lines.insert(first, " " * indent + r"\ ")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", name_aliases)
    app.connect("autodoc-process-docstring", keep_returns_whole, priority=400)  # Napoleon's is 500
