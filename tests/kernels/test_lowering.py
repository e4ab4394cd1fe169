"""Every op lowers for GPU and TPU on a machine that has neither, at every size of its specs."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

OPS = {
    "top_m": ("xla",),
    "dense_level": ("xla", "pallas_tpu", "pallas_gpu"),
    "lines_level": ("xla", "pallas_tpu"),
    "load_lines": ("xla", "pallas_tpu"),
    "load_rows": ("xla", "pallas_tpu"),
    "rows_level": ("xla", "pallas_tpu", "pallas_gpu"),
    "shared_prefix_attention": ("xla", "pallas_tpu", "pallas_gpu"),
}
KERNELS = {"pallas_tpu": ("tpu", "tpu_custom_call"), "pallas_gpu": ("cuda", "xla.gpu.triton")}


def specs_of(op: str) -> dict[str, Any]:
    return importlib.import_module(f"genret_kernels.{op}.arg_specs").ARG_SPECS


def function_of(op: str, spec: Any, name: str | None) -> Callable[..., Any]:
    function = getattr(importlib.import_module(f"genret_kernels.{op}"), op)
    static = {
        "top_m": lambda: {"m": spec.m},
        "dense_level": lambda: {"beams": spec.beams},
        "lines_level": lambda: {"layout": spec.layout, "level": 2, "beams": spec.beams},
        "load_rows": lambda: {
            name: getattr(spec, name) for name in ("pairs", "stride", "step", "held")
        },
        "rows_level": lambda: {
            "level": 2,
            "first": 2,
            "width": spec.width,
            "stride": spec.width,
            "beams": spec.beams,
        },
    }.get(op, dict)()
    return partial(function, implementation=name, **static)


CASES = [pytest.param(op, spec, id=f"{op}-{spec}") for op in OPS for spec in specs_of(op)]


@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated")
@pytest.mark.parametrize(("op", "spec"), CASES)
def test_kernels_lower(op: str, spec: str, lowered_for: Callable[..., str]) -> None:
    size = specs_of(op)[spec]
    for name in OPS[op]:
        if name in KERNELS:
            platform, call = KERNELS[name]
            assert call in lowered_for(platform, function_of(op, size, name), *size.args())


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
@pytest.mark.parametrize(("op", "spec"), CASES)
def test_references_lower(
    op: str, spec: str, platform: str, lowered_for: Callable[..., str]
) -> None:
    size = specs_of(op)[spec]
    assert "stablehlo" in lowered_for(platform, function_of(op, size, None), *size.args())
