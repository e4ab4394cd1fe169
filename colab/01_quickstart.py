# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Generative retrieval, end to end
# Items become short sequences of codes (*semantic IDs*), a transformer generates the codes of the next
# item from a person's history, and a trie of the real items keeps the search on the catalog: every
# answer is an item that exists and is allowed. The data is MovieLens-100K; on two CPU cores the
# notebook takes about three minutes. The first cell installs genret if it is missing, with the parts of
# JAX that a GPU or a TPU needs.

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

SMOKE = os.environ.get("GENRET_SMOKE") == "1"  # a few steps, to see that everything runs
SYNTHETIC = os.environ.get("GENRET_SYNTHETIC") == "1"  # invented films, where there is no network
print(f"JAX sees {len(jax.devices())} x {jax.devices()[0].device_kind}")

# %% [markdown]
# ## Ingest
# Everything that the rules drop or change is counted (rules that found nothing are not shown). The last film
# of each person is held out for the test, and the one before it for validation.

# %%
import itertools, tempfile  # noqa: E401
from pathlib import Path

import numpy as np
from IPython.display import Image, Markdown, display
from genret.data import ingest, movielens, synthetic_tables


def table(columns, rows):
    lines = [columns, ["---"] * len(columns), *rows]
    return Markdown("\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines))


def picture(plot, *arguments, **options):
    with tempfile.TemporaryDirectory() as folder:
        plot(*arguments, Path(folder, "plot.png"), **options)
        return Image(Path(folder, "plot.png"), width=640)


if SYNTHETIC:
    interactions, films = synthetic_tables(300, 200, 12.0, seed=0)
    films = films.append_column("year", [[1950 + row % 50 for row in range(len(films))]])
else:
    source = movielens()
    interactions, films = source.interactions, source.items
    print(source.terms)
catalog, histories, report = ingest(interactions, films)
table(["rule", "count", "what was done"], [row for row in report.rows() if row[1]])

# %% [markdown]
# ## Embed
# A film's vector has two halves: the first describes its text, the second the films watched near it in the
# training histories. Held-out events are not used.

# %%
from genret.embed import cooccurrence_vectors, join_vectors, text_vectors

learned = histories.training()
text, vocabulary = text_vectors(catalog.text(), dim=64, pieces=4000, seed=0)
near = cooccurrence_vectors(learned, catalog.num_items, dim=64, window=10, seed=0)
vectors = join_vectors([text, near], weights=[1.0, 1.0])
print(f"{len(vectors):,} vectors of width {vectors.shape[1]}")

# %% [markdown]
# ## Tokenize
# Residual k-means: the first code names the nearest of a set of centers, and the second codes the residual
# that the first leaves over. A third code distinguishes films that still have equal codes.

# %%
from genret.config import TokenizeConfig
from genret.evaluation import plots
from genret.tokenizers import RQKMeans, resolve_collisions
from genret.tokenizers.report import nearest_by_prefix

tokenizer = RQKMeans.fit(vectors, TokenizeConfig(levels=2), seed=0)
semantic_ids = resolve_collisions(tokenizer.encode(vectors), "suffix")
codes, codes_per_level = semantic_ids.codes, semantic_ids.codes_per_level
picture(plots.plot_code_usage, codes, codes_per_level)

# %% [markdown]
# Similar films get similar codes. Here are the most watched film and those that share most codes with it.

# %% tags=["shows-data"]
from genret.evaluation.popularity import item_counts

counts = item_counts(learned.items, catalog.num_items)
star = int(counts.argmax())
similar, shared = nearest_by_prefix(codes, star, 7, vectors)
ranked = zip([star, *similar], ["", *shared], strict=True)
table(["codes", "shared", "film"], [(codes[i], n, catalog.titles[i]) for i, n in ranked])

# %% [markdown]
# ## Index
# The trie of the real films. A search that walks it cannot leave the catalog.

# %%
from genret.index import TrieIndex

index = TrieIndex.from_codes(semantic_ids, catalog.item_ids)
print(f"{index.nbytes / index.num_items:.1f} bytes a film")
picture(plots.plot_trie_width, index.num_nodes, codes_per_level)

# %% [markdown]
# ## Train
# `ItemDecoder` reads a film as one position and generates the codes of the next film with a small decoder.
# Every position of every history is a target. The model with the best validation NDCG@10 is kept.

# %%
import dataclasses

from genret.config import EvaluateConfig, TrainConfig
from genret.evaluation import evaluate_model, evaluate_popularity
from genret.models import PRESETS, build_model, num_parameters
from genret.training import train

LONGEST = 50  # films of a history that the model sees
config = dataclasses.replace(PRESETS["tiny"], max_items=LONGEST, dropout=0.2)
untrained = build_model(dataclasses.replace(config, codes_per_level=codes_per_level), seed=0)
steps = TrainConfig(steps=20 if SMOKE else 600, eval_every=10 if SMOKE else 150, patience=0)


def metrics_of(model, split, users=0, beams=50):
    chosen = EvaluateConfig(split=split, users=users, beams=beams)
    return evaluate_model(model, codes, index, histories.held_out(split), chosen, max_items=LONGEST)


def log(record):
    if "valid" in record:
        print(f"step {record['step']}: validation NDCG@10 {record['valid']['ndcg@10']:.4f}")


print(f"{num_parameters(untrained):,} parameters")
trained = train(
    untrained, semantic_ids, learned, steps, max_items=LONGEST, log=log,
    validate=lambda model: metrics_of(model, "valid", users=300, beams=20),
)  # fmt: skip
picture(plots.plot_training, trained.records, metric="ndcg@10")

# %% [markdown]
# ## Evaluate
# All films compete. Films already seen are excluded inside the search, for every method alike. NDCG@10 is
# 1 if the held-out film is ranked first, and 0 if it is not among the first ten.

# %% tags=["metrics"]
metrics = {
    "model": metrics_of(trained.model, "test"),
    "popularity": evaluate_popularity(counts, histories.held_out("test"), EvaluateConfig()),
    "random": metrics_of(untrained, "test"),
}
names = ["ndcg@10", "recall@10", "mrr@10", "coverage@10", "valid"]
rows = [[name, *(f"{found[name]:.4f}" for found in metrics.values())] for name in names]
gain = metrics["model"]["ndcg@10"] / metrics["popularity"]["ndcg@10"]
print(f"NDCG@10 is {gain:.2f} times that of popularity")
display(table(["metric", *metrics], rows), picture(plots.plot_metrics, metrics, k=10))

# %% [markdown]
# ## Recommend
# Three people: the last films they watched, and what comes next.

# %% tags=["shows-data"]
from genret import Recommender

people = np.random.default_rng(0).choice(histories.num_users, 3, replace=False)
seen = histories.events.take(people)


def side_by_side(answers, scores):
    for own, ranked, logs in zip(seen, np.asarray(answers), np.asarray(scores), strict=True):
        titles = [[catalog.titles[row] for row in rows if row >= 0] for rows in (own[-10:], ranked)]
        rows = itertools.zip_longest(*titles, [f"{log:.2f}" for log in logs], fillvalue="")
        display(table(["watched, oldest first", "recommended", "log p"], rows))


found = Recommender(trained.model, index).recommend_many(seen, k=10, beams=50)
side_by_side(found.items, found.scores)

# %% [markdown]
# ## Only what is allowed
# An `ItemFilter` is a set of films, and sets can be combined: here, films from before 1980 that the person
# has not seen. It acts inside the search, and another filter compiles nothing.

# %% tags=["filter"]
from genret.decoding import beam_search
from genret.index import ItemFilter
from genret.models import History

years = np.array(catalog.table["year"].fill_null(9999))
old = ItemFilter.from_mask(index, years < 1980)
unseen = [~ItemFilter.from_items(index, catalog.item_ids[own]) for own in seen]
history = History.from_items(codes, seen, LONGEST)
allowed = beam_search(
    trained.model, history, index, beams=50,
    filters=[old & new for new in unseen], filter_of=range(len(unseen)),
)  # fmt: skip
answers = np.asarray(allowed.items)[:, :10]
assert (answers >= 0).all()
assert (years[answers] < 1980).all()
print(f"{old.num_allowed:,} of {index.num_items:,} films are from before 1980")
print(f"so are all {answers.size} answers; the newest is from {years[answers].max()}")

# %% tags=["shows-data"]
side_by_side(answers, allowed.scores[:, :10])
