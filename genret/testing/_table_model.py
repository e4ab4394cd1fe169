"""TableModel: a generative model whose logits are a fixed function of the whole prefix."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genret.typing import Array, Float, Int

FACTOR = 2654435761
"""Knuth's multiplicative hash, modulo 2**32."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class TableCache:
    """State of a :class:`TableModel` between the levels.

    Attributes:
      hashes: uint32 [B, M], hash of the history and the codes of each beam.
      level: level of the last readout.
    """

    hashes: Any
    level: int = dataclasses.field(metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class TableModel:
    """A model that looks its logits up: row ``hash(history, codes so far) mod H`` of a level's table.

    Different prefixes get different rows (up to collisions, which are as fixed as all else), so a
    search that confuses beams, parents or levels gives other scores. It has the whole protocol,
    ``score_tail`` included. The history is any pytree of integer arrays [B, ...].

    Attributes:
      tables: per level, logits [H, V_l] of any float type.

    >>> model = TableModel.random((4, 3), seed=0)
    >>> logits, cache = model.prefill(jnp.array([5, 6]))
    >>> logits.shape, model.step(jnp.array([[1, 2], [0, 3]]), jnp.zeros((2, 2), int), cache)[0].shape
    ((2, 1, 4), (2, 2, 3))
    """

    tables: tuple[Any, ...]

    @classmethod
    def random(
        cls, codes_per_level: Sequence[int], *, seed: int, rows: int = 257, scale: float = 2.0
    ) -> "TableModel":
        """Make a model with normally distributed logits.

        Args:
          codes_per_level: codes of each level.
          seed: seed of the logits.
          rows: H, rows of each table.
          scale: standard deviation of the logits.

        Returns:
          The model, float32.
        """
        rng = np.random.default_rng(seed)
        return cls.of([rng.normal(0, scale, (rows, count)) for count in codes_per_level])

    @classmethod
    def of(cls, tables: Sequence[Any], dtype: Any = jnp.float32) -> "TableModel":
        """Make a model of given tables, one [H, V_l] a level."""
        return cls(tables=tuple(jnp.asarray(table, dtype) for table in tables))

    def prefill(self, history: Any) -> tuple[Float[Array, "B 1 V"], TableCache]:
        """See :meth:`genret.decoding.GenerativeModel.prefill`."""
        hashes = _hash_history(history)[:, None]
        return self._logits(hashes, 0), TableCache(hashes=hashes, level=0)

    def step(
        self, codes: Int[Array, "B M"], parents: Int[Array, "B M"], cache: TableCache
    ) -> tuple[Float[Array, "B M V"], TableCache]:
        """See :meth:`genret.decoding.GenerativeModel.step`."""
        hashes = _extend(jnp.take_along_axis(cache.hashes, parents, axis=1), codes)
        level = cache.level + 1
        return self._logits(hashes, level), TableCache(hashes=hashes, level=level)

    def score_tail(
        self, codes: Int[Array, "B C T"], parents: Int[Array, "B C"], cache: TableCache
    ) -> Float[Array, "B C T"]:
        """See :class:`genret.decoding.GenerativeModel`."""
        hashes = jnp.take_along_axis(cache.hashes, parents, axis=1)
        scores = []
        for offset in range(codes.shape[-1]):
            logits = self._logits(hashes, cache.level + offset).astype(jnp.float32)
            chosen = codes[..., offset]
            log_probs = jax.nn.log_softmax(logits, axis=-1)
            scores.append(jnp.take_along_axis(log_probs, chosen[..., None], axis=-1)[..., 0])
            hashes = _extend(hashes, chosen)
        return jnp.stack(scores, axis=-1)

    def logits_after(self, history: Any, request: int, prefix: Sequence[int]) -> np.ndarray:
        """Return the logits after a prefix, computed on the host: float32 [V_l].

        Args:
          history: the histories of the batch.
          request: which of them.
          prefix: the codes so far.
        """
        value = int(_hash_history(history)[request])
        for code in prefix:
            value = _extend(value, int(code)) % 2**32
        table = np.asarray(self.tables[len(prefix)].astype(jnp.float32))
        return table[value % table.shape[0]]

    def _logits(self, hashes: Array, level: int) -> Array:
        table = self.tables[level]
        return table[(hashes % table.shape[0]).astype(jnp.int32)]


def _extend(hashes: Any, code: Any) -> Any:
    """Hash one more code: of arrays (uint32, wraps) or of Python integers (the caller wraps)."""
    if isinstance(hashes, int):
        mixed = (hashes ^ (hashes >> 15)) + code + 1
        return mixed * FACTOR
    mixed = (hashes ^ (hashes >> 15)) + code.astype(jnp.uint32) + jnp.uint32(1)
    return mixed * jnp.uint32(FACTOR)


def _hash_history(history: Any) -> Array:
    """Return a hash of each request's history, uint32 [B]."""
    leaves = [jnp.asarray(leaf).astype(jnp.uint32) for leaf in jax.tree.leaves(history)]
    hashes = jnp.zeros(leaves[0].shape[0], jnp.uint32)
    for leaf in leaves:
        values = leaf.reshape(leaf.shape[0], -1)
        weights = 2 * jnp.arange(values.shape[1], dtype=jnp.uint32) + 1
        hashes = _extend(hashes, (values * weights[None]).sum(axis=1, dtype=jnp.uint32))
    return hashes
