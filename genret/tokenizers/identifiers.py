"""Identifiers that need no vectors: random, sequential, by clusters of co-occurrence, by category.

They number a catalog as it is: another catalog needs another run. What they read of histories is
training events only, so that no identifier says anything about what is held out.

Source: Hua et al., "How to index item IDs for recommendation foundation models", 2023.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from genret.errors import GenretError
from genret.histories import Histories
from genret.semantic_ids import SemanticIds
from genret.tokenizers._spectral import spectral_clusters
from genret.typing import Codes, Int


def smallest_base(num_items: int, levels: int) -> int:
    """Return the least number of codes a level, at least 2, with which L levels name every item.

    >>> smallest_base(1000, 3), smallest_base(1001, 3)
    (10, 11)
    """
    base = max(2, int(num_items ** (1 / levels)) - 1)
    while base**levels < num_items:
        base += 1
    return base


def random_identifiers(num_items: int, levels: int, codebook_size: int, seed: int) -> SemanticIds:
    """Give every item a random row of codes of its own ("RID").

    Args:
      num_items: N.
      levels: L.
      codebook_size: codes of a level; 0 takes the fewest that suffice.
      seed: of the rows.

    Returns:
      The identifiers, all different.

    Raises:
      GenretError: fewer rows of codes than items.

    >>> found = random_identifiers(8, 3, 0, seed=0)
    >>> found.codes_per_level, len(np.unique(found.codes, axis=0))
    ((2, 2, 2), 8)
    """
    base = _base(num_items, levels, codebook_size)
    rng = np.random.default_rng(seed)
    room = base**levels
    if room >= 2**62:  # more rows than there are integers: each code is drawn by itself
        codes = np.empty((0, levels), np.int64)
        while len(codes) < num_items:
            codes = np.concatenate([codes, rng.integers(0, base, (num_items, levels))])
            codes = codes[np.sort(np.unique(codes, axis=0, return_index=True)[1])]
        return SemanticIds(
            codes=codes[:num_items].astype(np.int32), codes_per_level=(base,) * levels
        )
    if room <= 4 * num_items:
        numbers = rng.permutation(room)[:num_items]
    else:
        # Drawn again where a row is taken; at most a quarter of the rows are.
        numbers = np.empty(0, np.int64)
        while len(numbers) < num_items:
            drawn = rng.integers(0, room, 2 * num_items)
            merged = np.concatenate([numbers, drawn])
            numbers = merged[np.sort(np.unique(merged, return_index=True)[1])]
        numbers = numbers[:num_items]
    return SemanticIds(codes=_digits(numbers, base, levels), codes_per_level=(base,) * levels)


def sequential_identifiers(
    histories: Histories,
    num_items: int,
    levels: int,
    codebook_size: int,
) -> SemanticIds:
    """Number items in the order in which training histories name them first ("SID").

    Items of one history get neighboring numbers, whose codes share a prefix. Items that no training
    history names come last, in the order of their rows, which is that of a hash: the numbering of a
    file that was numbered by whole histories, held-out events included, would give the answers away.

    Args:
      histories: the training events of each user.
      num_items: N.
      levels: L.
      codebook_size: codes of a level; 0 takes the fewest that suffice.

    Returns:
      The identifiers: the digits of the numbers, the highest first.

    Raises:
      GenretError: fewer rows of codes than items, or an item out of range.

    >>> sequential_identifiers(Histories.from_lists([[3, 1], [0]]), 4, 2, 0).codes.tolist()
    [[1, 0], [0, 1], [1, 1], [0, 0]]
    """
    histories.check_items(num_items)
    items = histories.items
    base = _base(num_items, levels, codebook_size)
    first_seen = np.full(num_items, len(items), np.int64)
    np.minimum.at(first_seen, items, np.arange(len(items)))
    numbers = np.empty(num_items, np.int64)
    numbers[np.argsort(first_seen, kind="stable")] = np.arange(num_items)
    return SemanticIds(codes=_digits(numbers, base, levels), codes_per_level=(base,) * levels)


def collaborative_identifiers(
    counts: sp.csr_matrix, levels: int, codebook_size: int, seed: int
) -> SemanticIds:
    """Name items by clusters of items that occur together, clusters within clusters ("CID").

    The graph of co-occurrence is cut into V clusters by spectral clustering, each of them again, and
    so on until a cluster has at most V items or L levels are named. Level l < L is the number of the
    cluster plus 1, or 0 where no smaller cluster is needed. Items that occur with no other one stand
    in a first cluster of their own, numbered 0. Items of a last cluster share the codes: tell them
    apart by :func:`~genret.tokenizers.resolve_collisions`.

    Args:
      counts: how often two items occur together in training histories, symmetric, [N, N].
      levels: L, clusters within clusters.
      codebook_size: V; 0 takes 16.
      seed: of the eigenvectors' start.

    Returns:
      The identifiers.

    >>> friends = np.kron(np.eye(4), np.ones((2, 2))) - np.eye(8)
    >>> found = collaborative_identifiers(sp.csr_matrix(friends), 1, 4, seed=0)
    >>> codes = found.codes
    >>> found.codes_per_level, bool((codes[0] == codes[1]).all()), len(np.unique(codes))
    ((5,), True, 4)
    """
    size = codebook_size or 16
    num_items = counts.shape[0]
    codes = np.zeros((num_items, levels), np.int32)
    graph = counts.tocsr()
    linked = np.flatnonzero(np.diff(graph.indptr))
    groups = [linked] if len(linked) else []
    for level in range(levels):
        smaller = []
        for rows in groups:
            if level and len(rows) <= size:
                continue
            labels = spectral_clusters(graph[rows][:, rows], size, seed)
            codes[rows, level] = labels + 1
            smaller += [rows[labels == label] for label in np.unique(labels)]
        groups = smaller
    return SemanticIds(codes=codes, codes_per_level=(size + 1,) * levels)


def semantic_identifiers(paths: Sequence[Sequence[str]], levels: int) -> SemanticIds:
    """Name items by their path in a tree of categories ("SemID").

    Level l is the number of the l-th category among all of that depth, in alphabetical order, plus
    1; 0 where the path has ended. Items of one category share the codes: tell them apart by
    :func:`~genret.tokenizers.resolve_collisions`.

    Args:
      paths: categories of each item, outermost first; may be empty.
      levels: L; deeper categories are cut.

    Returns:
      The identifiers.

    >>> semantic_identifiers([["office", "pens"], ["office"], []], levels=2).codes.tolist()
    [[1, 1], [1, 0], [0, 0]]
    """
    codes = np.zeros((len(paths), levels), np.int32)
    sizes = []
    for level in range(levels):
        names = sorted({path[level] for path in paths if len(path) > level})
        number = {name: i + 1 for i, name in enumerate(names)}
        codes[:, level] = [number[path[level]] if len(path) > level else 0 for path in paths]
        sizes.append(len(names) + 1)
    return SemanticIds(codes=codes, codes_per_level=tuple(sizes))


def hybrid_identifiers(identifiers: SemanticIds, seed: int) -> SemanticIds:
    """Append a code that no other item has ("HID": categories or clusters, and a token an item).

    Args:
      identifiers: of :func:`semantic_identifiers` or :func:`collaborative_identifiers`.
      seed: of the order of the last codes.

    Returns:
      The identifiers, codes [N, L + 1]; the last level has N codes.

    >>> hybrid_identifiers(semantic_identifiers([["a"], ["a"]], 1), seed=0).codes_per_level
    (2, 2)
    """
    num_items = len(identifiers)
    own = np.random.default_rng(seed).permutation(num_items).astype(np.int32)
    return SemanticIds(
        codes=np.concatenate([identifiers.codes, own[:, None]], axis=1),
        codes_per_level=(*identifiers.codes_per_level, num_items),
    )


def category_paths(values: Sequence[object]) -> list[list[str]]:
    """Read paths of categories: lists as they are, text at its commas, null as no category.

    >>> category_paths(["Office, Pens & Ink", ["a", "b"], None])
    [['Office', 'Pens & Ink'], ['a', 'b'], []]
    """
    paths = []
    for row, value in enumerate(values):
        if value is None:
            parts: list[object] = []
        elif isinstance(value, str):
            parts = list(value.split(","))
        elif isinstance(value, list | tuple):
            parts = list(value)
        else:
            raise GenretError(
                f"categories: row {row} holds {value!r}, expected a list of names or text"
            )
        paths.append([text for part in parts if part is not None and (text := str(part).strip())])
    return paths


def _base(num_items: int, levels: int, codebook_size: int) -> int:
    base = codebook_size or smallest_base(num_items, levels)
    if base**levels < num_items:
        raise GenretError(
            f"codebook_size: {levels} levels of {base} codes name {base**levels} items, expected "
            f"at least {num_items}"
        )
    return base


def _digits(numbers: Int[np.ndarray, "N"], base: int, levels: int) -> Codes:
    """Return the digits of numbers, the highest first."""
    powers = [base**power for power in range(levels - 1, -1, -1)]
    digits = [numbers // power % base if power < 2**62 else 0 * numbers for power in powers]
    return np.stack(digits, axis=1).astype(np.int32)
