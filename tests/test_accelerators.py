"""The search and the optimizer step lower for GPU and TPU, and compile for TPU where libtpu is there.

None of this runs on an accelerator: it shows that the programs hold nothing that only a CPU knows.
"""

import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from genret import History, ItemFilter, TrieIndex, beam_search
from genret.config import ItemDecoderConfig, TrainConfig
from genret.index import FilterStack
from genret.models import build_model
from genret.semantic_ids import SemanticIds
from genret.testing import TableModel, random_codes
from genret.training import Objective, TrainState, make_optimizer, make_step

SIZES = (16, 16, 4)
CODES = random_codes(60, SIZES, "zipf", seed=0)
CONFIG = ItemDecoderConfig(
    codes_per_level=SIZES, width=32, heads=2, kv_heads=2, head_dim=16, mlp_dim=64, max_items=8
)
KINDS = ("item_decoder", "decoder_only")
DTYPES = ("float32", "bfloat16")
TOPOLOGIES = ("v5e:1x1", "v6e:1x1", "tpu7x:2x2x1")


def search_program(kind: str, dtype: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    model = build_model(CONFIG.as_kind(kind, dtype=dtype), 0)
    index = TrieIndex.from_codes(CODES, codes_per_level=SIZES)
    stack = FilterStack.of(index, [ItemFilter.from_mask(index, np.arange(60) % 2 == 0)])
    history = History.from_items(CODES, [[4, 9, 2], []], 8)

    def search(model: Any, history: History, index: TrieIndex, filters: FilterStack) -> Any:
        exclude = jnp.zeros((2, 4), jnp.int32)
        return beam_search(model, history, index, beams=6, filters=filters, exclude=exclude)

    return search, (model, history, index, stack)


def step_program(kind: str, dtype: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    config = TrainConfig(batch_size=4)
    graphdef, params = nnx.split(build_model(CONFIG.as_kind(kind, dtype=dtype), 0))
    optimizer = make_optimizer(config)
    objective = Objective.of(config, SemanticIds.from_codes(CODES, codes_per_level=SIZES))
    step = make_step(graphdef, optimizer, objective, seed=0)
    rows = jnp.ones((4, 8), jnp.int32)
    batch = {"items": rows, "segments": rows, "positions": rows}
    return step, (TrainState.init(params, optimizer, objective), batch)


def compiler_for(topology: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function that compiles a program for a TPU that is not there."""
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("compiling for TPU needs libtpu (pip install 'jax[tpu]')")
    monkeypatch.setenv("ALLOW_MULTIPLE_LIBTPU_LOAD", "true")  # several processes at once
    from jax.experimental import topologies

    bounds = {"chips_per_host_bounds": (1, 1, 1)} if topology.endswith(":1x1") else {}
    described = topologies.get_topology_desc(topology, "tpu", **bounds)
    sharding = jax.sharding.SingleDeviceSharding(described.devices[0])

    def compile_(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        shapes = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), arguments
        )
        return jax.jit(function).lower(*shapes).compile()

    return compile_


PROGRAMS = [
    pytest.param(make, kind, id=f"{make.__name__}-{kind}")
    for make in (search_program, step_program)
    for kind in KINDS
]


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
@pytest.mark.parametrize(("make", "kind"), PROGRAMS)
def test_programs_lower(make: Callable[..., Any], kind: str, platform: str) -> None:
    function, arguments = make(kind, "float32")
    lowered = jax.jit(function).trace(*arguments).lower(lowering_platforms=(platform,))
    assert "stablehlo" in lowered.as_text()


@pytest.mark.slow
@pytest.mark.tpu_backend
@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("make", "kind"), PROGRAMS)
def test_programs_compile_for_tpu(
    make: Callable[..., Any], kind: str, dtype: str, topology: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = compiler_for(topology, monkeypatch)(*make(kind, dtype))
    assert compiled.memory_analysis().temp_size_in_bytes < 2**30


@pytest.mark.slow
@pytest.mark.tpu_backend
def test_a_search_holds_no_copy_of_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty times the items need the same temporaries: nothing is laid out anew or padded."""
    sizes, beams = (2048,) * 8, 70
    model = TableModel.random(sizes, seed=0)
    found: dict[str, list[int]] = {topology: [] for topology in TOPOLOGIES}
    for num_items in (10**6, 2 * 10**7):
        codes = np.random.default_rng(0).integers(0, 2048, (num_items, 8), dtype=np.uint16)
        index = TrieIndex.from_codes(codes, codes_per_level=sizes)

        def search(model: Any, history: Any, index: TrieIndex) -> Any:
            return beam_search(model, history, index, beams=beams)

        for topology, temporaries in found.items():
            compile_ = compiler_for(topology, monkeypatch)
            compiled = compile_(search, (model, jnp.array([1, 2], jnp.int32), index))
            temporaries.append(compiled.memory_analysis().temp_size_in_bytes)
    for topology, (few, many) in found.items():
        assert abs(many - few) < 1 << 20, topology  # the index itself has 340 MB more
