"""Cross-validation: every contestant trained and judged on the same folds."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import rwwce_jax as rwwce
from examples.credit import data, models

CROSS_ENTROPY, RWWCE = "cross-entropy", "rwwce.binary"
HALF, THRESHOLD = "0.5", "Bayes threshold"
POSTERIOR = "binary_posterior, Bayes threshold"
LEAVES = (6, 31)  # of each boosted tree, to choose from
INVERSE_PENALTIES = (1.0, 10.0, 100.0, 1000.0)  # empulse's C, to choose from

Way = tuple[str, str, str]  # the model, what it is trained with, what it is decided by


class Split(NamedTuple):
    """What one contestant may see: customers to train on, and inputs to decide about."""

    train: tuple[Any, np.ndarray, np.ndarray, np.ndarray]  # inputs, labels, fn, fp
    inner: np.ndarray  # (training rows,), which of them to choose the penalty on
    inputs: Any  # of the test customers
    fn: np.ndarray  # of the test customers: known when a decision is made
    fp: np.ndarray
    seed: int


def run(
    customers: data.Customers,
    *,
    folds: int,
    repeats: int,
    seed: int,
    name: str,
    between: Callable[[], None] = lambda: None,
) -> dict[Way, np.ndarray]:
    """Returns the savings of every way to train and decide, ``(folds * repeats,)`` each."""
    splits = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    found: dict[Way, list[float]] = {}
    with tqdm(total=folds * repeats * len(CONTESTANTS), desc=name, unit="model") as bar:
        for train, test in splits.split(customers.labels, customers.labels):
            split = _split(customers, train, test, seed)
            for contestant in CONTESTANTS:
                for way, decided in contestant(split).items():
                    found.setdefault(way, []).append(_savings(decided, customers, test))
                bar.update()
                between()
    return {way: np.array(savings) for way, savings in found.items()}


def _split(customers: data.Customers, train: np.ndarray, test: np.ndarray, seed: int) -> Split:
    labels, fn, fp = (part[train] for part in customers[-3:])
    features = customers.features.iloc[train]
    fitted = data.preprocessing().fit(features)
    # Dividing all costs by one number does not change where the loss is least, only its size: the
    # same penalties and learning rates then fit every data set, and cross-entropy as well.
    scale = np.where(labels == 1, fn, fp).mean() or 1.0
    _, chosen_on = train_test_split(
        np.arange(len(train)), test_size=0.2, stratify=labels, random_state=seed
    )
    return Split(
        train=(fitted.transform(features), labels, fn / scale, fp / scale),
        inner=np.isin(np.arange(len(train)), chosen_on),
        inputs=fitted.transform(customers.features.iloc[test]),
        fn=customers.fn[test],
        fp=customers.fp[test],
        seed=seed,
    )


def _savings(decided: np.ndarray, customers: data.Customers, test: np.ndarray) -> float:
    costs = customers.labels[test], customers.fn[test], customers.fp[test]
    return rwwce.savings(rwwce.binary_real_world_cost(decided, *costs), *costs).item()


def _threshold(split: Split) -> np.ndarray:
    return np.asarray(rwwce.bayes_threshold(split.fn, split.fp))


def _in_jax(name: str, split: Split) -> dict[Way, np.ndarray]:
    """A model in JAX, trained with both losses at once: cross-entropy is rwwce.binary of ones."""
    kind = models.KINDS[name]
    key = jax.random.key(split.seed)
    strengths = len(models.STRENGTHS)

    def table(rows: np.ndarray, copies: int) -> models.Table:
        one = models.padded(*(part[rows] for part in split.train))
        fn, fp = (np.stack([np.ones_like(cost), cost]) for cost in (one.fn, one.fp))
        return one._replace(fn=np.repeat(fn, copies, 0), fp=np.repeat(fp, copies, 0))

    l2 = jnp.tile(jnp.array(models.STRENGTHS, jnp.float32), 2)
    weights = models.trained(kind, table(~split.inner, strengths), l2, key)
    held_out = table(split.inner, strengths)
    losses = models.losses(models.logits(kind, weights, held_out.inputs), held_out)
    best = jnp.array(models.STRENGTHS, jnp.float32)[losses.reshape(2, strengths).argmin(-1)]

    weights = models.trained(kind, table(np.full(len(split.inner), True), 1), best, key)
    asked = models.padded(split.inputs, split.fn, split.fn, split.fp)
    plain, costly = np.asarray(models.logits(kind, weights, asked.inputs))[:, : len(split.fn)]
    threshold = _threshold(split)
    recovered = np.asarray(rwwce.binary_posterior(costly, split.fn, split.fp))
    return {
        (name, CROSS_ENTROPY, HALF): plain > 0,
        (name, CROSS_ENTROPY, THRESHOLD): np.asarray(jax.nn.sigmoid(plain)) > threshold,
        (name, RWWCE, HALF): costly > 0,
        (name, RWWCE, POSTERIOR): recovered > threshold,
    }


def logistic(split: Split) -> dict[Way, np.ndarray]:
    """The logistic model, trained and decided in four ways."""
    return _in_jax("logistic model", split)


def network(split: Split) -> dict[Way, np.ndarray]:
    """The network, trained and decided in four ways."""
    return _in_jax("network", split)


def boosting(split: Split) -> dict[Way, np.ndarray]:
    """scikit-learn's gradient boosting, with early stopping and a choice of tree sizes."""
    inputs, labels, *_ = split.train
    inner = split.inner

    def fitted(leaves: int, rows: np.ndarray) -> HistGradientBoostingClassifier:
        model = HistGradientBoostingClassifier(
            max_leaf_nodes=leaves, early_stopping=True, max_iter=300, random_state=split.seed
        )
        return model.fit(inputs[rows], labels[rows])

    # More threads wait for each other on a machine that does other things as well.
    with threadpool_limits(1, user_api="openmp"):
        held_out = [
            log_loss(labels[inner], fitted(leaves, ~inner).predict_proba(inputs[inner]))
            for leaves in LEAVES
        ]
        best = fitted(LEAVES[int(np.argmin(held_out))], np.full(len(inner), True))
        probabilities = best.predict_proba(split.inputs)[:, 1]
    return {("gradient boosting", CROSS_ENTROPY, THRESHOLD): probabilities > _threshold(split)}


def peer(split: Split) -> dict[Way, np.ndarray]:
    """empulse's cost-sensitive logit, which minimises the expected cost and decides at 0.5."""
    from empulse.models import CSLogitClassifier

    inputs, labels, fn, fp = split.train
    inner = split.inner

    def fitted(inverse_penalty: float, rows: np.ndarray) -> CSLogitClassifier:
        model = CSLogitClassifier(C=inverse_penalty)
        return model.fit(inputs[rows], labels[rows], fn_cost=fn[rows], fp_cost=fp[rows])

    def expected_cost(model: CSLogitClassifier) -> float:
        share = model.predict_proba(inputs[inner])[:, 1]
        truth = labels[inner]
        return float(np.mean(truth * fn[inner] * (1 - share) + (1 - truth) * fp[inner] * share))

    held_out = [expected_cost(fitted(choice, ~inner)) for choice in INVERSE_PENALTIES]
    best = fitted(INVERSE_PENALTIES[int(np.argmin(held_out))], np.full(len(inner), True))
    return {("logistic model", "empulse CSLogit", HALF): best.predict(split.inputs) == 1}


CONTESTANTS = (logistic, network, boosting, peer)
