"""Pictures of the cost of mistakes, drawn with matplotlib, which the extra ``plot`` installs.

Each function takes arrays and returns the ``Axes`` it drew on: the argument ``ax``, or those of a
new figure 600 pixels wide, which a notebook shows if they are the last line of a cell.
``.figure.savefig`` writes the picture to a file. Neither pyplot nor other global state is used.
"""

from rwwce_jax._checks.imports import needs

with needs("plot", "matplotlib", "matplotlib"):
    from rwwce_jax.plot._confusion import confusion_in_money
    from rwwce_jax.plot._cost_curve import cost_curve
    from rwwce_jax.plot._reliability import reliability

__all__ = ["confusion_in_money", "cost_curve", "reliability"]
