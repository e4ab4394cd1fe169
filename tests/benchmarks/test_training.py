"""``python -m benchmarks.training`` at smoke size, and its check of the answers."""

import json
from pathlib import Path

import jax.numpy as jnp
import pytest

from benchmarks import training
from genret.errors import GenretError


def test_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "training.json"
    assert training.main(["--smoke", "--out", str(out)]) == 0
    document = json.loads(out.read_text())
    assert set(document["methods"]) == set(training.METHODS)
    assert set(document["ratios"]) == set(training.RATIOS)
    assert all(m["users_per_second"] > 0 for m in document["methods"].values())
    packed, padded = (document["methods"][f"item_decoder, {p}"] for p in ("packed", "padded"))
    assert packed["padding"] < padded["padding"]
    assert document["environment"]["device"]
    assert "packed / padded" in capsys.readouterr().out


def test_a_method_that_does_not_learn_is_refused() -> None:
    options = training.Options(preset="tiny", steps=1, batch_size=8)
    method = training.Method("item_decoder, padded", training.Data.invented(40, 50), options)
    method.loss = [1.0, 2.0]
    with pytest.raises(GenretError, match="the loss rose"):
        training.check({"padded": method})
    method.loss = [float(jnp.nan)]
    with pytest.raises(GenretError, match="the loss is nan"):
        training.check({"padded": method})
