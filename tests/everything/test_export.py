"""Every public function in an exported program for any number of rows."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from test_meshes import DATA, PLACES, results

import rwwce_jax as rwwce


@pytest.mark.sampled(2)
@pytest.mark.parametrize("of_rows", [False, True], ids=["shared costs", "costs of each row"])
def test_any_number_of_rows(of_rows):
    """All that test_meshes tries, with every kind of costs."""
    data = {name: jnp.asarray(array) for name, (array, _) in DATA.items()}

    def every(data):
        costs = {"no fp": (1.5, 0), "scalars": (1.5, 2.5)}
        if of_rows:
            costs = {
                "examples": (rwwce.ExampleCosts(data["amounts"]), rwwce.ExampleCosts(data["soft"])),
                "candidates": (1.5, rwwce.ExampleCosts(2.0, classes=data["other_sets"])),
            }
        return results(data, costs | PLACES["NumPy"](), of_classes=False)

    (rows,) = jax.export.symbolic_shape("rows")
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype), data)
    program = jax.jit(every)
    exported = jax.export.deserialize(jax.export.export(program)(shapes).serialize())
    for size in (1, 7):
        part = jax.tree.map(lambda x, size=size: x[:size], data)
        actual, expected = exported.call(part), program(part)
        for name, numbers in actual.items():
            for x, y in zip(numbers, expected[name], strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6, err_msg=f"{name} of {size}")
