"""Bar 5 in a process of its own: build an index of very many codes, decode, check; print JSON."""

import argparse
import json
import time
from typing import Any

import jax
import numpy as np

from benchmarks._common import peak_gib
from benchmarks._draws import GivenLogits, draw_codes, given_logits
from benchmarks._oracle import Catalog, check_answer, given
from benchmarks._record import interleave
from genret import TrieIndex, beam_search
from genret.typing import Codes


def measure(items: int, small: int, codes: int, depth: int, repeats: int) -> dict[str, Any]:
    """Build and decode ``items`` codes beside ``small`` ones; return the figures."""
    batch, beams = 2, 70
    imports = peak_gib()
    rng = np.random.default_rng(5)
    # As they may lie on disk: 16 bits a code, in no order.
    table = np.empty((items, depth), np.uint16)
    for begin in range(0, items, 1 << 20):
        part = table[begin : begin + (1 << 20)]
        part[:] = rng.integers(0, codes, part.shape, dtype=np.uint16)
    with_input = peak_gib()
    sizes = (codes,) * depth
    start = time.perf_counter()
    big = TrieIndex.from_codes(table, codes_per_level=sizes)
    jax.block_until_ready(big)
    seconds, after_build = time.perf_counter() - start, peak_gib()

    few = TrieIndex.from_codes(draw_codes(small, sizes, seed=6), codes_per_level=sizes)
    model, history = given_logits(batch, beams, sizes, seed=7)
    times = interleave(
        {
            "big": lambda: beam_search(model, history, big, beams=beams),
            "small": lambda: beam_search(model, history, few, beams=beams),
        },
        repeats,
    )
    after_decode = peak_gib()
    result = beam_search(model, history, big, beams=beams)
    check(result, model, history, table, codes, beams)
    return {
        **times,
        "step_ratio": times["big"]["ms"] / times["small"]["ms"],
        "build_s": seconds,
        "bytes": big.nbytes,
        "imports_gib": imports,
        "with_input_gib": with_input,
        "build_gib": after_build,
        "decode_gib": after_decode,
    }


def check(
    result: Any, model: GivenLogits, history: np.ndarray, table: Codes, codes: int, beams: int
) -> None:
    """Refuse an answer that is not the exact one, without sorting all codes.

    For the first two levels one item of each pair of codes stands for all; behind them, the items
    below the pairs that win are all that a search can meet.
    """
    pair = table[:, 0].astype(np.int32) * codes + table[:, 1]
    one_of = np.full(codes * codes, -1, np.int32)
    one_of[pair] = np.arange(len(table), dtype=np.int32)
    one_of = one_of[one_of >= 0]
    pairs = Catalog.of(table[one_of].astype(np.int32))
    wins = np.zeros(codes * codes, bool)
    for request in range(len(history)):
        best = pairs.search(given(model, history, request), beams, levels=2)
        first, second = pairs.codes[best.lo, :2].T
        wins[first * codes + second] = True
    kept = wins[pair]
    kept[one_of] = True
    some = Catalog.of(table[kept].astype(np.int32))
    position = np.flatnonzero(kept)[some.positions]
    expected = []
    for request in range(len(history)):
        rows, scores = some.search(given(model, history, request), beams).items(beams)
        expected.append((position[rows], scores))
    check_answer(result, expected, table)


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks._big", description=__doc__)
    for name in ("items", "small", "codes", "depth", "repeats"):
        parser.add_argument(f"--{name}", type=int, required=True)
    print(json.dumps(measure(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
