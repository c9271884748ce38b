"""Double precision for a part of a test, in every JAX."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax


@contextmanager
def enable_x64(enabled: bool) -> Iterator[None]:
    """As ``jax.enable_x64``, which jax 0.7 has not."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", enabled)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)
