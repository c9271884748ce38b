"""Credit cards, where each customer has costs of their own: train with them, or decide with them?

Run ``python -m examples.credit`` (it needs empulse, pandas, scikit-learn and tqdm). Each of the
38,938 customers of PAKDD 2009 has a cost ``fn``, what is lost if they are accepted and default,
and a cost ``fp``, the profit that is missed if they are refused and would have paid. A logistic
model, trained and decided in three ways, is judged by scikit-learn's cross-validation with the Real
World Cost as the score.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import sklearn
from empulse.datasets import load_credit_scoring_pakdd
from scipy import stats
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from tqdm import tqdm

import rwwce_jax as rwwce
from rwwce_jax.sklearn import real_world_cost_scorer

PENALTY = 1e-4  # on the squared weights
FOLDS = 5


def customers():
    """Returns a data frame that holds the costs as columns, and who defaults."""
    loaded = load_credit_scoring_pakdd(backend="pandas")
    costs = loaded.instance_costs
    # After Bahnsen et al. (2014): a default loses three quarters of the credit line.
    table = loaded.data.assign(fn=0.75 * costs["cl"], fp=costs["fp_cost"])
    return table, np.asarray(loaded.target, np.int32)


def preprocessing():
    """Numbers with their logarithms, the costs among them, and categories as columns of 0 and 1."""
    both = FunctionTransformer(lambda amounts: np.hstack([amounts, np.log1p(amounts)]))
    numbers = make_pipeline(both, StandardScaler())
    categories = OneHotEncoder(
        min_frequency=0.005, handle_unknown="infrequent_if_exist", sparse_output=False
    )
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (categories, make_column_selector(dtype_exclude="number")),
    )


def logits(weights, inputs):
    return inputs @ weights[1:] + weights[0]


@jax.jit
@jax.value_and_grad
def objective(weights, inputs, labels, fn, fp):
    loss = rwwce.binary(logits(weights, inputs), labels, fn, fp)
    return loss + PENALTY / 2 * jnp.sum(weights[1:] ** 2)


class Logistic(ClassifierMixin, BaseEstimator):
    """A logistic model that reads each customer's costs from the columns "fn" and "fp"."""

    def __init__(self, train_with_costs=False, decide_with_costs=False):
        self.train_with_costs = train_with_costs
        self.decide_with_costs = decide_with_costs

    def fit(self, table, labels):
        self.classes_ = np.unique(labels)
        self.preprocessing_ = preprocessing().fit(table)
        fn = fp = 1.0  # plain cross-entropy
        if self.train_with_costs:
            # In units of their mean: the same penalty then suits all.
            mean = np.where(labels, table["fn"], table["fp"]).mean()
            fn, fp = (jnp.float32(table[name] / mean) for name in ("fn", "fp"))
        inputs = jnp.float32(self.preprocessing_.transform(table))
        slope = partial(objective, inputs=inputs, labels=labels, fn=fn, fp=fp)
        found = minimize(
            lambda weights: [np.float64(each) for each in slope(jnp.float32(weights))],
            np.zeros(inputs.shape[1] + 1),
            jac=True,
            method="L-BFGS-B",
            options={"gtol": 1e-4},
        )
        self.weights_ = jnp.float32(found.x)
        return self

    def predict(self, table):
        inputs = jnp.float32(self.preprocessing_.transform(table))
        probs = jax.nn.sigmoid(logits(self.weights_, inputs))
        threshold = 0.5
        if self.decide_with_costs:
            threshold = rwwce.bayes_threshold(*(jnp.float32(table[name]) for name in ("fn", "fp")))
        return np.int32(probs > threshold)


WAYS = {
    "trained by cross-entropy, decided at 0.5": Logistic(),
    "trained by cross-entropy, decided at the Bayes threshold": Logistic(decide_with_costs=True),
    "trained by rwwce.binary, decided at 0.5": Logistic(train_with_costs=True),
}


def main():
    table, labels = customers()
    # The costs reach the scorer beside the labels, by scikit-learn's metadata routing.
    sklearn.set_config(enable_metadata_routing=True)
    scorer = real_world_cost_scorer(fn=None, fp=None).set_score_request(fn=True, fp=True)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)

    def costs(model):
        params = {"fn": table["fn"], "fp": table["fp"]}
        return -cross_val_score(model, table, labels, scoring=scorer, cv=folds, params=params)

    refusing, accepting = (costs(DummyClassifier(strategy="constant", constant=k)) for k in (1, 0))
    measured = {way: costs(model) for way, model in tqdm(WAYS.items(), desc="cross-validation")}

    print(f"\n{len(labels):,} customers, of whom {labels.mean():.1%} default. Mean cost of each:\n")
    print(f"| {'':56} | cost per customer | saved of the best constant |")
    print(f"| {'-' * 56} | ----------------- | -------------------------- |")
    for way, cost in {"refuse all": refusing, "accept all": accepting, **measured}.items():
        saved = 1 - cost.mean() / min(refusing.mean(), accepting.mean())
        print(f"| {way:56} | {cost.mean():17.2f} | {saved:26.1%} |")

    best, second = sorted(measured, key=lambda way: measured[way].mean())[:2]
    more = measured[second] - measured[best]
    # Nadeau and Bengio (2003): the training sets of the folds overlap.
    error = more.std(ddof=1) * np.sqrt(1 / FOLDS + 1 / (FOLDS - 1))
    low, high = more.mean() + error * np.array(stats.t.interval(0.95, FOLDS - 1))
    chance = ", so it may be chance" if low < 0 else ""
    print(f"\nCheapest: {best}.")
    print(f"Next: {second}, at {more.mean():.2f} more per customer.")
    print(f"The 95% interval of the difference is {low:.2f} to {high:.2f}{chance}.")


if __name__ == "__main__":
    main()
