"""``genret score`` killed with SIGKILL and started again ends with the content of a whole job."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.scoring.conftest import CONFIG, histories

KILLS = 3
SHARDS, USERS = 12, 400


@pytest.fixture(scope="module", autouse=True)
def _compile_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        yield


def start(run: Path, data: Path, out: Path) -> subprocess.Popen[bytes]:
    options = [f"--{name}={value}" for name, value in CONFIG.items()]
    return subprocess.Popen(
        [sys.executable, "-m", "genret", "score", str(run), "--histories", str(data),
         "--out", str(out), "--json", *options],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip


def content(out: Path) -> dict[str, bytes]:
    """Return what the content is: every file but the manifest, which holds times."""
    files = [p for p in out.rglob("*") if p.is_file() and p.name not in ("manifest.json", "_lock")]
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in files}


@pytest.mark.slow
def test_random_kills(run: Path, tmp_path: Path) -> None:
    data = tmp_path / "in"
    data.mkdir()
    for number in range(SHARDS):
        table = histories(USERS, seed=number, first=number * (USERS - 1))  # one in two shards
        pq.write_table(table, data / f"{number:02d}.parquet")
    assert start(run, data, tmp_path / "compiles").wait() == 3
    assert start(run, data, tmp_path / "whole").wait() == 3
    expected = content(tmp_path / "whole")
    assert len(expected) == SHARDS + 2
    resumed = 0
    rng = np.random.default_rng()
    for number, target in enumerate(rng.integers(0, SHARDS, KILLS).tolist()):
        out = tmp_path / f"killed-{number}"
        process = start(run, data, out)
        while process.poll() is None and len(list(out.glob("_shards/*.json"))) < target:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.2))  # anywhere in the next shard, not only at its start
        process.send_signal(signal.SIGKILL)
        process.wait()
        resumed += bool(list(out.glob("_shards/*.json"))) and not (out / "_SUCCESS").exists()
        assert start(run, data, out).wait() == 3
        assert content(out) == expected, f"differs after a kill at {target} of {SHARDS} shards"
    print(f"{resumed} of {KILLS} went on in the middle")
