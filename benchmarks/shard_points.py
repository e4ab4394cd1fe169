"""Points of an index in parts: its answers, its bytes and its messages."""

import dataclasses
import functools
import re
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from benchmarks import random_tries
from benchmarks.process import Figures, peak_gib, timed
from benchmarks.record import Points
from genret import TrieIndex, beam_search
from genret.testing import Family, GivenLogits

MESSAGE = re.compile(
    r" (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute|collective-broadcast)"
    r"(?:-start)?\("
)


@dataclasses.dataclass(frozen=True)
class Size:
    """Sizes of an index that is cut, and of its searches."""

    items: int
    codes_per_level: tuple[int, ...]
    batch: int
    beams: int


def tries(count: int, families: Sequence[Family], devices: int) -> Points:
    """Compare the answers of as many random tries, in parts, with brute force."""
    cut = functools.partial(TrieIndex.shard, mesh=mesh_of(devices), axis="items")
    each = -(-count // len(families))
    return {
        f"shards: {each} tries of {family}": functools.partial(
            random_tries.run, family, each, seed, cut
        )
        for seed, family in enumerate(families)
    }


def cut(size: Size, devices: int) -> Points:
    """Cut one index, and compare its answers with those of the whole one."""
    return {f"index: {size.items} items": functools.partial(_cut, size, mesh_of(devices))}


def mesh_of(devices: int) -> Mesh:
    """Return a mesh of one axis over the first devices."""
    return Mesh(np.array(jax.devices()[:devices]), ("items",))


def _cut(size: Size, mesh: Mesh) -> Figures:
    rng = np.random.default_rng(0)
    codes = np.empty((size.items, len(size.codes_per_level)), np.uint8)
    for level, count in enumerate(size.codes_per_level):
        codes[:, level] = rng.integers(0, count, size.items, np.uint8)
    figures: Figures = {"items": size.items, "devices": mesh.size}
    with timed(figures, "build_s"):
        whole = TrieIndex.from_codes(codes, codes_per_level=size.codes_per_level)
    del codes
    with timed(figures, "cut_s"):
        index = whole.shard(mesh, "items")
    figures |= {
        "whole_bytes": whole.nbytes,
        "part_bytes": max(_bytes_of(index, device) for device in mesh.devices),
    }
    figures["part_over_share"] = figures["part_bytes"] * mesh.size / whole.nbytes
    model, history = GivenLogits.random(size.batch, size.beams, size.codes_per_level, seed=1)
    seen = rng.integers(0, size.items, (size.batch, 20)).astype(np.int32)
    options: dict[str, Any] = {"beams": size.beams, "exclude": seen}
    expected = beam_search(model, history, whole, **options)
    del whole
    model = jax.device_put(model, NamedSharding(mesh, P()))
    found = beam_search(model, history, index, **options)
    same = jax.tree.map(lambda a, b: np.array_equal(a, b), found, expected)
    program = jax.jit(functools.partial(beam_search, beams=size.beams)).lower(
        model, jnp.asarray(history), index.with_rows(), exclude=seen
    )
    compiled = program.compile()
    messages = MESSAGE.findall(compiled.as_text())
    gathers = messages.count("all-gather")
    memory = compiled.memory_analysis()
    return figures | {
        "wrong": int(not all(jax.tree.leaves(same))),
        "answers": int(np.asarray(found.valid).sum()),
        "all_gathers": gathers,
        "all_gathers_over_levels": gathers - len(size.codes_per_level),
        "other_messages": len(messages) - gathers,
        "temporary_bytes": memory.temp_size_in_bytes,
        "peak_gib": round(peak_gib(), 2),
    }


def _bytes_of(index: TrieIndex, device: jax.Device) -> int:
    shards = (shard for leaf in jax.tree.leaves(index) for shard in leaf.addressable_shards)
    return sum(shard.data.nbytes for shard in shards if shard.device == device)
