"""Points of eight devices: training on meshes, and an index in parts with its answers, bytes and messages."""

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
from genret.config import ItemDecoderConfig, TrainConfig
from genret.histories import Histories
from genret.models import build_model
from genret.semantic_ids import SemanticIds
from genret.testing import Family, GivenLogits
from genret.training import train

MESHES = ("data=4,model=2", "data=8", "data=2,model=4")
SHAPE = ItemDecoderConfig(
    codes_per_level=(64, 64), width=32, code_width=32, layers=2, heads=4, kv_heads=4, mlp_dim=64
)
ITEMS, HISTORY = 1000, 16
MESSAGE = re.compile(
    r" (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute|collective-broadcast)"
    r"(?:-start)?\("
)


def meshes(names: Sequence[str], steps: int) -> Points:
    """Compare the losses of each mesh with those of one device."""
    losses = functools.cache(functools.partial(_losses, steps))

    def compared(mesh: str) -> Figures:
        expected, found = losses("data=1"), losses(mesh)
        difference = float((np.abs(found - expected) / expected).max())
        return {"steps": steps, "relative_difference": difference, "last_loss": float(found[-1])}

    return {f"mesh: {mesh}": functools.partial(compared, mesh) for mesh in names}


def _losses(steps: int, mesh: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    ids = SemanticIds.from_codes(rng.integers(0, 64, (ITEMS, 2)), codes_per_level=(64, 64))
    histories = Histories.from_lists([rng.integers(0, ITEMS, n) for n in rng.integers(2, 16, 400)])
    config = TrainConfig(steps=steps, batch_size=32, mesh=mesh, log_every=1, eval_every=steps)
    found = train(build_model(SHAPE, 0), ids, histories, config, max_items=HISTORY, seed=0)
    return np.array(found.losses)


def tries(count: int, families: Sequence[Family]) -> Points:
    """Compare the answers of as many random tries, in parts, with brute force."""
    each = -(-count // len(families))
    return {
        f"shards: {each} tries of {family}": functools.partial(
            random_tries.run, family, each, seed, _in_parts
        )
        for seed, family in enumerate(families)
    }


def index(items: int, codes_per_level: Sequence[int] = (256,) * 4, beams: int = 50) -> Points:
    """Cut one index, and compare its answers with those of the whole one."""
    return {f"index: {items} items": functools.partial(_cut, items, codes_per_level, beams)}


def _mesh() -> Mesh:
    return Mesh(np.array(jax.devices()), ("items",))


def _in_parts(index: TrieIndex) -> TrieIndex:
    return index.shard(_mesh(), "items")


def _cut(items: int, codes_per_level: Sequence[int], beams: int) -> Figures:
    rng = np.random.default_rng(0)
    codes = np.empty((items, len(codes_per_level)), np.uint8)
    for level, count in enumerate(codes_per_level):
        codes[:, level] = rng.integers(0, count, items, np.uint8)
    figures: Figures = {"items": items, "devices": jax.device_count()}
    with timed(figures, "build_s"):
        whole = TrieIndex.from_codes(codes, codes_per_level=codes_per_level)
    del codes
    with timed(figures, "cut_s"):
        index = _in_parts(whole)
    part = max(_bytes_of(index, device) for device in jax.devices())
    figures |= {"whole_bytes": whole.nbytes, "part_bytes": part}
    figures["part_over_share"] = part * jax.device_count() / whole.nbytes
    model, history = GivenLogits.random(2, beams, codes_per_level, seed=1)
    rules: dict[str, Any] = {"exclude": rng.integers(0, items, (2, 20)).astype(np.int32)}
    expected = beam_search(model, history, whole, beams=beams, **rules)
    del whole
    model = jax.device_put(model, NamedSharding(_mesh(), P()))
    found = beam_search(model, history, index, beams=beams, **rules)
    same = jax.tree.map(np.array_equal, found, expected)
    search = jax.jit(functools.partial(beam_search, beams=beams))
    compiled = search.lower(model, jnp.asarray(history), index.with_rows(), **rules).compile()
    messages = MESSAGE.findall(compiled.as_text())
    gathers = messages.count("all-gather")
    return figures | {
        "wrong": int(not all(jax.tree.leaves(same))),
        "answers": int(np.asarray(found.valid).sum()),
        "all_gathers": gathers,
        "all_gathers_over_levels": gathers - len(codes_per_level),
        "other_messages": len(messages) - gathers,
        "temporary_bytes": compiled.memory_analysis().temp_size_in_bytes,
        "peak_gib": round(peak_gib(), 2),
    }


def _bytes_of(index: TrieIndex, device: jax.Device) -> int:
    shards = (shard for leaf in jax.tree.leaves(index) for shard in leaf.addressable_shards)
    return sum(shard.data.nbytes for shard in shards if shard.device == device)
