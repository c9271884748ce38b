"""Does a cost on the words of the context make a language model repeat less?

Three arms go on from the same weights of the model of ``examples/language.py``: by likelihood, with
these costs, and with them by the formula of Welleck et al. (ICLR 2020), which clamps 1 - p at 1e-5.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from tqdm import tqdm

import rwwce_jax as rwwce
from examples import language
from examples.language import ALPHA, BATCH, PREFIX, LanguageModel
from experiments.report import table

PREFIXES = 100
CLAMP = 1e-5
FIRST, SECOND = (4e-3, 1e-3), (1e-3, 0.0)  # learning rates: the highest and the last


class Size(NamedTuple):
    texts: int | None  # None: all of them
    width: int
    first_steps: int  # by likelihood, once for all arms
    steps: int  # of each arm
    seeds: int


FULL, QUICK = Size(None, 64, 600, 300, 3), Size(40, 32, 20, 10, 2)


class WatchedModel(LanguageModel):
    """Keeps what the clamped formula met, in its checkpoints too."""

    def __init__(self, counts, width, rngs):
        super().__init__(counts, width, rngs)
        self.clamped_steps = nnx.Variable(jnp.zeros((), jnp.int32))
        self.largest = nnx.Variable(jnp.zeros(()))  # probability that was penalised


def clamped(model, tokens):
    """``language.with_costs`` by the formula on probabilities, which only the candidates need."""
    inputs, labels = tokens[:, :-1], tokens[:, 1:]
    hidden, valid = model(inputs), labels >= 0
    embedding, bias = model.words.embedding[...], model.bias[...]
    surprise = rwwce.linear_categorical(
        hidden, embedding.T, labels, 1.0, 0.0, bias=bias, where=valid, reduction="none"
    )
    of_label = jnp.sum(hidden * embedding[labels], axis=-1) + bias[labels]
    of_candidates = jnp.einsum("btd,bsd->bts", hidden, embedding[inputs]) + bias[inputs][:, None]
    candidates = language.previous_tokens(inputs)
    counted = (candidates >= 0) & (candidates != labels[..., None]) & valid[..., None]
    log_p = of_candidates - (surprise + of_label)[..., None]
    p = jnp.exp(jnp.where(counted, log_p, -jnp.inf))
    penalty = -jnp.log(jnp.maximum(1 - p, CLAMP)).sum(-1)

    largest = jax.lax.stop_gradient(p.max())
    model.largest[...] = jnp.maximum(model.largest[...], largest)
    model.clamped_steps[...] += 1 - largest < CLAMP
    return jnp.mean(surprise + ALPHA * penalty, where=valid)


ARMS = {
    "likelihood": language.likelihood,
    "costs, exact": language.with_costs,
    "costs, clamped": clamped,
}


@nnx.jit
def repeats(model, tokens):
    """Whether the likeliest next word stands among the 128 words before it."""
    inputs = tokens[:, :-1]
    likeliest = model.logits(model(inputs)).argmax(-1)
    near = jnp.tri(inputs.shape[1], dtype=bool) & ~jnp.tri(inputs.shape[1], k=-128, dtype=bool)
    return jnp.any((likeliest[..., None] == inputs[:, None, :]) & near, axis=-1)


def evaluate(model, windows, prefixes):
    """The measures of Welleck et al., and the words that continue the prefixes."""
    parts = np.split(windows, range(8, len(windows), 8))
    repeated = np.concatenate([repeats(model, part) for part in parts])
    said = np.asarray(language.continuations(model, prefixes))
    fours = [{tuple(each[i : i + 4]) for i in range(len(each) - 3)} for each in said.tolist()]
    return {
        "perplexity": language.perplexity(model, windows).item(),
        "rep/128": repeated[windows[:, 1:] >= 0].mean(),
        "seq-rep-4": np.mean([1 - len(four) / (said.shape[1] - 3) for four in fours]),
        "continuations": said[:2],
        "clamped": model.clamped_steps[...].item(),
        "largest": model.largest[...].item(),
    }


def measure(size, seed):
    _, words, rows, held_out = language.corpus(size.texts)
    model = WatchedModel(
        np.bincount(rows[rows >= 0], minlength=len(words)), size.width, nnx.Rngs(seed)
    )
    watched = held_out[:: max(len(held_out) // 8, 1)][:8]
    found = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        tqdm(total=size.first_steps + len(ARMS) * size.steps, unit="step", leave=False) as bar,
    ):

        def train(model, arm, steps, rates):
            first, seconds = arm == "first", []
            draw = np.random.default_rng([seed, first])  # the same batches for each arm
            batches = draw.choice(rows, (steps, BATCH), replace=steps * BATCH > len(rows))

            def step(*arguments):
                started, loss = time.monotonic(), ARMS["likelihood" if first else arm]
                value = language.step(*arguments, loss=loss).block_until_ready()
                seconds.append(time.monotonic() - started)
                return value

            language.train(model, step, batches, rates, watched, Path(folder, arm), bar)
            return np.mean(seconds[1:])  # the first compiles

        train(model, "first", size.first_steps, FIRST)
        for arm in ARMS:
            copy = nnx.clone(model)  # each arm starts from the weights of the first phase
            seconds = train(copy, arm, size.steps, SECOND)
            found[arm] = {"s": seconds} | evaluate(copy, held_out[::2], _prefixes(held_out))
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    return {arm: of | {"GB": peak} for arm, of in found.items()}


def _prefixes(held_out):
    whole = held_out[(held_out >= 0).all(1)]
    return whole[np.unique(np.linspace(0, len(whole) - 1, PREFIXES).astype(int)), :PREFIX]


def run(quick, seed, perform):
    size = QUICK if quick else FULL
    name, words, _, held_out = language.corpus(size.texts)
    seeds = range(seed, seed + size.seeds)
    results, seconds = perform({f"seed {n}, {name}": (measure, size, n) for n in seeds})
    found = {arm: [of_seed[arm] for of_seed in results.values()] for arm in ARMS}

    def spread(arm, key, digits):
        values = np.array([one[key] for one in found[arm]])
        return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"

    heads = ("trained by", "perplexity", "rep/128", "seq-rep-4", "clamped steps", "s per step")
    rows = []
    for arm in ARMS:
        spreads = (spread(arm, "perplexity", 1), spread(arm, "rep/128", 3))
        reached = sum(one["clamped"] for one in found[arm]) / size.seeds / size.steps
        share = f"{reached:.1%}" if arm == "costs, clamped" else ""
        taken = f"{np.mean([one['s'] for one in found[arm]]):.2f}"
        rows.append((arm, *spreads, spread(arm, "seq-rep-4", 3), share, taken))
    said = []
    for number, prefix in enumerate(_prefixes(held_out)[:2]):
        said.append(f"After: ... {' '.join(words[each] for each in prefix)}")
        for arm in ("likelihood", "costs, exact"):
            after = found[arm][0]["continuations"][number]
            said.append(f"{arm}: {' '.join(words[each] for each in after)}")
    largest = max(one["largest"] for one in found["costs, clamped"])
    memory = max(one["GB"] for one in found["likelihood"])
    lines = [
        f"{name}, {len(words):,} words, {size.seeds} seeds, mean ± standard deviation.",
        table(heads, rows),
        f"The largest probability that the clamped formula penalised was {largest:.6f}.",
        *said,
        f"Peak memory: {memory:.1f} GB.",
        f"In {sum(seconds.values()) / 60:.1f} minutes.\n",
    ]
    return {"language.md": "\n\n".join(lines)}
