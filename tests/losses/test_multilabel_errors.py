"""What is refused where there are several labels, in a sentence that begins with the argument."""

import jax.numpy as jnp
import numpy as np
import pytest

from rwwce_jax import multilabel, multilabel_decide, multilabel_real_world_cost

pytestmark = pytest.mark.always


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"logits": jnp.zeros((4, 3), int)}, TypeError, "logits"),
        ({"logits": jnp.zeros(())}, ValueError, "logits"),
        ({"logits": jnp.zeros((4, 0))}, ValueError, "logits"),
        ({"labels": np.zeros(4, int)}, ValueError, "labels"),
        ({"labels": np.array("cat")}, TypeError, "labels"),
        ({"fn": np.ones(4)}, ValueError, "fn"),
        ({"fp": np.ones((3, 3))}, ValueError, "fp"),
        ({"fp": True}, TypeError, "fp"),
        ({"fp_pairs": 1.0}, ValueError, "fp_pairs"),
        ({"fp_pairs": np.ones((3, 4))}, ValueError, "fp_pairs"),
        ({"where": np.ones(3, bool)}, ValueError, "where"),
        ({"where": np.ones((4, 3))}, TypeError, "where"),
        ({"reduction": "average"}, ValueError, "reduction"),
    ],
)
def test_what_is_refused(arguments, error, name):
    good = {"logits": jnp.zeros((4, 3)), "labels": np.zeros((4, 3), int), "fn": 1.0, "fp": 1.0}
    with pytest.raises(error, match=rf"^{name} must [^\n]+\.$"):
        multilabel(**good | arguments)
    if "logits" in arguments or "reduction" in arguments:
        return
    good["predictions"] = good.pop("logits") > 0
    with pytest.raises(error, match=rf"^{name} must [^\n]+\.$"):
        multilabel_real_world_cost(**good | arguments)


def test_what_the_decisions_refuse():
    with pytest.raises(TypeError, match=r"^predictions must be decisions"):
        multilabel_real_world_cost(jnp.zeros((4, 3)), jnp.zeros((4, 3)), 1.0, 1.0)
    with pytest.raises(TypeError, match=r"^probs must be floating-point"):
        multilabel_decide(np.zeros((4, 3), int), 1.0, 1.0)
    with pytest.raises(ValueError, match=r"^probs must have shape \(\.\.\., K\)"):
        multilabel_decide(jnp.zeros(()), 1.0, 1.0)
