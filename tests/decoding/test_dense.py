"""The best children of a dense level, chosen by blocks or at once, against a sort of all of them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genret.decoding.candidates import BLOCK, best_of_few, best_of_words
from genret.decoding.readout import Scored
from genret.index.bits import WORD_BITS

SEEDS = range(6)


@pytest.mark.parametrize("choose", [best_of_words, best_of_few])
@pytest.mark.parametrize("readouts", ["one", "all"])
@pytest.mark.parametrize(
    ("num_beams", "num_codes", "beams"),
    [(1, 5, 3), (3, 33, 40), (2, BLOCK, 1), (5, BLOCK + 2, 7), (4, 3 * BLOCK, 200), (9, 300, 6)],
)
def test_the_choice_equals_a_stable_sort(
    num_beams: int, num_codes: int, beams: int, readouts: str, choose: Callable[..., Any]
) -> None:
    search = jax.jit(choose, static_argnames="beams")
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        rows = num_beams if readouts == "all" else 1
        # Few values: the answer is mostly a matter of ties; some logits are huge, some impossible.
        values = np.array([-np.inf, -1e30, -1.0, 0.0, 0.5, 0.5, 1e4], np.float32)
        logits = rng.choice(values, (2, rows, num_codes)).astype(np.float32)
        legal = rng.random((2, num_beams, num_codes)) < rng.choice([0.0, 0.02, 0.5, 1.0])
        base = rng.choice(np.array([-np.inf, -2.0, -1.0], np.float32), (2, num_beams))
        normalizer = np.ones((2, rows), np.float32)

        padded = np.zeros((2, num_beams, -(-num_codes // WORD_BITS) * WORD_BITS), bool)
        padded[..., :num_codes] = legal
        words = np.packbits(padded, axis=-1, bitorder="little").view(np.uint32)
        scored = Scored(
            readout=jnp.asarray(logits), normalizer=jnp.asarray(normalizer), base=jnp.asarray(base)
        )
        scores, parents, codes = search(jnp.asarray(words), scored, beams=beams)

        every = base[..., None] + (logits - normalizer[..., None])
        every = np.where(legal, every, -np.inf).astype(np.float32).reshape(2, -1)
        order = np.argsort(-every, axis=1, kind="stable")[:, :beams]
        best = np.take_along_axis(every, order, axis=1)
        found = best > -np.inf
        number = order.shape[1]  # what is asked for beyond all candidates is none
        np.testing.assert_array_equal(scores[:, :number], best)
        assert (np.asarray(scores[:, number:]) == -np.inf).all()
        np.testing.assert_array_equal(parents[:, :number][found], (order // num_codes)[found])
        np.testing.assert_array_equal(codes[:, :number][found], (order % num_codes)[found])
