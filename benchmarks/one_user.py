"""What ``Recommender.recommend`` costs for one user beside the bare ``beam_search`` that it runs.

    python -m benchmarks.one_user

The bar of issue "the redesign": a warm call takes at most 2 ms more than the search.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import tyro

from benchmarks.timing import interleave
from genret import Recommender, TrieIndex, beam_search
from genret.config import ItemDecoderConfig
from genret.data import Catalog
from genret.models import History, build_model

SIZES = (256, 256, 256)
BAR_MS = 2.0


def main(items: int = 100_000, beams: int = 50, k: int = 10, rounds: int = 100) -> int:
    """Time the calls round-robin and say by how much they differ.

    Args:
      items: items of the catalog.
      beams: beams of the search.
      k: items that are recommended.
      rounds: rounds of timing.
    """
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (items, len(SIZES)))
    ids = [f"SKU{n}" for n in range(items)]
    catalog = Catalog(pa.table({"item_id": ids, "title": [f"Thing {n}" for n in range(items)]}))
    index = TrieIndex.from_codes(codes, catalog.item_ids, codes_per_level=SIZES)
    shape = ItemDecoderConfig(
        codes_per_level=SIZES, width=64, code_width=64, layers=2, heads=2, kv_heads=2, mlp_dim=192
    )
    model = build_model(shape, 0)
    shop = Recommender(model, index, catalog=catalog)
    rows = rng.choice(items, shape.max_items, replace=False)
    history = History.from_items(jnp.asarray(codes, jnp.int32), [rows], shape.max_items)
    seen = jnp.asarray(rows, jnp.int32)[None]

    # As in the engine: a program of its own, which takes leaves and not a model to flatten.
    leaves, structure = jax.tree.flatten((model, index, history, seen))

    @jax.jit
    def search(leaves: list[jax.Array]) -> jax.Array:
        model, index, history, seen = jax.tree.unflatten(structure, leaves)
        return beam_search(model, history, index, beams=beams, exclude=seen).items[:, :k]

    names = [ids[row] for row in rows]
    titles = [catalog.titles[row] for row in rows]
    assert shop.recommend(names, k, beams=beams).items.tolist() == search(leaves).tolist()
    assert shop.recommend(titles, k, beams=beams).items.tolist() == search(leaves).tolist()
    found = interleave(
        {
            "beam_search": lambda: np.asarray(search(leaves)),
            "recommend by ids": lambda: shop.recommend(names, k, beams=beams).items,
            "recommend by titles": lambda: shop.recommend(titles, k, beams=beams).items,
        },
        rounds,
    )
    bare = np.array(found["beam_search"]["rounds_ms"])
    missed = 0
    for name, own in found.items():
        more = float(np.median(np.array(own["rounds_ms"]) - bare))
        print(f"{name:20} {own['ms']:8.2f} ms   {more:+.2f} ms")
        missed += more > BAR_MS
    print(f"bar: at most {BAR_MS:g} ms more than beam_search: {'missed' if missed else 'met'}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
