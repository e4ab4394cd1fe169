"""``python -m benchmarks.training`` at smoke size, and its checks of the answers."""

import json
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from flax import nnx

from benchmarks import training
from genret.errors import GenretError
from genret.training import TrainResult


@pytest.fixture(autouse=True)
def _quick_compilation() -> Iterator[None]:
    # Compiling is nearly all of the time at this size, and nothing here depends on speed.
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.slow
def test_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "training.json"
    assert training.main(["--smoke", "--json", str(out)]) == 0
    document = json.loads(out.read_text())
    assert document["environment"]["device"]
    (point,) = document["points"].values()
    assert point["users"] == 200
    assert set(document["bars"]) == set(training.RATIOS)
    assert set(point["methods"]) == set(training.METHODS)
    for figures in point["methods"].values():
        assert len(figures["users_per_second_by_round"]) == 2
        assert min(figures["users_per_second_by_round"]) > 0
    packed, padded = (point["methods"][f"item_decoder, {p}"] for p in ("packed", "padded"))
    assert packed["steps_per_epoch"] < padded["steps_per_epoch"]
    ratio = packed["users_per_second"] / padded["users_per_second"]
    assert document["bars"]["packed / padded"] == ratio
    assert "packed / padded" in capsys.readouterr().out


def test_a_sample_is_whole_histories_of_the_data() -> None:
    ids, every = training.read(None, 0)
    _, some = training.read(None, 20)
    assert len(some) == 20
    assert set(map(tuple, some.to_lists())) <= set(
        map(tuple, training.read(None, 50)[1].to_lists())
    )
    assert len(ids) == 1000
    assert len(every) == 50


@pytest.mark.slow
def test_work_not_done_is_refused() -> None:
    def result(targets: int, *losses: float) -> TrainResult:
        records = [{"targets": targets, "loss": loss} for loss in losses]
        return TrainResult(nnx.Module(), records, 2, 2, None, 1.0)

    training.check("packed", result(10, 2.0, 1.0), 20)
    with pytest.raises(GenretError, match="packed: trained 18 events, expected 20"):
        training.check("packed", result(9, 2.0, 1.0), 20)
    with pytest.raises(GenretError, match="packed: the loss rose"):
        training.check("packed", result(10, 1.0, 2.0), 20)
