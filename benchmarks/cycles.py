"""What the compiler of an accelerator makes of a function, on a machine that has no such accelerator.

    from benchmarks.cycles import compile_for
    figures = compile_for("v6e", search, index, model, history)
    figures["cycles"], figures["kinds"], figures["slowest"][:5]

The cycles are those of libtpu's static schedule: of each operation's VLIW code, sorts, gathers, fusions
and Pallas kernels, times the rounds of the loop that it is in. They are the compiler's schedule and
not a time: waits for memory, the launches and the host are not in them, nor is what runs on a SparseCore.
For a GPU see `benchmarks.launches`.
"""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Hashable
from functools import partial
from pathlib import Path
from typing import Any

import jax
from jax import export

from benchmarks import launches
from benchmarks._compile_alone import TPU_TOPOLOGIES
from benchmarks.hlo import KINDS, Module, only
from benchmarks.process import Figures
from genret.errors import GenretError
from genret.testing import GivenLogits

CHILD = Path(__file__).with_name("_compile_alone.py")
CHIPS = (*TPU_TOPOLOGIES, *launches.GPUS)
PROFILE = "--xla_jf_dump_static_llo_profile_to="
FLAGS = {"v7x": ("--xla_tpu_scoped_vmem_limit_kib=24576",)}
"""Flags of a chip's compiler. That of a v7x, whose VMEM is half of a v6e's, fills it with arrays before it
knows what kernels take, and then refuses the program: it leaves them 24 MiB."""


def compile_for(
    chip: str,
    function: Callable[..., Any],
    *arguments: Any,
    python: str = sys.executable,
    timeout: float = 1200.0,
    keep: Path | None = None,
) -> Figures:
    """Compile a function for a chip that need not be there and return what its compiler says.

    The function takes and returns pytrees. It is traced here, so choices that it makes by platform have to
    be made by its arguments, of which only shapes and types count. A GPU needs the ``python`` of an
    environment with jax[cuda12]. ``keep`` is a folder for the program, the HLO and the profiles.

    Returns ``{"error": one line}`` of what did not compile, else the figures that docs/benchmarks.md
    explains, and for a TPU ``slowest``: the 20 dearest groups of operations.
    """
    if chip not in CHIPS:
        raise GenretError(f"chip: found {chip!r}, expected one of {[*CHIPS]}")
    gpu = launches.GPUS.get(chip)
    if gpu and python == sys.executable and importlib.util.find_spec("jax_cuda12_plugin") is None:
        return {"error": "jax[cuda12] is absent: pip install 'jax[cuda12]', or name its Python"}
    with tempfile.TemporaryDirectory() as scratch:
        folder = keep or Path(scratch)
        (folder / "profile").mkdir(parents=True, exist_ok=True)
        program = exported(function, arguments, "cuda" if gpu else "tpu")
        (folder / "program").write_bytes(program)
        (folder / "row_major.json").write_text(json.dumps(logits_among(arguments)))
        (folder / "target_config").write_text(gpu.target_config(chip) if gpu else "")
        own = python if gpu else sys.executable
        compiled, note = partial(run_compiler, folder, chip, timeout, python=own), {}
        if gpu:
            error = compiled(xla="--xla_gpu_autotune_level=0")  # autotuning would run the kernels
        else:
            error = compiled(libtpu=f"{PROFILE}{folder / 'profile'}")
            # Some kernels compile, but not with the flag that writes the profile.
            if error and "timed out" not in error and compiled() is None:
                note, error = (
                    {"note": f"compiled without cycles: with the profile flag: {error}"},
                    None,
                )
                shutil.rmtree(folder / "profile")
        if error:
            return {"error": error}
        found = json.loads((folder / "compiled.json").read_text())
        if gpu:
            return found | launches.read_launches(folder) | launches.read_registers(folder, python)
        return found | read_dumps(folder) | note


def exported(function: Callable[..., Any], arguments: tuple[Any, ...], platform: str) -> bytes:
    """Return a function of pytrees, traced and lowered for a platform, with flat arguments."""
    leaves, tree = jax.tree.flatten(arguments)

    def flat(*values: Any) -> list[Any]:
        return jax.tree.leaves(function(*jax.tree.unflatten(tree, values)))

    allowed = ("tpu_custom_call", "mosaic_gpu_v2", "__gpu$xla.gpu.triton", "triton_kernel_call")
    checks = [export.DisabledSafetyCheck.custom_call(name) for name in allowed]
    lowered = export.export(jax.jit(flat), platforms=[platform], disabled_checks=checks)
    return bytes(lowered(*leaves).serialize())


def logits_among(arguments: tuple[Any, ...]) -> list[int]:
    """Return which flat arguments are given logits: they lie as a model's readout writes them, row by row.

    A compiler would let an argument lie where padding is least, and a program that reads logits of 70
    beams would begin by turning them round, which no program with a model in it does.
    """
    found: list[int] = []
    first = 0
    for each in arguments:
        count = len(jax.tree.leaves(each))
        found += range(first, first + count) if isinstance(each, GivenLogits) else ()
        first += count
    return found


