"""``genret tokenize`` on a small run: codes made here, ready codes, reports and refusals."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from genret.artifacts import Run, read_manifest, write_folder
from genret.cli.base import Reporter
from genret.cli.embed import Embed
from genret.cli.index import Index
from genret.cli.ingest import Ingest
from genret.cli.main import main
from genret.cli.tokenize import Tokenize
from genret.config import EmbedConfig, SourceConfig, TokenizeConfig
from genret.data import load_run_data
from genret.embed import load_vectors
from genret.errors import GenretError
from genret.index import TrieIndex
from genret.tokenizers import load_codes, load_tokenizer

SMALL = TokenizeConfig(levels=2, codebook_size=8)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("tokenize") / "run"
    reporter = Reporter(as_json=True)
    Ingest(
        run_folder=run, source=SourceConfig(synthetic=True, synthetic_users=60, synthetic_items=90)
    ).run(reporter)
    Embed(run_folder=run, embed=EmbedConfig(text_dim=8, cooccurrence_dim=4)).run(reporter)
    return run


@pytest.fixture
def run(embedded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(embedded, tmp_path / "run"))


def tokenize(run: Path, **options) -> dict:
    usual = {} if options.keys() & {"codes", "preset"} else {"tokenize": SMALL}
    return Tokenize(run_folder=run, **usual | options).run(Reporter(as_json=True))


def test_codes_are_unique_and_the_tokenizer_gives_them_again(run: Path) -> None:
    result = tokenize(run)
    ids = load_codes(run / "codes")
    codes, sizes = ids.codes, ids.codes_per_level
    assert codes.shape == (90, 3)
    assert result["codes_per_level"] == list(sizes)
    assert len(np.unique(codes, axis=0)) == 90
    vectors = load_vectors(run / "vectors")
    np.testing.assert_array_equal(load_tokenizer(run / "codes").encode(vectors).codes, codes[:, :2])
    manifest = Run.open(run).require("codes")
    assert set(manifest.inputs) == {"catalog", "vectors"}
    assert manifest.summary["report"]["levels"][1]["error"] < 1


def test_equal_seeds_give_equal_fingerprints(run: Path) -> None:
    first, again, other = (tokenize(run, seed=s)["fingerprint"] for s in (0, 0, 1))
    assert first == again != other


def test_collisions_can_be_kept(run: Path) -> None:
    config = TokenizeConfig(levels=1, codebook_size=4, collisions="keep")
    result = tokenize(run, tokenize=config)
    assert load_codes(run / "codes").codes.shape == (90, 1)
    assert result["report"]["collisions_after"]["items"] == 90


def test_the_printed_report_shows_levels_and_titles(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = Tokenize(run_folder=run, tokenize=SMALL).run(Reporter())
    printed = capsys.readouterr().out
    for text in ("perplexity", "suffix", "collisions:", "Items with similar codes"):
        assert text in printed
    assert len(result["neighbors"]) == 5
    titles = set(load_run_data(run)[0].titles)
    for example in result["neighbors"]:
        shared = [n["shared"] for n in example["neighbors"]]
        assert shared == sorted(shared, reverse=True)
        assert {example["title"], *(n["title"] for n in example["neighbors"])} <= titles


def test_ready_codes_of_an_array_need_no_vectors(run: Path, tmp_path: Path) -> None:
    shutil.rmtree(run / "vectors")
    ready = np.stack([np.arange(90) // 2 // 9, np.arange(90) // 2 % 9], axis=1)
    np.save(tmp_path / "ids.npy", ready.astype(np.uint16))
    result = tokenize(run, codes=tmp_path / "ids.npy")
    ids = load_codes(run / "codes")
    codes, sizes = ids.codes, ids.codes_per_level
    np.testing.assert_array_equal(codes[:, :2], ready)
    assert sizes == (5, 9, 2)
    assert result["report"]["collisions_before"] == {"items": 90, "groups": 45, "largest": 2}
    assert set(read_manifest(run / "codes").inputs) == {"catalog"}
    Run.open(run).require("codes")
    with pytest.raises(GenretError, match="ready codes and no tokenizer"):
        load_tokenizer(run / "codes")


def test_ready_codes_of_an_index_json_go_by_id(run: Path, tmp_path: Path) -> None:
    ids = [str(i) for i in load_run_data(run)[0].item_ids]
    table = {i: [f"<a_{n // 10}>", f"<b_{n % 10}>"] for n, i in reversed(list(enumerate(ids)))}
    (tmp_path / "x.index.json").write_text(json.dumps(table))
    tokenize(run, codes=tmp_path / "x.index.json", tokenize=TokenizeConfig(collisions="keep"))
    ids = load_codes(run / "codes")
    codes, sizes = ids.codes, ids.codes_per_level
    assert codes.tolist() == [[n // 10, n % 10] for n in range(90)]
    assert sizes == (9, 10)


def test_ready_codes_of_office(shared_data: Path, tmp_path: Path) -> None:
    office = shared_data / "office"
    reporter = Reporter(as_json=True)
    source = SourceConfig(interactions=(office / "inter.json",), items=(office / "item.json",))
    Ingest(run_folder=tmp_path, source=source).run(reporter)
    result = Tokenize(run_folder=tmp_path, codes=office / "index.json").run(reporter)
    assert result["codes_per_level"] == [256, 256, 256, 256, 2]
    assert result["report"]["collisions_before"] == {"items": 10, "groups": 5, "largest": 2}
    assert result["report"]["collisions_after"]["items"] == 0


@pytest.mark.parametrize(
    "method", ["pq", "hierarchical", "random", "sequential", "collaborative", "semantic", "hybrid"]
)
def test_methods_make_codes_that_can_be_indexed(run: Path, method: str) -> None:
    config = TokenizeConfig(
        method=method, levels=2, codebook_size=12, category_column="category", iterations=5
    )
    needs_vectors = method in ("pq", "hierarchical")
    if not needs_vectors:
        shutil.rmtree(run / "vectors")
    result = tokenize(run, tokenize=config)
    assert result["report"]["collisions_after"]["items"] == 0
    assert ("vectors" in read_manifest(run / "codes").inputs) == needs_vectors
    assert Index(run_folder=run).run(Reporter(as_json=True))["items"] == 90


def test_titles_end_where_they_end(run: Path) -> None:
    shutil.rmtree(run / "vectors")
    tokenize(run, tokenize=TokenizeConfig(method="titles", codebook_size=64, title_pieces=12))
    ids = load_codes(run / "codes")
    assert ids.end_code == 0
    lengths = (ids.codes != 0).sum(axis=1)
    assert lengths.min() < lengths.max()
    assert (run / "codes" / "text.model").is_file()
    Index(run_folder=run).run(Reporter(as_json=True))
    index = TrieIndex.load(run / "index")
    assert index.end_code == 0
    assert index.num_nodes[-1] == 90


def test_collisions_can_be_reassigned(run: Path) -> None:
    config = TokenizeConfig(levels=2, codebook_size=12, collisions="reassign")
    result = tokenize(run, tokenize=config)
    ids = load_codes(run / "codes")
    codes, sizes = ids.codes, ids.codes_per_level
    assert sizes == (12, 12)
    assert result["report"]["collisions_before"]["items"] > 0
    assert result["report"]["collisions_after"]["items"] == 0
    assert len(np.unique(codes, axis=0)) == 90
    with pytest.raises(GenretError, match="'reassign' moves items to near codes and needs vectors"):
        tokenize(run, tokenize=TokenizeConfig(method="random", collisions="reassign"))


def test_sequential_codes_do_not_see_held_out_events(run: Path, tmp_path: Path) -> None:
    config = TokenizeConfig(method="sequential", levels=2)
    before = tokenize(run, tokenize=config)["fingerprint"]
    catalog, histories = load_run_data(run)
    items = histories.events.items.copy()
    held_out = np.concatenate(
        [
            histories.events.offsets[:-1][at >= 0] + at[at >= 0]
            for at in (histories.valid_at, histories.test_at)
        ]
    )
    items[held_out] = np.random.default_rng(0).permutation(items[held_out])
    assert (items != histories.events.items).any()
    with write_folder(run / "catalog", "catalog") as folder:
        catalog.save(folder)
        events = dataclasses.replace(histories.events, items=items)
        dataclasses.replace(histories, events=events).save(folder)
    assert tokenize(run, tokenize=config)["fingerprint"] == before


def test_a_preset_takes_the_place_of_the_options(run: Path) -> None:
    tokenize(run, preset="grid")
    assert read_manifest(run / "codes").config["normalize_residuals"]
    with pytest.raises(GenretError, match="--preset: found 'gird', expected one of tiger"):
        tokenize(run, preset="gird")
    with pytest.raises(
        GenretError, match="--preset: found with --codebook-size, --levels, expected"
    ):
        tokenize(run, preset="grid", tokenize=SMALL)
    with pytest.raises(GenretError, match="no column 'genre'; it has item_id"):
        tokenize(run, tokenize=TokenizeConfig(method="semantic", category_column="genre"))


def test_ready_codes_come_from_the_command_line(run: Path, tmp_path: Path) -> None:
    ids = [str(i) for i in load_run_data(run)[0].item_ids]
    table = {i: f"<s_a_{n // 10}><s_b_{n % 10}>" for n, i in enumerate(ids)}
    (tmp_path / "x.json").write_text(json.dumps(table))
    for option in ("--from", "--codes"):
        argv = ["tokenize", str(run), option, str(tmp_path / "x.json"), "--collisions", "keep"]
        assert main([*argv, "--json"]) == 0
        assert load_codes(run / "codes").codes.tolist() == [[n // 10, n % 10] for n in range(90)]


def test_bad_codes_leave_the_older_ones(run: Path, tmp_path: Path) -> None:
    before = tokenize(run)["fingerprint"]
    arrays = {
        "float.npy": (np.zeros((90, 2)), "found dtype float64, expected integers"),
        "negative.npy": (np.full((90, 2), -1), r"\[0, 0\]: found -1"),
        "short.npy": (np.zeros((89, 2), int), "found 89 rows, the catalog has 90 items"),
        "flat.npy": (np.zeros(90, int), r"found shape \(90,\)"),
        "ragged.npy": (np.array([[1], [1, 2]], object), r"cannot be read as \.npy"),
    }
    for name, (array, message) in arrays.items():
        np.save(tmp_path / name, array, allow_pickle=True)
        with pytest.raises(GenretError, match=f"{name}.*{message}"):
            tokenize(run, codes=tmp_path / name)
    for name, text in {
        "junk.npy": "junk",
        "codes.txt": "1 2",
        "bad.json": '{"1": ["<a_1>"]}',
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(GenretError, match=name):
            tokenize(run, codes=tmp_path / name)
    with pytest.raises(GenretError, match=r"none\.npy"):
        tokenize(run, codes=tmp_path / "none.npy")
    assert read_manifest(run / "codes").fingerprint == before


def test_stale_and_missing_vectors_are_named(run: Path) -> None:
    reporter = Reporter(as_json=True)
    Ingest(
        run_folder=run, source=SourceConfig(synthetic=True, synthetic_users=61, synthetic_items=90)
    ).run(reporter)
    with pytest.raises(GenretError, match=r"vectors: stale: made from catalog/ .*genret embed"):
        tokenize(run)
    shutil.rmtree(run / "vectors")
    with pytest.raises(GenretError, match="has no vectors/; make it with `genret embed"):
        tokenize(run)


@pytest.mark.parametrize("name", ["huge.npy", "huge.index.json"])
def test_a_code_that_would_ask_for_terabytes_is_one_line(run: Path, name: str) -> None:
    file = run.parent / name
    items = load_run_data(run / "catalog")[0].item_ids.tolist()
    codes = np.stack([np.arange(90), np.zeros(90, int)], axis=1)
    codes[7, 1] = 2_000_000_000
    if file.suffix == ".npy":
        np.save(file, codes)
    else:
        file.write_text(json.dumps(dict(zip(map(str, items), codes.tolist(), strict=True))))
    with pytest.raises(
        GenretError, match=rf"{name}.*found the code 2000000000, expected"
    ) as caught:
        tokenize(run, codes=file)
    assert "\n" not in str(caught.value)
    assert not (run / "codes").exists()
