"""What XLA makes of a function for an NVIDIA GPU, on a machine that has none: launches, bytes, spills.

`benchmarks.cycles` compiles it. It needs an environment with ``jax[cuda12]``, which may be another one than
that of genret. Everything down to machine code is compiled; nothing runs, so there are no times.
"""

import dataclasses
import functools
import re
import shutil
import subprocess
from pathlib import Path

from benchmarks.hlo import Module, only
from benchmarks.process import Figures


@dataclasses.dataclass(frozen=True)
class Gpu:
    """The numbers of a card that XLA's compiler asks for."""

    capability: tuple[int, int]  # major and minor version of its instruction set
    cores: int  # streaming multiprocessors
    shared: int  # bytes of shared memory that a block may have when it asks for them
    bandwidth: float  # bytes a second of its memory
    memory: int  # bytes
    cache: int  # bytes of its second level
    clock: float  # GHz

    def target_config(self, name: str) -> str:
        """Return XLA's description of it, a text proto."""
        major, minor = self.capability
        return f"""gpu_device_info {{
  cuda_compute_capability {{ major: {major} minor: {minor} }}
  core_count: {self.cores} fpus_per_core: {64 if major == 8 else 128} clock_rate_ghz: {self.clock}
  threads_per_warp: 32 threads_per_block_limit: 1024 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_block_optin: {self.shared}
  shared_memory_per_core: {self.shared + 1024}
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: {int(self.bandwidth)} device_memory_size: {self.memory} l2_cache_size: {self.cache}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 8 }}
runtime_version {{ major: 12 minor: 9 }}
device_description_str: "{name}"
"""


GPUS = {
    "a100": Gpu((8, 0), 108, 166_912, 2.039e12, 80 << 30, 40 << 20, 1.41),
    "h100": Gpu((9, 0), 132, 232_448, 3.352e12, 80 << 30, 50 << 20, 1.98),
    "b200": Gpu((10, 0), 148, 232_448, 8.0e12, 180 << 30, 126 << 20, 1.965),
}
"""Cards by name, as their data sheets have them."""


def read_launches(folder: Path) -> Figures:
    """Count what a call launches, from the sequence that XLA dumped."""
    launched = re.findall(r"^ *\d+: k(\w+)", only(folder / "hlo", "*.thunk_sequence.txt"), re.M)
    control = {"Sequential", "Conditional", "While", "CommandBuffer", "Async", "AsyncDone"}
    copies = [kind for kind in launched if kind.startswith(("Copy", "Mem", "DeviceToDevice"))]
    # A program of few launches is left as it is.
    name = "*.thunk_sequence_after_thunk_passes.txt"
    passes = only(folder / "hlo", name) if [*(folder / "hlo").glob(name)] else ""
    module = Module(only(folder / "hlo", "*gpu_after_optimizations.txt"))
    return {
        "kernels": len([kind for kind in launched if kind not in control]) - len(copies),
        "copies": len(copies),
        "graphs": len(re.findall(r"^ *\d+: kCommandBuffer", passes, re.M)),
        "unbounded_loops": launched.count("While"),
        "bytes": module.hbm_bytes(),
    }


def read_registers(folder: Path, python: str) -> Figures:
    """Assemble the dumped PTX and return registers and spills; nothing without ``ptxas``."""
    ptxas = _ptxas(python)
    if ptxas is None:
        return {}
    registers, spilled = [0], 0
    for file in (folder / "hlo").glob("*.ptx"):
        target = re.search(r"^\.target (\w+)", text := file.read_text(), re.M)
        if target is None or ".entry" not in text:
            continue
        done = subprocess.run(
            [ptxas, "-v", "--gpu-name", target[1], str(file), "-o", "/dev/null"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        registers += [int(n) for n in re.findall(r"Used (\d+) registers", done.stderr)]
        spilled += sum(map(int, re.findall(r"(\d+) bytes spill (?:stores|loads)", done.stderr)))
    return {"most_registers": max(registers), "spill_bytes": spilled}


@functools.cache
def _ptxas(python: str) -> str | None:
    """Find the assembler that jax[cuda12] brought with it, or the machine's own."""
    root = Path(python).parents[1]
    found = sorted(root.glob("lib/python*/site-packages/nvidia/*/bin/ptxas"))
    return str(found[0]) if found else shutil.which("ptxas")
