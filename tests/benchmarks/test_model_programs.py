"""Models on TPUs by the compiler's count: parts of a program, rooflines, and what a step reads."""

import importlib.util
import math
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from benchmarks import accelerators
from benchmarks import model_programs as programs
from benchmarks.cycles import by_scope, compile_for
from benchmarks.hlo import Module, only
from benchmarks.record import Record
from benchmarks.workload import MODELS, Observed
from genret.config import DecoderOnlyConfig
from genret.models import History, build_model

TEXT = """HloModule jit_f, is_scheduled=true

%same.1 (p.0: f32[8,128]) -> f32[8,128] {
  %p.0 = f32[8,128]{1,0:T(8,128)} parameter(0)
  ROOT %double.1 = f32[8,128]{1,0:T(8,128)} add(%p.0, %p.0), metadata={op_name="jit(f)/prefill/add"}
}

%same.2 (p.1: f32[8,128]) -> f32[8,128] {
  %p.1 = f32[8,128]{1,0:T(8,128)} parameter(0)
  ROOT %double.2 = f32[8,128]{1,0:T(8,128)} add(%p.1, %p.1), metadata={op_name="jit(f)/step1/add"}
}

ENTRY %main.9 (a: f32[8,128]) -> f32[8,128] {
  %a = f32[8,128]{1,0:T(8,128)} parameter(0)
  %first = f32[8,128]{1,0:T(8,128)} fusion(%a), kind=kLoop, calls=%same.1, metadata={op_name="jit(f)/prefill/add"}
  %copy.1 = f32[8,128]{0,1:T(8,128)} copy(%first)
  %copy.2 = f32[8,128]{1,0:T(8,128)} copy(%copy.1)
  %second = f32[8,128]{1,0:T(8,128)} fusion(%copy.2), kind=kLoop, calls=%same.2, metadata={op_name="jit(f)/step1/add"}
  ROOT %negate.1 = f32[8,128]{1,0:T(8,128)} negate(%second), metadata={op_name="jit(f)/neg"}
}
"""


def test_parts_of_a_program_are_told_apart(tmp_path: Path) -> None:
    for name in ("hlo", "profile"):
        (tmp_path / name).mkdir()
    (tmp_path / "hlo" / "m.after_codegen.txt").write_text(TEXT)
    (tmp_path / "profile" / "fusion.textproto").write_text(
        'hlo_op_estimate {\n  hlo_op_name: "second"\n  estimated_cycles: 50\n'
        "  num_equivalent_hlos: 2\n}\n"
        'hlo_op_estimate {\n  hlo_op_name: "copy.2"\n  estimated_cycles: 7\n}\n'
        'hlo_op_estimate {\n  hlo_op_name: "negate.1"\n  estimated_cycles: 3\n}\n'
    )
    each = 2 * 8 * 128 * 4  # read and written
    assert by_scope(tmp_path, ("prefill", "step1")) == {
        "prefill": {"cycles": 50, "operations": 1, "hbm_bytes": each},
        # Both copies are for the step; the second fusion shares the first one's code.
        "step1": {"cycles": 57, "operations": 3, "hbm_bytes": 3 * each},
        "": {"cycles": 3, "operations": 1, "hbm_bytes": each},
    }


