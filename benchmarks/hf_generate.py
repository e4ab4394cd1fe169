"""Beam search against ``transformers.generate`` on the same weights, with the same answers.

    python -m benchmarks.hf_generate --json benchmarks/results/hf_generate.json --plot docs/hf_generate.png

A random Qwen3 is made by transformers, written, and loaded here, so the checkpoint is the same, as are
prompts and items. Four ways to the M best items:

``generate + trie``       ``num_beams=M`` with ``prefix_allowed_tokens_fn``, the incumbent: a
                          dictionary of prefixes, asked once for each beam and step
``generate + processor``  the same with our ``TrieLogitsProcessor``, for people who stay in PyTorch
``genret``                our model and our search, scores over the whole vocabulary as theirs
``genret, tail``          the same, but all items that are left below the beams are scored at once

Each point is timed in turns in one process, each way right after an untimed run of its own, after
all have answered the same items, but for ties, with scores within 1e-3; those of the tail may only
be better, since it prunes less. Needs the extra ``hf-test``.
"""

import dataclasses
import functools
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from benchmarks import plots
from benchmarks.bars import over
from benchmarks.methods import prefix_table
from benchmarks.process import Figures
from benchmarks.program import Program, make_main
from benchmarks.record import Points, read
from benchmarks.same_beams import PrefixScores, apart
from benchmarks.tables import Columns
from benchmarks.timing import interleave
from benchmarks.workload import Search
from genret import TrieIndex, beam_search
from genret.errors import GenretError
from genret.hf import load_checkpoint
from genret.models import Prompts
from genret.testing import random_codes

