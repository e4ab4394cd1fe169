"""Items with equal codes: moved to other codes, the nearest in total."""

import dataclasses

import numpy as np
import scipy.optimize
from numpy.typing import ArrayLike

from genret.checks import check_vectors
from genret.errors import GenretError
from genret.semantic_ids import SemanticIds
from genret.tokenizers._base import Tokenizer
from genret.typing import Codes, Float, Int, Vectors


def reassign_collisions(
    semantic_ids: SemanticIds,
    vectors: ArrayLike,
    tokenizer: Tokenizer,
    *,
    taken: ArrayLike | SemanticIds | None = None,
) -> SemanticIds:
    r"""Move items off codes that they share, to the nearest free ones.

    Items that share a row of codes compete for the last codes below their prefix that no other item
    has, their own included. The assignment of least total cost :math:`Σ ‖x_i − decode(codes_i)‖²`
    is taken: the limit for entropy 0 of the Sinkhorn iterations of LC-Rec, and exact. Where a
    prefix has fewer free codes than items that want them, the items that are left take, one by one,
    the nearest free row of codes below the nearest other prefix of the same parent, then of the
    grandparent, and so on.

    Args:
      semantic_ids: codes [N, L].
      vectors: what was encoded, [N, D].
      tokenizer: what encoded them.
      taken: codes [K, L] of items that stay where they are: for new items, those of the old ones.

    Returns:
      Codes int32 [N, L], all different and different from ``taken``; items whose codes were unique
      keep them.

    Raises:
      GenretError: vectors that do not fit, or more items than rows of codes.

    Source: Zheng et al., "LC-Rec", 2024 (uniform semantic mapping of conflicting items).

    >>> from genret.config import TokenizeConfig
    >>> from genret.tokenizers import RQKMeans
    >>> vectors = np.repeat(np.eye(4, dtype=np.float32), 2, axis=0)
    >>> tokenizer = RQKMeans.fit(vectors, TokenizeConfig(levels=2, codebook_size=4), seed=0)
    >>> found = reassign_collisions(tokenizer.encode(vectors), vectors, tokenizer)
    >>> len(np.unique(found.codes, axis=0))
    8
    """
    found = semantic_ids.codes.astype(np.int32, copy=False)
    sizes = semantic_ids.codes_per_level
    x = check_vectors(vectors)
    if len(x) != len(found):
        raise GenretError(f"vectors: found {len(x)} rows, expected {len(found)}, one an item")
    fixed = np.empty((0, len(sizes)), np.int32)
    if taken is not None and len(taken if isinstance(taken, SemanticIds) else np.asarray(taken)):
        known = SemanticIds.from_codes(taken, codes_per_level=sizes, name="taken")
        fixed = known.codes.astype(np.int32, copy=False)
    if len(found) + len(fixed) > np.prod([float(size) for size in sizes]):
        raise GenretError(
            f"codes: {len(found) + len(fixed)} items, but only {int(np.prod(sizes))} rows of codes; "
            "use more levels or codes, or collisions=suffix"
        )
    moved = _Board(found, sizes, fixed).settle(x, tokenizer)
    return dataclasses.replace(semantic_ids, codes=moved)


def separate_below_prefixes(
    semantic_ids: SemanticIds, vectors: ArrayLike, tokenizer: Tokenizer
) -> SemanticIds:
    r"""Give the items of each prefix different last codes, as far as there are enough of them.

    Where two items of a prefix collide, all of its items are assigned anew, one to a code, with the
    least total cost :math:`Σ ‖x_i − decode(codes_i)‖²`. Prefixes never change, and a prefix with
    more items than there are last codes stays as it is.

    Args:
      semantic_ids: codes [N, L].
      vectors: what was encoded, [N, D].
      tokenizer: what encoded them.

    Returns:
      Codes int32 [N, L]: two items share a row of codes only where their prefix has more items than
      there are last codes.

    Raises:
      GenretError: vectors that do not fit.

    >>> from genret.config import TokenizeConfig
    >>> from genret.tokenizers import RQKMeans
    >>> vectors = np.repeat(np.eye(4, dtype=np.float32), 2, axis=0)
    >>> tokenizer = RQKMeans.fit(vectors, TokenizeConfig(levels=2, codebook_size=4), seed=0)
    >>> codes = tokenizer.encode(vectors)
    >>> found = separate_below_prefixes(codes, vectors, tokenizer).codes
    >>> len(np.unique(codes.codes, axis=0)), len(np.unique(found, axis=0))
    (4, 8)
    """
    x = check_vectors(vectors)
    found = semantic_ids.codes.astype(np.int32)
    if len(x) != len(found):
        raise GenretError(f"vectors: found {len(x)} rows, expected {len(found)}, one an item")
    leaves = np.arange(semantic_ids.codes_per_level[-1], dtype=np.int32)[:, None]
    _, prefix_of, sizes = np.unique(found[:, :-1], axis=0, return_inverse=True, return_counts=True)
    prefix_of = prefix_of.reshape(-1)
    _, code_of, sharing = np.unique(found, axis=0, return_inverse=True, return_counts=True)
    collide = np.zeros(len(sizes), bool)
    collide[prefix_of[sharing[code_of.reshape(-1)] > 1]] = True
    movers = np.flatnonzero((collide & (sizes <= len(leaves)))[prefix_of])
    movers = movers[np.argsort(prefix_of[movers], kind="stable")]
    starts = np.flatnonzero(np.diff(prefix_of[movers], prepend=-1))
    for rows in np.split(movers, starts[1:]) if len(movers) else []:
        prefix = np.broadcast_to(found[rows[0], :-1], (len(leaves), found.shape[1] - 1))
        costs = _costs(x[rows], tokenizer.decode(np.concatenate([prefix, leaves], axis=1)))
        who, where = scipy.optimize.linear_sum_assignment(costs)
        found[rows[who], -1] = where
    return dataclasses.replace(semantic_ids, codes=found)


