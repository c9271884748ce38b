"""The losses and the Real World Cost for Keras 3 on its JAX backend."""

from rwwce_jax.keras._losses import BinaryRWWCE, CategoricalRWWCE
from rwwce_jax.keras._metric import RealWorldCost

__all__ = ["BinaryRWWCE", "CategoricalRWWCE", "RealWorldCost"]
