"""Beam search against ``transformers.generate`` on the same weights, with the same answers.

A random Qwen3 is made by transformers, written, and loaded here: what is compared is one checkpoint,
one batch of prompts and one set of items. Four ways to the M best items:

``generate + trie``       ``num_beams=M`` with ``prefix_allowed_tokens_fn``, the incumbent: a
                          dictionary of prefixes, asked once a beam and step
``generate + processor``  the same with our ``TrieLogitsProcessor``, for people who stay in PyTorch
``genret``                our model and our search, scores over the whole vocabulary as theirs
``genret, tail``          the same, but all items that are left below the beams are scored at once

Each point is timed in turns in one process, each way right after an untimed run of its own, after
all have answered the same items, but for ties, with scores within 1e-3; those of the tail may only
be better, since it prunes less. Needs the extra ``hf-test``.

    python -m benchmarks.hf_generate --out benchmarks/results/hf_generate.json --plot docs/hf_generate.png
"""

import dataclasses
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

from benchmarks.program import finish, run_program, show_table
from benchmarks.record import environment, judge
from benchmarks.same_beams import PrefixScores, apart
from benchmarks.timing import interleave
from genret import TrieIndex, beam_search
from genret.errors import GenretError
from genret.hf import load_checkpoint
from genret.models import Prompts
from genret.testing import random_codes

LEVELS, WIDTH, TEXT = 4, 256, 64
WAYS = ("generate + trie", "generate + processor", "genret", "genret, tail")
COLORS = {
    "generate + trie": "#00798c",
    "generate + processor": "#edae49",
    "genret": "#d1495b",
    "genret, tail": "#8d5a97",
}
MODELS = {
    "1M": {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "head_dim": 32,
           "num_key_value_heads": 2, "intermediate_size": 384},
    "6M": {"hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 4, "head_dim": 64,
           "num_key_value_heads": 2, "intermediate_size": 1024},
    "30M": {"hidden_size": 512, "num_hidden_layers": 9, "num_attention_heads": 8, "head_dim": 64,
            "num_key_value_heads": 4, "intermediate_size": 1536},
}  # fmt: skip
BAR = ("1M", 100_000, 50)
"""Model, items and beams of the bar, which is asked of every number of prompts."""
FACTOR = 20.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Time beam searches over the same weights; see the module's docstring."""

    beams: tuple[int, ...] = (5, 10, 20, 50, 100, 200)
    """Beams, at 100,000 items and for each model."""
    items: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    """Items, at 50 beams and with the smallest model."""
    models: tuple[str, ...] = ("1M", "6M", "30M")
    """Models of that many parameters."""
    prompt: int = 80
    """Tokens of a prompt: a history of 20 items."""
    prompts: tuple[int, ...] = (1, 16)
    """Prompts of a batch; all but the first number with the smallest model, over the beams."""
    rounds: int = 5
    """Rounds of each way."""
    seconds: float = 40.0
    """No more rounds of a point are begun after so long, once there are three."""
    out: Path | None = None
    """Where to write the figures as JSON."""
    plot: Path | None = None
    """Where to draw them."""
    smoke: bool = False
    """One small point: shows that it works."""


