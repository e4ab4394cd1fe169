"""The oracles of the search: one request at a time, on the host, by a dictionary of prefixes."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from genret.decoding import GenerativeModel
from genret.decoding.readout import logits_of
from genret.testing._dict_trie import DictTrie
from genret.typing import Float

Prefix = tuple[int, ...]
LogitsOf = Callable[[Prefix], Float[np.ndarray, "V"]]
"""Gives the logits of the code that follows a prefix, for one request."""


class RankedItem(NamedTuple):
    """An answer of an oracle.

    Attributes:
      item: item position.
      score: sum of the log-probabilities of its codes.
      codes: its semantic ID.
    """

    item: int
    score: float
    codes: Prefix


def slow_beam_search(
    logits_of: LogitsOf,
    codes: Any,
    beams: int,
    allowed: Iterable[int] | None = None,
) -> list[RankedItem]:
    """Beam search over a trie of the allowed items alone, in NumPy.

    Args:
      logits_of: the model of one request.
      codes: integers [N, L], one row an item.
      beams: beams to keep at each level, and items to return at most.
      allowed: positions of the allowed items; None allows all.

    Returns:
      The items, best first.
    """
    trie = DictTrie(codes, allowed)
    live: list[tuple[np.float32, Prefix]] = [(np.float32(0), ())]
    for _ in range(trie.depth):
        candidates = []
        for score, prefix in live:
            log_probs = log_softmax(logits_of(prefix))
            for code in trie.children(prefix):
                candidates.append((np.float32(score + log_probs[code]), (*prefix, code)))
        # Stable: equal scores stay in the order of their beam and code.
        candidates = [c for c in candidates if c[0] > -np.inf]
        live = sorted(candidates, key=lambda c: -c[0])[:beams]
    found = [
        RankedItem(item, float(score), prefix)
        for score, prefix in live
        for item in trie.items(prefix)
    ]
    return found[:beams]


def rank_all_items(
    logits_of: LogitsOf,
    codes: Any,
    allowed: Iterable[int] | None = None,
) -> list[RankedItem]:
    """Score every allowed item and sort: what a search with enough beams must find.

    Args:
      logits_of: the model of one request.
      codes: integers [N, L], one row an item.
      allowed: positions of the allowed items; None allows all.

    Returns:
      All allowed items of positive probability, best first; equal scores by codes, then position.
    """
    found = []
    for item in range(len(codes)) if allowed is None else allowed:
        prefix: Prefix = ()
        score = np.float32(0)
        for code in codes[item]:
            score = np.float32(score + log_softmax(logits_of(prefix))[int(code)])
            prefix = (*prefix, int(code))
        if score > -np.inf:
            found.append(RankedItem(item, float(score), prefix))
    return sorted(found, key=lambda r: (-r.score, r.codes, r.item))


def protocol_logits(model: GenerativeModel, history: Any) -> LogitsOf:
    """Ask a model for the logits after a prefix, through the protocol, one prefix at a time.

    Args:
      model: the model.
      history: the history of one request (a batch of 1).

    Returns:
      The function; it remembers what it has been asked.
    """
    readout, cache = model.prefill(history)
    known: dict[Prefix, tuple[Any, Any]] = {(): (readout, cache)}
    parents = jnp.zeros((1, 1), jnp.int32)

    def at(prefix: Prefix) -> tuple[Any, Any]:
        if prefix not in known:
            _, before = at(prefix[:-1])
            known[prefix] = model.step(jnp.array([[prefix[-1]]], jnp.int32), parents, before)
        return known[prefix]

    return lambda prefix: np.asarray(logits_of(at(prefix)[0])[0, 0])


def log_softmax(logits: Float[np.ndarray, "V"]) -> Float[np.ndarray, "V"]:
    """Return log-probabilities in float32; all NaN where no code has positive probability."""
    logits = logits.astype(np.float32)
    largest = logits.max()
    shift = largest if np.isfinite(largest) else np.float32(0)
    with np.errstate(all="ignore"):
        normalizer = np.log(np.exp(logits - shift, dtype=np.float32).sum(dtype=np.float32)) + shift
        return logits - normalizer