LEVELS, WIDTH, TEXT = 4, 256, 64
OFFSETS = TEXT + WIDTH * np.arange(LEVELS)
"""The token of code 0 of each level."""
WAYS = ("generate + trie", "generate + processor", "genret", "genret, tail")
MODELS = {
    "1M": {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "head_dim": 32,
           "num_key_value_heads": 2, "intermediate_size": 384},
    "6M": {"hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 4, "head_dim": 64,
           "num_key_value_heads": 2, "intermediate_size": 1024},
    "30M": {"hidden_size": 512, "num_hidden_layers": 9, "num_attention_heads": 8, "head_dim": 64,
            "num_key_value_heads": 4, "intermediate_size": 1536},
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class HfGenerate(Program):
    """Time beam searches over the same weights; see the module's docstring."""

    name: ClassVar[str] = "benchmarks.hf_generate"
    title: ClassVar[str] = "Medians of rounds that alternate (ms a batch)"
    bars: ClassVar = [
        over("generate / genret", "1M, 100,000 items, 50 beams", "ratio", min, 20.0),
    ]
    columns: ClassVar[Columns] = {
        **{way: (way, lambda own: f"{own['ms']:.1f}") for way in WAYS},
        "trie / genret": ("ratio", "{:.1f}"),
        "rounds": ("ratio_range", lambda ends: "{:.1f} to {:.1f}".format(*ends)),
    }

    plot: Path | None = None  # Where to draw the points of the JSON file.

    def points(self) -> Points:
        """Vary the beams for each model and in a batch of 16 prompts, and the items for the smallest."""
        many, beams = 100_000, (5, 10, 20, 50, 100, 200)
        grid = [(name, many, count, 1) for name in MODELS for count in beams]
        grid += [("1M", items, 50, 1) for items in (1_000, 10_000, 1_000_000)]
        grid += [("1M", many, count, 16) for count in beams]
        if self.smoke:
            grid = [("1M", 1_000, 5, prompts) for prompts in (1, 2)]
        # Points that need the same come one after the other.
        models, items = functools.lru_cache(1)(Model), functools.lru_cache(2)(Items)
        return {
            f"{name}, {many:,} items, {beams} beams, {prompts} prompts": functools.partial(
                measure, name, beams, prompts, models, many, items, 2 if self.smoke else 5
            )
            for name, many, beams, prompts in sorted(
                grid, key=lambda point: [*MODELS].index(point[0])
            )
        }

    def main(self, console: Console) -> int:
        """Measure, show and draw."""
        status = super().main(console)
        if self.plot is not None and self.json is not None:
            points = list(read(self.json)["points"].values())
            plots.hf_generate(points, WAYS).savefig(self.plot, dpi=150)
        return status


class Model:
    """One checkpoint in both libraries."""

    def __init__(self, name: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torch
            import transformers
        config = transformers.Qwen3Config(
            **MODELS[name], vocab_size=TEXT + LEVELS * WIDTH, max_position_embeddings=256,
            tie_word_embeddings=True, bos_token_id=None, eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        torch.manual_seed(0)
        self.torch, self.theirs = torch, transformers.Qwen3ForCausalLM(config).eval()
        with torch.no_grad():
            for parameter in self.theirs.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(4)  # scores that differ
        self.parameters = sum(p.numel() for p in self.theirs.parameters())
        self.tokens = list(OFFSETS[:, None] + np.arange(WIDTH))
        with tempfile.TemporaryDirectory() as folder:
            self.theirs.save_pretrained(folder)
            self.ours = load_checkpoint(folder).retriever(self.tokens)

    def prefix_scores(self, tokens: np.ndarray) -> PrefixScores:
        """Return what scores all prefixes of semantic IDs after one of the prompts [B, T]."""

        def scores(prompt: int, codes: np.ndarray) -> np.ndarray:
            prompts = Prompts.from_lists([tokens[prompt]], length=tokens.shape[1])
            _, cache = self.ours.prefill(prompts)
            first = np.zeros((1, len(codes)), np.int32)
            log_probs = self.ours.score_tail(jnp.asarray(codes[None], jnp.int32), first, cache)
            return np.cumsum(np.asarray(log_probs[0]), axis=1)

        return scores


class Items:
    """A catalog as our index and as their dictionary (of distinct semantic IDs)."""

    def __init__(self, count: int) -> None:
        sizes = (WIDTH,) * LEVELS
        self.codes = np.unique(random_codes(count, sizes, "uniform", seed=count), axis=0)
        self.index = TrieIndex.from_codes(self.codes, codes_per_level=sizes)
        self.allowed = prefix_table(self.codes + OFFSETS)


def ways(model: Model, items: Items, beams: int, tokens: np.ndarray) -> dict[str, Search]:
    """Return the searches of prompts [B, T]: each to codes [B, M, L], scores [B, M], best first."""
    from genret.hf.logits_processor import TrieLogitsProcessor

    torch, (batch, length) = model.torch, tokens.shape
    input_ids = torch.from_numpy(tokens)

    def next_tokens(_: int, sent: Any) -> list[int]:
        return items.allowed.get(tuple(sent[length:].tolist()), [0])

    def generate(**constraint: Any) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            found = model.theirs.generate(
                input_ids, attention_mask=torch.ones_like(input_ids), num_beams=beams,
                num_return_sequences=beams, max_new_tokens=LEVELS, do_sample=False,
                length_penalty=0.0, return_dict_in_generate=True, output_scores=True, **constraint,
            )  # fmt: skip
        codes = found.sequences[:, length:].numpy() - OFFSETS
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


def check(functions: dict[str, Search], prefix_scores: PrefixScores | None = None) -> float:
    """Refuse searches whose answers differ beyond ties; return the largest difference of the scores."""
    answers = {name: tuple(map(np.asarray, f())) for name, f in functions.items()}
    theirs = answers["generate + trie"]
    worst = 0.0
    for name, own in answers.items():
        if name != "genret, tail":
            worst = max(worst, apart(name, own, theirs, prefix_scores))
        elif not (own[1] >= theirs[1] - 1e-3).all():
            raise GenretError(f"{name}: answers have lower scores than those of generate")
    return worst


def measure(
    name: str, beams: int, prompts: int, models: Any, count: int, catalogs: Any, rounds: int
) -> Figures:
    """Check and time the searches of a point."""
    try:
        model, items = models(name), catalogs(count)
    except ImportError as e:
        raise GenretError(f"{e}: pip install '.[hf-test]'") from e
    # A prompt is as long as a history of 20 items.
    tokens = np.random.default_rng(0).integers(1, TEXT, (prompts, 80))
    functions = ways(model, items, beams, tokens)
    difference = check(functions, model.prefix_scores(tokens))
    figures = interleave(functions, rounds, warm=1, seconds_each=10.0, before=functions)
    jax.clear_caches()
    theirs, ours = figures["generate + trie"], figures["genret"]
    # Either may have run out of its seconds before the other.
    of_rounds = [a / b for a, b in zip(theirs["rounds_ms"], ours["rounds_ms"], strict=False)]
    return {
        "model": name, "parameters": model.parameters, "items": count, "beams": beams,
        "prompts": prompts, "scores_apart": difference, **figures, "ratio": theirs["ms"] / ours["ms"],
        "ratio_range": [min(of_rounds), max(of_rounds)],
    }  # fmt: skip


main = make_main(HfGenerate)

if __name__ == "__main__":
    sys.exit(main())
