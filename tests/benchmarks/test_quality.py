"""``python -m benchmarks.quality`` at smoke size: records, going on, and what seeds say together."""

import json
from pathlib import Path

import pytest

from benchmarks import quality
from benchmarks.quality_results import (
    complete,
    markdown,
    over_seeds,
    summarize,
    summarize_cold,
)
from genret.config import SASRecConfig, recipe
from genret.errors import GenretError


@pytest.mark.slow
def test_the_program_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--smoke", "--work", str(tmp_path / "work"), "--out", str(tmp_path), "--seeds"]
    few = ["--methods", "popularity", "item_knn", "own_codes"]
    assert quality.main([*argv, "0", *few]) == 0
    document = json.loads((tmp_path / "quality-synthetic.json").read_text())
    assert set(document["baselines"]) == {"popularity", "item_knn"}
    found = document["methods"]["own_codes"]
    for rule in ("test", "test_unseen"):
        value = found[rule]["recall@10"]
        assert 0 <= value["low"] <= value["mean"] <= value["high"]
    cold = json.loads((tmp_path / "quality-coldstart.json").read_text())["synthetic"]
    assert [share["fraction"] for share in cold["shares"]] == [0.02, 0.05]
    capsys.readouterr()

    record = tmp_path / "work" / "records" / "synthetic-own_codes-0.json"
    before = record.read_bytes()
    assert quality.main([*argv, "0", *few]) == 0
    assert "own_codes, seed 0: there" in capsys.readouterr().out
    assert record.read_bytes() == before
    assert quality.main([*argv, "0", "1", "--methods", "item_knn"]) == 0
    document = json.loads((tmp_path / "quality-synthetic.json").read_text())
    assert document["seeds"] == [0, 1]
    assert len(document["baselines"]["item_knn"]["test"]["recall@10"]["by_seed"]) == 2


def test_seeds_widen_the_interval_of_the_users() -> None:
    def result(value: float) -> dict:
        return {"recall@10": value, "intervals": {"recall@10": [value - 0.03, value + 0.04]}}

    equal = over_seeds([result(0.5)] * 3)["recall@10"]
    assert equal["low"] == pytest.approx(0.47)
    assert equal["high"] == pytest.approx(0.54)
    assert equal["by_seed"] == [0.5] * 3
    apart = over_seeds([result(0.4), result(0.6)])["recall@10"]
    half = (0.03**2 + (1.96 * 0.02**0.5) ** 2 / 2) ** 0.5  # standard deviation √0.02
    assert apart["mean"] == 0.5
    assert apart["low"] == pytest.approx(0.5 - half)


