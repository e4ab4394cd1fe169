"""``add-items``, ``remove-items`` and ``compact``: what is answered, what stays, what is refused."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genret.artifacts import Run, read_manifest, write_folder
from genret.data import Catalog, load_run_data
from genret.embed import load_embedder, load_vectors
from genret.errors import GenretError
from genret.histories import Histories
from genret.index import TrieIndex
from genret.recommend import LiveItems, Recommender, known_histories
from genret.scoring import export_decode
from genret.tokenizers import load_tokenizer
from tests.cli.conftest import Command
from tests.small_run import write_small_run


def new_items(run: Path, count: int, first: int = 900, **columns) -> pa.Table:
    """Make items like the first ones of the catalog, with ids of their own."""
    table = load_run_data(run)[0].table.slice(0, count)
    ids = pa.array(range(first, first + count), table["item_id"].type)
    titles = pa.array([f"Novel {title}" for title in table["title"].to_pylist()])
    table = table.set_column(0, "item_id", ids).set_column(1, "title", titles)
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    return table


def answerable(run: Path) -> set[int]:
    """Return the ids that the run's index can answer; its rows are those of the catalog."""
    live = LiveItems.load(Run.open(run))
    ids = live.index.ids_of(np.arange(live.index.num_items))
    assert ids.tolist() == live.catalog.item_ids.tolist()
    np.testing.assert_array_equal(live.index.codes_of(np.arange(len(ids))), live.semantic_ids.codes)
    return set(ids[live.index.items_below(())].tolist())


def test_the_life_of_a_catalog(trained: Path, tmp_path: Path, genret: Command) -> None:
    kinds = ("catalog", "codes", "index", "model")
    before = {kind: read_manifest(trained / kind).fingerprint for kind in kinds}
    ids = set(load_run_data(trained)[0].item_ids.tolist())
    pq.write_table(new_items(trained, 5), tmp_path / "new.parquet")
    done = genret("add-items", trained, "--items", tmp_path / "new.parquet", "--json")
    assert done.status == 0, done.err
    figures = json.loads(done.out)
    assert (figures["added"], figures["items"], figures["inserted"]) == (5, 45, 5)
    new = set(range(900, 905))
    assert answerable(trained) == ids | new

    gone = {min(ids), 902}
    assert genret("remove-items", trained, "--ids", *gone).status == 0
    assert answerable(trained) == (ids | new) - gone

    done = genret("compact", trained, "--json")
    assert done.status == 0, done.err
    figures = json.loads(done.out)
    assert (figures["items"], figures["inserted"], figures["removed"]) == (43, 0, 0)
    assert answerable(trained) == (ids | new) - gone
    assert isinstance(LiveItems.load(Run.open(trained)).index, TrieIndex)

    # What was forgotten may come again, and the artifacts of the training were left alone.
    pq.write_table(new_items(trained, 1, first=902), tmp_path / "again.parquet")
    assert genret("add-items", trained, "--items", tmp_path / "again.parquet").status == 0
    assert answerable(trained) == (ids | new) - {min(ids)}
    assert {kind: read_manifest(trained / kind).fingerprint for kind in before} == before
    assert len(list((trained / "live").iterdir())) == 2, "older generations were left"
    done = genret("inspect", trained)
    assert "live" in done.out
    assert "stale" not in done.out
    written = genret("export", trained, "--ids", tmp_path / "ids.json", "--json")
    assert written.status == 0, written.err
    exported = json.loads((tmp_path / "ids.json").read_text())
    assert set(map(int, exported)) == answerable(trained)


@pytest.mark.slow
def test_answers_follow_the_items(trained: Path, tmp_path: Path, genret: Command) -> None:
    """Added items are answered, removed ones never, and compacting changes no answer."""

    def answered() -> list[dict[int, float]]:
        # More beams than items, so that every item is answered. A new item is read as well.
        own = [[], [ids[3], 901]][: 1 + (trained / "live").exists()]
        found = Recommender.load(trained).recommend_many(own, k=60, beams=64, exclude_seen=False)
        return [{one.id: one.score for one in each} for each in found]

    ids = load_run_data(trained)[0].item_ids.tolist()
    (first,) = answered()
    pq.write_table(new_items(trained, 5), tmp_path / "new.parquet")
    assert genret("add-items", trained, "--items", tmp_path / "new.parquet").status == 0
    added = answered()
    assert all(own.keys() == {*ids, *range(900, 905)} for own in added)
    assert {item: added[0][item] for item in ids} == pytest.approx(first, abs=1e-4)
    gone = (ids[0], 902)
    assert genret("remove-items", trained, "--ids", *gone).status == 0
    left = answered()
    for own, all_of_them in zip(left, added, strict=True):
        assert own == pytest.approx(
            {item: score for item, score in all_of_them.items() if item not in gone}, abs=1e-4
        )
    user = ("recommend", trained, "--user", "7", "--k", "3", "--json")
    history = json.loads(genret(*user).out)["history"]
    assert genret("compact", trained).status == 0
    for own, live in zip(answered(), left, strict=True):
        assert own == pytest.approx(live, abs=1e-4)
    known = [one for one in history if one["item_id"] != ids[0]]
    assert json.loads(genret(*user).out)["history"] == known


