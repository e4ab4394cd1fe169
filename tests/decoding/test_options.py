"""Other ways to search: legal normalization, tails, samples, end codes, readouts, one-pass models."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genret.decoding import ParallelHeads, Projection, beam_search, exact_search
from genret.errors import GenretError
from genret.index import ItemFilter, TrieIndex
from genret.testing import (
    DictTrie,
    TableModel,
    random_codes,
    rank_all_items,
    slow_beam_search,
)

COUNTS = (6, 5, 7)
CODES = random_codes(60, COUNTS, "zipf", seed=3)
MODEL = TableModel.random(COUNTS, seed=2)
HISTORY = jnp.arange(3, dtype=jnp.int32)
MASK = np.random.default_rng(0).random(60) < 0.6
STORED = pytest.mark.parametrize(
    "stored",
    [
        "dense",
        pytest.param("window", marks=pytest.mark.slow),
        pytest.param("ragged", marks=pytest.mark.slow),
    ],
)
"""Every way to store a level; each is several programs to compile."""


def assert_answers(result: Any, request_: int, expected: list) -> None:
    n = len(expected)
    valid = np.asarray(result.valid[request_])
    assert valid.tolist() == [True] * n + [False] * (valid.size - n)
    assert np.asarray(result.items[request_])[:n].tolist() == [e.item for e in expected]
    np.testing.assert_allclose(
        np.asarray(result.scores[request_])[:n], [e.score for e in expected], rtol=2e-5, atol=2e-5
    )
    assert np.asarray(result.codes[request_])[:n].tolist() == [list(e.codes) for e in expected]


@STORED
@pytest.mark.parametrize("normalize", [pytest.param("legal", marks=pytest.mark.slow), "catalog"])
def test_scores_normalized_over_children(make_index: Callable, stored: str, normalize: str) -> None:
    index = make_index(CODES, stored, codes_per_level=COUNTS)
    item_filter = ItemFilter.from_mask(index, MASK)
    seen = [[3, 4, -1], [59, 0, 1], [-1, -1, -1]]
    models = {"dense": [MODEL], "window": [projected(MODEL)], "ragged": [MODEL, projected(MODEL)]}
    for model in models[stored]:
        result = beam_search(
            model, HISTORY, index, beams=9, filters=[item_filter], exclude=seen, normalize=normalize
        )
        for b in range(3):
            allowed = [i for i in np.flatnonzero(MASK).tolist() if i not in seen[b]]
            trie = DictTrie(CODES, allowed if normalize == "legal" else range(len(CODES)))

            def among(prefix: tuple, b: int = b, trie: DictTrie = trie) -> np.ndarray:
                logits = np.full(COUNTS[len(prefix)], -np.inf, np.float32)
                children = trie.children(prefix)
                logits[children] = MODEL.logits_after(HISTORY, b, prefix)[children]
                return logits

            assert_answers(result, b, slow_beam_search(among, CODES, 9, allowed))
        # With beams for all items, a search misses none: it is the exact one.
        all_items = {"filters": [item_filter], "exclude": seen, "normalize": normalize}
        wide = beam_search(model, HISTORY, index, beams=len(CODES), **all_items)
        exact = exact_search(model, HISTORY, index, top=len(CODES), **all_items)
        np.testing.assert_array_equal(wide.valid, exact.valid)
        np.testing.assert_allclose(wide.scores, exact.scores, rtol=2e-5, atol=2e-5)


@functools.partial(jax.tree_util.register_dataclass, data_fields=("inner",), meta_fields=())
@dataclasses.dataclass
class Projected:
    """The inner model, with its logits written as a projection."""

    inner: TableModel

    def prefill(self, history: Any) -> Any:
        logits, cache = self.inner.prefill(history)
        return self._split(logits), cache

    def step(self, codes: Any, parents: Any, cache: Any) -> Any:
        logits, cache = self.inner.step(codes, parents, cache)
        return self._split(logits), cache

    def _split(self, logits: jax.Array) -> Projection:
        return Projection(hidden=logits, table=jnp.eye(logits.shape[-1]))


def projected(model: TableModel) -> Projected:
    return Projected(model)


def test_a_projection_is_its_logits() -> None:
    index = TrieIndex.from_codes(CODES, codes_per_level=COUNTS)
    one, two = (
        beam_search(model, HISTORY, index, beams=9, check=True)
        for model in (MODEL, projected(MODEL))
    )
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), one, two)


class NoSteps(TableModel):
    """A model that can only score tails after the first step."""

    def step(self, codes: Any, parents: Any, cache: Any) -> Any:
        logits, cache = super().step(codes, parents, cache)
        return (jnp.nan * logits if cache.level > 1 else logits), cache


jax.tree_util.register_dataclass(NoSteps, ("tables",), ())


@pytest.mark.parametrize(
    ("beams", "restricted"),
    [
        (3, True),
        pytest.param(3, False, marks=pytest.mark.slow),
        pytest.param(80, True, marks=pytest.mark.slow),
    ],
)
def test_a_tail_finds_the_best_items_below_the_beams(beams: int, restricted: bool) -> None:
    counts = (9, 9, 4, 4)
    codes = random_codes(60, counts, "duplicates", seed=5)
    model = TableModel.random(counts, seed=1)
    index = TrieIndex.from_codes(codes, codes_per_level=counts)
    keep = np.flatnonzero(MASK) if restricted else np.arange(60)
    options: dict[str, Any] = {"beams_of": [beams, 2, beams]}
    if restricted:
        options["filters"] = [ItemFilter.from_mask(index, MASK)]
    broken = NoSteps(tables=model.tables)
    result = beam_search(broken, HISTORY, index, beams=beams, tail=80, **options)
    stepped = beam_search(model, HISTORY, index, beams=beams, **options)
    for b in range(3):
        most = options["beams_of"][b]

        def logits_of(prefix: tuple, b: int = b) -> np.ndarray:
            return model.logits_after(HISTORY, b, prefix)

        # Two codes are chosen by the beam; below these prefixes all items are ranked.
        found = slow_beam_search(logits_of, np.unique(codes[keep][:, :2], axis=0), most)
        live = {answer.codes for answer in found}
        below = [i for i in keep.tolist() if tuple(codes[i, :2].tolist()) in live]
        expected = rank_all_items(logits_of, codes, below)[:most]
        assert_answers(result, b, expected)
        best = np.asarray(stepped.scores[b]), np.asarray(result.scores[b])
        assert (best[1] >= best[0] - 1e-5).all()  # never worse than stepping
        if beams == 80 and most == 80:  # nothing pruned
            assert_answers(stepped, b, expected)


def test_a_tail_that_does_not_fit_or_cannot_be_is_stepped() -> None:
    index = TrieIndex.from_codes(CODES, codes_per_level=COUNTS)
    expected = beam_search(MODEL, HISTORY, index, beams=6)
    found = [
        beam_search(MODEL, HISTORY, index, beams=6, tail=1),
        beam_search(projected(MODEL), HISTORY, index, beams=6, tail="auto"),  # has no score_tail
    ]
    for result in found:
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), result, expected)


@pytest.mark.slow
def test_ties_of_a_tail_are_ordered_as_steps_order_them(make_exact: Callable) -> None:
    counts = (8, 8, 3, 3, 3)
    codes = random_codes(50, counts, seed=8)
    index = TrieIndex.from_codes(codes)
    for seed in range(6):
        model = make_exact(counts, seed, 2)
        stepped = beam_search(model, HISTORY, index, beams=64)
        tail = beam_search(model, HISTORY, index, beams=64, tail=64)
        jax.tree.map(np.testing.assert_array_equal, stepped, tail)


@STORED
def test_samples_follow_the_model_and_repeat_nothing(make_index: Callable, stored: str) -> None:
    counts = (3, 3, 2)
    codes = np.unique(random_codes(12, counts, seed=1), axis=0)
    model = TableModel.random(counts, seed=4, scale=0.7)
    index = make_index(codes, stored, codes_per_level=counts)
    batch = 4000
    history = jnp.zeros(batch, jnp.int32)
    leaves = codes
    result = beam_search(
        model, history, index, beams=3, normalize="legal", sample=jax.random.key(0)
    )
    trie = DictTrie(codes)
    probability = np.ones(len(leaves))
    for n, leaf in enumerate(leaves.tolist()):
        for level in range(3):
            children = trie.children(tuple(leaf[:level]))
            logits = model.logits_after(history, 0, leaf[:level])
            weights = np.exp(logits[children] - logits[children].max())
            probability[n] *= weights[children.index(leaf[level])] / weights.sum()
    np.testing.assert_allclose(probability.sum(), 1, rtol=1e-5)
    spelled = np.asarray(result.codes)
    drawn = np.array([[leaves.tolist().index(c) for c in row] for row in spelled[:, [0]].tolist()])
    counted = np.bincount(drawn[:, 0], minlength=len(leaves)) / batch
    # Five standard deviations of each share.
    assert (abs(counted - probability) < 5 * np.sqrt(probability / batch) + 1e-3).all()
    np.testing.assert_allclose(
        np.asarray(result.scores)[:, 0], np.log(probability)[drawn[:, 0]], rtol=1e-4
    )
    items = np.asarray(result.items)
    assert all(len(set(row)) == 3 for row in items.tolist())
    again = beam_search(model, history, index, beams=3, normalize="legal", sample=jax.random.key(0))
    np.testing.assert_array_equal(again.items, items)
    # The second draw, given the first: the probabilities of the others, renormalized.
    first = int(np.argmax(probability))
    rows = drawn[:, 0] == first
    second = [leaves.tolist().index(c) for c in spelled[rows, 1].tolist()]
    share = np.bincount(second, minlength=len(leaves)) / rows.sum()
    rest = np.where(np.arange(len(leaves)) == first, 0, probability)
    rest /= rest.sum()
    assert (abs(share - rest) < 5 * np.sqrt(rest / rows.sum()) + 2e-3).all()


@STORED
def test_semantic_ids_of_several_lengths(make_index: Callable, stored: str) -> None:
    rng = np.random.default_rng(0)
    counts, end = (5, 5, 5, 5), 0
    codes = rng.integers(1, 5, (40, 4))
    lengths = rng.integers(1, 5, 40)
    codes[np.arange(4)[None] >= lengths[:, None]] = end
    model = TableModel.random(counts, seed=0)
    index = make_index(codes, stored, codes_per_level=counts, end_code=end)

    def score(b: int, row: list[int]) -> float:
        total = 0.0
        for level, code in enumerate(row):
            logits = model.logits_after(HISTORY, b, row[:level])
            total += logits[code] - np.log(np.exp(logits).sum())
            if code == end:
                break
        return total

    options: list[dict[str, Any]] = [{}, {"tail": 60}]
    for result in (
        *(beam_search(model, HISTORY, index, beams=50, **o) for o in options),
        exact_search(model, HISTORY, index, top=50),
    ):
        for b in range(3):
            scores = [score(b, row) for row in codes.tolist()]
            shown = [row[: row.index(end) + 1] if end in row else row for row in codes.tolist()]
            valid = np.asarray(result.valid[b])
            assert valid.sum() == 40
            items = np.asarray(result.items[b])[valid].tolist()
            assert sorted(items) == list(range(40))
            np.testing.assert_allclose(
                np.asarray(result.scores[b])[valid], np.array(scores)[items], rtol=1e-4
            )
            assert (np.diff(np.asarray(result.scores[b])[valid]) <= 0).all()
            for item, spelled in zip(items, result.codes[b].tolist(), strict=False):
                assert spelled == shown[item] + [-1] * (4 - len(shown[item]))


@pytest.mark.parametrize("kind", ["uniform", "duplicates"])
def test_exact_search_ranks_all_items(kind: str) -> None:
    codes = random_codes(60, COUNTS, kind, seed=4)
    index = TrieIndex.from_codes(codes, codes_per_level=COUNTS)
    seen = [[3, 4, -1], [59, 0, 1], [-1, -1, -1]]
    filters = [ItemFilter.from_mask(index, MASK), ~ItemFilter.from_mask(index, MASK)]
    result = exact_search(
        MODEL, HISTORY, index, top=70, filters=filters, filter_of=[0, 1, 0], exclude=seen
    )
    for b in range(3):
        mask = ~MASK if b == 1 else MASK
        keep = [i for i in np.flatnonzero(mask).tolist() if i not in seen[b]]
        expected = rank_all_items(lambda p, b=b: MODEL.logits_after(HISTORY, b, p), codes, keep)
        assert_answers(result, b, expected)
    with pytest.raises(GenretError, match="top: found 0"):
        exact_search(MODEL, HISTORY, index, top=0)


@functools.partial(jax.tree_util.register_dataclass, data_fields=("tables",), meta_fields=())
@dataclasses.dataclass
class OnePass:
    """A model of independent levels: its logits are a row of each table."""

    tables: tuple

    def __call__(self, history: Any) -> Any:
        return [table[history] for table in self.tables]


@STORED
def test_a_model_of_one_pass(make_index: Callable, stored: str) -> None:
    index = make_index(CODES, stored, codes_per_level=COUNTS)
    model = OnePass(MODEL.tables)
    heads = ParallelHeads(model=model)
    for options in ({}, {"tail": 70}):
        result = beam_search(heads, HISTORY, index, beams=9, **options)
        for b in range(3):
            tables = [np.asarray(t[b]) for t in MODEL.tables]
            expected = slow_beam_search(lambda p, t=tables: t[len(p)], CODES, 9)
            if not options:
                assert_answers(result, b, expected)
            else:
                assert result.scores[b, 0] >= expected[0].score - 1e-5
    result = exact_search(heads, HISTORY, index, top=9)
    tables = [np.asarray(t[0]) for t in MODEL.tables]
    assert_answers(result, 0, rank_all_items(lambda p: tables[len(p)], CODES)[:9])
    shallow = ParallelHeads(model=OnePass(MODEL.tables[:2]))
    with pytest.raises(GenretError, match="fewer levels"):
        beam_search(shallow, HISTORY, index, beams=2)


def test_options_that_do_not_go_together_are_named() -> None:
    index = TrieIndex.from_codes(CODES, codes_per_level=COUNTS)
    key = jax.random.key(0)
    for options, message in [
        ({"normalize": "whole"}, "normalize: found 'whole'"),
        ({"tail": 0}, "tail: found 0"),
        ({"tail": "yes"}, "tail: found 'yes'"),
        ({"tail": "auto", "normalize": "legal"}, "tail: found with"),
        ({"tail": "auto", "normalize": "catalog"}, "tail: found with"),
        ({"sample": key}, "sample: found a key"),
    ]:
        with pytest.raises(GenretError, match=message):
            beam_search(MODEL, HISTORY, index, beams=2, **options)
