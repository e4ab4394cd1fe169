"""The search that accelerators run, against the search that the CPU runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu

from genret import ItemFilter, TrieIndex, beam_search
from genret.testing import TableModel


def exact_model(counts: tuple[int, ...], seed: int, spread: int) -> TableModel:
    """Make a model whose normalizers are exactly 0, with many ties: see ``conftest.exact_model``."""
    rng = np.random.default_rng(seed)
    tables = []
    for count in counts:
        table = -110.0 - rng.integers(0, spread, (31, count + 1))
        table[:, -1] = 0
        tables.append(table)
    return TableModel.of(tables, jnp.float32)


def search(index: TrieIndex, model: TableModel, case: dict[str, object]) -> list[np.ndarray]:
    options = dict(case)
    masks = options.pop("masks")
    filters = None if masks is None else [ItemFilter.from_mask(index, mask) for mask in masks]  # type: ignore[attr-defined]
    result = beam_search(model, jnp.arange(3, dtype=jnp.int32), index, filters=filters, **options)  # type: ignore[arg-type]
    return [np.asarray(x) for x in jax.tree.leaves(result)]


def drawn(seed: int) -> tuple[TrieIndex, TableModel, dict[str, object]]:
    """Draw a catalog, a model and the options of a search."""
    rng = np.random.default_rng(seed)
    depth = int(rng.integers(1, 6))
    counts = tuple(int(x) for x in rng.choice([2, 3, 9, 40, 200], depth))
    items = int(rng.choice([1, 7, 60, 400]))
    codes = np.stack([rng.integers(0, c, items) for c in counts], axis=1)
    if rng.random() < 0.3:  # items that share a semantic ID
        codes = codes[rng.integers(0, items, items)]
    end_code = 0 if rng.random() < 0.3 and depth > 1 else None
    if end_code is not None:
        ended = np.cumsum(codes == end_code, axis=1) > 0
        codes = np.where(ended, end_code, codes)
    index = TrieIndex.from_codes(codes, codes_per_level=counts, end_code=end_code)
    masks = [rng.random(items) < 0.4 for _ in range(2)] if rng.random() < 0.5 else None
    case: dict[str, object] = {
        "beams": int(rng.choice([1, 5, 17])),
        "masks": masks,
        "filter_of": None if masks is None else rng.integers(0, 2, 3),
        "exclude": rng.integers(-1, items, (3, 4)) if rng.random() < 0.5 else None,
        "beams_of": None,
        "tail": "auto" if rng.random() < 0.2 else None,
    }
    if rng.random() < 0.3:
        case["beams_of"] = rng.integers(0, int(case["beams"]) + 1, 3)  # type: ignore[call-overload]
    return index, exact_model(counts, seed, int(rng.choice([1, 3, 50]))), case


@pytest.mark.parametrize("seed", range(40))
def test_records_answer_as_the_trie(seed: int) -> None:
    """Beams that carry the codes below them, in plain JAX, as on a GPU."""
    index, model, case = drawn(seed)
    for found, expected in zip(
        search(index.to("gpu"), model, case), search(index, model, case), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_kernels_answer_as_the_trie(seed: int) -> None:
    """The TPU's kernels, in the interpreter."""
    index, model, case = drawn(seed)
    with pltpu.force_tpu_interpret_mode():
        found = search(index.to("tpu"), model, case)
    for own, expected in zip(found, search(index, model, case), strict=True):
        np.testing.assert_array_equal(own, expected)
