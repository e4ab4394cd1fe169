"""The verbs on one small run: what each returns, that each can be run again, what follows when one is."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from genret.cli.main import main
from tests.cli.conftest import TINY_MODEL, TINY_TRAIN, Command

VERBS = (
    "quickstart", "ingest", "embed", "tokenize", "index", "train", "evaluate", "coldstart", "recommend",
    "inspect", "export", "add-items", "remove-items", "compact",
)  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_an_example_that_parses(verb: str, genret: Command) -> None:
    done = genret(verb, "--help")
    assert done.status == 0
    assert f"Example: genret {verb}" in " ".join(done.out.split())
    for option in ("--seed", "--log-level", "--json"):
        assert option in done.out


def test_help_lists_every_verb(genret: Command) -> None:
    done = genret("--help")
    assert done.status == 0
    for verb in VERBS:
        assert verb in done.out


@pytest.mark.parametrize("kind", ["catalog", "vectors", "codes", "index", "model", "reports"])
def test_inspect_says_what_an_artifact_is(kind: str, trained_once: Path, genret: Command) -> None:
    done = genret("inspect", trained_once / kind)
    assert done.status == 0, done.err
    manifest = json.loads((trained_once / kind / "manifest.json").read_text())
    assert kind in done.out
    assert manifest["fingerprint"][:12] in done.out
    described = json.loads(genret("inspect", trained_once / kind, "--json").out)
    assert described["kind"] == kind


def test_inspect_of_a_run_says_what_is_stale(trained: Path, genret: Command) -> None:
    assert "stale" not in genret("inspect", trained).out
    assert main(["tokenize", str(trained), "--json", "--codebook-size", "4"]) == 0
    done = genret("inspect", trained)
    assert done.status == 0
    assert "stale" in done.out


def test_the_report_is_whole(trained_once: Path) -> None:
    reports = trained_once / "reports"
    metrics = json.loads((reports / "metrics.json").read_text())
    for method in ("model", "popularity", "random"):
        assert {"ndcg@10", "recall@10", "mrr@10", "coverage@10", "valid"} <= set(metrics[method])
        assert metrics[method]["valid"] == 1.0
    page = (reports / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 5
    assert "http" not in page
    pictures = {"metrics.png", "slices.png", "training.png", "code_usage.png", "trie_width.png"}
    assert pictures <= {file.name for file in reports.iterdir()}


def test_two_evaluations_of_one_seed_are_identical(trained: Path, genret: Command) -> None:
    first = (trained / "reports" / "metrics.json").read_bytes()
    assert genret("evaluate", trained, "--beams", "20", "--bootstrap", "20").status == 0
    assert (trained / "reports" / "metrics.json").read_bytes() == first


@pytest.mark.slow
def test_training_again_gives_the_same_model(trained: Path, genret: Command) -> None:
    first = (trained / "model" / "model.safetensors").read_bytes()
    assert genret("train", trained, *TINY_MODEL, *TINY_TRAIN).status == 0
    assert (trained / "model" / "model.safetensors").read_bytes() == first
    assert genret("train", trained, *TINY_MODEL, *TINY_TRAIN, "--seed", "1").status == 0
    assert (trained / "model" / "model.safetensors").read_bytes() != first


def test_recommend_by_title_id_and_user(trained_once: Path, genret: Command) -> None:
    by_user = json.loads(genret("recommend", trained_once, "--user", "7", "--json", "--k", "5").out)
    ids = [str(h["item_id"]) for h in by_user["history"]]
    titles = [h["title"] for h in by_user["history"]]
    for history in (ids, titles):
        done = genret("recommend", trained_once, "--json", "--k", "5", "--history", *history)
        assert json.loads(done.out) == by_user
    assert [r["rank"] for r in by_user["recommendations"]] == [1, 2, 3, 4, 5]
    assert not {r["item_id"] for r in by_user["recommendations"]} & set(ids)
    scores = [r["score"] for r in by_user["recommendations"]]
    assert scores == sorted(scores, reverse=True)
    printed = genret("recommend", trained_once, "--user", "7", "--k", "5").out
    assert by_user["recommendations"][0]["title"] in printed


def test_recommend_without_a_history(trained_once: Path, genret: Command) -> None:
    found = json.loads(genret("recommend", trained_once, "--json").out)
    assert found["history"] == []
    assert len(found["recommendations"]) == 10


def test_recommend_grounds_free_texts(trained_once: Path, genret: Command) -> None:
    titles = pq.read_table(trained_once / "catalog" / "items.parquet")["title"].to_pylist()
    first, second = titles[3].split()[:2]
    text = f"{second} thing, {first}, such as {titles[3]} {titles[3]}"
    asked = ("recommend", trained_once, "--history", text, titles[5], "--k", "3")
    done = genret(*asked)
    assert (done.status, "no item has the id or title" in done.err) == (2, True)
    found = json.loads(genret(*asked, "--ground", "--json").out)
    (meant,) = found["grounded"].items()
    assert meant[0] == text
    assert found["history"][0]["title"] == meant[1]["title"] == titles[3]
    assert found["history"][1]["title"] == titles[5]
    assert 0 < meant[1]["cosine"] <= 1
    assert f"is taken for {titles[3]!r}" in " ".join(genret(*asked, "--ground").out.split())
    none = genret("recommend", trained_once, "--history", "東京", "--ground")
    assert (none.status, none.err.count("\n")) == (2, 1)
    assert "found nothing that the items' texts have too" in none.err


def test_recommend_explores(trained_once: Path, genret: Command) -> None:
    def ranked(*options: object) -> list[str]:
        done = genret("recommend", trained_once, "--user", "7", "--json", "--k", "5", *options)
        return [one["item_id"] for one in json.loads(done.out)["recommendations"]]

    assert ranked("--explore", 1e9) == ranked()
    weak = [ranked("--explore", 1, "--seed", seed) for seed in (0, 1, 0)]
    assert weak[0] == weak[2] != weak[1]
    done = genret("recommend", trained_once, "--explore", -1)
    assert (done.status, "strength: found -1" in done.err) == (2, True)


def test_recommend_under_a_filter(trained_once: Path, genret: Command) -> None:
    table = pq.read_table(trained_once / "catalog" / "items.parquet")
    middle = sorted(table["price"].to_pylist())[20]
    cheap = {r["item_id"] for r in table.to_pylist() if r["price"] < middle}
    options = ("--user", "7", "--json", "--k", "40", "--beams", "40", "--include-seen")
    done = genret("recommend", trained_once, *options, "--where", f"price < {middle!r}")
    assert done.status == 0, done.err
    assert {r["item_id"] for r in json.loads(done.out)["recommendations"]} == cheap
    for bad, says in (
        ("pric < 3", "did you mean 'price'"),
        ("price <", "no expression"),
        ("", "nothing"),
    ):
        done = genret("recommend", trained_once, "--where", bad)
        assert done.status == 2
        assert says in done.err
        assert len(done.err.strip().splitlines()) == 1


@pytest.mark.slow
def test_every_item_is_scored_on_demand(trained: Path, genret: Command) -> None:
    """With a beam for every item the search prunes nothing: it answers as exact scoring does."""
    options = ("recommend", trained, "--user", "7", "--json", "--k", "5")
    beams = json.loads(genret(*options, "--beams", "40").out)["recommendations"]
    exact = json.loads(genret(*options, "--exact", "--beams", "1").out)["recommendations"]
    assert [r["item_id"] for r in exact] == [r["item_id"] for r in beams]
    assert [r["score"] for r in exact] == pytest.approx([r["score"] for r in beams], rel=1e-4)
    assert genret("evaluate", trained, "--exact", "--bootstrap", "20").status == 0
    metrics = json.loads((trained / "reports" / "metrics.json").read_text())
    assert metrics["protocol"]["beams"] == "none: every item is scored"
    assert metrics["model"]["valid"] == 1.0
    assert "every item is scored" in (trained / "reports" / "report.html").read_text()


def test_more_than_the_catalog_is_said(trained_once: Path, genret: Command) -> None:
    done = genret("recommend", trained_once, "--k", "60", "--beams", "60")
    assert "only 40 of 60 items" in done.out
