"""The terms of the categorical losses, from labels, costs and mask."""

from typing import Any

import jax.numpy as jnp

from rwwce_jax._cost_kinds import join
from rwwce_jax._numerics import Terms


def terms_of_examples(examples: Any, shared: Any, num_classes: int) -> tuple[Terms, Terms]:
    """The weights of -log(p) and the costs of -log(1 - p) of each example."""
    labels, valid, where, own = examples
    fn, fp = join(own, shared)
    if valid is None:
        if where is not None:
            labels = jnp.where(where[..., None], labels, 0)
        weights, costs = Terms(fn.of_weights(labels)), fp.terms_of_weights(labels)
    else:
        # A NaN weight makes the whole loss and gradient of the example NaN.
        weight = jnp.where(valid, fn.of_labels(labels), jnp.nan)
        weights = Terms(weight[..., None], labels[..., None])
        costs = fp.of_labels(labels, num_classes)
    if where is not None:
        selected = where[..., None]
        weights, costs = (x._replace(each=jnp.where(selected, x.each, 0)) for x in (weights, costs))
    return weights, costs
