"""Hierarchical k-means: each cluster is cut into clusters of its own."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from genret.config import TokenizeConfig
from genret.tokenizers._balance import balance
from genret.tokenizers._kmeans import kmeans, nearest, pad_rows
from genret.tokenizers._points import BATCH
from genret.tokenizers._vector import (
    Arrays,
    FitInput,
    VectorTokenizer,
    default_codebook_size,
)
from genret.typing import Codes, Float, Int, Vectors


class HierarchicalKMeans(VectorTokenizer):
    r"""A tree of clusters: code l names the nearest child of the cluster that the codes before name.

    A cluster of more than V distinct vectors is cut by k-means into V children; a smaller one gives
    each distinct vector a child. So code 3 below one cluster has nothing to do with code 3 below
    another. A row of codes is decoded as the centroid of the last cluster. A new item descends to
    the nearest children; below a cluster that has no child it gets code 0.

    Attributes:
      codes_per_level: V for each of L levels.
      starts: int32 [S_l + 1] for each level: where the children of each of its S_l clusters start
        among the clusters of the next level.
      centroids: float32 [S_{l + 1}, D] for each level: the clusters of the next level.
      biases: float32 [S_{l + 1}]: how much nearer each of them counts (``balanced``), in halves of
        squared distances; 0 otherwise.

    Source: Nister, Stewenius, "Scalable recognition with a vocabulary tree", 2006; Tay et al.,
      "Transformer memory as a differentiable search index", 2022.

    >>> vectors = np.random.default_rng(0).normal(size=(100, 8)).astype(np.float32)
    >>> config = TokenizeConfig(levels=2, codebook_size=5)
    >>> tokenizer = HierarchicalKMeans.fit(vectors, config, seed=0)
    >>> tokenizer.encode(vectors[:3]).codes.shape, [len(c) for c in tokenizer.centroids]
    ((3, 2), [5, 25])
    """

    kind: ClassVar[str] = "hierarchical"

    def __init__(
        self,
        size: int,
        starts: list[Int[np.ndarray, "_"]],
        centroids: list[Float[np.ndarray, "_ D"]],
        biases: list[Float[np.ndarray, "_"]],
        offset: Float[np.ndarray, "D"],
        scale: float,
    ) -> None:
        super().__init__((size,) * len(starts), offset, scale)
        self.starts, self.centroids, self.biases = starts, centroids, biases

    @classmethod
    def _fit(cls, data: FitInput) -> "HierarchicalKMeans":
        points, config, seed = data.points, data.config, data.seed
        size = config.codebook_size or default_codebook_size(len(points), config.levels)
        starts, centroids, biases = [], [], []
        node = np.zeros(len(points), np.int64)
        num_nodes = 1
        for level in range(config.levels):
            counts = np.zeros(num_nodes, np.int64)
            books, pulls = [], []
            next_node = np.empty(len(points), np.int64)
            total = 0
            for parent, rows in _members(node, num_nodes):
                book, pull, labels = _cut(points[rows], size, config, seed + level)
                books.append(book)
                pulls.append(pull)
                counts[parent] = len(book)
                next_node[rows] = total + labels
                total += len(book)
            starts.append(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
            centroids.append(np.concatenate(books))
            biases.append(np.concatenate(pulls))
            node, num_nodes = next_node, total
            data.advance()
        return cls(size, starts, centroids, biases, data.offset, data.scale)

    def _encode(self, points: Vectors) -> Codes:
        codes = np.zeros((len(points), len(self.starts)), np.int32)
        node = np.zeros(len(points), np.int64)
        for level, start in enumerate(self.starts):
            for parent, rows in _members(node, len(start) - 1):
                first, last = start[parent], start[parent + 1]
                if last - first > 1:
                    codes[rows, level] = _nearest(
                        points[rows],
                        self.centroids[level][first:last],
                        self.biases[level][first:last],
                        self.codes_per_level[level],
                    )
            node = start[node] + codes[:, level].astype(np.int64)
        return codes

    def _decode(self, codes: Codes) -> Vectors:
        node = np.zeros(len(codes), np.int64)
        for level in range(codes.shape[1]):
            start = self.starts[level]
            # A code without a cluster stands for the nearest number that has one.
            last = start[node + 1] - start[node] - 1
            node = start[node] + np.minimum(codes[:, level], last)
        return self.centroids[codes.shape[1] - 1][node]

    def _state(self) -> tuple[dict[str, Any], Arrays]:
        arrays: Arrays = {}
        for level in range(len(self.starts)):
            arrays[f"start.{level:02d}"] = self.starts[level]
            arrays[f"centroid.{level:02d}"] = self.centroids[level]
            arrays[f"bias.{level:02d}"] = self.biases[level]
        return {"clusters": [len(c) for c in self.centroids]}, arrays

    @classmethod
    def _shapes(
        cls, header: Mapping[str, Any], sizes: tuple[int, ...], width: int
    ) -> dict[str, tuple[int, ...]]:
        clusters = [1, *header["clusters"]]
        expected: dict[str, tuple[int, ...]] = {}
        for level in range(len(sizes)):
            expected[f"start.{level:02d}"] = (clusters[level] + 1,)
            expected[f"centroid.{level:02d}"] = (clusters[level + 1], width)
            expected[f"bias.{level:02d}"] = (clusters[level + 1],)
        return expected

    @classmethod
    def _from_state(
        cls,
        header: Mapping[str, Any],
        arrays: Arrays,
        sizes: tuple[int, ...],
        offset: Float[np.ndarray, "D"],
        scale: float,
    ) -> "HierarchicalKMeans":
        starts, centroids, biases = (
            [arrays[f"{name}.{level:02d}"] for level in range(len(sizes))]
            for name in ("start", "centroid", "bias")
        )
        return cls(sizes[0], starts, centroids, biases, offset, scale)


def _members(node: Int[np.ndarray, "N"], num_nodes: int) -> list[tuple[int, np.ndarray]]:
    """Return the rows of each cluster, in order; every cluster of a fit has some."""
    order = np.argsort(node, kind="stable")
    bounds = np.searchsorted(node[order], np.arange(num_nodes + 1))
    return [
        (number, order[bounds[number] : bounds[number + 1]])
        for number in range(num_nodes)
        if bounds[number] < bounds[number + 1]
    ]


def _cut(
    points: Vectors, size: int, config: TokenizeConfig, seed: int
) -> tuple[Float[np.ndarray, "K D"], Float[np.ndarray, "K"], Int[np.ndarray, "N"]]:
    """Cut a cluster; return the children that got points, their biases, and each point's child."""
    if len(points) == 1:
        return points, np.zeros(1, np.float32), np.zeros(1, np.int64)
    book = np.unique(points, axis=0)
    bias = np.zeros(len(book), np.float32)
    if len(book) > size:
        book = kmeans(
            points, size, iterations=config.iterations, batch_size=config.batch_size, seed=seed
        ).centroids
        bias = np.zeros(size, np.float32)
        if config.balanced and len(points) <= config.batch_size:
            moved, pull = balance(*pad_rows(points), jnp.asarray(book))
            book, bias = np.asarray(moved), np.asarray(pull)
    labels = _nearest(points, book, bias, size)
    used, labels = np.unique(labels, return_inverse=True)
    return book[used], bias[used], labels.reshape(-1)


def _nearest(
    points: Vectors, book: Float[np.ndarray, "K D"], bias: Float[np.ndarray, "K"], size: int
) -> Int[np.ndarray, "N"]:
    """Return the nearest child; one shape of the children for all clusters, one program."""
    room = size - len(book)
    padded = np.pad(book, ((0, room), (0, 0)))
    pulls = np.pad(bias, (0, room), constant_values=-np.inf)
    return nearest(points, jnp.asarray(padded), BATCH, jnp.asarray(pulls))[0]
