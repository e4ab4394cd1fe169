"""What a model and its search cost on TPUs by the compiler's count: prefill, each step, and the search.

`python -m benchmarks accelerators --preset models` compiles `beam_search` with a model in it as the one
program that it is, from shapes alone: parameters of gigabytes are never made. The operations are told apart
by what they are for. Where cycles are given they are the compiler's schedule and not a time; the least time
is that of a roofline: no part can be faster than its cycles, its matrix products at the chip's peak, or its
bytes at the bandwidth of the memory.
"""

import dataclasses
import functools
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr

from benchmarks.cycles import by_scope, compile_for
from benchmarks.process import Figures
from benchmarks.record import Points
from benchmarks.tables import Columns
from benchmarks.workload import Observed, model_config
from genret import TrieIndex, beam_search
from genret.models import History, build_model, num_parameters
from genret.testing import random_codes

SHAPES = ("1M", "30M", "300M", "1.7B")
KINDS = ("item_decoder", "decoder_only")


@dataclasses.dataclass(frozen=True)
class Peak:
    """What a device of a chip can do at most, as its data sheet has it."""

    clock: float  # cycles a second: that at which its matrix units reach the peak
    flops: float  # bfloat16 operations a second
    bandwidth: float  # bytes a second of its memory


PEAKS = {
    "v5e": Peak(1.5e9, 197e12, 819e9),
    "v6e": Peak(1.75e9, 918e12, 1640e9),
    "v7x": Peak(2.2e9, 2307e12 / 2, 7380e9 / 2),
}
"""Of a v7x, one of its two TensorCores, which JAX calls a device."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelPoint:
    """A model and a search."""

    kind: str  # of model
    shape: str  # one of SHAPES
    batch: int = 2  # B
    beams: int = 70  # M
    history: int = 125  # items of a request; every one has L codes
    items: int = 10**6  # |C|
    codes: int = 2048  # V
    depth: int = 8  # L

    @property
    def size(self) -> str:
        """Name of the point."""
        size = f"L={self.depth} B={self.batch} M={self.beams} T={self.history}"
        return f"{self.kind} {self.shape} {size}"

    def model(self) -> Any:
        """Return the shapes of the model's parameters, as a model."""
        config = model_config(self.shape, self.kind, (self.codes,) * self.depth, self.history)
        model = jax.eval_shape(lambda: build_model(config, 0))
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, jnp.bfloat16), model)

    def requests(self) -> History:
        """Return a batch of full histories."""
        return History(
            codes=jnp.zeros((self.batch, self.history, self.depth), jnp.int32),
            lengths=jnp.full((self.batch,), self.history, jnp.int32),
        )


POINTS = tuple(ModelPoint(kind=kind, shape=shape) for shape in SHAPES for kind in KINDS)


def matmul_flops(function: Callable[..., Any], *arguments: Any) -> int:
    """Count the floating-point operations of a function's matrix products, two a multiplication.

    Of branches, such as those by platform, the one with the fewest counts: the others do more work for
    the same result.

    >>> matmul_flops(lambda x, y: x @ y, jnp.ones((2, 3)), jnp.ones((3, 5)))
    60
    """

    def count(jaxpr: Jaxpr) -> int:
        total = 0
        for equation in jaxpr.eqns:
            if equation.primitive.name == "dot_general":
                (contracted, _), _ = equation.params["dimension_numbers"]
                shape = equation.invars[0].aval.shape
                depth = math.prod(shape[axis] for axis in contracted)
                total += 2 * depth * math.prod(equation.outvars[0].aval.shape)
            for value in equation.params.values():
                if isinstance(value, ClosedJaxpr):
                    total += count(value.jaxpr)
                elif isinstance(value, Jaxpr):
                    total += count(value)
                elif isinstance(value, tuple) and value and isinstance(value[0], ClosedJaxpr):
                    total += min(count(branch.jaxpr) for branch in value)
        return total

    return count(jax.make_jaxpr(function)(*arguments).jaxpr)


def flops(model: Any, point: ModelPoint) -> dict[str, int]:
    """Return the operations of the matrix products of prefill and of each step."""
    history = point.requests()
    beams = jax.ShapeDtypeStruct((point.batch, point.beams), jnp.int32)
    found = {"prefill": matmul_flops(lambda m, h: m.prefill(h), model, history)}
    _, cache = jax.eval_shape(lambda m, h: m.prefill(h), model, history)
    for level in range(1, point.depth):
        found[f"step{level}"] = matmul_flops(lambda m, b, c: m.step(b, b, c), model, beams, cache)
        _, cache = jax.eval_shape(lambda m, b, c: m.step(b, b, c), model, beams, cache)
    return found


