"""Configuration of Sphinx; `make docs` builds with every warning fatal."""

import os
from importlib.metadata import version as installed_version

from jax.typing import ArrayLike
from sphinx.application import Sphinx
from sphinx.util import inspect
from sphinx.util.typing import stringify_annotation

from rwwce_jax._checks.types import CostsLike

os.environ["KERAS_BACKEND"] = "jax"  # read by Keras when it is imported

project = "rwwce_jax"
author = "The rwwce_jax authors"
copyright = author
release = version = installed_version("rwwce_jax")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "rwwce_jax"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False

# What a program prints is not to be copied, nor are prompts.
copybutton_selector = "div:not(.highlight-none) > div.highlight > pre"
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

napoleon_attr_annotations = False  # a type in full, where a signature has its alias
napoleon_numpy_docstring = False

# `docs/api.md` names what is public; its pages are written into docs/api/ at each build.
autosummary_context = {
    "methods_shown": {
        "rwwce_jax.Costs": "ordered",
        "rwwce_jax.flax.RealWorldCost": "reset, update, compute",
        "rwwce_jax.keras.RealWorldCost": "update_state",
    }
}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True

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
    if signature == "(*args: Any, **kwargs: Any)":  # of Flax's metaclass
        own = inspect.signature(obj.__init__, bound_method=True)
        signature = inspect.stringify_signature(own, unqualified_typehints=True)
        signature = signature.removesuffix(" -> None")
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
    # The extension's own choice loads fonts, which Firefox refuses to a page opened from a file.
    app.config.mathjax_path = "mathjax/tex-svg.js"
    app.connect("autodoc-process-signature", name_aliases)
    app.connect("autodoc-process-docstring", keep_returns_whole, priority=400)  # Napoleon's is 500
