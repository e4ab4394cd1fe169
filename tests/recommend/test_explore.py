"""Thompson sampling: draws of the right distributions, rankings of nothing but the beam's items."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from genret.errors import GenretError
from genret.recommend import ThompsonSampling
from tests.recommend.test_recommender import run

SCORES = st.sampled_from([-np.inf, -1e30, -700.0, -3.0, -0.5, 0.0])


def beam(probabilities: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return a beam of the items 0, 1, 2, … with these probabilities."""
    count = len(probabilities)
    with np.errstate(divide="ignore"):
        return np.arange(count)[None], np.log([probabilities]).astype(np.float32)


def rates(times: int, probabilities: list[float], **options) -> np.ndarray:
    """Return what is drawn for each item, often: [times, C]."""
    items, scores = (np.repeat(part, times, axis=0) for part in beam(probabilities))
    ranked, drawn = ThompsonSampling(**options).rank(items, scores, len(probabilities))
    found = np.empty(drawn.shape)
    np.put_along_axis(found, ranked, np.exp(drawn), 1)
    return found


def test_rates_are_beta_variables() -> None:
    shown, taken = np.array([0, 10, 400]), np.array([0, 7, 4])
    for counts in ({}, {"shown": shown, "taken": taken}):
        drawn = rates(20_000, [0.5, 0.3, 0.2], strength=20.0, **counts)
        n, t = counts.get("shown", 0 * shown), counts.get("taken", 0 * shown)
        a = 20 * np.array([0.5, 0.3, 0.2]) + t
        b = 20 - 20 * np.array([0.5, 0.3, 0.2]) + n - t
        np.testing.assert_allclose(drawn.mean(0), a / (a + b), rtol=0.03)
        np.testing.assert_allclose(drawn.var(0), a * b / (a + b) ** 2 / (a + b + 1), rtol=0.08)


def test_a_weak_word_explores_and_a_strong_one_does_not() -> None:
    first = {
        strength: float(np.mean(np.argmax(rates(4000, [0.4, 0.3, 0.3], strength=strength), 1) == 0))
        for strength in (1.0, 30.0, 1e7)
    }
    assert first[1.0] < 0.45 < first[30.0] < 0.99 < first[1e7]


@hypothesis.given(
    scores=st.lists(SCORES, min_size=1, max_size=8),
    padding=st.integers(0, 3),
    strength=st.sampled_from([1e-9, 1e-3, 1.0, 50.0, 1e12]),
    k=st.integers(1, 11),
    seed=st.integers(0, 2),
)
def test_it_ranks_the_items_of_the_beam_and_nothing_else(
    scores, padding, strength, k, seed
) -> None:
    items = np.array([[*range(5, 5 + len(scores)), *[-1] * padding]])
    given = np.array([[*scores, *[-np.inf] * padding]], np.float32)
    explore = ThompsonSampling(strength=strength, seed=seed)
    ranked, drawn = explore.rank(items, given, k)
    assert ranked.shape == drawn.shape == (1, min(k, items.shape[1]))
    assert not np.isnan(drawn).any()
    assert (np.diff(drawn[0][np.isfinite(drawn[0])]) <= 0).all()
    kept = ranked[0][ranked[0] >= 0].tolist()
    assert len(set(kept)) == len(kept) == min(k, len(scores))
    assert set(kept) <= set(items[0].tolist())
    np.testing.assert_array_equal(explore.rank(items, given, k)[0], ranked)


def test_a_recommender_explores_its_beam() -> None:
    asked = [[1, 2], []]
    greedy = run(asked, k=6, beams=12)
    known = run(asked, k=12, beams=12).items
    strong = run(asked, k=6, beams=12, explore=ThompsonSampling(strength=1e9))
    # Items that share a semantic ID are equally likely: their order is drawn.
    likely = dict(
        zip(known[0].tolist(), run(asked, k=12, beams=12).scores[0].tolist(), strict=True)
    )
    np.testing.assert_array_equal([likely[i] for i in strong.items[0].tolist()], greedy.scores[0])
    weak = [
        run(asked, k=6, beams=12, explore=ThompsonSampling(strength=1.0, seed=s)).items
        for s in (0, 1)
    ]
    assert (weak[0] != weak[1]).any()
    for user in range(2):
        assert set(weak[0][user].tolist()) <= set(known[user].tolist())
        assert len(set(weak[0][user].tolist())) == 6
    everything = run([[]], k=40, beams=40, exact=True, explore=ThompsonSampling(strength=1.0))
    assert sorted(everything.items[0].tolist()) == list(range(40))
    padded = run([[]], k=45, beams=45, explore=ThompsonSampling(strength=1.0)).items
    assert sorted(padded[0].tolist()) == [-1] * 5 + list(range(40))


def test_what_was_shown_in_vain_falls_behind() -> None:
    best = int(run([[1, 2]], k=1).items[0, 0])
    shown = np.zeros(40, np.int64)
    shown[best] = 100_000
    explore = ThompsonSampling(strength=50.0, shown=shown, taken=0 * shown)
    ranked = run([[1, 2]], k=12, beams=12, explore=explore).items[0].tolist()
    assert ranked.index(best) > 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strength": 0.0}, "strength: found 0.0, expected more than 0"),
        ({"strength": float("nan")}, "strength: found nan"),
        ({"strength": float("inf")}, "strength: found inf"),
        ({"seed": -1}, "seed: found -1"),
        ({"shown": np.ones(40, int)}, "found one of shown and taken"),
        ({"shown": np.ones(40, int), "taken": np.ones(3, int)}, r"shown \(40,\) and taken \(3,\)"),
        ({"shown": np.ones(40, int), "taken": 2 * np.ones(40, int)}, r"item \[0\]: found taken"),
        ({"shown": np.ones(3, int), "taken": np.ones(3, int)}, "shown: found 3 items, expected 40"),
    ],
)
def test_bad_arguments_are_named(options, said: str) -> None:
    with pytest.raises(GenretError, match=said):
        run([[1]], explore=ThompsonSampling(**options))
