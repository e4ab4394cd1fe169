"""``python -m benchmarks.training`` at smoke size, and its checks of the answers."""

import json
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from benchmarks import training
from genret.errors import GenretError


@pytest.fixture(autouse=True)
def _quick_compilation() -> Iterator[None]:
    # Compiling is nearly all of the time at this size, and nothing here depends on speed.
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.slow
def test_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "training.json"
    assert training.main(["--smoke", "--out", str(out)]) == 0
    document = json.loads(out.read_text())
    assert document["data"]["users"] == 200
    assert document["environment"]["device"]
    assert document["bars"] == {}
    assert set(document["ratios"]) == set(document["ranges"]) == set(training.RATIOS)
    assert all(0 < low <= high for low, high in document["ranges"].values())
    assert set(document["methods"]) == set(training.METHODS)
    levels = len(document["data"]["codes_per_level"])
    for figures in document["methods"].values():
        assert len(figures["seconds"]) == len(figures["losses"]) == 2
        events_per_second = figures["codes_per_second"] / levels
        assert events_per_second / figures["users_per_second"] == pytest.approx(
            document["data"]["events"] / 200
        )
    packed, padded = (document["methods"][f"item_decoder, {p}"] for p in ("packed", "padded"))
    assert packed["padding"] < padded["padding"]
    assert packed["steps_per_epoch"] < padded["steps_per_epoch"]
    assert "packed / padded" in capsys.readouterr().out


def test_a_sample_is_whole_histories_of_the_data() -> None:
    data = training.Data.invented(50, 1000)
    some = data.sample(20)
    histories = set(map(tuple, data.histories.to_lists()))
    kept = list(map(tuple, some.histories.to_lists()))
    assert len(kept) == some.num_users == 20
    assert set(kept) <= histories
    assert data.sample(0) is data


@pytest.mark.slow
def test_work_not_done_is_refused() -> None:
    options = training.Options(preset="tiny", batch_size=8, smoke=True)
    data = training.Data.invented(20, 50)
    method = training.Method("decoder_only, packed", data, options)
    method.epoch()
    training.check({"packed": method})
    assert method.each("targets") == [data.histories.num_events]
    # Batches of a shape that was not made beforehand: the check finds the compilation itself.
    method.batches = training.TrainingBatches(
        data.histories, training.TrainConfig(batch_size=4), max_items=20, seed=0
    )
    method.epoch()
    with pytest.raises(GenretError, match="packed: a step was compiled"):
        training.check({"packed": method})

    method.compiled_late, (first, last) = 0, method.epochs
    first["loss"], last["loss"] = 1.0, 2.0
    with pytest.raises(GenretError, match="packed: the loss rose"):
        training.check({"packed": method})
    last["loss"] = float(jnp.nan)
    with pytest.raises(GenretError, match="packed: the loss is nan"):
        training.check({"packed": method})
    first["targets"] -= 1
    with pytest.raises(GenretError, match=f"expected {data.histories.num_events}"):
        training.check({"packed": method})
