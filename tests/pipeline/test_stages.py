"""The stages as functions: a run from tables to figures, in Python alone."""

import dataclasses
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from genret import pipeline
from genret.artifacts import Run, read_manifest
from genret.config import (
    EmbedConfig,
    EngineConfig,
    EvaluateConfig,
    ItemDecoderConfig,
    SASRecModelConfig,
    ScoreConfig,
    TokenizeConfig,
    TrainConfig,
)
from genret.data import load_run_data, synthetic_tables
from genret.errors import GenretError
from genret.evaluation import evaluate_model
from genret.index import TrieIndex
from genret.models import load_model, load_transitions
from genret.recommend import Recommender
from genret.scoring import Scorer
from genret.tokenizers import load_codes

MODEL = ItemDecoderConfig(
    width=16, layers=1, heads=2, kv_heads=2, head_dim=8, mlp_dim=16, max_items=8
)
TRAIN = TrainConfig(steps=4, batch_size=8, eval_every=4, eval_users=20)


class Heard:
    """Notes what the stages tell."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.said: list[str] = []
        self.parts: dict[str, list[int]] = {}
        self.notes: list[str | None] = []

    def stage(self, title: str) -> Any:
        self.stages.append(title)
        return pipeline.SILENT.stage(title)

    def say(self, text: str) -> None:
        self.said.append(text)

    def progress(self, title: str, total: int) -> Any:
        self.parts[title] = [0, total]

        class Advance:
            def __enter__(inner) -> Any:
                def advance(n: int = 1, note: str | None = None) -> None:
                    self.parts[title][0] += n
                    self.notes.append(note)

                return advance

            def __exit__(inner, *_: object) -> None:
                pass

        return Advance()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline") / "shop"
    pipeline.ingest(folder, *synthetic_tables(60, 40, 8, seed=0))
    pipeline.embed(folder, EmbedConfig(text_dim=8, cooccurrence_dim=8))
    pipeline.tokenize(folder, TokenizeConfig(levels=2, codebook_size=8))
    pipeline.index(folder)
    return folder


@pytest.mark.slow
def test_train_and_evaluate_tell_and_return_what_they_did(run: Path) -> None:
    heard = Heard()
    found = pipeline.train(run, TRAIN, model=MODEL, progress=heard)
    assert found["steps"] == 4
    assert found["fingerprint"] == read_manifest(run / "model", "model").fingerprint
    assert heard.stages == ["train"]
    assert heard.parts["steps"] == [4, 4]
    assert heard.notes[:2] == ["compiling the program of a step", ""]
    assert any("validation NDCG@10" in text for text in heard.said)
    codes = read_manifest(run / "codes", "codes").summary["codes_per_level"]
    assert list(load_model(run / "model").config.codes_per_level) == codes
    document = pipeline.evaluate(run, EvaluateConfig(beams=20, bootstrap=5), progress=heard)
    assert {"model", "random", "popularity", "protocol"} <= set(document)
    assert heard.parts["model"][0] == heard.parts["model"][1]
    assert (run / "reports" / "report.html").is_file()


@pytest.mark.slow
def test_the_weight_of_a_dense_head_is_chosen_on_validation_and_kept(run: Path) -> None:
    shape = dataclasses.replace(MODEL, dense_head=True)
    found = pipeline.train(run, dataclasses.replace(TRAIN, steps=12), model=shape)
    model = load_model(run / "model")
    assert model.config.dense_share == found["dense_share"]
    config = EvaluateConfig(split="valid", k=(10,), beams=20, users=20, bootstrap=5)
    document = pipeline.evaluate(run, config)
    assert document["model"]["ndcg@10"] == pytest.approx(found["valid_ndcg@10"])
    # No other weight is better on these users.
    _, histories = load_run_data(run)
    codes, trie = load_codes(run / "codes"), TrieIndex.load(run / "index")
    for share in (0.0, 0.5, 1.0):
        other = evaluate_model(
            model, codes.codes, trie, histories.held_out("valid"), config,
            max_items=8, dense_share=share,
        )  # fmt: skip
        assert other["ndcg@10"] <= found["valid_ndcg@10"] + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("dense", [False, True])
def test_counted_transitions_are_weighed_on_validation_kept_and_used(
    run: Path, dense: bool
) -> None:
    shape = dataclasses.replace(MODEL, dense_head=dense)
    how = dataclasses.replace(TRAIN, steps=12, transitions=True)
    found = pipeline.train(run, how, model=shape)
    share = found["transitions_share"]
    assert share > 0, "a model of 12 steps knows less than counts"
    manifest = read_manifest(run / "model", "model")
    assert manifest.summary["transitions_share"] == share
    assert "transitions.safetensors" in manifest.files
    assert f"counted transitions {share:.2f}" in (run / "README.md").read_text()
    counts = load_transitions(run / "model")
    assert counts is not None
    assert counts.share == share
    # The evaluation ranks by them, and no other weight is better on these users.
    config = EvaluateConfig(split="valid", k=(10,), beams=20, users=20, bootstrap=5)
    document = pipeline.evaluate(run, config)
    assert document["model"]["ndcg@10"] == pytest.approx(found["valid_ndcg@10"])
    _, histories = load_run_data(run)
    codes, trie, model = (
        load_codes(run / "codes"),
        TrieIndex.load(run / "index"),
        load_model(run / "model"),
    )
    held_out = histories.held_out("valid")
    for other in (0.0, 0.5, 0.9):
        weighed = dataclasses.replace(counts, share=other)
        value = evaluate_model(
            model, codes.codes, trie, held_out, config, max_items=8, transitions=weighed
        )
        assert value["ndcg@10"] <= found["valid_ndcg@10"] + 1e-9
    # So do the answers of a run that is loaded, and of a job.
    shop = Recommender.load(run)
    answers = shop.recommend_many(held_out.histories, k=5, beams=40)
    by_hand = Recommender(model, trie, codes, transitions=counts)
    assert (answers.items == by_hand.recommend_many(held_out.histories, k=5, beams=40).items).all()
    alone = Recommender.load(run, transitions=None).recommend_many(held_out.histories, k=5)
    assert (answers.items != alone.items).any()
    scorer = Scorer.load(
        run, ScoreConfig(k=5, beams=40, exclude_seen=True), EngineConfig(users_per_batch=16)
    )
    assert (scorer.score(held_out.histories).items == answers.items).all()
    # An edited file is found out.
    file = run / "model" / "transitions.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(GenretError, match=r"transitions\.safetensors"):
        Recommender.load(run)
    shutil.rmtree(run / "model")


@pytest.mark.slow
def test_transitions_that_do_not_help_are_dropped(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genret.pipeline._shares.TRANSITION_SHARES", (0.0,))
    found = pipeline.train(run, dataclasses.replace(TRAIN, transitions=True), model=MODEL)
    assert found["transitions_share"] == 0
    assert load_transitions(run / "model") is None
    assert "ranked by" not in (run / "README.md").read_text()


@pytest.mark.slow
def test_equal_seeds_give_equal_models(run: Path) -> None:
    first, again, other = (
        pipeline.train(run, TRAIN, model=MODEL, seed=seed)["fingerprint"] for seed in (0, 0, 1)
    )
    assert first == again != other


def test_what_a_stage_needs_is_named(tmp_path: Path) -> None:
    pipeline.ingest(tmp_path / "shop", *synthetic_tables(30, 20, 6, seed=0))
    with pytest.raises(GenretError, match="has no codes/; make it with `genret tokenize"):
        pipeline.train(tmp_path / "shop", TRAIN)
    with pytest.raises(GenretError, match="has no vectors/; make it with `genret embed"):
        pipeline.tokenize(tmp_path / "shop")
    with pytest.raises(GenretError, match="no such run folder"):
        pipeline.index(tmp_path / "none")


def test_a_model_of_one_level_is_refused_for_codes_of_two(run: Path) -> None:
    with pytest.raises(GenretError, match="codes_per_level: found 3 levels, expected one"):
        pipeline.train(run, TRAIN, model=SASRecModelConfig(width=8, heads=2))


def test_a_stage_writes_into_a_run_alone(run: Path) -> None:
    with Run.open(run).writing():
        pipeline.index(run)
        with ThreadPoolExecutor(1) as pool, pytest.raises(GenretError, match="thread"):
            pool.submit(pipeline.index, run).result()
