"""A language model that is trained with costs on what the text has said already.

Run with ``python -m examples.language``. Two attention blocks, over all the words of the Brown
corpus. A first phase by likelihood, then the same number of steps of each of:

- likelihood, as before;
- likelihood, and a cost on each word that already stands in the context (unlikelihood training,
  Welleck et al., ICLR 2020, with the exact gradient);
- the same by the formula of their paper, which clamps 1 - p at 1e-5.

Printed for each, over three seeds: the perplexity of held-out texts, and what greedy continuations
repeat. Ctrl-C keeps a checkpoint, and the same command goes on from it.
"""

import argparse
import os
import resource
import shutil
import signal
import sys
import time
from collections import Counter
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from flax import nnx
from tqdm import tqdm

import rwwce_jax as rwwce
from examples import datasets

CONTEXT, PREFIX, PREFIXES = 150, 50, 100  # words; a prefix and its continuation are a context
BATCH = 4  # contexts to a step
SHARED = "first phase"
ARMS = ("likelihood", "costs, exact", "costs, clamped")
CLAMP = 1e-5
SMALL = nnx.initializers.normal(0.05)  # one object: models with another one compile anew
ALPHA = 1.0  # what it costs to repeat a word, where a wrong word costs 1


class Size(NamedTuple):
    """What ``--quick`` makes smaller."""

    texts: int | None  # None: all of them
    width: int
    shared_steps: int  # by likelihood, once for all arms
    arm_steps: int
    seeds: int


FULL, QUICK = Size(None, 64, 600, 300, 3), Size(40, 32, 60, 20, 2)


