# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A batch-scoring job
# Every night a job reads the histories of all users from Parquet, recommends items to each user, and writes
# the answers to Parquet. This notebook runs such a job with `genret score`, kills it in the middle and starts
# it again. One file is damaged, and some rows cannot be scored. It then checks that every user is answered
# exactly once and that the output equals, byte for byte, that of an uninterrupted job, and shows what padding
# costs. The users are invented. On two CPU cores it takes about four minutes. The first cell installs genret
# if it is missing.

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
SMOKE = os.environ.get("GENRET_SMOKE") == "1"  # few users, to see that everything runs
# In a process of its own: one process holds a whole TPU, and the jobs below need it.
look = "import jax; print(f'JAX sees {len(jax.devices())} x {jax.devices()[0].device_kind}')"
print(subprocess.run([sys.executable, "-c", look], capture_output=True, text=True).stdout.strip())

# %% [markdown]
# ## A run with a model
# Each verb of the command line continues from what the one before left in the run folder. Programs that
# JAX has compiled are kept in a folder, so a job that is started again does not compile again.

# %% tags=["run"]
import json, time  # noqa: E401
from pathlib import Path

os.environ.pop("FORCE_COLOR", None)  # notebooks set it; progress bars are for terminals
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path("compiled").resolve())
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"


def genret(*arguments, status=0):
    command = [sys.executable, "-m", "genret", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout) if done.stdout else done.stderr


ITEMS, LONGEST, STEPS = (100, 4, 20) if SMOKE else (500, 20, 300)
model = ["--width", 64, "--code-width", 64, "--heads", 2, "--kv-heads", 2, "--mlp-dim", 192]
train = [*model, "--max-items", LONGEST, "--steps", STEPS, "--eval-users", 100]
for verb, *options in (
    ["ingest", "--synthetic", "--synthetic-items", ITEMS],
    ["embed"],
    ["tokenize", "--levels", 2, "--collisions", "reassign"],
    ["index"],
    ["train", *train],
):
    start = time.perf_counter()
    genret(verb, "run", *options)
    print(f"genret {verb} run: {time.perf_counter() - start:.0f} s")

# %% [markdown]
# ## The histories
# Six files, the *shards*: each row is a user and the list of their items, oldest first. One file has some bad
# rows, and another is truncated, as by an interrupted copy.

# %% tags=["histories"]
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from genret.data import synthetic_tables

USERS = 200 if SMOKE else 2000  # of a shard
Path("days").mkdir()
shards = [Path(f"days/{number}.parquet") for number in range(6)]
for number, shard in enumerate(shards):
    log, _ = synthetic_tables(USERS, ITEMS, 8.0, seed=100 + number)
    bounds = np.flatnonzero(np.diff(log["user_id"], prepend=-1, append=-1))
    items = pa.ListArray.from_arrays(bounds, log["item_id"].combine_chunks())
    users = pa.array(np.arange(USERS) + number * USERS)
    if number == 2:
        lists, names = items.to_pylist(), users.to_pylist()
        lists[3] = None  # nothing is known of this user, not even that there is no history
        lists[5] = [3, 99_999, 17]  # an item that the catalog does not have: is left out
        lists[7] = [99_999]  # nothing is left
        names[8] = None
        names[11] = names[10]  # twice
        items, users = pa.array(lists), pa.array(names)
    pq.write_table(pa.table({"user_id": users, "items": items}), shard)
