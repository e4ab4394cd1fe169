"""Identifier schemes: what they promise, what they read, and what they must not see."""

import numpy as np
import pytest
import scipy.sparse as sp
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score

from genret.errors import GenretError
from genret.histories import Histories
from genret.tokenizers._spectral import spectral_clusters
from genret.tokenizers.identifiers import (
    category_paths,
    collaborative_identifiers,
    hybrid_identifiers,
    random_identifiers,
    semantic_identifiers,
    sequential_identifiers,
)
from genret.tokenizers.titles import END_CODE, title_identifiers


@given(st.integers(1, 300), st.integers(1, 4), st.sampled_from([0, 300]), st.integers(0, 3))
def test_random_identifiers_are_all_different(n: int, levels: int, size: int, seed: int) -> None:
    ids = random_identifiers(n, levels, size, seed)
    codes, sizes = ids.codes, ids.codes_per_level
    assert codes.shape == (n, levels)
    assert len(np.unique(codes, axis=0)) == n
    assert (codes < np.array(sizes)).all()
    assert size or sizes[0] ** levels >= n > (sizes[0] - 1) ** levels or sizes[0] == 2


def test_random_identifiers_use_every_level_also_where_no_integer_counts_their_rows() -> None:
    ids = random_identifiers(300, 16, 256, seed=0)
    assert ids.codes.dtype == random_identifiers(300, 3, 256, seed=0).codes.dtype
    assert all(len(np.unique(level)) > 100 for level in ids.codes.T)
    assert len(np.unique(random_identifiers(4, 63, 2, seed=1).codes, axis=0)) == 4


def test_too_few_codes_are_named() -> None:
    with pytest.raises(GenretError, match="2 levels of 3 codes name 9 items, expected at least 10"):
        random_identifiers(10, 2, 3, seed=0)


def test_many_levels_do_not_overflow() -> None:
    codes = random_identifiers(1000, 16, 4096, seed=0).codes
    assert len(np.unique(codes, axis=0)) == 1000


@given(st.lists(st.lists(st.integers(0, 8), max_size=6), max_size=5))
def test_sequential_identifiers_equal_the_slow_twin(histories: list[list[int]]) -> None:
    order: list[int] = []
    for item in [i for history in histories for i in history]:
        if item not in order:
            order.append(item)
    order += [item for item in range(9) if item not in order]
    ids = sequential_identifiers(Histories.from_lists(histories), 9, 2, 0)
    assert ids.codes_per_level == (3, 3)
    assert [3 * a + b for a, b in ids.codes[order].tolist()] == list(range(9))


def communities(sizes: list[int], seed: int) -> tuple[sp.csr_matrix, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(len(sizes)), sizes)
    near = label[:, None] == label[None, :]
    edges = np.triu(rng.random(near.shape) < np.where(near, 0.6, 0.05), 1)
    order = rng.permutation(len(label))
    graph = (edges + edges.T).astype(np.float32)[np.ix_(order, order)]
    return sp.csr_matrix(graph), label[order]


@pytest.mark.parametrize("sizes", [[20, 20, 20], [40, 20, 15, 10], [60, 60]])
def test_spectral_clusters_find_communities_as_scikit_learn_does(sizes: list[int]) -> None:
    graph, truth = communities(sizes, seed=1)
    found = spectral_clusters(graph, len(sizes), seed=0)
    theirs = SpectralClustering(
        len(sizes), affinity="precomputed", assign_labels="cluster_qr", random_state=0
    ).fit_predict(graph.toarray())
    assert adjusted_rand_score(truth, found) >= adjusted_rand_score(truth, theirs) - 0.05
    assert adjusted_rand_score(truth, found) > 0.9


def test_a_graph_that_cannot_be_cut_is_cut_all_the_same() -> None:
    labels = spectral_clusters(sp.csr_matrix((10, 10), dtype=np.float32), 3, seed=0)
    assert np.bincount(labels).min() >= 3
    assert spectral_clusters(sp.csr_matrix((2, 2), dtype=np.float32), 3, seed=0).tolist() == [0, 1]


def test_collaborative_identifiers_nest() -> None:
    graph, truth = communities([40, 40, 40], seed=2)
    whole = sp.block_diag([graph, sp.csr_matrix((4, 4))]).tocsr()  # four items without company
    ids = collaborative_identifiers(whole, 3, 3, seed=0)
    codes = ids.codes
    assert ids.codes_per_level == (4, 4, 4)
    assert (codes[120:] == 0).all()
    assert (codes[:120, 0] > 0).all()
    assert adjusted_rand_score(truth, codes[:120, 0]) > 0.9
    # Deeper clusters are cut only where more than 3 items are left.
    for level in (1, 2):
        for prefix in np.unique(codes[:120, :level], axis=0):
            inside = (codes[:120, :level] == prefix).all(axis=1)
            assert (codes[:120][inside, level] > 0).all() == (inside.sum() > 3)


def test_semantic_and_hybrid_identifiers() -> None:
    paths = category_paths(["a, b", ["a", "c", "d"], None, "z", "a,b"])
    assert paths == [["a", "b"], ["a", "c", "d"], [], ["z"], ["a", "b"]]
    ids = semantic_identifiers(paths, 2)
    assert ids.codes.tolist() == [[1, 1], [1, 2], [0, 0], [2, 0], [1, 1]]
    assert ids.codes_per_level == (3, 3)
    own = hybrid_identifiers(ids, seed=0)
    assert own.codes_per_level == (3, 3, 5)
    assert sorted(own.codes[:, 2].tolist()) == [0, 1, 2, 3, 4]
    with pytest.raises(GenretError, match="categories: row 1 holds 7"):
        category_paths(["a", 7])


WORDS = st.lists(st.sampled_from(["red", "blue", "wool", "sock", "hose"]), min_size=1, max_size=6)


@given(st.lists(WORDS.map(" ".join), min_size=2, max_size=12), st.sampled_from([3, 8]))
def test_titles_are_spelled_and_told_apart(titles: list[str], levels: int) -> None:
    found = title_identifiers(titles, levels, 64, seed=0)
    codes = found.semantic_ids.codes
    assert codes.shape == (len(titles), levels)
    assert (codes < np.array(found.semantic_ids.codes_per_level)).all()
    assert found.semantic_ids.end_code == END_CODE
    assert (codes[:, 0] != END_CODE).all()
    ended = codes == END_CODE
    assert (np.logical_or.accumulate(ended, axis=1) == ended).all()
    assert len(np.unique(codes, axis=0)) == len(titles)
    processor = sentencepiece.SentencePieceProcessor(model_proto=found.model)
    shared = title_identifiers(titles, levels, 64, seed=0, number=False)
    for title, row in zip(titles, shared.semantic_ids.codes.tolist(), strict=True):
        assert [c for c in row if c] == processor.encode(title)[:levels]


def test_titles_without_letters_are_named() -> None:
    with pytest.raises(GenretError, match="titles: row 1 is empty"):
        title_identifiers(["red sock", " "], 4, 64, seed=0)