@pytest.mark.slow
def test_counts_are_not_read_for_other_items(tmp_path: Path, genret: Command) -> None:
    """Counts have items by row: rows that others came to have are refused."""
    run = write_small_run(tmp_path / "shop", transitions=0.3)
    first = load_run_data(run)[0].item_ids.tolist()[0]
    assert genret("remove-items", run, "--ids", first).status == 0
    found = Recommender.load(run).recommend_many([[]], k=60, beams=60)
    assert first not in [one.id for one in found[0]]
    done = genret("compact", run)
    assert done.status != 0
    assert "the model reads items by row" in done.err
    counts = (run / "model" / "transitions.safetensors").read_bytes()
    inputs = read_manifest(run / "model").inputs
    names = ("config.json", "model.safetensors")
    parts = {name: (run / "model" / name).read_bytes() for name in names}

    def put(files: dict[str, bytes]) -> None:
        with write_folder(run / "model", "model", inputs=inputs) as scratch:
            for name, data in files.items():
                (scratch / name).write_bytes(data)

    put(parts)  # without counts
    assert genret("compact", run).status == 0
    put(parts | {"transitions.safetensors": counts})
    for load in (Recommender.load, lambda run: export_decode(run, tmp_path / "decode")):
        with pytest.raises(GenretError, match="trained with were compacted away"):
            load(run)


def test_the_saved_embedder_and_tokenizer_give_the_catalog_its_codes(trained: Path) -> None:
    """The parts that new items have: their vectors and codes are those of equal items."""
    embedder, saved = load_embedder(trained / "vectors"), load_vectors(trained / "vectors")
    catalog, _ = load_run_data(trained)
    made = embedder.embed(catalog.text(embedder.text_columns))
    made[:, 8:] = saved[:, 8:]
    np.testing.assert_allclose(made, saved, atol=1e-6)
    encode = load_tokenizer(trained / "codes").encode
    np.testing.assert_array_equal(encode(made).codes, encode(saved).codes)
    live = LiveItems.load(Run.open(trained))
    np.testing.assert_array_equal(live.semantic_ids.codes[:, :2], encode(made).codes)


def test_histories_are_read_without_items_that_were_forgotten() -> None:
    trained, now = (
        Catalog(pa.table({"item_id": ids, "title": list(map(str, ids))}))
        for ids in ([7, 3, 9], [9, 7, 11])
    )
    histories = Histories.from_lists(
        [[0, 1, 2], [1], []], times=[[5, 6, 7], [8], []], users=[4, 5, 6]
    )
    found = known_histories(histories, trained, now)
    assert found.to_lists() == [[1, 0], [], []]
    assert found.times is not None
    assert found.times.tolist() == [5, 7]
    assert found.users is not None
    assert found.users.tolist() == [4, 5, 6]


def test_a_changed_tokenization_is_noticed(trained: Path, tmp_path: Path, genret: Command) -> None:
    pq.write_table(new_items(trained, 2), tmp_path / "new.parquet")
    assert genret("add-items", trained, "--items", tmp_path / "new.parquet").status == 0
    assert genret("tokenize", trained, "--levels", "3", "--codebook-size", "4").status == 0
    stale = genret("remove-items", trained, "--ids", "900")
    assert stale.status == 2
    assert "stale" in stale.err
    done = genret("index", trained)
    assert done.status == 0
    assert "live/ belonged to the catalog before" in done.out
    assert not (trained / "live").exists()


