"""A language model that is trained with costs on what the text has said already.

Run with ``python -m examples.language``. Two attention blocks, over all the words of the Brown
corpus: trained by likelihood; then on, once by likelihood and once with a cost on each word that
already stands in the context (unlikelihood training, Welleck et al., ICLR 2020). Printed for both:
the perplexity of held-out texts, and how the model goes on after the first words of one.
``make experiment NAME=language`` measures more, with three seeds: ``experiments/language.py``.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from flax import nnx
from tqdm import tqdm

import rwwce_jax as rwwce
from examples import datasets

CONTEXT, PREFIX = 150, 50  # words; a prefix and its continuation are a context
BATCH = 4  # contexts to a step
ALPHA = 1.0  # what it costs to repeat a word, where a wrong word costs 1
SMALL = nnx.initializers.normal(0.05)  # one object: models with another one compile anew
FOLDER = Path("output/language-model")


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
        self.blocks = nnx.Sequential(*(Block(width, rngs) for _ in range(2)))
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.bias = nnx.Param(jnp.log(jnp.asarray(counts, jnp.float32) + 0.1))

    def __call__(self, tokens: jax.Array) -> jax.Array:
        x = self.words(jnp.maximum(tokens, 0)) + self.positions(jnp.arange(tokens.shape[1]))
        return self.norm(self.blocks(x))

    def logits(self, hidden: jax.Array) -> jax.Array:
        return hidden @ self.words.embedding[...].T + self.bias[...]


def likelihood(
    model: LanguageModel, tokens: jax.Array, fp: rwwce.ExampleCosts | float = 0.0
) -> jax.Array:
    """The mean loss of the next words, of tokens (batch, time); -1 is beyond the end of a text."""
    hidden, labels = model(tokens[:, :-1]), tokens[:, 1:]
    kernel, bias = model.words.embedding[...].T, model.bias[...]
    return rwwce.linear_categorical(
        hidden, kernel, labels, fn=1.0, fp=fp, bias=bias, where=labels >= 0
    )


def previous_tokens(inputs: jax.Array) -> jax.Array:
    """The candidates (batch, time, time): the words up to each place, each once; -1 elsewhere."""
    time = inputs.shape[1]
    same = inputs[:, :, None] == inputs[:, None, :]
    first = ~jnp.any(same & jnp.tri(time, k=-1, dtype=bool), axis=-1)
    return jnp.where(jnp.tri(time, dtype=bool) & first[:, None, :], inputs[:, None, :], -1)


def with_costs(model: LanguageModel, tokens: jax.Array) -> jax.Array:
    """The same, with a cost on each word that already stands in the context."""
    fp = rwwce.ExampleCosts(ALPHA, classes=previous_tokens(tokens[:, :-1]))
    return likelihood(model, tokens, fp)


perplexity = nnx.jit(lambda model, tokens: jnp.exp(likelihood(model, tokens)))


@nnx.jit(static_argnames="loss")
def step(
    model: LanguageModel, optimizer: nnx.Optimizer, tokens: jax.Array, loss: Callable
) -> jax.Array:
    value, gradient = nnx.value_and_grad(loss)(model, tokens)
    optimizer.update(model, gradient)
    return value


@nnx.jit
def continuations(model: LanguageModel, prefixes: jax.Array) -> jax.Array:
    """The likeliest next word, again and again."""

    def say_next(place: jax.Array, tokens: jax.Array) -> jax.Array:
        hidden = model(tokens)[:, place - 1]
        return tokens.at[:, place].set(model.logits(hidden).argmax(-1))

    tokens = jnp.pad(prefixes, ((0, 0), (0, CONTEXT - PREFIX)))
    return jax.lax.fori_loop(PREFIX, CONTEXT, say_next, tokens)[:, PREFIX:]


def corpus(texts: int | None = None) -> tuple[str, list[str], np.ndarray, np.ndarray]:
    """The words by frequency, and the windows of the texts trained on and of those held out."""
    name, read = datasets.brown()
    lower = [[word.lower() for sentence in text for word in sentence] for text in read[:texts]]
    counts = Counter(word for text in lower for word in text)
    ids = {word: number for number, (word, _) in enumerate(counts.most_common())}

    def windows(texts: list[list[str]]) -> np.ndarray:
        """Rows of ``CONTEXT`` words of one text, which overlap by one word; -1 after its end."""
        rows = []
        for text in texts:
            numbers = [ids[word] for word in text] + [-1] * (CONTEXT - 2)
            rows += [numbers[at:][:CONTEXT] for at in range(0, len(text) - 1, CONTEXT - 1)]
        return np.array(rows, np.int32)

    trained = [text for number, text in enumerate(lower) if number % 20 != 10]
    return name, list(ids), windows(trained), windows(lower[10::20])


@cache  # one object for each schedule, for one program to serve all seeds and losses
def adam(steps: int, rate: float, end: float) -> optax.GradientTransformation:
    return optax.adam(optax.warmup_cosine_decay_schedule(0.0, rate, steps // 10, steps, end))


def train(
    model: LanguageModel,
    take_step: Callable,
    batches: np.ndarray,
    rates: tuple[float, float],
    watched: np.ndarray,
    folder: Path,
    bar: tqdm,
) -> None:
    """Trains from the last checkpoint on, with a highest and a last learning rate."""
    parts = model, nnx.Optimizer(model, adam(len(batches), *rates), wrt=nnx.Param)
    options = ocp.CheckpointManagerOptions(max_to_keep=1, cleanup_tmp_directories=True)
    with ocp.CheckpointManager(folder.absolute(), options=options) as checkpoints:
        done = checkpoints.latest_step() or 0
        if done:
            state = ocp.args.StandardRestore(nnx.state(parts))
            nnx.update(parts, checkpoints.restore(done, args=state))
        bar.update(done)
        for number, tokens in enumerate(batches[done:], done + 1):
            if number % 50 == 1:
                bar.set_postfix(perplexity=f"{perplexity(model, watched):.0f}")
            take_step(*parts, tokens).block_until_ready()
            bar.update()
            if number % max(len(batches) // 5, 1) == 0:
                checkpoints.save(number, args=ocp.args.StandardSave(nnx.state(parts)))


def main() -> None:
    name, words, rows, held_out = corpus()
    batches = np.random.default_rng(0).choice(rows, (900, BATCH), replace=False)
    model = LanguageModel(np.bincount(rows[rows >= 0], minlength=len(words)), 64, nnx.Rngs(0))

    def text(tokens: np.ndarray) -> str:
        return " ".join(words[number] for number in tokens)

    said = [f"{name}, {len(words):,} words. After: {text(held_out[0, :PREFIX])}"]
    with tqdm(total=1200, unit="step") as bar:
        go_on = partial(train, watched=held_out[:8], bar=bar)
        start = partial(step, loss=likelihood)
        go_on(model, start, batches[:600], (4e-3, 1e-3), folder=FOLDER / "first")
        for arm, loss in (("likelihood", likelihood), ("with costs", with_costs)):
            copy = nnx.clone(model)  # both start from the same weights
            go_on(copy, partial(step, loss=loss), batches[600:], (1e-3, 0.0), folder=FOLDER / arm)
            after = text(np.asarray(continuations(copy, held_out[:1, :PREFIX]))[0])
            said.append(f"{arm}, perplexity {perplexity(copy, held_out):.1f}: {after}")
    print(*said, sep="\n\n")
    shutil.rmtree(FOLDER)


if __name__ == "__main__":
    main()
