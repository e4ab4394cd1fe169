"""``transformers.generate`` and the scorer on the same weights: the answers, then the times."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks._common import judge, sentence
from benchmarks._draws import real_codes
from benchmarks._record import interleave
from genret.config import EngineConfig, ModelConfig, ScoreConfig
from genret.errors import GenretError
from genret.histories import Histories
from genret.index import TrieIndex
from genret.models import build_model
from genret.scoring import Scorer

SEED = 0
SIZES = (256,) * 4
"""Codes of Office's shipped semantic IDs."""
HF_CONFIG = {"width": 128, "layers": 4, "heads": 4, "kv_heads": 2, "head_dim": 32, "mlp_dim": 384}
"""A Qwen3 of a million parameters."""


def against_generate(
    data: Path, users: int, beams: Sequence[int], item_decoder: ModelConfig, console: Console
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
    shape = ModelConfig(kind="decoder_only", codes_per_level=SIZES, **HF_CONFIG)
    models = {
        "DecoderOnly": build_model(shape, SEED),
        "ItemDecoder": build_model(item_decoder, SEED),
    }
    generate = Generate(models["DecoderOnly"], codes, own)
    found = []
    for width in beams:
        config = ScoreConfig(k=width, beams=width)
        scorers = {
            name: Scorer(model, codes, index, config, EngineConfig(), max_items=20)
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
        from flax import nnx

        self.torch = torch
        width = SIZES[0]
        shape = model.config
        config = transformers.Qwen3Config(
            vocab_size=1 + sum(SIZES), hidden_size=shape.width, intermediate_size=shape.mlp_dim,
            num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads, head_dim=shape.head_dim,
            max_position_embeddings=256, rms_norm_eps=shape.norm_eps, tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
            pad_token_id=0, bos_token_id=None, eos_token_id=None,
        )  # fmt: skip
        self.model = transformers.Qwen3ForCausalLM(config).eval()
        weights = {}
        for path, variable in nnx.to_flat_state(nnx.state(model.language_model, nnx.Param)):
            name = ".".join(map(str, path))
            for old, new in (
                ("embedding.table", "model.embed_tokens.weight"), ("blocks.norm", "model.norm"),
                ("blocks.blocks", "model.layers"), ("attention_norm", "input_layernorm"),
                ("mlp_norm", "post_attention_layernorm"), ("attention.", "self_attn."),
                (".scale", ".weight"), (".kernel", ".weight"),
            ):  # fmt: skip
                name = name.replace(old, new)
            value = np.asarray(variable[...])
            kernel = str(path[-1]) == "kernel"
            weights[name] = torch.tensor(value.T.copy() if kernel else value.copy())
        missing, unexpected = self.model.load_state_dict(weights, strict=False)
        if unexpected or set(missing) - {"lm_head.weight"}:
            raise GenretError(f"hf: found the weights {unexpected}, missing {missing}")
        self.model.tie_weights()
        offsets = 1 + np.arange(len(SIZES)) * width
        rows = (codes + offsets[None]).tolist()
        self.allowed: dict[tuple[int, ...], list[int]] = {}
        for row in sorted(map(tuple, rows)):
            for level in range(len(row)):
                after = self.allowed.setdefault(row[:level], [])
                if row[level] not in after[-1:]:
                    after.append(row[level])
        # Left-padded prompts, in batches of users, as generate wants them.
        self.prompts = [[0] + [t for i in items for t in rows[i]] for items in own]
        self.offsets, self.width = offsets, width
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
            padded = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
            mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
            self.level = 0
            with torch.no_grad():
                out = self.model.generate(
                    input_ids=padded, attention_mask=mask, num_beams=beams, do_sample=False,
                    num_return_sequences=beams, max_new_tokens=len(SIZES), length_penalty=0.0,
                    early_stopping=True, output_scores=True, return_dict_in_generate=True,
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