def test_vectors_that_were_brought_are_asked_for(
    trained: Path, tmp_path: Path, genret: Command
) -> None:
    ids = load_run_data(trained)[0].item_ids
    rng = np.random.default_rng(0)
    known = rng.normal(size=(len(ids), 6)).astype(np.float32)
    every, rows = np.append(ids, [900, 901]), np.append(np.arange(len(ids)), [3, 7])
    np.savez(tmp_path / "mine.npz", ids=ids, vectors=known)
    np.savez(tmp_path / "all.npz", ids=every, vectors=known[rows])
    np.savez(tmp_path / "wide.npz", ids=[900, 901], vectors=np.ones((2, 7)))
    assert genret("embed", trained, "--vectors", tmp_path / "mine.npz", "--whiten", "1").status == 0
    options = ("--levels", "2", "--codebook-size", "8", "--collisions", "keep")
    assert genret("tokenize", trained, *options).status == 0
    assert genret("index", trained).status == 0
    pq.write_table(new_items(trained, 2), tmp_path / "new.parquet")
    command = ("add-items", trained, "--items", tmp_path / "new.parquet")
    asked = genret(*command)
    assert asked.status == 2
    assert "--vectors FILE of width 6" in asked.err
    assert "expected 6" in genret(*command, "--vectors", tmp_path / "wide.npz").err
    assert genret(*command, "--vectors", tmp_path / "all.npz").status == 0
    codes = LiveItems.load(Run.open(trained)).semantic_ids.codes
    np.testing.assert_array_equal(codes[-2:], codes[[3, 7]])  # equal vectors, equal codes


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda t: t.set_column(0, "item_id", pa.array([1, 2])), (), "in the catalog already"),
        (lambda t: t.set_column(0, "item_id", pa.array(["a1", "2"])), (), "'a1' of text"),
        (
            lambda t: t.set_column(0, "item_id", pa.array([900, 900])),
            (),
            "row, expected every item",
        ),
        (lambda t: t.set_column(0, "item_id", pa.array([900, None])), (), "1 of 2 rows have no"),
        (lambda t: t.drop_columns(["price"]), (), "has no column 'price', which the catalog has"),
        (lambda t: t.drop_columns(["title"]), (), "no column of titles"),
        (
            lambda t: t.set_column(t.column_names.index("price"), "price", pa.array(["dear", "1"])),
            (),
            "column 'price': found string such as 'dear', expected double",
        ),
        (lambda t: t, ("--insert-capacity", "1"), "run `genret compact` first"),
        (lambda t: t, ("--insert-capacity", "0"), "expected at least 1"),
        (lambda t: t, ("--vectors", "x.npz"), "are made of texts"),
        (lambda t: t, ("--item", "sku"), "has no column 'sku'; its columns are"),
    ],
)
def test_what_cannot_be_added_is_refused(
    trained_once: Path, tmp_path: Path, genret: Command, make, options, message
) -> None:
    pq.write_table(make(new_items(trained_once, 2)), tmp_path / "new.parquet")
    done = genret("add-items", trained_once, "--items", tmp_path / "new.parquet", *options)
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert message in done.err
    assert not (trained_once / "live").exists()


def test_what_cannot_be_removed_is_refused(trained: Path, tmp_path: Path, genret: Command) -> None:
    ids = [str(i) for i in load_run_data(trained)[0].item_ids]
    (tmp_path / "all.csv").write_text("item_id\n" + "\n".join(ids))
    for options, message in (
        (("--ids", "nothing"), "item 'nothing' is not in the catalog"),
        ((), "found no item, expected --items FILE or --ids"),
        (("--items", tmp_path / "all.csv"), "found all 40 items"),
    ):
        done = genret("remove-items", trained, *options)
        assert (done.status, message in done.err) == (2, True), done.err
    assert genret("remove-items", trained, "--ids", ids[0]).status == 0
    assert "was removed before" in genret("remove-items", trained, "--ids", ids[0]).err
    pq.write_table(new_items(trained, 1, first=int(ids[0])), tmp_path / "back.parquet")
    done = genret("add-items", trained, "--items", tmp_path / "back.parquet")
    assert "in the catalog already" in done.err


@pytest.mark.slow
def test_killed_at_any_moment_the_run_is_the_old_or_the_new_one(
    trained: Path, tmp_path: Path
) -> None:
    rng, sizes, first = np.random.default_rng(), {40}, 900
    for _ in range(4):
        pq.write_table(new_items(trained, 1, first=first), tmp_path / "new.parquet")
        before = LiveItems.load(Run.open(trained)).num_items
        command = ["genret", "add-items", str(trained), "--items", str(tmp_path / "new.parquet")]
        process = subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL)
        while process.poll() is None and not list(trained.glob("live/.*.partial")):
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.wait()
        after = LiveItems.load(Run.open(trained)).num_items
        assert after in (before, before + 1)
        sizes.add(after)
        first += after - before
    done = subprocess.run([sys.executable, "-m", *command[:2], str(trained), *command[3:]])
    assert done.returncode in (0, 2)  # 2: the last one was added before it was killed
    assert not list(trained.rglob("*.partial"))
    shutil.rmtree(trained / "live")
    assert LiveItems.load(Run.open(trained)).num_items == 40