whole = shards[4].read_bytes()
shards[4].write_bytes(whole[: len(whole) // 2])
print(*(f"{shard}: {shard.stat().st_size:,} bytes" for shard in shards), sep="\n")

# %% [markdown]
# ## Start the job, and kill it
# SIGKILL cannot be handled by a program; it is what happens when a machine is taken away or runs out of
# memory.

# %% tags=["kill"]
job = ["score", "run", "--histories", "days/*.parquet", "--k", 10, "--beams", 20, "--exclude-seen"]
out = Path("scores")
process = subprocess.Popen(
    [sys.executable, "-m", "genret", *map(str, job), "--out", str(out)],
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
)  # fmt: skip
while not (done := sorted(out.glob("_shards/*.json"))) and process.poll() is None:
    time.sleep(0.01)
process.kill()
print("exit status:", process.wait())
print("finished shards:", *(file.stem for file in sorted(out.glob("_shards/*.json"))))
print("the job is finished:", (out / "_SUCCESS").exists())

# %% [markdown]
# ## Start it again
# The same command continues after the last finished shard. One shard cannot be read. The others are scored
# anyway, and the exit status 2 tells whoever started the job to look.

# %% tags=["again"]
print(genret(*job, "--out", out, status=2).splitlines()[-1])
print("finished shards:", *(file.stem for file in sorted(out.glob("_shards/*.json"))))

# %% [markdown]
# The file is copied again, and the job is started again. Status 3 means that everything is written, but some
# rows could not be scored.

# %% tags=["repaired"]
shards[4].write_bytes(whole)
last = genret(*job, "--out", out, status=3)
print(f"users scored now: {last['users_scored_now']:,}, in all: {last['summary']['users']:,}")
print("rows rejected:", last["summary"]["rejected"])
print("unknown items left out:", last["summary"]["unknown_items"])
print("the job is finished:", (out / "_SUCCESS").exists())

# %% [markdown]
# ## Every user is answered exactly once

# %% tags=["answers"]
from IPython.display import Markdown, display


def table(columns, rows):
    lines = [columns, ["---"] * len(columns), *rows]
    return Markdown("\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines))


answers = pa.concat_tables(pq.read_table(file) for file in sorted(out.glob("scores/*.parquet")))
rejected = pq.read_table(out / "rejected.parquet")
display(table(rejected.column_names, [list(row.values()) for row in rejected.to_pylist()]))

asked = set(range(6 * USERS))
answered = answers["user"].to_numpy()
first = answered[answers["rank"].to_numpy() == answers["rank"].to_numpy().min()]
assert len(first) == len(set(first.tolist()))
missing = asked - set(first.tolist())
print(f"{len(first):,} users are answered once; not answered: {sorted(missing)}")
assert missing == {2 * USERS + row for row in (3, 7, 8, 11)}

# %% [markdown]
# The answers of one user, with the titles of the run's catalog:

# %% tags=["one"]
from genret.data import load_run_data

catalog, _ = load_run_data(Path("run"))
title = dict(zip(catalog.item_ids.tolist(), catalog.titles, strict=True))
history = pq.read_table(shards[0])["items"][0].as_py()
print("had:", ", ".join(title[item] for item in history[-4:]))
own = [row for row in answers.slice(0, 10).to_pylist() if row["user"] == 0]
display(table(["rank", "item", "log p"],
              [[r["rank"], title[r["item"]], f"{r['score']:.2f}"] for r in own[:5]]))  # fmt: skip

# %% [markdown]
# ## The same bytes as an uninterrupted job
# The same histories are scored into another folder without interruption, and all files are compared. (Another
# batch size, other devices or another engine would not change them either.)

# %% tags=["bytes"]
calm = genret(*job, "--out", "calm", status=3)
names = sorted(str(file.relative_to(out)) for file in out.rglob("*.parquet"))
assert names == sorted(str(file.relative_to("calm")) for file in Path("calm").rglob("*.parquet"))
same = [(out / name).read_bytes() == Path("calm", name).read_bytes() for name in names]
print(f"{sum(same)} of {len(names)} files are equal, byte for byte")
assert all(same)
print(f"{calm['summary']['users_per_second']:,.0f} users a second, compiled programs at hand")

# %% [markdown]
# ## What padding costs
# Histories differ in length, but compiled programs have fixed shapes. A history is padded to the next of a few
# widths, each with a program of its own; padding all histories to the longest would waste this much:

# %% tags=["padding"]
import io

from IPython.display import Image
from genret.recommend import widths_of
from matplotlib.figure import Figure

counts = [len(own) for s in shards for own in pq.read_table(s)["items"].to_pylist() if own]
lengths = np.minimum(counts, LONGEST)
widths = np.array(widths_of(LONGEST))
padded = widths[np.searchsorted(widths, lengths)]
waste = {
    "all to the longest": 1 - lengths.mean() / LONGEST,
    "to the next width": 1 - lengths.sum() / padded.sum(),
    "as computed": calm["summary"]["padding_waste"],
}
for name, share in waste.items():
    print(f"{share:4.0%} padding: {name}")

figure = Figure(figsize=(7.2, 3.0), dpi=110, layout="constrained")
left, right = figure.subplots(1, 2, width_ratios=(3, 2))
left.bar(*np.unique(lengths, return_counts=True), color="#0072B2", label="histories")
for width in widths:
    left.axvline(width + 0.5, color="#E69F00", lw=1, label="widths" if width == LONGEST else None)
left.set(xlabel="items of a history that the model sees", ylabel="users")
left.legend(frameon=False)
right.barh(list(waste), list(waste.values()), color=["#8A8A8A", "#E69F00", "#0072B2"])
right.invert_yaxis()
right.set(xlabel="share that is padding", xlim=(0, 1))
for axis in (left, right):
    axis.spines[["top", "right"]].set_visible(False)
file = io.BytesIO()
figure.savefig(file, format="png", metadata={"Software": None})
Image(file.getvalue())

# %% [markdown]
# "As computed" comes from the manifest of the job: users are decoded in groups, and the last group of each
# width is padded, which matters for small jobs only. More in `docs/batch_scoring.md`: filters for each user,
# object stores, and several machines with Ray.