@pytest.mark.slow
def test_rivals_are_fused_with_transitions_too(tmp_path: Path) -> None:
    folders = ["--work", str(tmp_path / "work"), "--out", str(tmp_path)]
    methods = ["--methods", "sasrec", "transitions", "hybrid"]
    assert quality.main(["--smoke", "--seeds", "0", *folders, *methods]) == 0
    document = json.loads((tmp_path / "quality-synthetic.json").read_text())
    assert set(document["baselines"]) == {"sasrec", "transitions", "sasrec_transitions"}
    (share,) = document["baselines"]["sasrec_transitions"]["transitions_share"]
    assert 0 <= share < 1
    assert {"over_sasrec", "over_sasrec_transitions"} <= set(document["hybrid"])
    for entry in document["hybrid"].values():
        assert entry.get("over_sasrec", entry)["interval"]["recall@10"] is not None
    if "hybrid_heads" in document["methods"]:  # the counts helped
        assert document["methods"]["hybrid"]["transitions_share"][0] > 0


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--data", "books"], "--data: found 'books'"),
        (["--data", "beauty", "--methods", "own_codes"], "beauty has no 'own_codes'"),
        (["--data", "office", "--folder", "/nowhere", "--methods", "popularity"], "no such file"),
    ],
)
def test_bad_input(
    argv: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--work", str(tmp_path), "--out", str(tmp_path)]
    assert quality.main([*argv, *folders]) == 2
    assert says in capsys.readouterr().err


def _record(seed: int, recall: float, **more: object) -> dict:
    rule = {"recall@10": recall, "ndcg@10": recall / 2}
    rule["intervals"] = {name: [value - 0.01, value + 0.01] for name, value in rule.items()}
    return {
        "seed": seed,
        "settings": {},
        "seconds": 90.0,
        "commit": "abc",
        "test": rule,
        "test_unseen": rule,
        **more,
    }


def _codes(colliding: int, used: float) -> dict:
    levels = [{"used_share": used}, {"used_share": 1.0}, {"used_share": 0.1}]  # the last: a suffix
    before = {"items": colliding, "groups": 1, "largest": 2}
    return {"items": 100, "levels": levels, "levels_before_suffix": 2, "collisions_before": before}


def test_results_are_held_against_the_bars(tmp_path: Path) -> None:
    apart = {"recall@10": {"relative_difference": -0.01}}
    found = {
        "sasrec": [_record(0, 0.09), _record(1, 0.11)],
        "shipped": [_record(0, 0.08, beams_50_against_exact=apart)],
        "own_distinct_codes": [
            _record(0, 0.1, codes=_codes(2, 0.9)),
            _record(1, 0.1, codes=_codes(3, 1.0)),
        ],
    }
    document = summarize("office", found)
    assert document["seeds"] == [0, 1]
    assert document["test"]["recall@10"]["mean"] == 0.08
    met = {bar: said["met"] for bar, said in document["bars"].items()}
    assert met == {
        "shipped codes against SASRec": False,  # .08 < .9 * .1
        "our distinct codes against the shipped": True,
        "SASRec": True,
        "Recall@10 of 50 beams against exact scores, relative, any model and seed": False,
        "share of items that collide, our distinct codes": False,
        "share of codes used at a level, our distinct codes": True,
    }
    (tmp_path / "quality-office.json").write_text(json.dumps(document))
    shown = markdown(tmp_path)
    assert "| SASRec, full cross-entropy | .1000 [.0" in shown
    assert "| .0500 [" in shown
    assert "0, 1 | 2 |" in shown
    assert "TIGER, cross-entropy .0608" in shown
    assert "measured at commit abc." in shown
    assert "Missed of what we asked of ourselves: shipped codes against SASRec; " in shown
    assert shown.index("hardly collide") < shown.index("shipped semantic IDs")


def test_both_heads_are_compared_in_words(tmp_path: Path) -> None:
    ranked = [_record(seed, 0.1) for seed in (0, 0, 0)]
    for one, ranks in zip(ranked, ("1100", "1000", "0000"), strict=True):
        rule = one["test"] | {"ranks": ranks}
        one |= {"test": rule, "test_unseen": rule}
    names = ("hybrid", "sasrec", "bsarec")
    document = summarize("office", {n: [one] for n, one in zip(names, ranked, strict=True)})
    (tmp_path / "quality-office.json").write_text(json.dumps(document))
    shown = markdown(tmp_path)
    # The means are those of the records; the interval is that of the ranks.
    assert (
        "Both heads with transitions against SASRec, seed 0: NDCG@10 1.00 times (difference +0.0000 ["
        in shown
    )
    assert "Both heads with transitions against BSARec, seed 0: NDCG@10 1.00 times" in shown
    assert "both heads with transitions against BSARec, recall@10, same seeds" in shown


def test_what_is_fused_with_transitions_is_a_method_of_its_own(tmp_path: Path) -> None:
    rules = ("test", "test_unseen")
    ours, theirs = _record(0, 0.3), _record(0, 0.2)
    ours["without_transitions"] = {rule: _record(0, 0.1)[rule] for rule in rules}
    theirs["with_transitions"] = {rule: _record(0, 0.25)[rule] for rule in rules}
    document = summarize("office", {"hybrid": [ours], "sasrec": [theirs]})
    block = document["hybrid"]
    assert block["over_sasrec"]["recall@10"] == pytest.approx(1.5)
    assert block["over_sasrec"]["unseen"]["ndcg@10"] == pytest.approx(1.5)
    assert block["over_sasrec_transitions"]["recall@10"] == pytest.approx(1.2)
    assert "bars" not in block["over_sasrec_transitions"]
    assert block["without_transitions"]["over_sasrec"]["recall@10"] == pytest.approx(0.5)
    assert document["methods"]["hybrid_heads"]["test"]["recall@10"]["mean"] == 0.1
    assert document["baselines"]["sasrec_transitions"]["test"]["recall@10"]["mean"] == 0.25
    (tmp_path / "quality-office.json").write_text(json.dumps(document))
    shown = markdown(tmp_path)
    assert "| `ItemDecoder` with a dense head and transitions: `hybrid` | .3000 [" in shown
    assert "| SASRec, fused with transitions | .2500 [" in shown
    assert (
        "Both heads with transitions against SASRec with transitions, seed 0: NDCG@10 1.20" in shown
    )
    assert "Both heads alone against SASRec, seed 0: NDCG@10 0.50 times" in shown


def test_settings_of_older_records_are_completed() -> None:
    old = {name: value for name, value in SASRecConfig().to_dict().items() if name != "loss"}
    assert complete(old) == json.loads(json.dumps(SASRecConfig().to_dict()))
    assert complete({"unknown": 1}) == {"unknown": 1}
    assert complete({}) == {}
    chosen = recipe("office")
    train = chosen.train.to_dict()
    settings = {"tokenize": None, "model": chosen.model.to_dict(), "train": train}
    without = {name: value for name, value in train.items() if name != "epochs"}
    assert complete(settings | {"train": without}) == json.loads(json.dumps(settings))


def test_seeds_of_other_settings_are_not_put_together() -> None:
    older = _record(0, 0.1, method="tiger") | {"settings": {"steps": 3}}
    with pytest.raises(GenretError, match="records of tiger: seeds 0 and 1 have other settings"):
        summarize("office", {"tiger": [older, _record(1, 0.1, method="tiger")]})


def test_new_items_are_a_table(tmp_path: Path) -> None:
    def cold(ratio: float) -> dict:
        figure = {m: {"mean": ratio, "low": 0.0, "high": 9.0} for m in ("recall@1", "recall@10")}
        searches = ("unconstrained", "random", "constrained", "ratio")
        share = {"fraction": 0.02, "rule": "by time", "items": 48, "users": 217}
        return {"commit": "abc", "coldstart": [share | dict.fromkeys(searches, figure)]}

    summary = summarize_cold([cold(2.0), cold(6.0)])
    assert summary["bars"]["newest 2%, Recall@1 over chance"]["met"]
    document = {"office": summary}
    (tmp_path / "quality-coldstart.json").write_text(json.dumps(document))
    assert "| Office | 2% | 48 | 217 | 4.0000 | 4.0000 | 4.00 [" in markdown(tmp_path)
