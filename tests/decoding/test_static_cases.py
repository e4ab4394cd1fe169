"""Inputs on which the open STATIC code goes wrong, by the numbers of its known faults."""

from collections.abc import Callable

import numpy as np
import pytest

from genret.index import TrieIndex
from genret.testing import random_codes


def test_1_every_answer_is_an_item_when_all_share_the_first_code(
    equals_oracle: Callable, make_exact: Callable
) -> None:
    codes = np.stack([np.zeros(50, int), np.arange(50), np.arange(50)], axis=1)
    answers = equals_oracle(make_exact((1, 50, 50), 0, 100), codes, beams=50, batch=2)
    assert [len(a) for a in answers] == [50, 50]


def test_2_more_beams_than_items_gives_padding_and_no_fillers(
    equals_oracle: Callable, make_exact: Callable
) -> None:
    for num_items, beams in ((5, 10), (1, 4)):
        codes = random_codes(num_items, (8, 8, 8), seed=1)
        answers = equals_oracle(make_exact((8, 8, 8), 0, 9), codes, beams=beams, batch=2)
        assert [len(a) for a in answers] == [num_items] * 2


def test_3_scores_are_returned(equals_oracle: Callable, make_exact: Callable) -> None:
    codes = random_codes(20, (8, 8))
    answers = equals_oracle(make_exact((8, 8), 0, 2**16), codes, beams=6)
    assert all(np.isfinite(a.score) for row in answers for a in row)


def test_4_the_beam_is_not_cut_per_parent(equals_oracle: Callable, make_exact: Callable) -> None:
    """The 64 best semantic IDs all lie below one of 8 first codes."""
    codes = np.stack([np.repeat(np.arange(8), 64), np.tile(np.arange(64), 8)], axis=1)
    model = make_exact((8, 64), 0, 5)
    first = np.asarray(model.tables[0]).copy()
    first[:, 3] += 50
    answers = equals_oracle(type(model).of([first, model.tables[1]]), codes, beams=64)
    assert {a.codes[0] for row in answers for a in row} == {3}


def test_5_unsorted_input_reaches_every_item(equals_oracle: Callable, make_exact: Callable) -> None:
    codes = np.random.default_rng(0).permutation(random_codes(500, (16, 16, 16), seed=2))
    answers = equals_oracle(make_exact((16, 16, 16), 0, 50), codes, beams=600, batch=1)
    assert {a.item for a in answers[0]} == set(range(500))


def test_6_duplicates_keep_all_their_items(equals_oracle: Callable, make_exact: Callable) -> None:
    codes = np.repeat([[1, 2], [0, 1], [3, 3]], 4, axis=0)
    answers = equals_oracle(make_exact((4, 4), 0, 50), codes, beams=12)
    assert sorted(a.item for a in answers[0]) == list(range(12))


def test_9_more_beams_than_codes(equals_oracle: Callable, make_exact: Callable) -> None:
    codes = random_codes(200, (4, 4, 4, 4), seed=3)
    equals_oracle(make_exact((4, 4, 4, 4), 0, 50), codes, beams=70)


@pytest.mark.slow
def test_8_and_10_deep_tries_of_any_shape(equals_oracle: Callable, make_exact: Callable) -> None:
    codes = random_codes(30, (2,) * 24, seed=4)
    assert TrieIndex.from_codes(codes).depth == 24
    equals_oracle(make_exact((2,) * 24, 0, 3), codes, beams=4, batch=1)
