"""The sort on disk, killed at any moment and on a full disk: one line, and nothing half-written."""

import contextlib
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from genret.cli.main import main
from genret.data._external_sort import sorted_on_disk
from genret.data._rules import Events
from genret.errors import GenretError

ON_DISK = ("--memory-gib", "0.0001")
"""Memory for some thousand rows: the others wait on disk, and DuckDB sorts them."""
KILLS = 6


@contextlib.contextmanager
def small_disk(largest: int) -> Iterator[None]:
    """Let no file of this process grow beyond some bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write_log(file: Path, rows: int) -> Path:
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, most, rows) for most in (rows // 20, 2000, 10**9)]
    lines = [f"u{user},i{item},{time}" for user, item, time in zip(*columns, strict=True)]
    file.write_text("user_id,item_id,timestamp\n" + "\n".join(lines) + "\n")
    return file


def events(pieces: int, size: int = 100_000) -> Iterator[Events]:
    rng = np.random.default_rng(0)
    for piece in range(pieces):
        yield Events(
            rng.integers(0, 5000, size).astype(np.int32),
            rng.integers(0, 9, size).astype(np.int32),
            rng.integers(0, 20, size),
            np.arange(piece * size, (piece + 1) * size),
        )


def test_a_disk_that_fills_while_duckdb_spills_is_one_line(tmp_path: Path) -> None:
    with small_disk(100_000), pytest.raises(GenretError, match="File too large") as caught:
        list(sorted_on_disk(events(20), tmp_path, memory_mib=48))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}: sorting the interactions on disk failed: ")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_disk_that_fills_while_rows_are_set_aside_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write_log(tmp_path / "log.csv", 20_000)
    run = tmp_path / "run"
    with small_disk(30_000):
        status = main(["ingest", str(run), "--interactions", str(log), *ON_DISK])
    err = capsys.readouterr().err
    assert (status, len(err.splitlines())) == (2, 1)
    assert err.startswith(f"genret: error: {run}: ")
    assert "File too large" in err
    assert not list(run.iterdir())


@pytest.mark.slow
def test_kills_leave_nothing_half_written(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", 200_000)

    def start(run: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "genret", "ingest", str(run), "--interactions", str(log)]
        return subprocess.Popen([*command, *ON_DISK], stdout=subprocess.DEVNULL)

    whole, run = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait() == 0
    rng = np.random.default_rng()
    for _ in range(KILLS):
        process = start(run)
        while not list(run.glob(".catalog.*.partial")):  # it begins to set rows aside
            assert process.poll() is None
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        assert process.wait() in (-signal.SIGKILL, 0)
        assert not (run / "catalog").exists() or process.returncode == 0
    assert start(run).wait() == 0
    assert {path.name for path in run.iterdir()} == {path.name for path in whole.iterdir()}
    for file in (whole / "catalog").iterdir():
        assert (run / "catalog" / file.name).read_bytes() == file.read_bytes(), file.name
