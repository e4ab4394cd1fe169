"""Every op compiles for v5e, v6e and v7x at every size, with libtpu and without a TPU.

None of this runs on a TPU: it shows that the compiler takes the kernels, and what memory they need.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from genret_kernels.gather_candidates import gather_candidates
from genret_kernels.gather_candidates.arg_specs import ARG_SPECS as GATHER_SPECS
from genret_kernels.project_level import project_level
from genret_kernels.project_level.arg_specs import ARG_SPECS as PROJECT_SPECS
from genret_kernels.shared_prefix_attention import shared_prefix_attention
from genret_kernels.shared_prefix_attention.arg_specs import ARG_SPECS as ATTENTION_SPECS
from genret_kernels.top_m import top_m
from genret_kernels.top_m.arg_specs import ARG_SPECS as TOP_SPECS

pytestmark = [pytest.mark.slow, pytest.mark.tpu_backend]

Compile = Callable[..., Any]


def temporaries(compiled: Any) -> int:
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("spec", GATHER_SPECS)
@pytest.mark.parametrize("name", ["xla", "pallas_tpu"])
def test_gather_candidates(spec: str, name: str, compiled_for_tpu: Compile) -> None:
    size = GATHER_SPECS[spec]
    run = partial(gather_candidates, width=size.width, implementation=name)
    compiled = compiled_for_tpu(run, *size.args())
    assert ("tpu_custom_call" in compiled.as_text()) == (name == "pallas_tpu")


@pytest.mark.parametrize("size", ["paper", "batch"])
def test_temporaries_do_not_grow_with_the_edges(size: str, compiled_for_tpu: Compile) -> None:
    """The edges are never copied: not padded, not laid out anew, not moved to another memory."""
    few, many = (GATHER_SPECS[f"{size}-{edges}"] for edges in ("1e+06", "2e+07"))
    assert 20 * few.num_edges == many.num_edges
    for name, slack in (
        ("pallas_tpu", 0),
        ("xla", 1 << 16),
    ):  # XLA pads its small arrays as it likes
        run = partial(gather_candidates, width=few.width, implementation=name)
        sizes = [temporaries(compiled_for_tpu(run, *spec.args())) for spec in (few, many)]
        assert abs(sizes[1] - sizes[0]) <= slack


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


@pytest.mark.parametrize("spec", PROJECT_SPECS)
@pytest.mark.parametrize("name", ["xla", "pallas_tpu"])
def test_project_level(spec: str, name: str, compiled_for_tpu: Compile) -> None:
    size = PROJECT_SPECS[spec]
    run = partial(project_level, implementation=name)
    compiled = compiled_for_tpu(run, *size.args())
    assert ("tpu_custom_call" in compiled.as_text()) == (name == "pallas_tpu")
    if size.batch > 2:
        all_logits = size.batch * size.beams * size.num_codes * 4
        assert temporaries(compiled) < all_logits // 2
