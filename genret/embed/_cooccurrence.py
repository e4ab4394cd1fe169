"""Vectors of items from which items occur near each other in histories."""

import numpy as np
import scipy.sparse as sp

from genret.embed._svd import truncated_svd, unit_rows
from genret.histories import Histories
from genret.typing import Float

_CONTEXT_EXPONENT = 0.75


def cooccurrence_vectors(
    histories: Histories,
    num_items: int,
    dim: int,
    window: int,
    seed: int,
) -> Float[np.ndarray, "N D"]:
    """Turn histories into item vectors: positive PMI of near pairs, truncated SVD.

    With #(i, j) the times that i and j are at most ``window`` positions apart in a history,

        PMI(i, j) = log( #(i, j) · Σ_k #(k)^¾ / (#(i) · #(j)^¾) ),

    negative values are cut to 0, and the vectors are the rows of U·Σ^½, scaled to unit length.
    Memory follows the number of distinct pairs, at most 2·E·window.

    Args:
      histories: training events only: what is held out must not shape the vectors.
      num_items: N.
      dim: D, width of the vectors; columns beyond the rank are zero.
      window: positions apart, at most.
      seed: of the SVD's start.

    Returns:
      The vectors, float32 [N, D]. Items without a neighbor get a row of zeros.

    Raises:
      GenretError: an item out of range.

    Source: Levy, Goldberg, Dagan, "Improving distributional similarity with lessons learned from
      word embeddings", 2015 (context smoothing, eigenvalue weighting ½).

    >>> histories = Histories.from_lists([[0, 1, 2], [3, 4, 5]])
    >>> v = cooccurrence_vectors(histories, num_items=7, dim=2, window=2, seed=0)
    >>> bool(v[0] @ v[1] > 0.9 > 0.1 > v[0] @ v[4])
    True
    """
    counts = count_pairs(histories, num_items, window)
    pmi = positive_pmi(counts)
    left, values, _ = truncated_svd(pmi, dim, seed)
    return unit_rows(left * np.sqrt(values)[None, :])


def count_pairs(
    histories: Histories, num_items: int, window: int, *, events_at_once: int = 4_000_000
) -> sp.csr_matrix:
    """Count how often two different items are at most ``window`` positions apart in a history.

    Args:
      histories: item rows.
      num_items: N.
      window: largest distance of two positions.
      events_at_once: events whose pairs are counted together, which bounds the memory.

    Returns:
      Symmetric counts with an empty diagonal, float32 [N, N].
    """
    histories.check_items(num_items)
    items, lengths = histories.items, histories.lengths
    left_in_history = np.repeat(histories.offsets[1:], lengths) - np.arange(len(items))
    total = sp.csr_matrix((num_items, num_items), dtype=np.float32)
    for distance in range(1, min(window, int(lengths.max(initial=0)) - 1) + 1):
        starts = np.flatnonzero(left_in_history > distance)
        for first in range(0, len(starts), events_at_once):
            here = starts[first : first + events_at_once]
            a, b = items[here], items[here + distance]
            a, b = a[a != b], b[a != b]
            pairs = np.ones(len(a), np.float32)
            total = total + sp.csr_matrix((pairs, (a, b)), (num_items, num_items))
    return (total + total.T).tocsr()


def positive_pmi(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Return the positive pointwise mutual information of symmetric counts, float32 [N, N]."""
    occurrences = np.asarray(counts.sum(axis=1), np.float64).ravel()
    smoothed = occurrences**_CONTEXT_EXPONENT
    pmi = counts.tocoo()
    expected = occurrences[pmi.row] * smoothed[pmi.col]
    pmi.data = np.log(pmi.data * smoothed.sum() / expected).astype(np.float32)
    np.maximum(pmi.data, 0, out=pmi.data)
    result = pmi.tocsr()
    result.eliminate_zeros()
    return result
