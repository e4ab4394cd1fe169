"""Spectral clustering of a graph."""

import numpy as np
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg

from genret.errors import GenretError
from genret.typing import Float, Int

_DENSE = 64
"""Graphs of up to so many nodes more than clusters are decomposed as dense matrices."""


def spectral_clusters(graph: sp.csr_matrix, clusters: int, seed: int) -> Int[np.ndarray, "N"]:
    r"""Cut a graph into clusters with few and light edges between them.

    With degrees d, the eigenvectors of :math:`D^{-1/2} A D^{-1/2}` for its largest eigenvalues are
    rotated so that each comes as near as it can to the indicator of a cluster: a pivoted QR
    decomposition picks ``clusters`` nodes whose rows of the eigenvectors are most different, and a
    node belongs to the one that its row resembles most. No k-means, no luck.

    A graph that cannot be cut (all nodes alike) is cut into runs of equal length.

    Args:
      graph: weights of edges, symmetric, not negative, [N, N].
      clusters: V.
      seed: of the eigenvectors' start.

    Returns:
      The cluster of each node, int32 [N], below V.

    Source: Shi, Malik, "Normalized cuts and image segmentation", 2000; Damle, Minden, Ying, "Simple,
      direct and efficient multi-way spectral clustering", 2019.

    >>> friends = np.kron(np.eye(2), np.ones((3, 3)))
    >>> spectral_clusters(sp.csr_matrix(friends), 2, seed=0).tolist() in ([0] * 3 + [1] * 3, [1] * 3 + [0] * 3)
    True
    """
    num_nodes = graph.shape[0]
    if graph.shape[0] != graph.shape[1] or (graph.nnz and graph.data.min() < 0):
        raise GenretError(f"graph: found {graph.shape}, expected a square matrix without negatives")
    if num_nodes <= clusters:
        return np.arange(num_nodes, dtype=np.int32)
    even = (np.arange(num_nodes) * clusters // num_nodes).astype(np.int32)
    if not graph.nnz:
        return even
    degrees = np.asarray(graph.sum(axis=1), np.float64).ravel()
    shrink = np.divide(1.0, np.sqrt(degrees), out=np.zeros(num_nodes), where=degrees > 0)
    scaled = sp.diags(shrink) @ graph.astype(np.float64) @ sp.diags(shrink)
    labels = _by_pivots(_leading_eigenvectors(scaled.tocsr(), clusters, seed))
    return labels if len(np.unique(labels)) > 1 else even


def _leading_eigenvectors(matrix: sp.csr_matrix, count: int, seed: int) -> Float[np.ndarray, "N K"]:
    num_nodes = matrix.shape[0]
    if num_nodes <= count + _DENSE:
        return np.linalg.eigh(matrix.toarray())[1][:, -count:]
    start = np.random.default_rng(seed).normal(size=num_nodes)
    try:
        # A shift by 1 makes the largest eigenvalues those of largest magnitude.
        shifted = matrix + sp.identity(num_nodes, format="csr")
        return np.asarray(
            scipy.sparse.linalg.eigsh(shifted, count, which="LM", v0=start, tol=1e-5)[1]
        )
    except scipy.sparse.linalg.ArpackNoConvergence as e:
        if e.eigenvectors.shape[1] >= 2:
            return np.asarray(e.eigenvectors)
        return np.linalg.eigh(matrix.toarray())[1][:, -count:]


def _by_pivots(vectors: Float[np.ndarray, "N K"]) -> Int[np.ndarray, "N"]:
    """Assign each row to the pivot row that it resembles most."""
    count = vectors.shape[1]
    _, _, pivots = scipy.linalg.qr(vectors.T, pivoting=True, mode="economic")
    left, _, right = np.linalg.svd(vectors[pivots[:count], :].T)
    return np.abs(vectors @ (left @ right)).argmax(axis=1).astype(np.int32)