def bounded(part: Mapping[str, Any], peak: Peak) -> Figures:
    """Add the least time of a part by the roofline, and the share of the peak that is then used."""
    limits = {
        "schedule": (part["cycles"] or 0) / peak.clock,
        "matrix units": part["flops"] / peak.flops,
        "memory": part["hbm_bytes"] / peak.bandwidth,
    }
    seconds = max(limits.values())
    return {
        **part, "least_us": 1e6 * seconds, "bound_by": max(limits, key=limits.__getitem__),
        "mfu": part["flops"] / peak.flops / seconds if seconds else 0.0,
    }  # fmt: skip


def count(point: ModelPoint, chip: str, index: TrieIndex, keep: Path | None = None) -> Figures:
    """Compile the search of a point for a TPU and share what it costs among its parts."""
    model, peak = point.model(), PEAKS[chip]

    def search(model: Any, history: Any, index: TrieIndex) -> Any:
        named = Observed(model=model, around=jax.named_scope)
        return beam_search(named, history, index, beams=point.beams)

    with tempfile.TemporaryDirectory() as scratch:
        folder = keep or Path(scratch)
        figures = compile_for(chip, search, model, point.requests(), index, keep=folder)
        if "error" in figures:
            return figures
        products = flops(model, point)
        scopes = by_scope(folder, [*products])
    parts = {
        scope or "search": bounded({**own, "flops": products.get(scope, 0)}, peak)
        for scope, own in scopes.items()
    }
    return figures | {"parameters": num_parameters(model), "parts": parts} | shares(parts)


def shares(parts: Mapping[str, Figures]) -> Figures:
    """Return the steps' mean, and the search's share of cycles and of least times."""
    steps = [own for name, own in parts.items() if name.startswith("step")]
    names = ("cycles", "hbm_bytes", "flops", "least_us", "mfu", "operations")
    mean = {
        f"step_{name}": sum(own[name] for own in steps) / len(steps)
        for name in names
        if all(own[name] is not None for own in steps)
    }
    found: Figures = {
        "search_of_time": parts["search"]["least_us"] / sum(p["least_us"] for p in parts.values())
    }
    if parts["search"]["cycles"] is not None:
        total = sum(own["cycles"] for own in parts.values())
        found["search_of_cycles"] = parts["search"]["cycles"] / total
    return mean | found


@functools.cache
def index_for(items: int, codes: int, depth: int) -> TrieIndex:
    """Return an index of random items, laid out for a TPU."""
    sizes = (codes,) * depth
    drawn = random_codes(items, sizes, "uniform")
    return TrieIndex.from_codes(drawn, codes_per_level=sizes).to("tpu")


def points(chips: Sequence[str]) -> Points:
    """Return what compiles each model for each chip."""

    def measured(point: ModelPoint, chip: str) -> Figures:
        index = index_for(point.items, point.codes, point.depth)
        return {"chip": chip, "size": dataclasses.asdict(point), **count(point, chip, index)}

    return {
        f"{chip} {point.size}": functools.partial(measured, point, chip)
        for point in POINTS
        for chip in chips
    }


THOUSANDS = "{:,.0f}"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:,.1f}"


COLUMNS: Columns = {
    "parameters": ("parameters", THOUSANDS),
    "prefill cycles": ("parts.prefill.cycles", THOUSANDS),
    "MB": ("parts.prefill.hbm_bytes", _megabytes),
    "least us": ("parts.prefill.least_us", "{:.1f}"),
    "MFU": ("parts.prefill.mfu", "{:.0%}"),
    "step cycles": ("step_cycles", THOUSANDS),
    "MB a step": ("step_hbm_bytes", _megabytes),
    "least us a step": ("step_least_us", "{:.1f}"),
    "MFU of a step": ("step_mfu", "{:.0%}"),
    "search cycles": ("parts.search.cycles", THOUSANDS),
    "share of cycles": ("search_of_cycles", "{:.2%}"),
    "share of least time": ("search_of_time", "{:.2%}"),
}
