"""Exported decodes run where there is nothing but jax and numpy, with equal results."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from genret.artifacts import Run
from genret.config import EngineConfig, ScoreConfig
from genret.errors import GenretError
from genret.scoring import Scorer, export_decode

pytest.importorskip(
    "flatbuffers", reason="flatbuffers is not installed: pip install genret[export]"
)

ONLY_JAX = """
import sys
import jax, jax.export, numpy as np
from pathlib import Path
folder = Path(sys.argv[1])
decode = jax.export.deserialize(bytearray((folder / "decode.stablehlo").read_bytes()))
arrays = np.load(folder / "arrays.npz")
asked = np.load(folder / "asked.npz")
items, scores = decode.call(
    [arrays[name] for name in arrays.files], asked["items"], asked["lengths"], asked["exclude"])
np.savez(folder / "found.npz", items=items, scores=scores)
others = {m.split(".")[0] for m in sys.modules} & {"genret", "flax", "pyarrow", "orbax"}
assert not others, others
print(*decode.platforms)
"""


@pytest.mark.slow
def test_runs_with_only_jax(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "decode"
    found = export_decode(run, out, k=4, beams=6, batch=8, exclude=64)
    assert found.inputs == {"items": [8, 5], "lengths": [8], "exclude": [8, 64]}
    config = ScoreConfig(k=4, beams=6, decode_batch=8, exclude_seen=True)
    scorer = Scorer.load(run, config, EngineConfig(all_devices=False, users_per_batch=8))
    rng = np.random.default_rng(0)
    lists = [rng.permutation(60)[:n] for n in (0, 1, 2, 3, 4, 5, 5, 5)]
    items, exclude = np.zeros((8, 5), np.int32), np.full((8, 64), -1, np.int32)
    for user, own in enumerate(lists):
        items[user, : len(own)] = own
        exclude[user, : len(own)] = own
    lengths = np.array([len(own) for own in lists], np.int32)
    np.savez(out / "asked.npz", items=items, lengths=lengths, exclude=exclude)
    done = subprocess.run(
        [sys.executable, "-c", ONLY_JAX, str(out)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["cpu", "cuda", "tpu"]
    answers = np.load(out / "found.npz")
    expected = scorer.score(np.cumsum([0, *lengths]), np.concatenate(lists).astype(np.int32))
    np.testing.assert_array_equal(answers["items"], expected.items)
    np.testing.assert_allclose(answers["scores"], expected.scores, rtol=1e-5)


def test_bad_arguments_are_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(GenretError, match="beams: found 2, expected at least k, 4"):
        export_decode(run, tmp_path / "a", k=4, beams=2)
    with pytest.raises(GenretError, match="is not empty, expected a new folder"):
        export_decode(run, Run.open(run).path, k=1, beams=1)
    with pytest.raises(GenretError, match="platforms"):
        export_decode(run, tmp_path / "b", k=1, beams=1, platforms=["abacus"])
