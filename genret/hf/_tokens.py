"""Semantic-ID tokens (``<a_12>``) in a checkpoint's vocabulary: found, or added."""

import dataclasses
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genret.errors import GenretError
from genret.hf._checkpoint import Checkpoint
from genret.hf._config import short
from genret.json_files import parse_json
from genret.typing import Array, Float, Int

TOKENIZER, ADDED = "tokenizer.json", "added_tokens.json"
MAX_CODE = 1 << 24
"""Codes of a level that tokens may name: a table with an entry for each code is held."""
_TOKEN = re.compile(r"<(\w+?)_(\d{1,9})>")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SemanticTokens:
    """The tokens of the codes of each level: ``<a_0>, <a_1>, …``, ``<b_0>, …``.

    Attributes:
      names: what stands before the code in a level's tokens ("a", "b", … or "s_a", …), [L].
      tokens: for each level, the token of each code, int32 [V]; -1 where a code has no token.
    """

    names: tuple[str, ...]
    tokens: tuple[Int[np.ndarray, "_"], ...]

    @classmethod
    def of(cls, checkpoint: Checkpoint, names: Sequence[str] | None = None) -> "SemanticTokens":
        """Find the tokens in a checkpoint's tokenizer, whatever their numbers and their order.

        Args:
          checkpoint: one whose folder held ``tokenizer.json`` or ``added_tokens.json``.
          names: what stands before the codes, level by level; None takes all that are there, in
            order of the alphabet.

        Raises:
          GenretError: no tokenizer, no such tokens, or one outside of the embedding.
        """
        found: dict[str, dict[int, int]] = {}
        for text, token in _vocabulary(checkpoint.files).items():
            if match := _TOKEN.fullmatch(text):
                found.setdefault(match[1], {})[int(match[2])] = token
        names = sorted(found) if names is None else list(names)
        if not names:
            raise GenretError(
                "tokenizer: has no tokens like '<a_12>'; add_semantic_tokens adds them"
            )
        levels = []
        for name in names:
            if name not in found:
                raise GenretError(
                    f"tokenizer: has no tokens like '<{name}_12>', only of {sorted(found)}"
                )
            own = found[name]
            if max(own) >= MAX_CODE:
                raise GenretError(
                    f"tokenizer: found the token '<{name}_{max(own)}>', expected codes below {MAX_CODE}"
                )
            level = np.full(max(own) + 1, -1, np.int32)
            level[list(own)] = list(own.values())
            if level.max() >= checkpoint.vocabulary:
                raise GenretError(
                    f"tokenizer: a token of '<{name}_…>' has the number {level.max()}, the "
                    f"embedding has {checkpoint.vocabulary} rows"
                )
            levels.append(level)
        return cls(names=tuple(names), tokens=tuple(levels))

    @property
    def codes_per_level(self) -> tuple[int, ...]:
        """Codes of each level."""
        return tuple(map(len, self.tokens))

    def text(self, codes: Sequence[int] | Int[np.ndarray, "L"]) -> str:
        """Return the text of a semantic ID.

        >>> SemanticTokens(names=("a", "b"), tokens=(np.arange(3), np.arange(3, 6))).text([2, 0])
        '<a_2><b_0>'
        """
        return "".join(f"<{name}_{code}>" for name, code in zip(self.names, codes, strict=True))

    def with_end(self, token: int) -> tuple[Int[np.ndarray, "_"], ...]:
        """Return the tokens with a last level of one: the end of the sequence, code 0.

        A checkpoint that was trained to end after the codes is asked for that end as well; the codes
        of the index get a last column of zeros.
        """
        return (*self.tokens, np.array([token], np.int32))