class Block(nnx.Module):
    """Causal attention and two dense layers, each added to what comes in."""

    def __init__(self, width: int, rngs: nnx.Rngs) -> None:
        self.before_attention, self.before_dense = (nnx.LayerNorm(width, rngs=rngs) for _ in "ab")
        self.queries_keys_values = nnx.Linear(width, 3 * width, rngs=rngs)
        self.attended = nnx.Linear(width, width, rngs=rngs)
        self.up = nnx.Linear(width, 4 * width, rngs=rngs)
        self.down = nnx.Linear(4 * width, width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        heads = self.queries_keys_values(self.before_attention(x)).reshape(*x.shape[:2], 2, -1)
        attended = jax.nn.dot_product_attention(*jnp.split(heads, 3, axis=-1), is_causal=True)
        x = x + self.attended(attended.reshape(x.shape))
        return x + self.down(nnx.gelu(self.up(self.before_dense(x))))


class LanguageModel(nnx.Module):
    """From words (batch, time) to hidden states; the last layer is the embedding, transposed."""

    def __init__(self, counts: np.ndarray, width: int, rngs: nnx.Rngs) -> None:
        self.words = nnx.Embed(len(counts), width, embedding_init=SMALL, rngs=rngs)
        self.positions = nnx.Embed(CONTEXT, width, embedding_init=SMALL, rngs=rngs)
        self.blocks = nnx.List([Block(width, rngs) for _ in range(2)])
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.bias = nnx.Param(jnp.log(jnp.asarray(counts, jnp.float32) + 0.1))

    def __call__(self, tokens: jax.Array) -> jax.Array:
        x = self.words(jnp.maximum(tokens, 0)) + self.positions(jnp.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def logits(self, hidden: jax.Array) -> jax.Array:
        return hidden @ self.words.embedding[...].T + self.bias[...]


def previous_tokens(inputs: jax.Array) -> jax.Array:
    """The candidates (batch, time, time): the words up to each place, each once; -1 elsewhere."""
    time = inputs.shape[1]
    same = inputs[:, :, None] == inputs[:, None, :]
    first = ~jnp.any(same & jnp.tri(time, k=-1, dtype=bool), axis=-1)
    return jnp.where(jnp.tri(time, dtype=bool) & first[:, None, :], inputs[:, None, :], -1)


def loss_of(model: LanguageModel, tokens: jax.Array, alpha: float, arm: str) -> tuple:
    """Returns the loss and, for the clamped formula, the largest probability it penalises."""
    inputs, labels = tokens[:, :-1], tokens[:, 1:]
    hidden, valid = model(inputs), labels >= 0  # -1 is beyond the end of a text
    embedding, bias = model.words.embedding[...], model.bias[...]
    linear = partial(rwwce.linear_categorical, bias=bias, where=valid)
    if arm in (SHARED, "likelihood"):
        return linear(hidden, embedding.T, labels, 1.0, 0.0), 0.0
    candidates = previous_tokens(inputs)
    if arm == "costs, exact":
        fp = rwwce.ExampleCosts(alpha, classes=candidates)
        return linear(hidden, embedding.T, labels, 1.0, fp), 0.0

    # Only the candidates' logits are needed: those of the words of the same context.
    surprise = linear(hidden, embedding.T, labels, 1.0, 0.0, reduction="none")
    of_label = jnp.sum(hidden * embedding[labels], axis=-1) + bias[labels]
    of_candidates = jnp.einsum("btd,bsd->bts", hidden, embedding[inputs]) + bias[inputs][:, None]
    counted = (candidates >= 0) & (candidates != labels[..., None]) & valid[..., None]
    log_p = of_candidates - (surprise + of_label)[..., None]
    p = jnp.exp(jnp.where(counted, log_p, -jnp.inf))
    penalty = -jnp.log(jnp.maximum(1 - p, CLAMP)).sum(-1)
    return jnp.mean(surprise + alpha * penalty, where=valid), p.max()


@nnx.jit(static_argnames=("alpha", "arm"))
def step(
    model: LanguageModel, optimizer: nnx.Optimizer, tokens: jax.Array, alpha: float, arm: str
) -> jax.Array:
    gradient, largest = nnx.grad(loss_of, has_aux=True)(model, tokens, alpha, arm)
    optimizer.update(model, gradient)
    return largest


@nnx.jit
def predict(model: LanguageModel, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of each next word: -log(p), and whether the likeliest stands among the 128 words before."""
    inputs, labels = tokens[:, :-1], tokens[:, 1:]
    logits = model.logits(model(inputs))
    surprise = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(labels, 0))
    near = jnp.tri(inputs.shape[1], dtype=bool) & ~jnp.tri(inputs.shape[1], k=-128, dtype=bool)
    same = logits.argmax(-1)[..., None] == inputs[:, None, :]
    return surprise, jnp.any(same & near, axis=-1)


@nnx.jit
def continuations(model: LanguageModel, prefixes: jax.Array) -> jax.Array:
    """The likeliest next word, again and again."""

    def say_next(place: jax.Array, tokens: jax.Array) -> jax.Array:
        hidden = model(tokens)[:, place - 1]
        return tokens.at[:, place].set(model.logits(hidden).argmax(-1))

    tokens = jnp.pad(prefixes, ((0, 0), (0, CONTEXT - PREFIX)))
    return jax.lax.fori_loop(PREFIX, CONTEXT, say_next, tokens)[:, PREFIX:]


def evaluate(model: LanguageModel, windows: np.ndarray, prefixes: np.ndarray) -> dict:
    """The measures of Welleck et al., and the words that continue the prefixes."""
    parts = [predict(model, part) for part in np.split(windows, range(8, len(windows), 8))]
    surprise, repeated = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    valid = windows[:, 1:] >= 0
    said = np.asarray(continuations(model, prefixes))
    fours = [{tuple(each[i : i + 4]) for i in range(len(each) - 3)} for each in said.tolist()]
    return {
        "perplexity": float(np.exp(surprise[valid].mean())),
        "rep/128": float(repeated[valid].mean()),
        "seq-rep-4": float(np.mean([1 - len(four) / (said.shape[1] - 3) for four in fours])),
        "continuations": said[:2].tolist(),
    }


def corpus(size: Size) -> tuple[str, list[str], np.ndarray, np.ndarray]:
    """The words by frequency, and the windows of the texts trained on and of those held out."""
    name, texts = datasets.brown()
    texts = [
        [word.lower() for sentence in text for word in sentence] for text in texts[: size.texts]
    ]
    words = [word for word, _ in Counter(word for text in texts for word in text).most_common()]
    ids = {word: number for number, word in enumerate(words)}

    def windows(texts: list[list[str]]) -> np.ndarray:
        """Rows of ``CONTEXT`` words of one text, which overlap by one word; -1 after its end."""
        rows = []
        for text in texts:
            numbers = [ids[word] for word in text]
            for start in range(0, len(numbers) - 1, CONTEXT - 1):
                row = numbers[start : start + CONTEXT]
                rows.append(row + [-1] * (CONTEXT - len(row)))
        return np.array(rows, np.int32)

    trained = [text for number, text in enumerate(texts) if number % 20 != 10]
    return name, words, windows(trained), windows(texts[10::20])


@cache  # one object for each schedule, for one program to serve all seeds and arms
def adam(steps: int, rate: float, end: float) -> optax.GradientTransformation:
    schedule = optax.warmup_cosine_decay_schedule(0.0, rate, steps // 10, steps, end)
    return optax.adam(schedule)


def train(
    model: LanguageModel, arm: str, data: tuple, size: Size, seed: int, folder: Path, bar: tqdm
) -> dict:
    """Trains from the last checkpoint on; returns how often and how far the clamp was reached."""
    rows, watched = data
    steps = size.shared_steps if arm == SHARED else size.arm_steps
    rate, end = (4e-3, 1e-3) if arm == SHARED else (1e-3, 0.0)
    optimizer = nnx.Optimizer(model, adam(steps, rate, end), wrt=nnx.Param)
    draw = np.random.default_rng([seed, arm == SHARED])  # the same batches for each arm
    order = draw.choice(rows, (steps, BATCH), replace=steps * BATCH > len(rows))
    options = ocp.CheckpointManagerOptions(max_to_keep=1, cleanup_tmp_directories=True)
    with ocp.CheckpointManager(folder.absolute(), options=options) as checkpoints:
        found = {"clamped": 0, "largest": 0.0, "seconds": 0.0}
        done = checkpoints.latest_step() or 0
        if done:
            now = {"parts": nnx.to_pure_dict(nnx.state((model, optimizer))), "found": found}
            saved = checkpoints.restore(done, args=ocp.args.StandardRestore(now))
            state = nnx.state((model, optimizer))
            nnx.replace_by_pure_dict(state, saved["parts"])
            nnx.update((model, optimizer), state)
            found = saved["found"]
        bar.update(done)
        for number in range(done, steps):
            if number % 50 == 0:
                surprise = np.asarray(predict(model, watched)[0])[watched[:, 1:] >= 0]
                bar.set_postfix(perplexity=f"{np.exp(surprise.mean()):.0f}")
            started = time.monotonic()
            largest = step(model, optimizer, order[number], ALPHA, arm).item()
            if number > done:  # the first one compiles
                found["seconds"] += (time.monotonic() - started) / (steps - 1)
            found["clamped"] += int(1 - largest < CLAMP)
            found["largest"] = max(found["largest"], largest)
            bar.update()
            if (number + 1) % max(steps // 5, 1) == 0:
                now = {"parts": nnx.to_pure_dict(nnx.state((model, optimizer))), "found": found}
                checkpoints.save(number + 1, args=ocp.args.StandardSave(now))
    return found


def run(size: Size, folder: Path) -> str:
    """Trains and measures all arms with all seeds, and returns what came out."""
    name, words, rows, held_out = corpus(size)
    counts = np.bincount(rows[rows >= 0], minlength=len(words))
    whole = held_out[(held_out >= 0).all(1)]
    chosen = np.unique(np.linspace(0, len(whole) - 1, PREFIXES).astype(int))
    prefixes = whole[chosen, :PREFIX]
    found = {arm: [] for arm in ARMS}
    bar = tqdm(total=size.seeds * (size.shared_steps + len(ARMS) * size.arm_steps), unit="step")
    for seed in range(size.seeds):
        model = LanguageModel(counts, size.width, nnx.Rngs(seed))
        data = rows, held_out[:: max(len(held_out) // 8, 1)][:8]
        train(model, SHARED, data, size, seed, folder / f"seed {seed}" / SHARED, bar)
        for arm in ARMS:
            copy = nnx.clone(model)  # each arm starts from the weights of the first phase
            one = train(copy, arm, data, size, seed, folder / f"seed {seed}" / arm, bar)
            found[arm].append(one | evaluate(copy, held_out[::2], prefixes))
    bar.close()

    def spread(arm: str, key: str, form: str) -> str:
        values = np.array([one[key] for one in found[arm]])
        return f"{values.mean():{form}} ± {values.std(ddof=1):{form}}"

    heads = ("trained by", "perplexity", "rep/128", "seq-rep-4", "clamped steps", "s per step")
    table = [heads, ["-" * len(head) for head in heads]]
    for arm in ARMS:
        spreads = (spread(arm, "perplexity", ".1f"), spread(arm, "rep/128", ".3f"))
        clamped = sum(one["clamped"] for one in found[arm]) / size.seeds / size.arm_steps
        seconds = np.mean([one["seconds"] for one in found[arm]])
        share = f"{clamped:.1%}" if arm == ARMS[2] else ""
        row = (arm, *spreads, spread(arm, "seq-rep-4", ".3f"), share, f"{seconds:.2f}")
        table.append(row)
    said = []
    for number, prefix in enumerate(prefixes[:2]):
        said.append(f"After: ... {' '.join(words[each] for each in prefix)}")
        for arm in ARMS[:2]:
            after = found[arm][0]["continuations"][number]
            said.append(f"{arm}: {' '.join(words[each] for each in after)}")
    largest = max(one["largest"] for one in found[ARMS[2]])
    unit = 1 if sys.platform == "darwin" else 1024
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    return "\n\n".join(
        [
            f"{name}, {len(words):,} words, {size.seeds} seeds, mean ± standard deviation.",
            "\n".join(f"| {' | '.join(row)} |" for row in table),
            f"The largest probability that the clamped formula penalised was {largest:.6f}.",
            *said,
            f"Peak memory: {memory:.1f} GB.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser("python -m examples.language", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small vocabulary, in a minute")
    parser.add_argument("--output", type=Path, default=Path("output"), metavar="DIR")
    options = parser.parse_args()
    name = "language-quick" if options.quick else "language"
    folder = options.output / name

    def stop(*_: object) -> None:
        again = f"The same command goes on from the last checkpoint in {folder}."
        print(f"\nInterrupted. {again}", file=sys.stderr, flush=True)
        os._exit(130)  # at once, wherever it comes

    signal.signal(signal.SIGINT, stop)
    started = time.monotonic()
    text = run(QUICK if options.quick else FULL, folder / "checkpoints")
    text += f"\n\nThis run: {(time.monotonic() - started) / 60:.1f} minutes.\n"
    print(f"\n{text}")
    (folder / f"{name}.md").write_text(text)
    shutil.rmtree(folder / "checkpoints")


if __name__ == "__main__":
    main()
