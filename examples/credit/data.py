"""Public data sets in which each customer has costs of their own, as empulse ships them."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

# A category of fewer customers than this share of them is one of "the infrequent ones".
RARE = 0.005


class UnavailableError(Exception):
    """The data cannot be had; the message says why, in one sentence."""


class Customers(NamedTuple):
    """Who is to be decided about, and what each wrong decision costs."""

    name: str
    positive: str  # what it takes for a customer to be of the positive class
    unit: str  # of the costs
    features: Any  # a pandas data frame of N rows
    labels: np.ndarray  # (N,), 0 or 1
    fn: np.ndarray  # (N,)
    fp: np.ndarray  # (N,)


def pakdd() -> Customers:
    """PAKDD 2009: who will default on a loan? Costs after Bahnsen et al. (2014)."""
    loaded = _empulse().load_credit_scoring_pakdd(backend="pandas")
    costs = loaded.instance_costs
    return Customers(
        name="PAKDD 2009 credit scoring",
        positive="defaults",
        unit="the currency of the data",
        features=loaded.data,
        labels=np.asarray(loaded.target, np.int32),
        fn=0.75 * costs["cl"],  # what is lost of the credit line
        fp=costs["fp_cost"],  # the profit on the loan, less that of lending it to someone else
    )


def telemarketing() -> Customers:
    """Bank telemarketing: who will put a tenth of the balance in a term deposit, if called?"""
    loaded = _empulse().load_upsell_bank_telemarketing(backend="pandas")
    interest = loaded.instance_costs["balance"] * 0.1 * 0.02463333
    call = 1.0
    return Customers(
        name="bank telemarketing",
        positive="subscribes",
        unit="euros",
        features=loaded.data,
        labels=np.asarray(loaded.target, np.int32),
        # A subscriber who is called costs the call too: that much less is lost with one who is not.
        fn=np.maximum(interest - call, 0.0),
        fp=np.full(len(loaded.target), call),
    )


# One more data set is one more function here.
DATA: dict[str, Callable[[], Customers]] = {"pakdd": pakdd, "telemarketing": telemarketing}


def _empulse() -> Any:
    try:
        import pandas  # noqa: F401 - what empulse is asked to return
        from empulse import datasets
    except ImportError as error:
        raise UnavailableError(
            "The data sets come with empulse, which is not installed:"
            " python -m pip install empulse pandas."
        ) from error
    return datasets


def subsample(customers: Customers, size: int, seed: int) -> Customers:
    """Returns ``size`` of the customers, drawn at random."""
    rows = np.random.default_rng(seed).permutation(len(customers.labels))[:size]
    return customers._replace(
        features=customers.features.iloc[rows],
        labels=customers.labels[rows],
        fn=customers.fn[rows],
        fp=customers.fp[rows],
    )


def preprocessing() -> Pipeline:
    """What turns features into numbers; fitted to the training customers only."""
    amounts = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        FunctionTransformer(_with_logarithm),
        StandardScaler(),
    )
    categories = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="missing"),
        OneHotEncoder(
            min_frequency=RARE, handle_unknown="infrequent_if_exist", sparse_output=False
        ),
    )
    numeric = make_column_selector(dtype_include="number")
    other = make_column_selector(dtype_exclude="number")
    return make_column_transformer((amounts, numeric), (categories, other))


def _with_logarithm(amounts: np.ndarray) -> np.ndarray:
    """Adds the logarithms of amounts and counts, which are skewed: costs grow with some of them."""
    amounts = np.asarray(amounts, np.float64)
    return np.hstack([amounts, np.log1p(np.maximum(amounts, 0))])


def round_up(number: int, multiple: int) -> int:
    """Returns the next multiple: arrays of few shapes are few programs to compile."""
    return math.ceil(number / multiple) * multiple