def add_semantic_tokens(
    checkpoint: Checkpoint, codes_per_level: Sequence[int], *, seed: int = 0, noise: float = 0.1
) -> tuple[Checkpoint, SemanticTokens]:
    """Give a checkpoint tokens for semantic IDs, in its embeddings and in its tokenizer.

    A new row is the mean of all rows, so that no new token takes probability from the others before
    it is trained, and a little noise, so that no two codes are alike:
    ``row = mean + noise · std · N(0, 1)``, mean and std of each column.

    Source: Hewitt, Initializing New Word Embeddings for Pretrained Language Models, 2021.

    Args:
      checkpoint: the checkpoint; it is not changed.
      codes_per_level: codes of each level, at most 26 levels.
      seed: seed of the noise.
      noise: its size, in standard deviations of the existing rows.

    Returns:
      The new checkpoint and the tokens.

    Raises:
      GenretError: the tokenizer has such tokens already, or no counts that make sense.
    """
    if not 1 <= len(codes_per_level) <= len(_LETTERS) or min(codes_per_level) < 1:
        raise GenretError(f"codes_per_level: found {tuple(codes_per_level)}, expected counts")
    vocabulary = _vocabulary(checkpoint.files) if checkpoint.files else {}
    taken = [text for text in vocabulary if _TOKEN.fullmatch(text)]
    if taken:
        raise GenretError(f"tokenizer: has semantic-ID tokens already ({taken[0]!r})")
    # Rows past the tokenizer's last token are padding of the table: they are used first.
    first = max(vocabulary.values()) + 1 if vocabulary else checkpoint.vocabulary
    starts = first + np.cumsum([0, *codes_per_level])
    names = tuple(_LETTERS[: len(codes_per_level)])
    tokens = SemanticTokens(
        names=names,
        tokens=tuple(np.arange(a, b, dtype=np.int32) for a, b in itertools.pairwise(starts)),
    )
    rows = max(checkpoint.vocabulary, int(starts[-1]))
    key = jax.random.key(seed)
    graphdef, state = nnx.split(checkpoint.language_model)
    tables = 0

    def extend(path: Any, leaf: Array) -> Array:
        nonlocal tables
        if not re.search(r"\b(embedding|output)\b", jax.tree_util.keystr(path)):
            return leaf
        tables += 1
        return _extended(leaf, first, int(starts[-1]), rows, jax.random.fold_in(key, tables), noise)

    model = nnx.merge(graphdef, jax.tree.map_with_path(extend, state))
    return (
        dataclasses.replace(
            checkpoint,
            language_model=model,
            fields={**checkpoint.fields, "vocab_size": rows},
            files=_with_tokens(checkpoint.files, tokens),
        ),
        tokens,
    )


def _extended(
    table: Float[Array, "R W"], first: int, end: int, rows: int, key: Array, noise: float
) -> Float[Array, "S W"]:
    known = table[: min(first, table.shape[0])].astype(jnp.float32)
    mean, std = known.mean(axis=0, keepdims=True), known.std(axis=0, keepdims=True)
    new = mean + noise * std * jax.random.normal(key, (end - first, table.shape[1]))
    longer = jnp.pad(table, ((0, rows - table.shape[0]), (0, 0)))
    return longer.at[first:end].set(new.astype(table.dtype))


def _vocabulary(files: Mapping[str, bytes]) -> dict[str, int]:
    """Return the tokens of a tokenizer; only its JSON is read."""
    try:
        if TOKENIZER in files:
            tokenizer = parse_json(files[TOKENIZER], TOKENIZER)
            vocabulary = tokenizer["model"].get("vocab", {})
            if isinstance(vocabulary, list):  # Unigram: pieces and their scores
                vocabulary = {piece: number for number, (piece, _) in enumerate(vocabulary)}
            found = dict(vocabulary)
            found |= {t["content"]: t["id"] for t in tokenizer.get("added_tokens") or ()}
        else:
            found = dict(parse_json(files.get(ADDED, b"{}"), ADDED))
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise GenretError(f"tokenizer: cannot be read ({type(e).__name__}: {e})") from e
    for text, token in found.items():
        if type(token) is not int or not 0 <= token < 2**31:
            raise GenretError(
                f"tokenizer: found the number {short(token)} of the token {text[:40]!r}, expected a "
                "number from 0 to 2**31 - 1"
            )
    return found


def _with_tokens(files: Mapping[str, bytes], tokens: SemanticTokens) -> dict[str, bytes]:
    """Return the tokenizer's files with added tokens."""
    if TOKENIZER not in files:
        return dict(files)
    tokenizer = parse_json(files[TOKENIZER], TOKENIZER)
    tokenizer["added_tokens"] = [*(tokenizer.get("added_tokens") or ()), *added_tokens(tokens)]
    text = json.dumps(tokenizer, ensure_ascii=False)
    return {**files, TOKENIZER: text.encode()}


def added_tokens(tokens: SemanticTokens) -> list[dict[str, Any]]:
    """Return the entries of ``tokenizer.json`` for semantic-ID tokens."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return [
        {"id": int(token), "content": f"<{name}_{code}>", **flags}
        for name, own in zip(tokens.names, tokens.tokens, strict=True)
        for code, token in enumerate(own)
        if token >= 0
    ]
