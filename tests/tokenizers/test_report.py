"""The figures of the report against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genret.config import TokenizeConfig
from genret.semantic_ids import SemanticIds
from genret.tokenizers import RQKMeans, resolve_collisions
from genret.tokenizers.report import code_report, nearest_by_prefix


def test_usage_and_perplexity() -> None:
    codes = [[c, 0] for c in (0, 0, 0, 0, 1, 1, 2, 3)]
    report = code_report(SemanticIds.from_codes(codes, codes_per_level=(8, 1)))
    first, second = report["levels"]
    assert (first["codes"], first["used"], first["used_share"]) == (8, 4, 0.5)
    entropy = -(0.5 * np.log(0.5) + 0.25 * np.log(0.25) + 2 * 0.125 * np.log(0.125))
    assert first["perplexity"] == pytest.approx(np.exp(entropy))
    assert second["perplexity"] == 1
    assert first["error"] is None


def test_errors_are_shares_of_the_variance() -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32) + 7
    tokenizer = RQKMeans.fit(vectors, TokenizeConfig(levels=2, codebook_size=4), seed=0)
    raw = tokenizer.encode(vectors)
    report = code_report(resolve_collisions(raw, "suffix"), vectors, tokenizer)
    assert report["levels_before_suffix"] == 2
    variance = ((vectors - vectors.mean(axis=0)) ** 2).sum()
    for level in range(2):
        left = ((vectors - tokenizer.decode(raw.codes[:, : level + 1])) ** 2).sum()
        assert report["levels"][level]["error"] == pytest.approx(left / variance, rel=1e-4)
    assert report["levels"][2]["error"] is None
    assert report["collisions_before"]["items"] > 0
    assert report["collisions_after"] == {"items": 0, "groups": 0, "largest": 1}


def test_constant_vectors_have_no_error() -> None:
    vectors = np.full((5, 3), 2.5, np.float32)
    tokenizer = RQKMeans.fit(vectors, TokenizeConfig(levels=2, codebook_size=4), seed=0)
    report = code_report(tokenizer.encode(vectors), vectors, tokenizer)
    assert [level["error"] for level in report["levels"]] == [0, 0]
    assert report["collisions_after"]["largest"] == 5


@given(
    st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=20),
    st.integers(1, 5),
    st.booleans(),
)
def test_neighbors_equal_the_slow_twin(
    rows: list[tuple[int, int, int]], count: int, by_distance: bool
) -> None:
    vectors = np.random.default_rng(len(rows)).normal(size=(len(rows), 2)).astype(np.float32)

    def shared(other: int) -> int:
        return next((n for n in range(3) if rows[0][n] != rows[other][n]), 3)

    def order(other: int) -> tuple[float, ...]:
        distance = float(((vectors[other] - vectors[0]) ** 2).sum()) if by_distance else 0
        return (-shared(other), distance, other)

    expected = sorted((r for r in range(1, len(rows)) if shared(r)), key=order)[:count]
    found, prefix = nearest_by_prefix(np.array(rows), 0, count, vectors if by_distance else None)
    assert found.tolist() == expected
    assert prefix.tolist() == [shared(r) for r in expected]
