"""DecoderOnly as a checkpoint of its own, and a checkpoint's codes as a DecoderOnly."""

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genret.config import DecoderOnlyConfig
from genret.errors import GenretError
from genret.hf._checkpoint import Checkpoint
from genret.hf._config import fields_of
from genret.hf._tokens import TOKENIZER, SemanticTokens, added_tokens
from genret.models import DecoderOnly, LanguageModel

START = "<s>"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def checkpoint_of(model: DecoderOnly) -> tuple[Checkpoint, SemanticTokens]:
    """Return a model that was trained here as a checkpoint, with a tokenizer of its codes.

    Its vocabulary is ``<s>`` (token 0, which starts a history), then ``<a_0>, <a_1>, …, <b_0>, …``.

    Args:
      model: the model; it is shared, not copied.

    Raises:
      GenretError: more than 26 levels.
    """
    counts = model.codes_per_level
    if len(counts) > len(_LETTERS):
        raise GenretError(f"codes_per_level: found {len(counts)} levels, expected at most 26")
    starts = 1 + np.cumsum([0, *counts])
    tokens = SemanticTokens(
        names=tuple(_LETTERS[: len(counts)]),
        tokens=tuple(
            np.arange(first, first + count, dtype=np.int32)
            for first, count in zip(starts[:-1].tolist(), counts, strict=True)
        ),
    )
    config = dataclasses.replace(model.config, codes_per_level=())
    positions = 1 + (model.config.max_items + 1) * len(counts)
    fields = fields_of(config, int(starts[-1]), positions) | {"bos_token_id": 0}
    checkpoint = Checkpoint(
        language_model=model.language_model,
        config=config,
        fields=fields,
        files=_tokenizer(tokens),
    )
    return checkpoint, tokens


def decoder_of(
    checkpoint: Checkpoint, tokens: SemanticTokens, *, start_token: int, max_items: int = 20
) -> DecoderOnly:
    """Return a checkpoint as a :class:`~genret.models.DecoderOnly`: its blocks, its codes, no text.

    The rows of the start token and of the codes are taken from the embeddings, in our order; the
    result reads histories of codes, and trains, evaluates and scores as any model does.

    Args:
      checkpoint: the checkpoint.
      tokens: its semantic-ID tokens.
      start_token: the token that its sequences start with.
      max_items: longest history.

    Raises:
      GenretError: a code without a token, or a start token outside of the vocabulary.
    """
    if not isinstance(checkpoint.language_model, LanguageModel):
        raise GenretError("checkpoint: is a T5, expected a Llama, Qwen2 or Qwen3")
    rows = np.concatenate([[start_token], *tokens.tokens])
    if rows.min() < 0 or rows.max() >= checkpoint.vocabulary:
        raise GenretError(
            f"tokens: found {rows.min()} to {rows.max()}, expected 0 to {checkpoint.vocabulary - 1}"
        )
    assert isinstance(checkpoint.config, DecoderOnlyConfig)
    config = dataclasses.replace(
        checkpoint.config,
        codes_per_level=tokens.codes_per_level,
        max_items=max_items,
    )
    model = nnx.eval_shape(lambda: DecoderOnly(config, rngs=nnx.Rngs(0)))
    graphdef, state = nnx.split(model)
    theirs = jax.tree.leaves_with_path(nnx.state(checkpoint.language_model))
    values = {
        str(path): leaf[jnp.asarray(rows)] if "table" in str(path) else leaf
        for path, leaf in theirs
    }
    leaves = [values[str(path[1:])] for path, _ in jax.tree.leaves_with_path(state)]
    return nnx.merge(graphdef, jax.tree.unflatten(jax.tree.structure(state), leaves))


def _tokenizer(tokens: SemanticTokens) -> dict[str, bytes]:
    """Return the files of a tokenizer that knows the codes and the start, and nothing else."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    added = [{"id": 0, "content": START, **flags, "special": True}, *added_tokens(tokens)]
    post: dict[str, Any] = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": START, "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [
            {"SpecialToken": {"id": START, "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"Sequence": {"id": "B", "type_id": 1}},
        ],
        "special_tokens": {START: {"id": START, "ids": [0], "tokens": [START]}},
    }
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": post,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {entry["content"]: entry["id"] for entry in added},
            "unk_token": START,
        },
    }
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": START, "pad_token": START}
    return {
        TOKENIZER: json.dumps(tokenizer).encode(),
        "tokenizer_config.json": json.dumps(about).encode(),
    }
