"""Reads the text of a compiled HLO module: its instructions, how often each runs, and of what kind it is."""

import dataclasses
import functools
import math
import re
from collections.abc import Collection, Hashable, Iterator
from pathlib import Path

from genret.errors import GenretError

KINDS = ("gather", "sort", "kernel", "copy", "logsumexp", "reduce", "other")
"""What an operation does. A fusion is of the first of these that is in it, but it is a copy only if
nothing else is in it. Kernels are Pallas calls; gathers include scatters and slices at positions that
are computed."""

_GATHERS = {"gather", "scatter", "dynamic-slice", "dynamic-update-slice"}
_COPIES = {
    "copy", "reshape", "transpose", "broadcast", "iota", "pad", "slice", "concatenate", "bitcast",
    "bitcast-convert", "constant", "parameter", "tuple", "get-tuple-element", "reverse",
}  # fmt: skip
_NO_WORK = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "while",
    "conditional", "call", "opt-barrier", "partition-id", "replica-id",
}  # fmt: skip
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?(\S+) = (.*?) ([a-z][a-z0-9-]*)\((.*)$")
_COMPUTATION = re.compile(r"^(ENTRY )?%?(\S+) \(.*\{$")
_CALLED = re.compile(r"(?:calls|to_apply|condition|body|called_computations)=\{?%?([\w.\-]+)")
_BRANCHES = re.compile(r"(?:branch_computations|true_computation|false_computation)=\{?([^},]+)")
_OP_NAME = re.compile(r'op_name="([^"]*)"')
_NO_CODE = re.compile(r", (?:metadata|backend_config|frontend_attributes)=\{.*$")
_ARRAY = re.compile(r"([a-z]+[0-9]*(?:e[0-9]m[0-9]\w*)?)\[([0-9,]*)\](?:\{([^{}]*)\})?")
_BITS = {"pred": 8, "token": 0}


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a module: ``%name = shape opcode(operands), attributes``."""

    name: str
    shape: str
    opcode: str
    operands: tuple[str, ...]
    attributes: str

    def called(self, *keys: str) -> list[str]:
        """Return the computations that attributes such as ``calls`` or ``body`` name."""
        return [
            m[1]
            for m in _CALLED.finditer(self.attributes)
            if m[0].split("=")[0] in (keys or ("calls", "to_apply", "condition", "body"))
        ]


class Module:
    """A compiled module, as ``--xla_dump_hlo_as_text`` writes it.

    Attributes:
      computations: the instructions of each computation, by its name.
      entry: the name of the computation that runs.
      runs: for each computation that runs by itself (the entry, bodies of loops, branches), how often.
      unbounded: loops whose number of rounds the text does not say; they are counted as one round.
    """

    def __init__(self, text: str) -> None:
        self.computations: dict[str, list[Instruction]] = {}
        self.entry, own = "", []  # type: ignore[var-annotated]
        for line in text.splitlines():
            if begin := _COMPUTATION.match(line):
                own = self.computations.setdefault(begin[2], [])
                self.entry = begin[2] if begin[1] else self.entry
            elif found := _INSTRUCTION.match(line):
                operands, attributes = _split_operands(found[4])
                own.append(Instruction(found[1], found[2], found[3], operands, attributes))
        self.by_name = {each.name: each for own in self.computations.values() for each in own}
        self.runs: dict[str, int] = {}
        self.unbounded = 0
        self._count(self.entry, 1)

    def executed(self) -> Iterator[tuple[Instruction, int]]:
        """Yield each instruction that is launched by itself, and how often it runs."""
        for name, times in self.runs.items():
            for each in self.computations[name]:
                if each.opcode not in _NO_WORK:
                    yield each, times

    def kind(self, each: Instruction) -> str:
        """Return of which of :data:`KINDS` an instruction is."""
        opcodes, targets = self._inside(each)
        if any("tpu_custom_call" in t or "triton" in t.lower() for t in targets):
            return "kernel"
        if opcodes & _GATHERS:
            return "gather"
        if "sort" in opcodes or "topk" in opcodes or any("TopK" in t for t in targets):
            return "sort"
        if opcodes & {"exponential", "log", "exponential-minus-one", "log-plus-one"}:
            return "logsumexp"
        if "reduce" in opcodes:
            return "reduce"
        return "copy" if opcodes <= _COPIES | {"fusion", "copy-start", "copy-done"} else "other"

    def scope(self, each: Instruction, scopes: Collection[str]) -> str | None:
        """Return which of ``jax.named_scope``'s names an instruction is under; None: none of them.

        Copies and prefetches that the compiler adds have no name; they serve the first that reads them.
        """
        seen, asked = {each.name}, [each]
        while asked:
            named = [name for own in asked for name in _OP_NAME.findall(own.attributes)]
            if named:
                return next((part for part in named[0].split("/") if part in scopes), None)
            readers = {r.name: r for own in asked for r in self.readers.get(own.name, ())}
            asked = [reader for name, reader in readers.items() if name not in seen]
            seen |= set(readers)
        return None

    @functools.cached_property
    def readers(self) -> dict[str, list[Instruction]]:
        """The instructions that read each instruction of their computation."""
        found: dict[str, list[Instruction]] = {}
        for own in self.computations.values():
            for each in own:
                for name in dict.fromkeys(each.operands):
                    found.setdefault(name, []).append(each)
        return found

    def code(self, each: Instruction) -> Hashable:
        """Return what two instructions have in common that share their compiled code."""
        places: dict[str, int] = {}

        def text(one: Instruction) -> Hashable:
            operands = tuple(
                places[name] if name in places else getattr(self.by_name.get(name), "shape", name)
                for name in one.operands
            )
            places[one.name] = len(places)
            inner = tuple(
                text(x) for name in one.called("calls") for x in self.computations.get(name, ())
            )
            plain = _CALLED.sub("", _NO_CODE.sub("", one.attributes))
            return one.opcode, one.shape, operands, plain, inner

        return text(each)

    def on_sparse_core(self) -> int:
        """Count the calls that run on a SparseCore; no schedule of ours tells their cycles."""
        return sum(
            times
            for each, times in self.executed()
            if each.opcode == "async-start" and '"sparsecore"' in each.attributes
        )

    def hbm_bytes(self) -> int:
        """Add up what the operations read from and write to the chip's main memory.

        Arrays count whose layout names no other memory (``S(1)`` is VMEM). What a gather reads of
        its table is as much as it returns.
        """
        return sum(times * self.bytes_of(each) for each, times in self.executed())

    def bytes_of(self, each: Instruction) -> int:
        """Add up what one run of an operation reads from and writes to main memory."""
        if each.opcode.endswith(("-done", "-update")):
            return 0
        wrote = _bytes(each.shape.split("), ")[0] if "-start" in each.opcode else each.shape)
        gathers = self.kind(each) == "gather"
        returned = _bytes(each.shape, everywhere=True)
        read = 0
        for name in each.operands:
            source = self.by_name.get(name)
            size = _bytes(source.shape) if source else 0
            if each.name.startswith("slice-start"):  # its shape names the source and the slice
                size = min(size, returned - size)
            read += min(size, returned) if gathers else size
        return read if "-start" in each.opcode else read + wrote

    def _inside(self, each: Instruction) -> tuple[set[str], list[str]]:
        """Return the opcodes of an instruction and of what it fuses, and the custom calls' targets."""
        opcodes = {each.opcode}
        targets = re.findall(r'custom_call_target="([^"]*)"', each.attributes)
        if each.opcode == "fusion":
            for name in each.called("calls"):
                for inner in self.computations.get(name, []):
                    more, others = self._inside(inner)
                    opcodes, targets = opcodes | more, targets + others
            targets += re.findall(r'"kind":"(__triton\w*)"', each.attributes)
        return opcodes, targets

    def _count(self, name: str, times: int) -> None:
        self.runs[name] = self.runs.get(name, 0) + times
        for each in self.computations.get(name, []):
            if each.opcode == "while":
                rounds = self._rounds(each)
                for inner in each.called("condition", "body"):
                    self._count(inner, times * rounds)
            elif each.opcode == "conditional":
                for group in _BRANCHES.findall(each.attributes):
                    for inner in re.findall(r"[\w.\-]+", group):
                        self._count(inner, times)
            elif each.opcode == "call":
                for inner in each.called("to_apply"):
                    self._count(inner, times)

    def _rounds(self, loop: Instruction) -> int:
        """Return how often a loop runs: as noted by XLA, or the constant that its counter meets."""
        if noted := re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.attributes):
            return int(noted[1])
        own = self.computations.get(next(iter(loop.called("condition")), ""), [])
        bounds = [
            int(found[1])
            for each in own
            if each.opcode == "constant" and (found := re.match(r"(\d+)$", ",".join(each.operands)))
        ]
        if len(bounds) == 1 and any("direction=LT" in each.attributes for each in own):
            return bounds[0]
        self.unbounded += 1
        return 1


