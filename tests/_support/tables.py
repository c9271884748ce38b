"""Costs as a pandas DataFrame, which need not be installed."""

import numpy as np
import pytest


class Frame:
    """As much of a DataFrame as counts."""

    def __init__(self, values, index, columns):
        self.values, self.index, self.columns = values, index, columns

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


def frames():
    yield "stand-in", Frame
    try:
        import pandas as pd
    except ModuleNotFoundError:
        return
    yield "pandas", pd.DataFrame


TABLES = pytest.mark.parametrize("table", [pytest.param(t, id=name) for name, t in frames()])
