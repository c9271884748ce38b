"""Pictures of what mistakes cost, for matplotlib, which comes with the extra ``plot``.

Each function takes arrays and returns the ``Axes`` it drew on: those given as ``ax``, or else those
of a new figure of 600 pixels, which a notebook shows where they are the last line of a cell.
``.figure.savefig`` writes the picture to a file. Neither pyplot nor other global state is used.
"""

try:
    import matplotlib  # noqa: F401 - imported to see whether it is installed
except ModuleNotFoundError as error:
    if error.name != "matplotlib":
        raise
    raise ModuleNotFoundError(
        "rwwce_jax.plot needs matplotlib, which is not installed: pip install 'rwwce_jax[plot]'.",
        name="matplotlib",
    ) from None

from rwwce_jax.plot._confusion import confusion_in_money
from rwwce_jax.plot._cost_curve import cost_curve
from rwwce_jax.plot._reliability import reliability

__all__ = ["confusion_in_money", "cost_curve", "reliability"]
