"""The Real-World-Weight Cross-Entropy loss and the Real World Cost, for JAX."""

from rwwce_jax.losses import binary, categorical

__all__ = ["binary", "categorical"]
