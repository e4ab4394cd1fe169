"""``genret embed`` on a small run: what it writes, what it leaves out, what it refuses."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from genret.artifacts import read_manifest, write_folder
from genret.cli.base import Reporter
from genret.cli.embed import Embed
from genret.cli.ingest import Ingest
from genret.config import EmbedConfig, SourceConfig
from genret.data import load_run_data
from genret.embed import load_embedder, load_vectors
from genret.errors import GenretError

EMBEDDER = {"embedder.json", "embedder.safetensors"}
SMALL = EmbedConfig(text_dim=8, cooccurrence_dim=4, pieces=600)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("embed") / "run"
    Ingest(
        run_folder=run, source=SourceConfig(synthetic=True, synthetic_users=60, synthetic_items=40)
    ).run(Reporter(as_json=True))
    return run


@pytest.fixture
def run(ingested: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ingested, tmp_path / "run"))


def embed(run: Path, **options) -> dict:
    usual = {} if "vectors" in options else {"embed": SMALL}
    return Embed(run_folder=run, **usual | options).run(Reporter(as_json=True))


def test_the_default_joins_text_and_cooccurrence(run: Path) -> None:
    result = embed(run)
    vectors = load_vectors(run / "vectors")
    assert vectors.shape == (40, 12)
    assert result["parts"]["text"] == {"width": 8, "items_without": 0}
    assert result["parts"]["cooccurrence"]["width"] == 4
    manifest = read_manifest(run / "vectors", "vectors")
    assert manifest.inputs == {"catalog": read_manifest(run / "catalog").fingerprint}
    assert set(manifest.files) == {"vectors.npy", *EMBEDDER, "text.model"}
    assert manifest.config["text_dim"] == 8


@pytest.mark.parametrize("whiten", [0.0, 0.7])
def test_the_saved_embedder_makes_the_saved_vectors(run: Path, whiten: float) -> None:
    embed(run, embed=EmbedConfig(text_dim=8, cooccurrence_dim=0, pieces=600, whiten=whiten))
    embedder = load_embedder(run / "vectors")
    texts = load_run_data(run)[0].text(embedder.text_columns)
    saved = load_vectors(run / "vectors")
    np.testing.assert_allclose(embedder.embed(texts), saved, atol=1e-6)
    one_by_one = [embedder.embed([text])[0] for text in texts]
    np.testing.assert_allclose(one_by_one, saved, atol=1e-6)


def test_the_cooccurrence_part_of_a_new_item_is_zero(run: Path) -> None:
    embed(run)
    embedder = load_embedder(run / "vectors")
    found = embedder.embed(load_run_data(run)[0].text(embedder.text_columns))
    saved = load_vectors(run / "vectors")
    np.testing.assert_allclose(found[:, :8], saved[:, :8], atol=1e-6)
    assert not found[:, 8:].any()
    assert saved[:, 8:].any()


def test_equal_seeds_give_equal_fingerprints(run: Path) -> None:
    assert embed(run)["fingerprint"] == embed(run)["fingerprint"]


@pytest.mark.parametrize(
    ("config", "width", "files"),
    [
        (EmbedConfig(text_dim=0, cooccurrence_dim=4), 4, {"vectors.npy", "embedder.json"}),
        (
            EmbedConfig(text_dim=8, cooccurrence_dim=0),
            8,
            {"vectors.npy", *EMBEDDER, "text.model"},
        ),
    ],
)
def test_a_part_can_be_left_out(run: Path, config: EmbedConfig, width: int, files: set) -> None:
    assert embed(run, embed=config)["width"] == width
    assert set(read_manifest(run / "vectors").files) == files


def test_held_out_events_do_not_shape_the_vectors(run: Path) -> None:
    before = embed(run)
    catalog, histories = load_run_data(run)
    items = histories.events.items.copy()
    starts = histories.events.offsets[:-1]
    for at in (histories.valid_at, histories.test_at):
        held_out = (starts + at)[at >= 0]
        items[held_out] = (items[held_out] + 7) % catalog.num_items
    events = dataclasses.replace(histories.events, items=items)
    other = dataclasses.replace(histories, events=events)
    with write_folder(run / "catalog", "catalog") as folder:
        catalog.save(folder)
        other.save(folder)
    assert embed(run)["fingerprint"] == before["fingerprint"]


def test_brought_vectors_are_taken_as_they_are(run: Path, tmp_path: Path) -> None:
    brought = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    np.save(tmp_path / "mine.npy", brought)
    order = np.random.default_rng(1).permutation(40)
    ids = load_run_data(run)[0].item_ids
    np.savez(tmp_path / "mine.npz", ids=ids[order], vectors=brought[order])
    result = embed(run, vectors=str(tmp_path / "mine.npz"))
    assert result["parts"] == {"brought": {"width": 3, "items_without": 0}}
    np.testing.assert_array_equal(load_vectors(run / "vectors"), brought)
    embed(run, vectors=str(tmp_path / "mine.npz"), embed=EmbedConfig(whiten=1.0))
    embedder = load_embedder(run / "vectors")
    assert embedder.takes_vectors
    np.testing.assert_allclose(embedder.finish(brought), load_vectors(run / "vectors"), atol=1e-6)


def test_bad_requests_leave_the_older_vectors(run: Path, tmp_path: Path) -> None:
    before = embed(run)["fingerprint"]
    np.save(tmp_path / "short.npy", np.ones((39, 3)))
    np.save(tmp_path / "nan.npy", np.full((40, 3), np.nan))
    for options, message in [
        (
            {"vectors": str(tmp_path / "short.npy"), "ids": run / "catalog" / "items.parquet"},
            "found 39 vectors and 40 ids",
        ),
        ({"vectors": str(tmp_path / "nan.npy")}, "without ids"),
        ({"ids": tmp_path / "nan.npy"}, "--ids goes with --vectors"),
        ({"vectors": "x.npy", "sentence_model": "y"}, "exclude each other"),
        ({"vectors": "x.npy", "embed": SMALL}, "--vectors: found with .*--text-dim"),
        ({"vectors_column": "x"}, "--vectors-column goes with --vectors"),
        ({"embed": EmbedConfig(text_columns=("color",))}, "has no column 'color'"),
        (
            {"embed": EmbedConfig(text_weight=0.0, cooccurrence_weight=0.0)},
            "weights: all are 0",
        ),
        ({"sentence_model": "x", "embed": EmbedConfig(text_dim=0)}, "--text-dim is 0"),
    ]:
        with pytest.raises(GenretError, match=message):
            embed(run, **options)
    assert read_manifest(run / "vectors").fingerprint == before


def test_a_run_without_a_catalog_names_the_verb(tmp_path: Path) -> None:
    with pytest.raises(GenretError, match="has no catalog/; make it with `genret ingest"):
        embed(tmp_path)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_bad_weights_are_refused(weight: float) -> None:
    with pytest.raises(GenretError, match="text_weight: found"):
        EmbedConfig(text_weight=weight)
