"""Every method against the exact search in NumPy, on tries of several shapes."""

import importlib.util

import numpy as np
import pytest

from benchmarks.methods import METHODS, Unsupported
from genret.testing import GivenLogits, SortedCatalog, given, random_codes

pytestmark = pytest.mark.slow  # the rivals; our own search has its tests in tests/decoding

SHAPES = {
    "uniform": random_codes(300, (16, 16, 16), seed=1),
    "zipf": random_codes(300, (40, 7, 33), "zipf", seed=2),
    "one item": random_codes(1, (5, 5, 5), seed=3),
    "duplicates": np.repeat(random_codes(12, (6, 6, 6), seed=4), 5, axis=0),
}
BATCH, BEAMS = 2, 6


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", METHODS)
def test_equals_the_exact_search(name: str, shape: str) -> None:
    catalog = SortedCatalog.of(SHAPES[shape])
    sizes = tuple(int(x) + 2 for x in catalog.codes.max(axis=0))
    if name == "marisa" and importlib.util.find_spec("marisa_trie") is None:
        with pytest.raises(Unsupported, match="pip install"):
            METHODS[name].build(catalog.codes, sizes)
        pytest.skip("marisa-trie is not installed")
    method = METHODS[name].build(catalog.codes, sizes)
    model, history = GivenLogits.random(BATCH, BEAMS, sizes, seed=5)
    found = method.run(model, history, 3, BEAMS)
    assert (method.bytes > 0) == (name != "unconstrained")
    for request in range(BATCH):
        exact = catalog.search(given(model, history, request), BEAMS)
        real = np.asarray(found.scores[request]) > -np.inf
        answers = np.asarray(found.codes[request])[real]
        if not method.exact:
            assert len(answers) <= BEAMS
            continue
        rows, scores = exact.items(BEAMS) if method.of_items else (exact.lo, exact.scores)
        np.testing.assert_array_equal(answers, catalog.codes[rows])
        np.testing.assert_array_equal(np.asarray(found.scores[request])[real], scores)


@pytest.mark.parametrize(("name", "least"), [("ppv-top50", 0.99), ("hash-bitmap", 0.5)])
def test_approximate_methods_find_most(name: str, least: float) -> None:
    catalog = SortedCatalog.of(random_codes(2000, (40, 40, 40), seed=6))
    method = METHODS[name].build(catalog.codes, (40, 40, 40))
    model, history = GivenLogits.random(4, 8, (40, 40, 40), seed=7)
    found = np.asarray(method.run(model, history, 3, 8).codes)
    hits = 0
    for request in range(4):
        exact = catalog.search(given(model, history, request), 8)
        right = set(map(tuple, catalog.codes[exact.lo].tolist()))
        hits += len(right & set(map(tuple, found[request].tolist())))
    assert hits >= least * 32


def test_what_does_not_fit_is_said() -> None:
    codes = random_codes(10, (70_000, 70_000), seed=8)
    for name in ("static-style",):
        with pytest.raises(Unsupported, match="expected at most"):
            METHODS[name].build(SortedCatalog.of(codes).codes, (70_000, 70_000))