def test_products_are_counted_inside_of_what_is_called() -> None:
    x, y = jnp.ones((4, 2, 3)), jnp.ones((4, 3, 5))

    @jax.jit
    def batched(x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.einsum("bij,bjk->bik", x, y)

    assert programs.matmul_flops(lambda x, y: batched(x, y) + 1, x, y) == 2 * 4 * 2 * 3 * 5


def test_a_part_is_bound_by_what_takes_longest() -> None:
    peak = programs.Peak(clock=1e9, flops=1e12, bandwidth=1e9)
    part = {"cycles": 2000, "flops": 10**6, "hbm_bytes": 1000, "operations": 1}
    found = programs.bounded(part, peak)
    assert found["bound_by"] == "schedule"
    assert (found["least_us"], found["mfu"]) == pytest.approx((2.0, 0.5))
    found = programs.bounded({**part, "cycles": None, "hbm_bytes": 8000}, peak)
    assert found["bound_by"] == "memory"
    assert (found["least_us"], found["mfu"]) == pytest.approx((8.0, 0.125))
    shared = programs.shares({"prefill": found, "step1": found, "step2": found, "search": found})
    assert (shared["step_least_us"], shared["search_of_time"]) == pytest.approx((8.0, 0.25))
    assert "search_of_cycles" not in shared


def test_the_table_has_a_row_for_each_model() -> None:
    part = programs.bounded(
        {"cycles": 1000, "flops": 10**6, "hbm_bytes": 10**6, "operations": 1}, programs.PEAKS["v6e"]
    )
    parts = dict.fromkeys(("prefill", "step1", "search"), part)
    point = {"chip": "v6e", "parameters": 10**6, "parts": parts, **programs.shares(parts)}
    record = Record(None, {"preset": "models"}, say=lambda _: None)
    record.point("v6e 1M", lambda: point)
    record.point("v6e 1.7B", lambda: {"chip": "v6e", "error": "the compiler aborted"})
    (shown,) = accelerators.tables(record.document)
    titles, rows = shown.columns, shown.rows
    assert rows[0][:4] == ["1M", "1,000,000", "1,000", "1.0"]
    assert len(rows[0]) == len(titles) == len(programs.COLUMNS) + 1
    assert rows[1] == ["1.7B", "the compiler aborted"]


def test_models_are_shapes() -> None:
    """Nobody makes 1.7 billion parameters to count what they cost."""
    large = programs.ModelPoint(kind="decoder_only", shape="1.7B")
    assert 1.4e9 < programs.num_parameters(large.model()) < 1.5e9
    assert len({each.size for each in programs.POINTS}) == len(programs.POINTS)


def test_operations_are_those_of_the_weights_and_the_attention() -> None:
    point = programs.ModelPoint(kind="decoder_only", shape="1M", depth=4)
    width, layers, _, _, _, mlp = MODELS["1M"]
    counted = programs.flops(point.model(), point)
    assert [*counted] == ["prefill", "step1", "step2", "step3"]
    weights = layers * (4 * width * width + 3 * width * mlp) + point.codes * width
    for step in (1, 2, 3):
        seen = 1 + point.history * point.depth + step
        expected = 2 * weights + 4 * layers * width * seen
        assert counted[f"step{step}"] == point.batch * point.beams * expected


needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="compiling for TPU needs libtpu (pip install 'jax[tpu]')",
)


@pytest.mark.slow
@pytest.mark.tpu_backend
@needs_libtpu
def test_a_step_reads_the_history_once_whatever_its_beams(tmp_path: Path) -> None:
    """A cache of 262 MB, twice the vector memory: it is read in place, and four times the beams add little."""
    batch, items, levels = 16, 1000, (64,) * 4
    config = DecoderOnlyConfig(
        codes_per_level=levels, max_items=items, dtype="bfloat16", width=256, layers=1, heads=8,
        kv_heads=8, head_dim=128, mlp_dim=256,
    )  # fmt: skip
    model = jax.eval_shape(lambda: build_model(config, 0))
    model = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, jnp.bfloat16), model)
    history = History(
        codes=jnp.zeros((batch, items, len(levels)), jnp.int32),
        lengths=jnp.full((batch,), items, jnp.int32),
    )

    def two_steps(model: Any, history: Any, codes: Any) -> Any:
        named = Observed(model=model, around=jax.named_scope)
        _, cache = named.prefill(history)
        _, cache = named.step(codes, jnp.zeros_like(codes), cache)
        return named.step(codes, codes % codes.shape[1], cache)[0]

    keys = batch * (1 + 4 * items) * config.kv_heads * config.head_dim
    read = {}
    for beams in (4, 16):
        folder = tmp_path / str(beams)
        codes = jax.ShapeDtypeStruct((batch, beams), jnp.int32)
        found = compile_for("v6e", two_steps, model, history, codes, keep=folder)
        assert "error" not in found
        scopes = ("prefill", "step1", "step2")
        read[beams] = by_scope(folder, scopes)["step2"]["hbm_bytes"]
        module = Module(only(folder / "hlo", "*.after_codegen.txt"))
        for each, _ in module.executed():
            if module.kind(each) == "copy" and module.scope(each, scopes) != "prefill":
                arrays = re.findall(r"\[([\d,]+)\]", each.shape)
                assert max(math.prod(map(int, a.split(","))) for a in [*arrays, "0"]) < keys, each
    both = 2 * 2 * keys  # keys and values, two bytes each
    # A part of them stays in the vector memory from the step before.
    assert both / 2 < read[4] < 1.1 * both
    assert read[16] - read[4] < 0.05 * both