def _split_operands(text: str) -> tuple[tuple[str, ...], str]:
    """Split what follows ``opcode(`` into the operands' names and the attributes."""
    depth, place = 1, 0
    while place < len(text) and depth:
        depth += (text[place] == "(") - (text[place] == ")")
        place += 1
    inside = text[: place - 1]
    names = tuple(re.findall(r"%([\w.\-]+)", inside))
    return names or tuple(x for x in [inside.strip()] if x), text[place:]


def _bytes(shape: str, *, everywhere: bool = False) -> int:
    """Return the bytes of the arrays of a shape that lie in main memory, or of all."""
    total = 0
    for dtype, sizes, layout in _ARRAY.findall(shape):
        if "S(" in layout and not everywhere:
            continue
        digits = re.search(r"\d+", dtype)
        bits = _BITS.get(dtype, int(digits[0]) if digits else 8)
        total += math.prod(int(n) for n in sizes.split(",") if n) * bits // 8
    return total


def only(folder: Path, pattern: str) -> str:
    """Read the one file of a pattern; of several, the largest: the others are helpers."""
    files = sorted(folder.glob(pattern), key=lambda file: file.stat().st_size)
    if not files:
        raise GenretError(f"{folder}: found no {pattern}: another version of the compiler?")
    return files[-1].read_text()
