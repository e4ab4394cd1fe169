"""What the benchmarks search: drawn or shipped code sets, and drawn logits whose scores are exact."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from genret.config import TokenizeConfig
from genret.data import read_semantic_ids
from genret.errors import GenretError
from genret.pytree import register_pytree, static_field
from genret.testing import TableModel
from genret.tokenizers import RQKMeans
from genret.typing import Array, Codes, Float, Int

Kind = Literal["uniform", "zipf", "tokenized", "office", "beauty"]
"""How semantic IDs come about: drawn, made by our tokenizer from drawn vectors, or shipped ones."""


@register_pytree
@dataclasses.dataclass(frozen=True)
class Level:
    """The cache of :class:`GivenLogits`: the level of the last readout."""

    level: int = static_field()


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class GivenLogits:
    """A model that costs nothing: its logits are arguments of the search, one row for each beam.

    A history is the number of a row of ``first``.
    """

    first: Float[Array, "H V"]  # the logits of level 0
    later: tuple[Float[Array, "B M V"], ...]  # those of each later level

    def prefill(self, history: Int[Array, "B"]) -> tuple[Float[Array, "B 1 V"], Level]:
        """Return the logits of the rows that the histories choose."""
        return self.first[history][:, None], Level(0)

    def step(
        self, codes: Int[Array, "B M"], parents: Int[Array, "B M"], cache: Level
    ) -> tuple[Float[Array, "B M V"], Level]:
        """Return the next level's logits, whatever the codes."""
        return self.later[cache.level], Level(cache.level + 1)


def exact_logits(rng: np.random.Generator, rows: int, codes: int) -> Float[np.ndarray, "R V"]:
    """Draw logits whose scores are exact in float32, in whatever order they are added.

    Each row has one code of logit 0; the others are multiples of 2**-12 between -30 and -64. Then
    the sum of the exponentials rounds to 1 and its logarithm to 0 (exactly it is below 1e-8), so
    every score is a sum of multiples of 2**-12. Two right searches agree bit by bit, equal scores
    included, and an answer can be asked to *be* the exact one.
    """
    steps = rng.integers(0, 34 << 12, (rows, codes), dtype=np.int32).astype(np.float32)
    logits = -30 - steps / 4096
    logits[np.arange(rows), rng.integers(0, codes, rows)] = 0
    return logits


def given_logits(
    batch: int, beams: int, codes_per_level: Sequence[int], *, seed: int
) -> tuple[GivenLogits, Int[np.ndarray, "B"]]:
    """Draw a model of :func:`exact_logits`, and histories int32 [B]."""
    rng = np.random.default_rng(seed)
    first = jnp.asarray(exact_logits(rng, 4 * batch, codes_per_level[0]))
    later = tuple(
        jnp.asarray(exact_logits(rng, batch * beams, codes).reshape(batch, beams, codes))
        for codes in codes_per_level[1:]
    )
    history = rng.permutation(4 * batch)[:batch].astype(np.int32)
    return GivenLogits(first=first, later=later), history


def hashed_logits(codes_per_level: Sequence[int], *, seed: int, rows: int = 257) -> TableModel:
    """Draw a model of :func:`exact_logits` that depends on the whole prefix, with a tail."""
    rng = np.random.default_rng(seed)
    return TableModel.of([exact_logits(rng, rows, codes) for codes in codes_per_level])


@jax.jit
def floor(model: GivenLogits, history: Int[Array, "B"]) -> list[Array]:
    """Compute the logsumexps of all logits and nothing else: what normalizing costs at least.

    In two passes over the logits and without a copy; ``jax.nn.logsumexp`` takes longer.
    """
    found = []
    for logits in (model.first[history][:, None], *model.later):
        largest = logits.max(axis=-1)
        found.append(jnp.log(jnp.exp(logits - largest[..., None]).sum(axis=-1)) + largest)
    return found


def draw_codes(
    num_items: int,
    codes_per_level: Sequence[int],
    kind: Kind = "uniform",
    *,
    seed: int = 0,
    data: Path | None = None,
) -> Codes:
    """Draw semantic IDs, int32 [N, L], in no order.

    Args:
      num_items: N.
      codes_per_level: codes of each level.
      kind: "uniform"; "zipf": the c-th code of a level has a probability that falls as 1 / c, and
        which code is the c-th differs between levels; "tokenized": residual k-means of drawn
        vectors; "office", "beauty": the first N of a shipped code set.
      seed: seed of the draw.
      data: folder of the shipped code sets.

    Raises:
      GenretError: a code set that is not there, or has other sizes.
    """
    if kind in ("office", "beauty"):
        made = real_codes(data, kind)[:num_items]
    elif kind == "tokenized":
        made = tokenized_codes(num_items, levels=len(codes_per_level), codebook=codes_per_level[0])
    else:
        return _drawn(num_items, codes_per_level, kind, np.random.default_rng(seed))
    fits = made.shape == (num_items, len(codes_per_level))
    if not fits or (made.max(axis=0) >= np.asarray(codes_per_level)).any():
        raise GenretError(
            f"{kind}: found codes {made.shape} up to {made.max(axis=0).tolist()}, "
            f"expected ({num_items}, {len(codes_per_level)}) below {tuple(codes_per_level)}"
        )
    return made


def _drawn(
    num_items: int, codes_per_level: Sequence[int], kind: str, rng: np.random.Generator
) -> Codes:
    codes = np.empty((num_items, len(codes_per_level)), np.int32)
    for level, count in enumerate(codes_per_level):
        if kind == "uniform":
            codes[:, level] = rng.integers(0, count, num_items, dtype=np.int32)
        else:
            cumulative = np.cumsum(1 / np.arange(1, count + 1))
            ranks = np.searchsorted(cumulative, rng.random(num_items) * cumulative[-1])
            codes[:, level] = rng.permutation(count)[np.minimum(ranks, count - 1)]
    return codes


def real_codes(data: Path | None, name: str) -> Codes:
    """Read the semantic IDs of a folder with index.json (LC-Rec's form), int32 [N, L]."""
    if data is None:
        raise GenretError(f"data: found none, expected --data FOLDER with {name}/index.json")
    path = data / name / "index.json"
    if not path.is_file():
        raise GenretError(f"data: found no {path}")
    return read_semantic_ids(path, json.loads(path.read_text(encoding="utf-8"))).codes


def tokenized_codes(num_items: int, *, levels: int = 4, codebook: int = 256) -> Codes:
    """Tokenize made-up vectors by residual k-means, int32 [N, L].

    The vectors have topics of very different sizes, each with sub-topics: codes as skewed, and as
    dependent on those before them, as those of real items.
    """
    rng = np.random.default_rng(0)
    width, topics = 32, 400
    centers = rng.normal(0, 1, (topics, width)).astype(np.float32)
    of_topic = rng.normal(0, 0.4, (topics, 30, width)).astype(np.float32)

    def draw(count: int) -> np.ndarray:
        topic = np.minimum(topics ** rng.random(count), topics).astype(np.int64) - 1
        part = np.minimum(30 ** rng.random(count), 30).astype(np.int64) - 1
        noise = rng.normal(0, 0.2, (count, width)).astype(np.float32)
        return centers[topic] + of_topic[topic, part] + noise

    config = TokenizeConfig(levels=levels, codebook_size=codebook, iterations=10)
    tokenizer = RQKMeans.fit(draw(min(num_items, 50_000)), config, seed=0)
    pieces = [min(100_000, num_items - begin) for begin in range(0, num_items, 100_000)]
    return np.concatenate([tokenizer.encode(draw(count)).codes for count in pieces])
