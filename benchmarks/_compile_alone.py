"""Compiles one exported program for one described chip; `benchmarks.cycles` runs it in a process of its own.

    python _compile_alone.py FOLDER CHIP

Compilers read their flags once, when they are loaded, and some abort the process. FOLDER holds the
program (`program`, from ``jax.export``) and the numbers of those arguments that lie row by row
(`row_major.json`), and takes `compiled.json`. The other arguments lie as the compiler likes them. It
imports nothing but JAX, so that any environment with the chip's compiler can run it.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import jax
from jax import export
from jax.experimental import topologies
from jax.experimental.layout import Format, Layout

TPU_TOPOLOGIES = {"v5e": "v5e:1x1", "v6e": "v6e:1x1", "v7x": "tpu7x:2x2x1"}
"""One chip where libtpu describes one, else one of the smallest slice's."""


def device_of(chip: str, target_config: str) -> Any:
    """Return a described device of a chip that need not be attached."""
    if chip in TPU_TOPOLOGIES:
        name = TPU_TOPOLOGIES[chip]
        bounds = {"chips_per_host_bounds": (1, 1, 1)} if name.endswith(":1x1") else {}
        return topologies.get_topology_desc(name, "tpu", **bounds).devices[0]
    described = topologies.get_topology_desc(
        chip, "cuda", target_config=target_config, topology="1x1x1"
    )
    return described.devices[0]


def main(folder: Path, chip: str) -> None:
    """Compile the program of a folder and write what the compiler says of it."""
    device = device_of(chip, (folder / "target_config").read_text())
    sharding = jax.sharding.SingleDeviceSharding(device)
    program = export.deserialize(bytearray((folder / "program").read_bytes()))
    row_major = json.loads((folder / "row_major.json").read_text())
    shapes = []
    for number, aval in enumerate(program.in_avals):
        layout = Layout(tuple(range(aval.ndim))) if number in row_major else None
        placed = Format(layout, sharding) if layout else sharding
        shapes.append(jax.ShapeDtypeStruct(aval.shape, aval.dtype, sharding=placed))
    lowered = jax.jit(program.call).lower(*shapes)
    start = time.perf_counter()
    compiled = lowered.compile()
    seconds = time.perf_counter() - start
    memory = compiled.memory_analysis()
    found = {
        "compile_s": seconds,
        "code_bytes": memory.generated_code_size_in_bytes,
        "argument_bytes": memory.argument_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
    }
    (folder / "compiled.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
