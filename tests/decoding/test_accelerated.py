"""The search that accelerators run, against the search that the CPU runs."""

import logging
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from genret_kernels import KernelError
from genret_kernels.dense_level import dense_level
from genret_kernels.lines_level import lines_level
from jax.experimental.pallas import tpu as pltpu

from genret import ItemFilter, TrieIndex, beam_search
from genret.decoding import accelerated
from genret.index import LiveIndex
from genret.index.levels import DenseLevel
from genret.index.ragged_lines import RaggedLines
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
        codes[:, 0] = 1 + codes[:, 0] % (counts[0] - 1)  # no semantic ID is empty
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


SEEDS = [
    *range(2),
    *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 8)),
    *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(8, 40)),
]


@pytest.mark.parametrize("seed", SEEDS)
def test_records_answer_as_the_trie(seed: int) -> None:
    """Beams that carry the codes below them, in plain JAX, as on a GPU."""
    index, model, case = drawn(seed)
    for found, expected in zip(
        search(index.to("gpu"), model, case), search(index, model, case), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


INTERPRETED = [
    *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(100, 102)),
    *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(102, 120)),
]


@pytest.mark.parametrize("seed", INTERPRETED)
def test_gpu_kernels_answer_as_the_trie(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU's kernels, in the interpreter."""

    def interpreted(plan: object, level: int, op: Callable[..., object]) -> Callable[..., object]:
        return partial(op, implementation="pallas_gpu", interpret=True)

    monkeypatch.setattr(accelerated, "_with_fallback", interpreted)
    index, model, case = drawn(seed)
    for own, expected in zip(
        search(index.to("gpu"), model, case), search(index, model, case), strict=True
    ):
        np.testing.assert_array_equal(own, expected)


@pytest.mark.parametrize("seed", INTERPRETED)
def test_kernels_answer_as_the_trie(seed: int) -> None:
    """The TPU's kernels, in the interpreter."""
    index, model, case = drawn(seed)
    with pltpu.force_tpu_interpret_mode():
        found = search(index.to("tpu"), model, case)
    for own, expected in zip(found, search(index, model, case), strict=True):
        np.testing.assert_array_equal(own, expected)


def skewed(seed: int) -> tuple[TrieIndex, TableModel, dict[str, object]]:
    """Draw a catalog with wide nodes on ragged levels, a model and the options of a search."""
    rng = np.random.default_rng(seed)
    counts = [(9, 5000, 300), (40, 3000, 1000)][seed % 2]
    items = int(rng.choice([400, 3000]))
    codes = np.minimum(rng.zipf(1.3, (items, len(counts))) - 1, np.array(counts) - 1)
    case: dict[str, object] = {
        "beams": int(rng.choice([5, 17])),
        "masks": None,
        "exclude": rng.integers(-1, items, (3, 60)) if seed % 3 else None,
    }
    index = TrieIndex.from_codes(codes, codes_per_level=counts)
    return index, exact_model(counts, seed, int(rng.choice([1, 3, 50]))), case


SKEWED = [1, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(2, 20))]


