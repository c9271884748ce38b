"""What misread cheques cost: the cost matrix, and four ways to train and decide, compared by it."""

import textwrap
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

import rwwce_jax as rwwce
from rwwce_jax.flax import RealWorldCost

# Reading a 4 as a 9 costs 20, every other mistake 1.
COSTLY_TRUE, COSTLY_READ = 4, 9
FN = 1.0
FP = rwwce.pair_costs({(COSTLY_TRUE, COSTLY_READ): 19.0}, num_classes=10)

CROSS_ENTROPY, RWWCE = "cross-entropy", "RWWCE"
ARGMAX, EXPECTED = "highest probability", "least expected cost"


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the mean cross-entropy, to which every mistake is alike."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def real_world(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the mean Real-World-Weight Cross-Entropy for the costs above."""
    return rwwce.categorical(logits, labels, FN, FP)


LOSSES = {CROSS_ENTROPY: cross_entropy, RWWCE: real_world}


class Outcome(NamedTuple):
    """How one way of training and deciding did on the test images, in each run.

    Attributes:
        training: The loss it was trained with.
        decision: How a digit was chosen from the softmax.
        accuracy: ``(runs,)``, share of images read right.
        costly: ``(runs,)``, number of 4s read as 9s.
        cost: ``(runs,)``, Real World Cost: mean cost per image.
        confusion: ``(runs, 10, 10)``, numbers of images; rows are the truth.
    """

    training: str
    decision: str
    accuracy: np.ndarray
    costly: np.ndarray
    cost: np.ndarray
    confusion: np.ndarray

    @property
    def name(self) -> str:
        """The way in words."""
        return f"{self.training}, {self.decision}"


def outcomes(training: str, probabilities: np.ndarray, labels: np.ndarray) -> list[Outcome]:
    """Evaluates one trained model under both decisions.

    Args:
        training: The loss it was trained with.
        probabilities: Its softmax, ``(runs, images, 10)``.
        labels: The truth, ``(images,)``.

    Returns:
        Two outcomes: by highest probability, and by least expected cost.
    """
    decisions = {
        ARGMAX: probabilities.argmax(-1),
        EXPECTED: np.asarray(rwwce.decide(probabilities, FN, FP)),
    }
    return [
        _evaluate(training, decision, predictions, labels)
        for decision, predictions in decisions.items()
    ]


def _evaluate(training: str, decision: str, predictions: np.ndarray, labels: np.ndarray) -> Outcome:
    confusion = np.stack([rwwce.confusion_matrix(run, labels, 10) for run in predictions])
    metric = RealWorldCost(FN, FP)
    cost = []
    for run in predictions:
        metric.reset()
        metric.update(predictions=run, labels=labels)
        cost.append(metric.compute().item())
    return Outcome(
        training=training,
        decision=decision,
        accuracy=(predictions == labels).mean(-1),
        costly=confusion[:, COSTLY_TRUE, COSTLY_READ],
        cost=np.array(cost),
        confusion=confusion,
    )


def table(results: list[Outcome]) -> str:
    """Returns a Markdown table: each column's mean and standard deviation over the runs."""
    rows = [("trained with", "decided by", "accuracy", "4 read as 9", "Real World Cost")]
    rows += [
        (
            result.training,
            result.decision,
            _spread(100 * result.accuracy, "{:.2f}", " %"),
            _spread(result.costly, "{:.1f}"),
            _spread(result.cost, "{:.4f}"),
        )
        for result in results
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def verdict(results: list[Outcome]) -> str:
    """Returns what the numbers show, and how far they can be trusted, in a few sentences."""
    by = {(result.training, result.decision): result for result in results}
    plain = by[CROSS_ENTROPY, ARGMAX]
    best, second = sorted(results, key=lambda result: result.cost.mean())[:2]
    training = _saving(by[RWWCE, ARGMAX], plain)
    deciding = _saving(by[CROSS_ENTROPY, EXPECTED], plain)
    leading = _saving(best, second)
    sentences = [
        f"Training with RWWCE instead of cross-entropy {training}, both decided by {ARGMAX}.",
        f"Deciding by {EXPECTED} instead of {ARGMAX} {deciding}, both trained with cross-entropy.",
        f"Least of the four costs: {best.name}. It {leading} against the next, {second.name}.",
        "The last row counts the costs twice: a softmax trained with them is no probability.",
    ]
    if len(plain.cost) > 1:
        sentences.append(
            "After ±: in the table the standard deviation of a run, in these lines the standard"
            " error of the mean difference between runs of the same seed."
        )
    return "\n".join(
        textwrap.fill(f"- {sentence}", width=100, subsequent_indent="  ") for sentence in sentences
    )


def _saving(one: Outcome, other: Outcome) -> str:
    """How much cheaper one outcome is, run by run, and whether the seeds alone may explain it."""
    gap = other.cost - one.cost
    runs, mean = len(gap), gap.mean()
    if not gap.any():
        return "makes no difference"
    share = f" {abs(mean) / other.cost.mean():.0%}" if other.cost.any() else ""
    change = f"{'saves' if mean > 0 else 'adds'}{share}"
    if runs == 1:
        return f"{change} ({abs(mean):.4f}, in one run: may be chance)"
    error = gap.std(ddof=1) / np.sqrt(runs)
    doubt = "" if abs(mean) > 2 * error else ": may be chance"
    cheaper = (gap > 0).sum()
    return f"{change} ({abs(mean):.4f} ± {error:.4f}, cheaper in {cheaper} of {runs} runs{doubt})"


def summary(results: list[Outcome]) -> list[dict[str, Any]]:
    """Returns the table as plain data: the value of every run, and the mean confusion matrix."""
    return [
        {
            "trained_with": result.training,
            "decided_by": result.decision,
            "accuracy": result.accuracy.tolist(),
            "costly_mistakes": result.costly.tolist(),
            "real_world_cost": result.cost.tolist(),
            "mean_confusion": result.confusion.mean(0).tolist(),
        }
        for result in results
    ]


def _spread(values: np.ndarray, form: str, unit: str = "") -> str:
    mean = form.format(values.mean())
    if len(values) == 1:
        return mean + unit
    return f"{mean} ± {form.format(values.std(ddof=1))}{unit}"