def run_compiler(
    folder: Path,
    chip: str,
    timeout: float,
    *,
    xla: str = "",
    libtpu: str = "",
    python: str = sys.executable,
) -> str | None:
    """Compile in a process of its own, with flags; return None, or why there is no program."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "true",
        "JAX_COMPILATION_CACHE_DIR": "",
        "JAX_PLATFORMS": "cpu",
        "LIBTPU_INIT_ARGS": " ".join([libtpu, *FLAGS.get(chip, ())]).strip(),
        "TPU_SKIP_MDS_QUERY": "1",
        "XLA_FLAGS": f"--xla_dump_to={folder / 'hlo'} --xla_dump_hlo_as_text {xla}".strip(),
    }  # fmt: skip
    try:
        done = subprocess.run(
            [python, str(CHILD), str(folder), chip],
            env=environment, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"timed out: not compiled within {timeout:.0f} s"
    if done.returncode == 0:
        return None
    telling = re.compile(r"[\w.]*(Error|Exception)\b|F\d{4} |.*Check failed")
    lines = [line.strip() for line in done.stderr.splitlines() if telling.match(line)] or [""]
    if done.returncode < 0:  # the first says why, the others what went down with it
        name = signal.Signals(-done.returncode).name
        return f"the compiler aborted ({name}): {lines[0][:300]}".strip(": ")
    return lines[-1][:400] or f"exit status {done.returncode}"


def read_dumps(folder: Path) -> Figures:
    """Read the compiled HLO and the profiles that libtpu wrote into a folder."""
    text = only(folder / "hlo", "*.after_codegen.txt")
    module = Module(text)
    figures: Figures = {
        "operations": sum(times for _, times in module.executed()),
        "sparse_core_calls": module.on_sparse_core(),
        "unbounded_loops": module.unbounded,
        "hbm_bytes": module.hbm_bytes(),
        "vmem_bytes": _vmem(only(folder / "hlo", "*memory-usage-report.txt"), text),
    }
    groups = read_profile(folder / "profile")
    if not groups:
        return figures | {"cycles": None}
    runs = {x.name: n for name, n in module.runs.items() for x in module.computations[name]}
    kinds = dict.fromkeys(KINDS, 0)
    slowest = []
    for name, cycles, count in groups:
        # Operations that share code are taken to run as often as the one that the group is named after.
        kind = module.kind(module.by_name[name]) if name in module.by_name else "other"
        times = count * runs.get(name, 1)
        kinds[kind] += cycles * times
        slowest.append({"name": name, "kind": kind, "cycles": cycles, "times": times})
    slowest.sort(key=lambda each: -each["cycles"] * each["times"])
    return {
        "cycles": sum(kinds.values()),
        "cycles_of_one_pass": sum(cycles * count for _, cycles, count in groups),
        "kinds": kinds,
        **figures,
        "slowest": slowest[:20],
    }


def by_scope(folder: Path, scopes: Collection[str]) -> dict[str, Figures]:
    """Share the cycles, operations and bytes of kept dumps among names of ``jax.named_scope``.

    What is under none of them is under "". Without a profile ``cycles`` is None.
    """
    module = Module(only(folder / "hlo", "*.after_codegen.txt"))
    executed = list(module.executed())
    alike: dict[Hashable, list[str]] = {}
    for each, _ in executed:
        alike.setdefault(module.code(each), []).append(each.name)
    cycles: dict[str, float] = {}
    groups = read_profile(folder / "profile")
    for name, one, count in groups:
        named = module.by_name.get(name)
        # A group is named after one of the operations that share its code.
        members = alike.get(module.code(named), [name]) if named else [name]
        for member in members:
            cycles[member] = cycles.get(member, 0) + one * count / len(members)
    found: dict[str, Figures] = {
        scope: {"cycles": 0 if groups else None, "operations": 0, "hbm_bytes": 0}
        for scope in (*scopes, "")
    }
    for each, times in executed:
        own = found[module.scope(each, scopes) or ""]
        own["operations"] += times
        own["hbm_bytes"] += times * module.bytes_of(each)
        if groups:
            own["cycles"] += round(times * cycles.get(each.name, 0))
    return found


def read_profile(folder: Path) -> list[tuple[str, int, int]]:
    """Return the groups of operations of a static profile: name, cycles of one, how many."""
    found = []
    for file in sorted(folder.glob("*.textproto")):
        for block in file.read_text().split("hlo_op_estimate")[1:]:
            name = re.search(r'hlo_op_name: "([^"]*)"', block)
            cycles = re.search(r"estimated_cycles: (-?\d+)", block)
            count = re.search(r"num_equivalent_hlos: (\d+)", block)
            if name and cycles:
                found.append((name[1], int(cycles[1]), int(count[1]) if count else 1))
    return found


def _vmem(report: str, text: str) -> int:
    """Return the VMEM high water: what is allocated there, and the most an operation adds."""
    held = re.search(r"Memory Space: vmem \(color=1\)\nTotal bytes: (\d+)", report)
    scoped = r'"used_scoped_memory_configs":\[\{"memory_space":"1","offset":"\d+","size":"(\d+)"'
    most = max(map(int, re.findall(scoped, text)), default=0)
    return (int(held[1]) if held else 0) + most