class _Board:
    """Which rows of codes are taken, and who has to look for another one."""

    def __init__(self, codes: Codes, sizes: tuple[int, ...], fixed: Int[np.ndarray, "K L"]) -> None:
        self.codes, self.sizes = codes.copy(), sizes
        self.used: dict[bytes, set[int]] = {}
        rows_of: dict[bytes, dict[int, list[int]]] = {}
        for row in fixed:
            self._take(row)
        for i, row in enumerate(codes):
            rows_of.setdefault(row[:-1].tobytes(), {}).setdefault(int(row[-1]), []).append(i)
        self.groups: list[list[int]] = []  # items of one prefix that share a leaf
        for prefix, leaves in rows_of.items():
            already = set(self.used.get(prefix, ()))
            movers: list[int] = []
            for leaf, rows in leaves.items():
                if len(rows) == 1 and leaf not in already:
                    self._take(codes[rows[0]])
                else:
                    movers += rows
            if movers:
                self.groups.append(sorted(movers))

    def settle(self, x: Vectors, tokenizer: Tokenizer) -> Codes:
        left: list[int] = []
        for rows in self.groups:
            left += self._below(rows, self.codes[rows[0], :-1], x, tokenizer)
        for row in left:
            self._anywhere(row, x, tokenizer)
        return self.codes

    def _take(self, row: Int[np.ndarray, "L"]) -> None:
        self.used.setdefault(row[:-1].tobytes(), set()).add(int(row[-1]))

    def _free(self, prefix: Int[np.ndarray, "_"]) -> Int[np.ndarray, "K"]:
        used = self.used.get(prefix.tobytes(), set())
        free = np.ones(self.sizes[-1], bool)
        free[list(used)] = False
        return np.flatnonzero(free).astype(np.int32)

    def _below(
        self, rows: list[int], prefix: Int[np.ndarray, "_"], x: Vectors, tokenizer: Tokenizer
    ) -> list[int]:
        """Give items the free leaves below a prefix at the least cost; return those left over."""
        free = self._free(prefix)
        if not len(free):
            return rows
        candidates = np.concatenate([np.tile(prefix, (len(free), 1)), free[:, None]], axis=1)
        costs = _costs(x[rows], tokenizer.decode(candidates))
        who, where = scipy.optimize.linear_sum_assignment(costs)
        for i, j in zip(who.tolist(), where.tolist(), strict=True):
            self.codes[rows[i]] = candidates[j]
            self._take(candidates[j])
        placed = set(who.tolist())
        return [row for i, row in enumerate(rows) if i not in placed]

    def _anywhere(self, row: int, x: Vectors, tokenizer: Tokenizer) -> None:
        """Put one item on the nearest free row of codes, looking further and further up."""
        own = self.codes[row].copy()
        for level in range(len(self.sizes) - 2, -1, -1):
            if self._descend(row, own[:level], x, tokenizer):
                return
        raise AssertionError("there are more rows of codes than items")

    def _descend(
        self, row: int, prefix: Int[np.ndarray, "_"], x: Vectors, tokenizer: Tokenizer
    ) -> bool:
        """Try the children of a prefix, the nearest first, down to a free leaf."""
        level = len(prefix)
        if level == len(self.sizes) - 1:
            return not self._below([row], prefix, x, tokenizer)
        numbers = np.arange(self.sizes[level], dtype=np.int32)
        children = np.concatenate([np.tile(prefix, (len(numbers), 1)), numbers[:, None]], axis=1)
        order = np.argsort(_costs(x[row][None, :], tokenizer.decode(children))[0], kind="stable")
        return any(self._descend(row, children[child], x, tokenizer) for child in order)


def _costs(x: Float[np.ndarray, "M D"], y: Float[np.ndarray, "K D"]) -> Float[np.ndarray, "M K"]:
    """Return squared distances, in float64."""
    mean = y.mean(axis=0, dtype=np.float64)
    a, b = x - mean[None, :], y - mean[None, :]
    squares = (a * a).sum(axis=1)[:, None] - 2 * (a @ b.T) + (b * b).sum(axis=1)[None, :]
    return np.maximum(squares, 0)
