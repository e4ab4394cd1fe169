"""What TPU compilers make of the methods, on a machine without a TPU. None of it is a timing."""

import importlib.util
import os
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Column, Table

from benchmarks._draws import draw_codes, given_logits
from benchmarks._lines import Line, Lines
from benchmarks._oracle import Catalog
from benchmarks.decode import decode
from benchmarks.methods import METHODS
from benchmarks.show import size
from genret.errors import GenretError

TOPOLOGIES = {"v5e": "v5e:1x1", "v6e": "v6e:1x1", "v7x": "tpu7x:2x2x1"}
"""One chip where libtpu describes one, else one of the least slice's."""

ITEMS = (10**5, 2 * 10**6)
"""Two numbers of items: what is larger at the second grows with them."""

SLACK = 1 << 20
"""Bytes of difference that are padding and not growth."""


def compile_all(
    chips: Sequence[str],
    lines: Lines,
    console: Console,
    *,
    items: tuple[int, int] = ITEMS,
    codes: int = 2048,
    depth: int = 8,
    batch: int = 2,
    beams: int = 70,
) -> None:
    """Compile the search with each method for each chip, and show what came of it.

    Args:
      chips: names of :data:`TOPOLOGIES`.
      lines: where the figures go.
      console: where they are shown.
      items: |C|, two numbers.
      codes: V.
      depth: L.
      batch: B.
      beams: M.

    Raises:
      GenretError: an unknown chip, or libtpu is absent.
    """
    unknown = [chip for chip in chips if chip not in TOPOLOGIES]
    if unknown or not chips:
        raise GenretError(f"aot: found {unknown or 'nothing'}, expected some of {[*TOPOLOGIES]}")
    if importlib.util.find_spec("libtpu") is None:
        raise GenretError("aot: libtpu is absent, expected it installed: pip install libtpu")
    sizes = (codes,) * depth
    model, history = given_logits(batch, beams, sizes, seed=1)
    catalogs = [Catalog.of(draw_codes(count, sizes)).codes for count in items]
    for name, kind in METHODS.items():
        if kind.on_host:
            continue
        try:
            methods = [kind.build(each, sizes) for each in catalogs]
        except GenretError as e:
            for chip in chips:
                figures = {"chip": chip, "method": name, "compiled": [], "error": str(e)}
                lines.add(f"aot {chip} {name}", figures)
            continue
        for chip in chips:
            key = f"aot {chip} {name} |C|={items[0]},{items[1]} V={codes} L={depth} B={batch} M={beams}"
            if key not in lines.points:
                arguments = (model, jnp.asarray(history))
                lines.add(key, _compile(chip, name, methods, arguments, depth, beams))
    show(lines.points.values(), console)


def show(lines: Any, console: Console) -> None:
    """Print the figures of a run."""
    table = Table(
        "chip", Column("method", no_wrap=True), "compile s", "program", "arguments", "temporaries",
        "growth", title="Compiled for TPU, not run: these are no timings",
    )  # fmt: skip
    for line in lines:
        if "error" in line:
            table.add_row(line["chip"], line["method"], line["error"][:80])
            continue
        small, large = line["compiled"]
        grown = large["temporary_bytes"] - small["temporary_bytes"]
        table.add_row(
            line["chip"], line["method"], f"{large['compile_s']:.1f}", size(large["code_bytes"]),
            size(large["argument_bytes"]), size(large["temporary_bytes"]),
            f"+{size(grown)}" if grown > SLACK else "none",
        )  # fmt: skip
    console.print(table)


def _compile(
    chip: str, name: str, methods: Sequence[Any], arguments: tuple[Any, ...], depth: int, beams: int
) -> Line:
    """Compile a method's search at both sizes."""
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "true")
    from jax.experimental import topologies

    bounds = {"chips_per_host_bounds": (1, 1, 1)} if TOPOLOGIES[chip].endswith(":1x1") else {}
    found: Line = {"chip": chip, "method": name, "compiled": []}
    try:
        described = topologies.get_topology_desc(TOPOLOGIES[chip], "tpu", **bounds)
        sharding = jax.sharding.SingleDeviceSharding(described.devices[0])
        for method in methods:
            shapes = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
                (method, *arguments),
            )
            start = time.perf_counter()
            compiled = decode.lower(*shapes, levels=depth, beams=beams).compile()
            memory = compiled.memory_analysis()
            found["compiled"].append(
                {
                    "compile_s": time.perf_counter() - start,
                    "code_bytes": memory.generated_code_size_in_bytes,
                    "argument_bytes": memory.argument_size_in_bytes,
                    "temporary_bytes": memory.temp_size_in_bytes,
                }
            )
    except (jax.errors.JaxRuntimeError, RuntimeError) as e:  # what the compiler refuses is a result
        found["error"] = f"{type(e).__name__}: {str(e)[:300]}"
    return found