@pytest.mark.parametrize("seed", SKEWED)
def test_ragged_levels_answer_as_the_trie(seed: int) -> None:
    """Lines of wide nodes and of codes, in plain JAX, as on a GPU."""
    index, model, case = skewed(seed)
    own = index.to("gpu")
    plan = own.trie.accelerated
    assert plan is not None
    assert any(isinstance(branch, RaggedLines) for branch in plan.branches)
    for found, expected in zip(search(own, model, case), search(index, model, case), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "of_lines"), [pytest.param(3, 2, marks=pytest.mark.exhaustive), (4, 0), (9, 1)]
)
def test_ragged_levels_answer_as_the_trie_in_kernels(
    seed: int, of_lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with the TPU's kernels, in the interpreter; exclusions do without those of lines."""
    calls = []

    def counted(*arguments: jax.Array, **options: object) -> tuple[jax.Array, ...]:
        calls.append(options["level"])
        return lines_level(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(accelerated, "lines_level", counted)
    index, model, case = skewed(seed)
    with pltpu.force_tpu_interpret_mode():
        found = search(index.to("tpu"), model, case)
    assert len(calls) == of_lines
    for own, expected in zip(found, search(index, model, case), strict=True):
        np.testing.assert_array_equal(own, expected)


def said(
    caplog: pytest.LogCaptureFixture, index: TrieIndex | LiveIndex, **options: object
) -> list[str]:
    """Return the lines that tracing a search logs; nothing is compiled or run."""
    model = TableModel.random(index.codes_per_level, seed=0)
    options = {"beams": 3} | options

    def run(history: jax.Array) -> jax.Array:
        return beam_search(model, history, index, **options).items  # type: ignore[arg-type]

    caplog.clear()
    with caplog.at_level(logging.INFO, logger="genret"):
        jax.eval_shape(run, jax.ShapeDtypeStruct((2,), jnp.int32))
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


WHOLE = "WARNING search on a TPU: all 2 levels in XLA: "


def test_what_kernels_do_not_cover_is_said(caplog: pytest.LogCaptureFixture) -> None:
    grid = np.stack(np.divmod(np.arange(12), 3), axis=1)
    index = TrieIndex.from_codes(grid)
    tpu = index.to("tpu")
    assert said(caplog, index, normalize="legal") == []
    assert said(caplog, tpu) == []
    assert said(caplog, tpu, normalize="legal") == [
        f"{WHOLE}normalize='legal', and kernels normalize over the codes of a level"
    ]
    key = jax.random.key(0)
    assert said(caplog, tpu, normalize="legal", sample=key) == [f"{WHOLE}the search samples"]
    live = LiveIndex(tpu).insert([[0, 2]])
    assert said(caplog, live) == [
        f"{WHOLE}the index has two tries, that of inserted items beside the first"
    ]
    assert said(caplog, index.to("gpu")) == []
    assert said(caplog, index.to("gpu"), normalize="legal", sample=key) == [
        "WARNING search on a GPU: all 2 levels in XLA: the search samples"
    ]


def test_levels_that_kernels_do_not_cover_are_said(caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 300, (4000, 3))
    wide[:2000, :2] = rng.integers(0, 3, (2000, 2))
    start = "WARNING search on a TPU: "
    index = TrieIndex.from_codes(wide).to("tpu")
    assert said(caplog, index) == []
    every = ItemFilter.from_mask(index, np.ones(4000, bool))
    assert said(caplog, index, filters=[every]) == [
        f"{start}level 2 in XLA: a ragged level under filters"
    ]
    late = np.concatenate([wide[:, 2:] * 200, wide % 3], axis=1)
    index = TrieIndex.from_codes(late, codes_per_level=(60_000, 3, 3, 3)).to("tpu")
    assert said(caplog, index)[0] == (
        f"{start}level 0 in XLA: a ragged level that is too large, or with other than dense ones before it"
    )

    ends = TrieIndex.from_codes([[1, 0], [1, 1], [1, 2], [2, 1]], end_code=0)
    assert said(caplog, ends.to("tpu")) == [
        f"{start}level 1 in XLA: a dense level below others in an index with an end code, 0"
    ]

    deep = rng.integers(0, 5000, (64, 9))
    deep[:, 0] = np.arange(64) // 32
    lines = said(caplog, TrieIndex.from_codes(deep).to("tpu"))
    assert lines == [
        f"{start}level {level} in XLA: a beam's record has no room for 32 items of 8 codes, in 9 levels"
        for level in range(1, 9)
    ]


def test_sizes_that_a_kernel_refuses_are_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel knows only when it is called whether its memory has room."""

    def refusing(*arguments: jax.Array, implementation: str | None = None, beams: int) -> object:
        if implementation is not None:
            raise KernelError("dense_level: VMEM: found 9, expected at most 8; use 'xla'")
        return dense_level(*arguments, beams=beams)

    monkeypatch.setattr(accelerated, "dense_level", refusing)
    grid = np.stack(np.divmod(np.arange(12), 3), axis=1)
    index = TrieIndex.from_codes(grid).to("tpu")
    assert [type(level) for level in index.trie.levels] == [DenseLevel, DenseLevel]
    assert said(caplog, index, beams=4) == [
        f"WARNING search on a TPU: level {level} in XLA: "
        "dense_level: VMEM: found 9, expected at most 8; use 'xla'"
        for level in (0, 1)
    ]
