"""The check that two beam searches agree: ties may fall either way, nothing else may."""

import numpy as np
import pytest

from benchmarks.same_beams import apart
from genret.errors import GenretError

CODES = np.array([[[0, 1], [2, 3], [4, 5]]])
SCORES = np.array([[-1.0, -2.0, -2.00001]])


def test_the_same_but_for_ties() -> None:
    assert apart("a", (CODES, SCORES), (CODES, SCORES)) == 0
    swapped = (CODES[:, [0, 2, 1]], SCORES)
    assert apart("a", swapped, (CODES, SCORES)) == pytest.approx(1e-5)
    with pytest.raises(GenretError, match="order or score"):
        apart("a", (CODES[:, [1, 0, 2]], SCORES[:, [1, 0, 2]]), (CODES, SCORES))
    with pytest.raises(GenretError, match="order or score"):
        apart("a", (CODES, SCORES - 0.01), (CODES, SCORES))


def test_an_item_may_differ_where_its_prefix_was_tied_at_the_cut() -> None:
    other = CODES.copy()
    other[0, 2] = [6, 7]
    own = (other, np.array([[-1.0, -2.0, -2.5]]))
    tied = {(4, 5): [-1.5, -2.00001], (6, 7): [-1.50001, -2.5]}
    apart_there = {(4, 5): [-1.5, -2.00001], (6, 7): [-1.6, -2.5]}

    def scores(known):
        return lambda prompt, codes: np.array([known[tuple(c)] for c in codes.tolist()])

    assert apart("a", own, (CODES, SCORES), scores(tied)) == 0
    with pytest.raises(GenretError, match=r"answers differ: items \[\(6, 7\)\] for \[\(4, 5\)\]"):
        apart("a", own, (CODES, SCORES), scores(apart_there))
    with pytest.raises(GenretError, match="answers differ"):
        apart("a", own, (CODES, SCORES))
    with pytest.raises(GenretError, match="answers differ"):
        apart("a", (CODES + 1, SCORES), (CODES, SCORES), scores(tied))
