"""What ``Recommender.recommend`` costs for one user beside the bare ``beam_search`` that it runs.

    python -m benchmarks.one_user

A warm call takes at most 2 ms more than the search. The answers are compared before they are timed.
"""

import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from rich.console import Console

from benchmarks.bars import at_most
from benchmarks.program import Table, finish, make_main
from benchmarks.timing import interleave
from genret import Recommender, TrieIndex, beam_search
from genret.config import ItemDecoderConfig
from genret.data import Catalog
from genret.models import History, build_model

SIZES = (256, 256, 256)


@dataclasses.dataclass(frozen=True)
class OneUser:
    """Time the calls round-robin and say by how much they differ; the exit status is 1 if by too much."""

    items: int = 100_000  # Items of the catalog.
    beams: int = 50  # Beams of the search.
    k: int = 10  # Items that are recommended.
    rounds: int = 100  # Rounds of timing.

    def main(self, console: Console) -> int:
        """Measure and show."""
        k, beams = self.k, self.beams
        rng = np.random.default_rng(0)
        codes = rng.integers(0, 256, (self.items, len(SIZES)))
        ids = [f"SKU{n}" for n in range(self.items)]
        titles = [f"Thing {n}" for n in range(self.items)]
        catalog = Catalog(pa.table({"item_id": ids, "title": titles}))
        index = TrieIndex.from_codes(codes, catalog.item_ids, codes_per_level=SIZES)
        shape = ItemDecoderConfig(
            codes_per_level=SIZES,
            width=64,
            code_width=64,
            layers=2,
            heads=2,
            kv_heads=2,
            mlp_dim=192,
        )
        model = build_model(shape, 0)
        shop = Recommender(model, index, catalog=catalog)
        rows = rng.choice(self.items, shape.max_items, replace=False)
        history = History.from_items(jnp.asarray(codes, jnp.int32), [rows], shape.max_items)

        # As in the engine: a program of its own, which takes leaves and not a model to flatten.
        arguments = model, index, history, jnp.asarray(rows, jnp.int32)[None]
        leaves, structure = jax.tree.flatten(arguments)

        @jax.jit
        def search(leaves: list[jax.Array]) -> jax.Array:
            model, index, history, seen = jax.tree.unflatten(structure, leaves)
            return beam_search(model, history, index, beams=beams, exclude=seen).items[:, :k]

        calls = {"beam_search": lambda: np.asarray(search(leaves))} | {
            f"recommend by {name}": lambda own=[of[row] for row in rows]: (
                shop.recommend(own, k, beams=beams).items
            )
            for name, of in {"ids": ids, "titles": catalog.titles}.items()
        }
        first, *others = (call().tolist() for call in calls.values())
        assert others == [first, first]
        found = interleave(calls, self.rounds)
        bare = np.array(found["beam_search"]["rounds_ms"])
        more = {n: float(np.median(np.array(x["rounds_ms"]) - bare)) for n, x in found.items()}
        rows = [(n, f"{own['ms']:.2f} ms", f"{more[n]:+.2f} ms") for n, own in found.items()]
        table = Table("One user", ("call", "median", "over beam_search"), rows)
        bars = [at_most(f"{n}, ms over beam_search", lambda d, n=n: d[n], 2.0) for n in more]
        return finish(more, bars, None, console, table)


main = make_main("benchmarks.one_user", OneUser)

if __name__ == "__main__":
    sys.exit(main())
