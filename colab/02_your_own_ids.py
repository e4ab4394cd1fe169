# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own semantic IDs, your own JAX model
# The index and the search do not depend on the rest of genret: give them codes and any model with
# `prefill` and `step`. This notebook has a catalog of 200,000 random IDs, a small model in plain JAX,
# an exact search, filters (`ItemFilter`), items that are inserted and removed, and sampling. It takes about
# a minute on two CPU cores, a GPU or a TPU. The first cell installs genret if it is missing.

# %%
import glob, importlib.util, os, shutil, subprocess, sys  # noqa: E401
from pathlib import Path

REPOSITORY = ""  # `python colab/build.py --set-up` writes it
if importlib.util.find_spec("genret") is None:
    folders = (Path.cwd(), Path.cwd().parent)  # where this notebook may lie in a clone
    clones = [f for f in folders if (f / "genret/__init__.py").is_file()]
    if not clones and not REPOSITORY:
        raise SystemExit(
            "genret is not installed and its address is not known: install it, or set Repository "
            "in [project.urls] of pyproject.toml and run `python colab/build.py --set-up`"
        )
    tpu = glob.glob("/dev/accel[0-9]*") + glob.glob("/dev/vfio/[0-9]*")
    extra = "[tpu]" if tpu else "[cuda]" if shutil.which("nvidia-smi") else ""
    package = f"{clones[0]}{extra}" if clones else f"genret{extra} @ git+{REPOSITORY}"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", package], check=True)

# %% tags=["device"]
import jax

SMOKE = os.environ.get("GENRET_SMOKE") == "1"  # a small catalog, to see that everything runs
print(f"JAX sees {len(jax.devices())} x {jax.devices()[0].device_kind}")

# %% [markdown]
# ## The index
# A row of codes for each item, in any order; items may share a row. Ids are integers or strings.

# %%
import numpy as np
from genret import ItemFilter, TrieIndex, beam_search

ITEMS, LEVELS, CODES = (2_000, 3, 32) if SMOKE else (200_000, 4, 256)
rng = np.random.default_rng(0)
codes = rng.integers(0, CODES, (ITEMS, LEVELS))
index = TrieIndex.from_codes(codes, [f"sku-{i}" for i in range(ITEMS)])
print(f"{index.num_items:,} items, {index.nbytes / index.num_items:.1f} bytes each")
print("levels are stored as", *index.stored_as)

# %% [markdown]
# ## The model
# `prefill` reads the histories once and returns the logits of the first code; `step` gets the code and the
# parent of each beam and returns the next logits. The cache between the two belongs to the model (here, a
# state for each beam). Any pytree can be a model: this one is a recurrent network with random weights.

# %%
import dataclasses
from typing import Any

import jax.numpy as jnp


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Recurrent:
    embed: Any  # [L, V, D]
    mix: Any  # [D, D]

    def prefill(self, history):  # history: items of each request, [B, T]
        state = jnp.tanh(self.embed[0][history % CODES].mean(axis=1) @ self.mix)[:, None]
        return state @ self.embed[0].T, (state, 1)

    def step(self, codes, parents, cache):  # [B, M] both
        state, level = cache
        mine = jnp.take_along_axis(state, parents[..., None], axis=1)
        state = jnp.tanh((mine + self.embed[level - 1][codes]) @ self.mix)
        return state @ self.embed[level].T, (state, level + 1)


keys = jax.random.split(jax.random.key(0))
model = Recurrent(
    embed=jax.random.normal(keys[0], (LEVELS, CODES, 64)) * 0.5,
    mix=jax.random.normal(keys[1], (64, 64)) * 0.2,
)
history = rng.integers(0, ITEMS, (3, 10))  # three requests, ten items each

# %% [markdown]
# ## Search
# Every answer is an item of the catalog. The scores are log-probabilities, the best item first.

# %% tags=["search"]
result = beam_search(model, history, index, beams=50)
assert result.valid.all()
for ids, scores in zip(index.ids_of(result.items)[:, :4], np.asarray(result.scores), strict=True):
    print(", ".join(f"{name} {score:.2f}" for name, score in zip(ids, scores[:4], strict=True)))

# %% [markdown]
# Without the index, hardly any answer would exist: there are far more possible rows of codes than items.

# %%
share = ITEMS / CODES**LEVELS
print(f"{share:.1e} of all rows of codes are items")

# %% [markdown]
# ## A filter for each request
# A filter is a set of items; filters combine with `&`, `|` and `~`. Each request of a batch obeys its own.
# Nothing is compiled again when they change.

# %% tags=["filter"]
price = rng.uniform(1, 100, ITEMS)
cheap = ItemFilter.from_mask(index, price < 20)
fresh = ItemFilter.from_items(index, [f"sku-{i}" for i in range(ITEMS - 500, ITEMS)])
ruled = beam_search(
    model, history, index, beams=50, filters=[cheap, fresh, ~cheap & ~fresh], filter_of=[0, 1, 2]
)
found = np.asarray(ruled.items)
print("dearest of request 0:", price[found[0]].max().round(2))
print("oldest of request 1:", found[1][found[1] >= 0].min(), "of", ITEMS)
print("allowed by filter 2:", (~cheap & ~fresh).num_allowed)

# %% [markdown]
# ## Inserting and removing items
# An inserted item can be found immediately, and a removed one no longer appears.

# %% tags=["live"]
from genret.index import LiveIndex

best = result.items[0, 0]
live = LiveIndex(index, insert_capacity=1000)
changed = live.insert(codes[[best]], ["sku-new"]).remove([f"sku-{best}"])
again = beam_search(model, history, changed, beams=50)
print(
    "best before:", index.ids_of(result.items)[0, 0], "and now:", changed.ids_of(again.items)[0, 0]
)
assert changed.ids_of(again.items)[0, 0] == "sku-new"

# %% [markdown]
# ## Sampling
# A stochastic beam search draws items without replacement from the model's distribution over the allowed
# items.

# %% tags=["sample"]
drawn = beam_search(
    model, history, index, beams=50, filters=[cheap], normalize="legal", sample=jax.random.key(7)
)
items = np.asarray(drawn.items)
assert all(len(set(row)) == 50 for row in items.tolist())
print("three samples of request 0:", *index.ids_of(items)[0, :3])
