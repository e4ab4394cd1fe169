"""``genret score`` killed with SIGKILL and started again ends with the content of a whole job."""

import contextlib
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

KILLS = [
    pytest.param(6, marks=pytest.mark.slow),
    pytest.param(20, marks=pytest.mark.exhaustive),
]
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


@pytest.mark.parametrize("most", KILLS)
def test_random_kills(run: Path, tmp_path: Path, most: int) -> None:
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
    # Half of the kills come at any moment of a job's life, half in the middle of a shard.
    begun = time.monotonic()
    assert start(run, data, tmp_path / "timed").wait() == 3
    duration = time.monotonic() - begun
    kills = number = 0
    while kills < most:
        out = tmp_path / f"killed-{number}"
        number += 1
        while True:
            process = start(run, data, out)
            if kills % 2:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(rng.uniform(0, duration))
            else:
                target = min(SHARDS, len(list(out.glob("_shards/*.json"))) + rng.integers(1, 5))
                while process.poll() is None and len(list(out.glob("_shards/*.json"))) < target:
                    time.sleep(0.002)
                time.sleep(rng.uniform(0, 0.2))  # anywhere in the next shard, not only at its start
            if process.poll() is not None:
                assert process.returncode == 3
                break
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            resumed += bool(list(out.glob("_shards/*.json"))) and not (out / "_SUCCESS").exists()
            if kills >= most:
                assert start(run, data, out).wait() == 3
                break
        assert content(out) == expected, f"differs after {kills} kills"
    print(f"{resumed} of {most} kills came in the middle")
