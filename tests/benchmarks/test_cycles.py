"""What is read of a compiled program: loops, kinds, bytes; and that a program for TPU compiles."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from benchmarks.cycles import compile_for, read_profile, run_compiler
from benchmarks.hlo import Module
from genret.errors import GenretError

TEXT = """HloModule jit_f, is_scheduled=true

%fused_computation (p.0: f32[8,128], p.1: s32[2]) -> f32[2,128] {
  %p.0 = f32[8,128]{1,0:T(8,128)} parameter(0)
  %p.1 = s32[2]{0:T(128)S(1)} parameter(1)
  ROOT %gather.1 = f32[2,128]{1,0:T(2,128)} gather(%p.0, %p.1), offset_dims={1}
}

%cond (c: (s32[], f32[2,128])) -> pred[] {
  %c = (s32[]{:T(128)}, /*index=1*/f32[2,128]{1,0:T(2,128)S(1)}) parameter(0)
  %bound = s32[]{:T(128)} constant(140)
  %i = s32[]{:T(128)} get-tuple-element(%c), index=0
  ROOT %less = pred[]{:T(512)} compare(%i, %bound), direction=LT
}

%body (b: (s32[], f32[2,128])) -> (s32[], f32[2,128]) {
  %b = (s32[]{:T(128)}, f32[2,128]{1,0:T(2,128)S(1)}) parameter(0)
  %j = s32[]{:T(128)} get-tuple-element(%b), index=0
  %x = f32[2,128]{1,0:T(2,128)S(1)} get-tuple-element(%b), index=1
  %exp.1 = f32[2,128]{1,0:T(2,128)S(1)} exponential(%x)
  ROOT %tuple.2 = (s32[]{:T(128)}, f32[2,128]{1,0:T(2,128)S(1)}) tuple(%j, %exp.1)
}

ENTRY %main.9 (a: f32[8,128], n: s32[2]) -> f32[2,128] {
  %a = f32[8,128]{1,0:T(8,128)} parameter(0)
  %n = s32[2]{0:T(128)S(1)} parameter(1)
  %zero = s32[]{:T(128)} constant(0)
  %gather_fusion = f32[2,128]{1,0:T(2,128)} fusion(%a, %n), kind=kCustom, calls=%fused_computation
  %copy.1 = f32[2,128]{1,0:T(2,128)S(1)} copy(%gather_fusion)
  %tuple.1 = (s32[]{:T(128)}, f32[2,128]{1,0:T(2,128)S(1)}) tuple(%zero, %copy.1)
  %while.1 = (s32[]{:T(128)}, f32[2,128]{1,0:T(2,128)S(1)}) while(%tuple.1), condition=%cond, body=%body
  %out = f32[2,128]{1,0:T(2,128)S(1)} get-tuple-element(%while.1), index=1
  ROOT %call.1 = f32[2,128]{1,0:T(2,128)} custom-call(%out), custom_call_target="tpu_custom_call"
}
"""


def test_a_module_is_read() -> None:
    module = Module(TEXT)
    assert module.runs == {"main.9": 1, "cond": 140, "body": 140}
    assert module.unbounded == 0
    ran = {each.name: (module.kind(each), times) for each, times in module.executed()}
    assert ran == {
        "gather_fusion": ("gather", 1),
        "copy.1": ("copy", 1),
        "less": ("other", 140),
        "exp.1": ("logsumexp", 140),
        "call.1": ("kernel", 1),
    }
    # The gather reads two rows of eight and writes them, the copy reads them, the kernel writes two;
    # the loop is in VMEM, but for the predicate of a byte and its two operands of four.
    assert module.hbm_bytes() == 4 * 2 * 128 * 4 + 140 * 9


def test_a_loop_without_a_known_end_is_said() -> None:
    module = Module(TEXT.replace("constant(140)", "parameter(1)"))
    assert (module.unbounded, module.runs["body"]) == (1, 1)
    noted = TEXT.replace("body=%body", 'body=%body, backend_config={"known_trip_count":{"n":"7"}}')
    assert Module(noted).runs["body"] == 7


def test_profiles_are_read(tmp_path: Path) -> None:
    (tmp_path / "sort.1_TPU v6 lite.textproto").write_text(
        'hlo_op_estimate {\n  hlo_op_name: "sort.1"\n  estimated_cycles: 14502\n'
        "  num_equivalent_hlos: 4\n}\n"
        'hlo_op_estimate {\n  hlo_op_name: "copy"\n  estimated_cycles: 3\n}\n'
    )
    assert read_profile(tmp_path) == [("sort.1", 14502, 4), ("copy", 3, 1)]


def test_what_does_not_compile_is_a_line(tmp_path: Path) -> None:
    with pytest.raises(GenretError, match="chip: found 'v99', expected one of"):
        compile_for("v99", jnp.sin, jnp.zeros(3))
    (tmp_path / "program").write_bytes(b"no program")
    assert "\n" not in str(run_compiler(tmp_path, "v6e", 60))
    assert "timed out" in str(run_compiler(tmp_path, "v6e", 0.01))


@pytest.mark.slow
@pytest.mark.tpu_backend
def test_cycles_of_a_program() -> None:
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("compiling for TPU needs libtpu (pip install 'jax[tpu]')")
    found = [
        compile_for("v6e", lambda x: jax.lax.top_k(x, 70), jax.ShapeDtypeStruct((2, n), "float32"))
        for n in (560, 2240)
    ]
    small, large = (each["kinds"]["sort"] for each in found)
    assert 0 < small < large <= found[1]["cycles"]
    assert found[1]["hbm_bytes"] >= 2 * 2240 * 4
    assert found[1]["vmem_bytes"] > 0
