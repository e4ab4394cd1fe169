"""``transformers.generate`` and the scorer on the same weights: the answers, then the times."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.draws import real_codes
from benchmarks.hf_generate import prefix_table
from benchmarks.record import judge, sentence
from benchmarks.timing import interleave
from genret.config import DecoderOnlyConfig, ItemDecoderConfig, ScoreConfig
from genret.hf import checkpoint_of, save_checkpoint
from genret.histories import Histories
from genret.index import TrieIndex
from genret.models import build_model
from genret.recommend import Recommender
from genret.scoring import Scorer

SEED = 0
SIZES = (256,) * 4
"""Codes of Office's shipped semantic IDs."""
HF_CONFIG = {"width": 128, "layers": 4, "heads": 4, "kv_heads": 2, "head_dim": 32, "mlp_dim": 384}
"""A Qwen3 of a million parameters."""


def against_generate(
    data: Path, users: int, beams: Sequence[int], item_decoder: ItemDecoderConfig, console: Console
) -> list[dict[str, Any]]:
    """Time ``generate`` and the scorer in turns, after comparing what they answer.

    Args:
      data: folder with office/index.json and office/inter.json.
      users: the first of them are answered.
      beams: numbers of beams, each a comparison.
      item_decoder: a model of genret's own that is timed beside.
      console: where to print.

    Returns:
      For each number of beams users a second by way, and how far the answers agree.
    """
    codes = real_codes(data / "office")
    inter = json.loads((data / "office" / "inter.json").read_text(encoding="utf-8"))
    own = [[int(i) for i in items][-20:] for items in list(inter.values())[:users]]
    histories = Histories.from_lists(own)
    index = TrieIndex.from_codes(codes, codes_per_level=SIZES)
    shape = DecoderOnlyConfig(codes_per_level=SIZES, **HF_CONFIG)
    models = {
        "DecoderOnly": build_model(shape, SEED),
        "ItemDecoder": build_model(item_decoder, SEED),
    }
    generate = Generate(models["DecoderOnly"], codes, own)
    found = []
    for width in beams:
        config = ScoreConfig(k=width, beams=width)
        scorers = {
            name: Scorer(Recommender(model, index, codes, max_items=20), config)
            for name, model in models.items()
        }
        theirs = generate(width)
        ours = scorers["DecoderOnly"].score(histories)
        agreement = compare(codes, theirs, ours)
        times = interleave(
            {
                "generate": lambda width=width: generate(width),
                **{name: lambda s=s: s.score(histories) for name, s in scorers.items()},
            },
            3,
            warm=1,
        )
        speed = {name: 1e3 * users / t["ms"] for name, t in times.items()}
        bar = judge(speed["DecoderOnly"] / speed["generate"], 10.0 if width <= 20 else 20.0)
        found.append({"beams": width, "users_per_second": speed, **agreement, "bar": bar})
        console.print(", ".join(f"{name} {value:,.1f} users/s" for name, value in speed.items()))
        console.print(f"beams {width}: {agreement}")
        console.print(sentence(f"times generate, {width} beams", bar))
    return found


def compare(codes: np.ndarray, theirs: list[list[tuple[tuple[int, ...], float]]], ours: Any) -> Any:
    """Compare the semantic IDs and scores of two searches, rank by rank.

    Ours answers items, theirs semantic IDs: items that share one are one answer.
    """
    same, differences, ranks = 0, 0.0, 0
    for user, expected in enumerate(theirs):
        seen: dict[tuple[int, ...], float] = {}
        for item, value in zip(ours.items[user], ours.scores[user], strict=True):
            if item >= 0:
                seen.setdefault(tuple(codes[item].tolist()), float(value))
        for (sid, score), (other, value) in zip(expected, seen.items(), strict=False):
            ranks += 1
            same += sid == other
            differences = max(differences, abs(score - value))
    return {"ranks": ranks, "equal_ranks": same / ranks, "largest_difference": differences}


class Generate:
    """``transformers.generate`` with a trie of prefixes, over the weights of our model.

    Scores are normalized over the codes of a level: the output layer leaves the others out, so
    that both searches rank by the same numbers.
    """

    def __init__(self, model: Any, codes: np.ndarray, own: list[list[int]]) -> None:
        import torch
        import transformers

        self.torch = torch
        checkpoint, _ = checkpoint_of(model)
        with tempfile.TemporaryDirectory() as folder:
            save_checkpoint(Path(folder) / "model", checkpoint)
            load = transformers.AutoModelForCausalLM.from_pretrained
            self.model = load(Path(folder) / "model").eval()
        # Token 0 begins a history; the codes of each level follow those of the level before.
        self.offsets, self.width = 1 + np.arange(len(SIZES)) * SIZES[0], SIZES[0]
        rows = codes + self.offsets[None]
        self.allowed = prefix_table(np.unique(rows, axis=0))
        self.prompts = [[0] + [t for i in items for t in rows[i].tolist()] for items in own]
        self.level = 0
        self.model.lm_head.register_forward_hook(self._only_the_level)

    def _only_the_level(self, module: Any, inputs: Any, logits: Any) -> Any:
        first = int(self.offsets[self.level])
        self.level += 1
        kept = self.torch.full_like(logits, -self.torch.inf)
        kept[..., first : first + self.width] = logits[..., first : first + self.width]
        return kept

    def __call__(self, beams: int, batch: int = 20) -> list[list[tuple[tuple[int, ...], float]]]:
        """Return the semantic IDs and scores of each user, best first."""
        torch = self.torch
        found = []
        for start in range(0, len(self.prompts), batch):
            prompts = self.prompts[start : start + batch]
            longest = max(map(len, prompts))
            # Padded on the left, as generate wants them.
            padded = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
            mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
            self.level = 0
            with torch.no_grad():
                out = self.model.generate(
                    input_ids=padded, attention_mask=mask, num_beams=beams, do_sample=False,
                    num_return_sequences=beams, max_new_tokens=len(SIZES), length_penalty=0.0,
                    early_stopping=True, output_scores=True, return_dict_in_generate=True,
                    pad_token_id=0, eos_token_id=None,
                    # A beam without hope may stand outside of the trie: it may say anything.
                    prefix_allowed_tokens_fn=lambda _, ids, n=longest: self.allowed.get(
                        tuple(ids[n:].tolist()), [1]
                    ),
                )  # fmt: skip
            ids = (out.sequences[:, longest:].numpy() - self.offsets[None]).tolist()
            scores = out.sequences_scores.tolist()
            for user in range(len(prompts)):
                part = slice(user * beams, (user + 1) * beams)
                found.append(list(zip(map(tuple, ids[part]), scores[part], strict=True)))
        return found
