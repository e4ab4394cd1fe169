"""Paired comparisons of records: ratios, intervals, and what cannot be compared."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality_pairs import hybrid_block, over, packed, unpacked
from genret.errors import GenretError
from genret.evaluation import ndcg, recall


def record(seed: int, ranks: np.ndarray, *, kept: bool = True) -> dict:
    figures = {
        "ndcg@10": float(ndcg(ranks, 10).mean()),
        "recall@10": float(recall(ranks, 10).mean()),
    }
    rule = figures | ({"ranks": packed(ranks)} if kept else {})
    return {"seed": seed, "test": rule, "test_unseen": rule}


@given(st.lists(st.integers(0, 35)))
def test_ranks_are_read_as_they_were_written(ranks: list[int]) -> None:
    assert unpacked(packed(np.array(ranks, int))).tolist() == ranks


def test_a_rank_too_large_is_refused() -> None:
    with pytest.raises(GenretError, match="ranks: found 36, expected at most 35"):
        packed(np.array([36]))


def test_equals_means_and_resamples_of_users() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.integers(0, 15, (2, 400)), rng.integers(0, 25, (2, 400))
    mine = [record(seed, ranks) for seed, ranks in enumerate(ours)]
    other = [record(seed, ranks) for seed, ranks in enumerate(theirs)] + [record(7, theirs[0])]
    found = over(mine, other, "test")
    assert found["seeds"] == [0, 1]
    for name, metric in (("ndcg@10", ndcg), ("recall@10", recall)):
        differences = np.mean(
            [metric(a, 10) - metric(b, 10) for a, b in zip(ours, theirs, strict=True)], axis=0
        )
        assert found["difference"][name] == pytest.approx(differences.mean())
        means = [np.mean([metric(ranks, 10).mean() for ranks in side]) for side in (ours, theirs)]
        assert found[name] == pytest.approx(means[0] / means[1])
        resampled = rng.choice(differences, (2000, 400)).mean(axis=1)
        np.testing.assert_allclose(
            found["interval"][name], np.quantile(resampled, [0.025, 0.975]), atol=0.004
        )


def test_says_what_reaches_the_bars() -> None:
    hit, miss = np.full(50, 2), np.r_[np.full(25, 2), np.zeros(25, int)]
    found = hybrid_block({"hybrid": [record(0, hit)], "sasrec": [record(0, miss)]})
    assert set(found) == {"over_sasrec"}
    assert found["over_sasrec"]["recall@10"] == pytest.approx(2)
    assert found["over_sasrec"]["unseen"]["ndcg@10"] == pytest.approx(2)
    assert all(verdict["met"] for verdict in found["over_sasrec"]["bars"].values())
    low, high = found["over_sasrec"]["interval"]["recall@10"]
    assert 0.3 < low < 0.5 < high < 0.7
    reverse = hybrid_block({"hybrid": [record(0, miss)], "bsarec": [record(0, hit)]})
    assert not any(verdict["met"] for verdict in reverse["over_bsarec"]["bars"].values())


def test_older_records_have_no_interval_and_other_users_are_refused() -> None:
    hit = np.full(8, 1)
    found = over([record(0, hit)], [record(0, hit, kept=False)], "test")
    assert found["recall@10"] == 1
    assert found["interval"]["recall@10"] is None
    assert hybrid_block({"hybrid": [record(0, hit)], "sasrec": [record(1, hit)]}) == {}
    with pytest.raises(GenretError, match=r"found records of \[5, 8\] users"):
        over([record(0, hit), record(1, hit[:5])], [record(0, hit), record(1, hit)], "test")
