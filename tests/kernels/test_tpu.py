"""Every op compiles for v5e, v6e and v7x at every size, with libtpu and without a TPU.

None of this runs on a TPU: it shows that the compiler takes the kernels, and what memory they need.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from genret_kernels.shared_prefix_attention import shared_prefix_attention
from genret_kernels.shared_prefix_attention.arg_specs import ARG_SPECS as ATTENTION_SPECS
from genret_kernels.top_m import top_m
from genret_kernels.top_m.arg_specs import ARG_SPECS as TOP_SPECS

pytestmark = [pytest.mark.slow, pytest.mark.tpu_backend]

Compile = Callable[..., Any]


def temporaries(compiled: Any) -> int:
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("spec", TOP_SPECS)
def test_top_m(spec: str, compiled_for_tpu: Compile) -> None:
    size = TOP_SPECS[spec]
    compiled = compiled_for_tpu(partial(top_m, m=size.m), *size.args())
    # Candidates that come from HBM are laid out by groups once, where they are not fused with what
    # makes them; the rest is a few copies of the groups that are sorted.
    candidates, held = 4 * size.batch * size.candidates, 4 * size.batch * size.m * 128
    assert temporaries(compiled) <= 2 * candidates + 4 * held + (1 << 20)


@pytest.mark.parametrize("spec", ATTENTION_SPECS)
def test_shared_prefix_attention(spec: str, compiled_for_tpu: Compile) -> None:
    size = ATTENTION_SPECS[spec]
    run = partial(shared_prefix_attention, implementation="pallas_tpu")
    compiled = compiled_for_tpu(run, *size.args())
    assert "tpu_custom_call" in compiled.as_text()
    scores = size.batch * size.beams * size.length * size.heads * size.history * 4
    if spec == "batch-tail":  # where the scores would weigh most
        assert temporaries(compiled) < scores // 2
    if spec == "batch-spelled":  # a path is gathered before the new positions, keys and values
        positions = size.batch * size.beams * (size.levels + size.length)
        own = 2 * positions * size.kv_heads * size.width * size.dtype.dtype.itemsize
        assert temporaries(compiled) < scores // 2 + own
