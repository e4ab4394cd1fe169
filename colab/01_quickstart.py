# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Generative retrieval, end to end
#
# Items become short sequences of codes (*semantic IDs*), a transformer spells the codes of the next
# item from a person's history, and a trie of the real items keeps a vectorised beam search on the
# catalogue: every answer is an item that exists and is allowed.
#
# The data are MovieLens-100K: 943 people, 1,682 films. The notebook runs on a CPU, a GPU or a TPU
# without changes and takes about three minutes on two CPU cores.

# %%
# In Colab: clone the repository, open this notebook from its folder `colab/`, and run this cell once.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("genret") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", ".."], check=True)

# %%
import jax

SMOKE = bool(os.environ.get("GENRET_SMOKE"))  # the tests run the notebook small, on invented data
print("devices:", jax.devices()[0].device_kind, "x", len(jax.devices()))

# %% [markdown]
# ## Histories and items
#
# `ingest` reads tables and files alike, counts whatever its rules drop, and holds out the last
# item of each person for the test and the one before it for validation.

# %%
from genret.config import IngestConfig
from genret.data import ingest, movielens, synthetic_tables

if SMOKE:
    interactions, films = synthetic_tables(200, 100, 12.0, seed=0)
else:
    ratings = movielens()
    interactions, films = ratings.interactions, ratings.items
    print(ratings.terms)
catalog, histories, report = ingest(interactions, films, config=IngestConfig())
print(
    f"{histories.num_users:,} people, {catalog.num_items:,} films, {len(histories.items):,} events"
)

# %% [markdown]
# ## Vectors
#
# What a film says (title, genres, year) beside who watches it together with what: the text goes
# through a vocabulary learned from the catalogue, the training histories through a factorised
# co-occurrence matrix. Held-out events are not looked at.

# %%
from genret.embed import cooccurrence_vectors, join_vectors, text_vectors

offsets, items = histories.training()
text, _ = text_vectors(catalog.text(), 64, 4000, 0)
together = cooccurrence_vectors(offsets, items, catalog.num_items, 64, 10, 0)
vectors = join_vectors([text, together], [1.0, 1.0])
print(vectors.shape)

# %% [markdown]
# ## Semantic IDs
#
# Residual k-means: the first code names the nearest centre, the next one the nearest centre of what
# is left. Films that end up with equal codes are told apart by a suffix. Films that share their first
# code should have something in common:

# %% tags=["shows-data"]
from pathlib import Path

from IPython.display import Image
from genret.config import TokenizeConfig
from genret.evaluation.plots import plot_code_usage, plot_metrics, plot_training, plot_trie_width
from genret.tokenizers import RQKMeans, resolve_collisions

pictures = Path("pictures")
pictures.mkdir(exist_ok=True)
tokenizer = RQKMeans.fit(vectors, TokenizeConfig(levels=2), 0)
codes, codes_per_level = resolve_collisions(
    tokenizer.encode(vectors), tokenizer.codes_per_level, "suffix"
)
some = int(items[-1])
for row in [
    some,
    *[r for r in range(len(codes)) if codes[r, 0] == codes[some, 0] and r != some][:7],
]:
    print(codes[row], catalog.titles[row])

# %%
plot_code_usage(codes, codes_per_level, pictures / "code_usage.png")
Image(pictures / "code_usage.png")

# %% [markdown]
# ## The index
#
# The trie of the real items, as one sparse matrix per level.

# %%
from genret import TrieIndex

index = TrieIndex.from_codes(codes, catalog.item_ids, codes_per_level=codes_per_level)
print(f"{index.nbytes / index.num_items:.1f} bytes an item")
plot_trie_width(index.num_nodes, codes_per_level, pictures / "trie_width.png")
Image(pictures / "trie_width.png")

# %% [markdown]
# ## The model
#
# `ItemDecoder` reads one position per item and spells the next item with a small decoder of its own.
# Every position of every history is a target; short histories share rows.