class Model:
    """One checkpoint in both libraries."""

    def __init__(self, name: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torch
            import transformers
        vocabulary = TEXT + LEVELS * WIDTH
        config = transformers.Qwen3Config(
            **MODELS[name], vocab_size=vocabulary, max_position_embeddings=256,
            tie_word_embeddings=True, bos_token_id=None, eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        torch.manual_seed(0)
        self.theirs = transformers.Qwen3ForCausalLM(config).eval()
        with torch.no_grad():
            for parameter in self.theirs.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(4)  # scores that differ
        self.parameters = sum(p.numel() for p in self.theirs.parameters())
        self.tokens = [
            np.arange(TEXT + level * WIDTH, TEXT + (level + 1) * WIDTH) for level in range(LEVELS)
        ]
        with tempfile.TemporaryDirectory() as folder:
            self.theirs.save_pretrained(folder)
            self.ours = load_checkpoint(folder).retriever(self.tokens)
        self.torch = torch


def prefix_table(rows: np.ndarray) -> dict[tuple[int, ...], list[int]]:
    """Return the tokens that may follow each prefix of sorted, distinct rows of tokens [N, L].

    >>> prefix_table(np.array([[1, 5], [1, 6], [2, 5]]))
    {(): [1, 2], (1,): [5, 6], (2,): [5]}
    """
    allowed: dict[tuple[int, ...], list[int]] = {}
    before: list[int] = []
    for row in rows.tolist():  # a new prefix begins where a row differs from the one before
        new = next((i for i, (a, b) in enumerate(zip(row, before, strict=False)) if a != b), 0)
        for level in range(new, len(row)):
            allowed.setdefault(tuple(row[:level]), []).append(row[level])
        before = row
    return allowed


class Items:
    """A catalog as our index and as their dictionary (of distinct semantic IDs)."""

    def __init__(self, count: int) -> None:
        codes = random_codes(count, (WIDTH,) * LEVELS, "uniform", seed=count)
        self.codes = np.unique(codes, axis=0)
        start = time.perf_counter()
        self.index = TrieIndex.from_codes(self.codes, codes_per_level=(WIDTH,) * LEVELS)
        self.index_seconds = time.perf_counter() - start
        start = time.perf_counter()
        self.allowed = prefix_table(self.codes + TEXT + WIDTH * np.arange(LEVELS)[None])
        self.trie_seconds = time.perf_counter() - start


def ways(
    model: Model, items: Items, beams: int, tokens: np.ndarray
) -> dict[str, Callable[[], Any]]:
    """Return the searches of prompts [B, T]: each to codes [B, M, L], scores [B, M], best first."""
    from genret.hf.logits_processor import TrieLogitsProcessor

    torch, (batch, length) = model.torch, tokens.shape
    input_ids = torch.from_numpy(tokens)
    allowed, nothing = items.allowed, [0]
    offsets = TEXT + WIDTH * np.arange(LEVELS)

    def next_tokens(_: int, sent: Any) -> list[int]:
        return allowed.get(tuple(sent[length:].tolist()), nothing)

    def generate(**constraint: Any) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            found = model.theirs.generate(
                input_ids, attention_mask=torch.ones_like(input_ids), num_beams=beams,
                num_return_sequences=beams, max_new_tokens=LEVELS, do_sample=False,
                length_penalty=0.0, return_dict_in_generate=True, output_scores=True, **constraint,
            )  # fmt: skip
        codes = found.sequences[:, length:].numpy() - offsets
        scores = found.sequences_scores.numpy()
        return codes.reshape(batch, beams, LEVELS), scores.reshape(batch, beams)

    processor = TrieLogitsProcessor(items.index, model.tokens, prompt_length=length)
    prompts = Prompts.from_lists(list(tokens), length=length)

    def ours(tail: str | None) -> tuple[Any, Any]:
        found = beam_search(model.ours, prompts, items.index, beams=beams, tail=tail)
        return found.codes, found.scores

    return {
        "generate + trie": lambda: generate(prefix_allowed_tokens_fn=next_tokens),
        "generate + processor": lambda: generate(logits_processor=[processor]),
        "genret": lambda: ours(None),
        "genret, tail": lambda: ours("auto"),
    }


def check(
    functions: dict[str, Callable[[], Any]], prefix_scores: PrefixScores | None = None
) -> float:
    """Refuse searches whose answers differ; return the largest difference of the scores.

    Raises:
      GenretError: other items, order or scores, beyond ties (see :func:`apart`).
    """
    answers = {name: tuple(map(np.asarray, f())) for name, f in functions.items()}
    theirs = answers["generate + trie"]
    worst = 0.0
    for name, own in answers.items():
        if name != "genret, tail":
            worst = max(worst, apart(name, own, theirs, prefix_scores))
        elif not (own[1] >= theirs[1] - 1e-3).all():
            raise GenretError(f"{name}: answers have lower scores than those of generate")
    return worst


def prefix_scores_of(model: Model, tokens: np.ndarray) -> PrefixScores:
    """Return what scores all prefixes of semantic IDs after one of the prompts [B, T]."""

    def scores(prompt: int, codes: np.ndarray) -> np.ndarray:
        _, cache = model.ours.prefill(Prompts.from_lists([tokens[prompt]], length=tokens.shape[1]))
        first = np.zeros((1, len(codes)), np.int32)
        log_probs = model.ours.score_tail(jnp.asarray(codes[None], jnp.int32), first, cache)
        return np.cumsum(np.asarray(log_probs[0]), axis=1)

    return scores


def measure(options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Time all points; return the figures as JSON values."""
    machine = environment()
    where = {"num_threads": None}
    models: dict[str, Model] = {}
    catalogs: dict[int, Items] = {}
    points = []
    tokens = np.random.default_rng(0).integers(1, TEXT, (max(options.prompts), options.prompt))
    for name, count, beams, prompts in grid(options):
        if name not in models:
            models = {name: Model(name)}
        model = models[name]
        where["num_threads"] = model.torch.get_num_threads()
        if count not in catalogs:
            kept = {k: v for k, v in catalogs.items() if k == usual_items(options)}
            catalogs = kept | {count: Items(count)}
        items = catalogs[count]
        functions = ways(model, items, beams, tokens[:prompts])
        difference = check(functions, prefix_scores_of(model, tokens[:prompts]))
        figures = interleave(
            functions, options.rounds, warm=1, seconds=options.seconds, rehearse=True
        )
        pairs = zip(
            figures["generate + trie"]["rounds_ms"], figures["genret"]["rounds_ms"], strict=True
        )
        of_rounds = sorted(theirs / ours for theirs, ours in pairs)
        points.append(
            {
                "model": name, "parameters": model.parameters, "items": count,
                "beams": beams, "prompts": prompts, "scores_apart": difference, "ways": figures,
                "ratio": figures["generate + trie"]["ms"] / figures["genret"]["ms"],
                "ratio_range": [of_rounds[0], of_rounds[-1]],
                "index_s": items.index_seconds, "trie_s": items.trie_seconds,
            }
        )  # fmt: skip
        times = ", ".join(f"{way} {figures[way]['ms']:.1f} ms" for way in WAYS)
        say(
            f"{name}, {count:,} items, {beams} beams, {prompts} prompts: {times}: {points[-1]['ratio']:.1f} times"
        )
        jax.clear_caches()
    bars = {}
    for p in points:
        if (p["model"], p["items"], p["beams"]) == BAR:
            where_asked = f"1M parameters, 100,000 items, 50 beams, batches of {p['prompts']}"
            bars[f"generate / genret at {where_asked}"] = judge(p["ratio"], FACTOR)
    return {
        "program": "benchmarks.hf_generate",
        # Not where the files went: that says nothing of the measurement.
        "options": {
            k: v for k, v in dataclasses.asdict(options).items() if k not in ("out", "plot")
        },
        "environment": {**machine, "torch_threads": where["num_threads"], **_versions()},
        "points": points,
        "bars": bars,
    }


def usual_items(options: Options) -> int:
    """Return the size of the catalog where beams vary."""
    return min(100_000, max(options.items))


def grid(options: Options) -> list[tuple[str, int, int, int]]:
    """Return the points: model, items, beams and prompts of a batch."""
    most, (first, *others) = usual_items(options), options.prompts
    smallest = options.models[0]
    points = [(name, most, beams, first) for name in options.models for beams in options.beams]
    middle = 50 if 50 in options.beams else options.beams[-1]
    points += [(smallest, items, middle, first) for items in options.items if items != most]
    points += [(smallest, most, beams, batch) for batch in others for beams in options.beams]
    return sorted(points, key=lambda p: options.models.index(p[0]))


def _versions() -> dict[str, str]:
    from importlib import metadata

    return {name: metadata.version(name) for name in ("torch", "transformers")}


def show(document: dict[str, Any], console: Console) -> None:
    """Print the figures."""
    rows = []
    for p in document["points"]:
        low, high = p["ratio_range"]
        sizes = (p["model"], f"{p['items']:,}", str(p["beams"]), str(p["prompts"]))
        times = (f"{p['ways'][way]['ms']:.1f}" for way in WAYS)
        rows.append((*sizes, *times, f"{p['ratio']:.1f}", f"{low:.1f} to {high:.1f}"))
    columns = ("model", "items", "beams", "prompts", *WAYS, "trie / genret", "rounds")
    show_table(console, "Medians of rounds that alternate (ms a batch)", columns, rows)


def draw(document: dict[str, Any]) -> Figure:
    """Draw time against beams for the smallest and the largest model, and for many prompts."""
    points = document["points"]
    options = Options(**{k: tuple(document["options"][k]) for k in ("models", "items", "prompts")})
    most, (first, *others) = usual_items(options), options.prompts

    def along_beams(model: str, batch: int) -> list[Any]:
        return [p for p in points if (p["model"], p["items"], p["prompts"]) == (model, most, batch)]

    # Three panels stay readable at the width of a page: the smallest and the largest model, and
    # many prompts at once, or else the number of items.
    smallest, largest = options.models[0], options.models[-1]
    panels = [(f"{model} parameters, one prompt", "beams", along_beams(model, first))
              for model in dict.fromkeys((smallest, largest))]  # fmt: skip
    if others:
        batch = max(others)
        title = f"{smallest} parameters, {batch} prompts"
        panels.append((title, "beams", along_beams(smallest, batch)))
    else:
        beams = max(
            {p["beams"] for p in points},
            key=lambda b: len({p["items"] for p in points if p["beams"] == b}),
        )
        rows = [p for p in points
                if (p["model"], p["beams"], p["prompts"]) == (smallest, beams, first)]  # fmt: skip
        panels.append((f"{smallest} parameters, {beams} beams", "items", rows))
    figure = Figure(figsize=(3.6 * len(panels), 3.6), layout="constrained")
    every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, axis, chosen) in zip(every, panels, strict=True):
        chosen = sorted(chosen, key=lambda p: p[axis])
        for way in WAYS:
            times = [p["ways"][way] for p in chosen]
            axes.plot(
                [p[axis] for p in chosen],
                [t["ms"] / p["prompts"] for t, p in zip(times, chosen, strict=True)], "o-", ms=4,
                color=COLORS[way], label=way,
            )  # fmt: skip
            quartiles = np.array([t["quartiles_ms"] for t in times]).T
            quartiles = quartiles / [p["prompts"] for p in chosen]
            axes.fill_between([p[axis] for p in chosen], *quartiles, color=COLORS[way], alpha=0.2)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(axis)
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.3)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        if axis == "beams":
            ticks = [p[axis] for p in chosen]
            axes.set_xticks(ticks, [str(t) for t in ticks])
            axes.minorticks_off()
    every[0].set_ylabel("milliseconds per prompt")
    every[0].legend(fontsize=8, frameon=False)
    return figure


def run(options: Options, console: Console) -> None:
    """Measure, show and draw."""
    if options.smoke:
        options = dataclasses.replace(
            options, beams=(5,), items=(1_000,), models=("1M",), rounds=2, prompt=20, prompts=(1, 2)
        )
    try:
        document = measure(options, console.print)
    except ImportError as e:
        raise GenretError(f"{e}: pip install '.[hf-test]'") from e
    show(document, console)
    finish(document, options.out, console)
    if options.plot is not None:
        draw(document).savefig(options.plot, dpi=150)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    return run_program("benchmarks.hf_generate", Options, run, argv)


if __name__ == "__main__":
    sys.exit(main())
