"""What the modules for other libraries say where that library is not installed."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def needs(door: str, package: str, module: str) -> Iterator[None]:
    """Imports inside of it, for ``rwwce_jax.<door>``, may lack this package."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ModuleNotFoundError(
            f"rwwce_jax.{door} needs {package}, which is not installed: pip install "
            f"{package.lower()}.",
            name=module,
        ) from None
