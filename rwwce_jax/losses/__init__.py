"""The Real-World-Weight Cross-Entropy losses: one file per equation."""

from rwwce_jax.losses._binary import binary
from rwwce_jax.losses._categorical import categorical
from rwwce_jax.losses._linear import linear_categorical
from rwwce_jax.losses._multilabel import multilabel

__all__ = ["binary", "categorical", "linear_categorical", "multilabel"]
