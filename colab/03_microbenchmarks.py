# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What constrained decoding costs on this accelerator
# Ten ways to keep a beam search inside a catalog, on the same logits, each held against brute force
# before it is timed; then the tables of the STATIC paper (arXiv 2602.22647) beside what this machine
# needs. It takes about four minutes on two CPU cores and less on a GPU or a TPU. The
# first cell installs genret if it is missing.

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

import genret

for root in (Path(genret.__file__).parents[1], Path.cwd().parent):
    if (root / "benchmarks" / "suite.py").is_file():
        sys.path.insert(0, str(root))  # the programs that measure are not installed
        break

# %% tags=["device"]
import jax

SMOKE = os.environ.get("GENRET_SMOKE") == "1"  # small sizes, to see that everything runs
print(f"JAX sees {len(jax.devices())} x {jax.devices()[0].device_kind}")

# %% [markdown]
# ## One size, every method
# `measure` builds each index from the same codes, checks the answers and times whole searches in turn.
# Change the numbers to yours: items, codes of a level, levels, requests, beams.

# %% tags=["point"]
import io

from benchmarks import paper, plots, show
from benchmarks.suite import Point, measure
from IPython.display import Image, Markdown, display


def table(line):
    return Markdown(show.table(line["key"], line).markdown())


def picture(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return Image(file.getvalue(), width=640)


def point(**sizes):
    chosen = Point(**{"depth": 4, "batch": 2, "beams": 70, "seconds": 6} | sizes)
    return {"key": chosen.key, **measure(chosen)}


small = {"items": 2000, "codes": 64, "beams": 8, "repeats": 3} if SMOKE else {}
one = point(**{"items": 100_000, "codes": 2048} | small)
table(one)

# %% [markdown]
# Which method wins, and by how much.

# %%
picture(plots.who_wins([one]))

# %% [markdown]
# ## Skew, rules, new items
# Real codes are skewed; requests have rules; catalogs change. What a method cannot do, its row says.

# %% tags=["axes"]
some = ("unconstrained", "genret", "static-style", "ppv-incremental")
for more in ({"kind": "zipf"}, {"filters": 2}, {"inserted": 0.01}):
    line = point(**{"items": 100_000, "codes": 2048, "methods": some} | small | more)
    display(Markdown(f"**{line['key']}**"), table(line))

# %% [markdown]
# ## Inside a transformer
# A decoder-only model in bfloat16 with random weights: beside the model, a constraint costs little.

# %%
table(point(**{"items": 100_000, "codes": 2048, "methods": some, "model": "0.3M"} | small))

# %% [markdown]
# ## The paper's tables beside this machine
# Theirs are milliseconds of a TPU v6e. What travels between machines is the order of the methods and
# how each grows with the catalog. Add 10,000,000 items, and the sizes of V, where memory and patience
# allow.

# %% tags=["paper"]
names = ("unconstrained", "genret", "static-style") if SMOKE else (
    "unconstrained", "genret", "static-style", "hash-bitmap", "ppv-top50", "ppv-exact", "cpu-trie",
)  # fmt: skip
sizes = (100_000,) if SMOKE else (100_000, 1_000_000)
lines = [point(items=n, codes=2048, depth=8, methods=names, repeats=3, seconds=10) for n in sizes]
for found in paper.tables(lines):
    display(Markdown(f"**{found.title}**"), Markdown(found.markdown()))

# %% [markdown]
# ## A table for an issue
# Random tries against brute force on this device, timings at the sizes of the README, and beside them
# what the compiler of a TPU or a known GPU counts for the same search (a schedule, not a time). Paste the
# table into an issue, or send the file: `benchmarks/results/devices` takes it. A few minutes on an accelerator.

# %% tags=["issue"]
from benchmarks.device import Device
from rich.console import Console

on_host = jax.default_backend() == "cpu"  # nothing new there: the smallest sizes only
Device(json=Path("device.json"), smoke=SMOKE or on_host).main(Console(quiet=True))
