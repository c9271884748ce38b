"""Costs as a pandas DataFrame."""

import pandas as pd
import pytest

TABLES = pytest.mark.parametrize("table", [pd.DataFrame])