# %%
import dataclasses

import numpy as np
from genret.config import EvaluateConfig, TrainConfig
from genret.evaluation import evaluate_model
from genret.models import PRESETS, build_model, num_parameters
from genret.training import train

architecture = dataclasses.replace(
    PRESETS["tiny"], codes_per_level=codes_per_level, max_items=50, dropout=0.2
)
config = TrainConfig(steps=20 if SMOKE else 600, eval_every=10 if SMOKE else 150, patience=0)
validation = EvaluateConfig(split="valid", k=(10,), beams=20, users=300, bootstrap=1)
model = build_model(architecture, seed=0)
print(f"{num_parameters(model):,} parameters")


def validate(model):
    held_out = histories.held_out("valid")
    return evaluate_model(model, codes, index, held_out, validation, max_items=50)


def log(record):
    if "valid" in record:
        print(f"step {record['step']:>4}  validation NDCG@10 {record['valid']['ndcg@10']:.4f}")


result = train(
    model, codes, offsets, items, config, seed=0, max_items=50, validate=validate, log=log
)

# %%
plot_training(result.records, pictures / "training.png", metric="ndcg@10")
Image(pictures / "training.png")

# %% [markdown]
# ## Is it any good?
#
# Every film of the catalogue competes; films already seen are excluded inside the beam, for the model
# and for the baseline alike. Whiskers are 95 % intervals over people.

# %%
from genret.evaluation import evaluate_popularity, item_counts

test, held_out = EvaluateConfig(beams=50), histories.held_out("test")
counts = item_counts(items, catalog.num_items)
metrics = {
    "model": evaluate_model(result.model, codes, index, held_out, test, max_items=50),
    "popularity": evaluate_popularity(counts, held_out, test),
    "random": evaluate_model(model, codes, index, held_out, test, max_items=50),
}
for name, figures in metrics.items():
    print(
        f"{name:>10}", *(f"{key} {figures[key]:.4f} " for key in ("ndcg@10", "recall@10", "valid"))
    )
assert metrics["model"]["valid"] == 1.0
plot_metrics(metrics, pictures / "metrics.png", k=10)
Image(pictures / "metrics.png")

# %% [markdown]
# ## What would these people watch next?

# %% tags=["shows-data"]
from genret import History, beam_search

people = np.random.default_rng(0).choice(histories.num_users, 3, replace=False)
seen = [histories.items[histories.offsets[u] : histories.offsets[u + 1]] for u in people]
bounds = np.concatenate([[0], np.cumsum([len(own) for own in seen])])
history = History.from_items(codes, bounds, np.concatenate(seen), 50)
exclude = np.full((3, max(len(own) for own in seen)), -1)
for row, own in zip(exclude, seen, strict=True):
    row[: len(own)] = own


def show(found):
    for own, ranked, scores, valid in zip(
        seen, found.items, found.scores, found.valid, strict=True
    ):
        print("watched: ", "; ".join(catalog.titles[row] for row in own[-5:]))
        for row, score in zip(ranked[valid][:10], scores[valid], strict=False):
            print(f"  {score:6.2f}  {catalog.titles[int(row)]}")


show(beam_search(result.model, history, index, beams=50, exclude=exclude))

# %% [markdown]
# ## Only what is allowed
#
# A `Policy` is a set of items. It acts inside the beam, so the answers are those of an index of the
# allowed items alone, and changing it compiles nothing anew. Here: nothing made after 1970.

# %% tags=["shows-data"]
from genret import Policy

if SMOKE:
    old = np.arange(catalog.num_items) % 3 == 0
else:
    old = np.array(catalog.table["year"].fill_null(9999).to_pylist()) <= 1970
policy = Policy.from_mask(index, old)
found = beam_search(result.model, history, index, beams=50, exclude=exclude, policies=[policy])
assert old[np.asarray(found.items)[np.asarray(found.valid)]].all()
print(f"{policy.num_allowed} films are allowed")
show(found)
