"""Without the other library, importing its module says in one sentence what to install."""

import subprocess
import sys

import pytest

# As where it is not installed: the import of its package fails, and so that of its submodules.
WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, *_):
        if name == {0!r}:
            raise ModuleNotFoundError(name=name)

sys.meta_path.insert(0, Missing())
import rwwce_jax
import rwwce_jax.{1}
"""


@pytest.mark.always
@pytest.mark.parametrize(
    ("door", "module", "package"),
    [
        ("flax", "flax", "Flax"),
        ("keras", "keras", "Keras"),
        ("plot", "matplotlib", "matplotlib"),
        ("sklearn", "sklearn", "scikit-learn"),
    ],
)
def test_what_to_install(door, module, package):
    code = WITHOUT.format(module, door)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    said = f"rwwce_jax.{door} needs {package}, which is not installed: "
    said += f"pip install {package.lower()}."
    assert result.stderr.strip().splitlines()[-1] == f"ModuleNotFoundError: {said}"
    assert "During handling" not in result.stderr
