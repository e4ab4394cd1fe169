"""What reaches a terminal: no control characters, any encoding, one line for what went wrong."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genret.cli.base import Reporter
from genret.cli.main import main
from genret.cli.terminal import printable
from tests.cli.conftest import TINY_MODEL, Command

UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]")
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31mlamp\r\x08\u202etxt.exe\u2028"


@given(st.text(st.characters()), st.integers(1, 50))
def test_printable_text_only_shows_characters(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert not UNSAFE.search(shown)
    assert "\n" not in shown
    assert len(shown) <= limit
    assert shown.isprintable() or text.isprintable() or not shown.isascii()
    shown.encode()
    if text.isascii() and text.isprintable() and len(text) <= limit:
        assert shown == text


def test_reporter_neutralizes_all_that_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter()
    with reporter.stage(f"stage [bold] {HOSTILE}"):
        reporter.say(HOSTILE)
    reporter.table(HOSTILE, (HOSTILE, "b"), [(HOSTILE, 1), ("[red]markup[/red]", 2)])
    printed = "".join(capsys.readouterr())
    assert not UNSAFE.search(printed)
    assert "lamp" in printed
    assert "[red]markup[/red]" in printed
    assert "stage [bold] " in printed


def test_a_long_title_takes_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    Reporter().table("t", ("rank", "title", "item", "score"), [(1, "long " * 600, "7", 0.5)])
    assert len(capsys.readouterr().out.splitlines()) < 20


def test_an_error_is_one_harmless_line(genret: Command, tmp_path: Path) -> None:
    done = genret("inspect", tmp_path / HOSTILE)
    assert done.status == 2
    assert len(done.err.splitlines()) == 1
    assert not UNSAFE.search(done.err)


TITLES = ("日本語 ランプ", HOSTILE, "Café", "x" * 3000)


@pytest.fixture(scope="module")
def titled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose titles are hard to print, with vectors."""
    folder = tmp_path_factory.mktemp("titled")
    events = [{"user": u, "item": (u + k) % 8} for u in range(30) for k in range(4)]
    pq.write_table(pa.Table.from_pylist(events), folder / "log.parquet")
    items = [{"item": i, "title": f"{TITLES[i % 4]} {i}"} for i in range(8)]
    pq.write_table(pa.Table.from_pylist(items), folder / "items.parquet")
    run = folder / "run"
    files = (
        "--interactions",
        str(folder / "log.parquet"),
        "--items",
        str(folder / "items.parquet"),
    )
    assert main(["ingest", str(run), *files, "--json"]) == 0
    assert main(["embed", str(run), "--text-dim", "4", "--cooccurrence-dim", "4", "--json"]) == 0
    return run


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("as_json", [False, True])
def test_titles_in_any_encoding(
    titled: Path, encoding: str, as_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, write_through=True))
    options = ("--levels", "2", "--codebook-size", "4", *(["--json"] if as_json else []))
    assert main(["tokenize", str(titled), *options]) == 0
    printed = raw.getvalue().decode(encoding)
    assert not UNSAFE.search(printed)
    if as_json:  # programs get every character, spelled out where the encoding lacks it
        titles = {example["title"] for example in json.loads(printed)["neighbors"]}
        assert titles <= {f"{TITLES[i % 4]} {i}" for i in range(8)}
    else:
        assert ("日本語" in printed) == (encoding == "utf-8")
        assert len(printed.splitlines()) < 80


@pytest.mark.parametrize(
    ("redirection", "status", "says"),
    [
        (">/dev/full", 2, "genret: error: No space left on device"),
        (">&-", 0, ""),
        ("2>&-", 0, ""),
    ],
)
@pytest.mark.parametrize("more", ["", "--json"])
def test_output_that_goes_nowhere(
    titled: Path, redirection: str, status: int, says: str, more: str
) -> None:
    command = f'"{sys.executable}" -m genret inspect "{titled}" {more} {redirection}'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=environment())
    assert (done.returncode, done.stderr.strip()) == (status, says)


def environment(**values: str) -> dict[str, str]:
    return os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | values


@pytest.mark.parametrize(
    "values",
    [
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
)
def test_help_in_any_encoding(values: dict[str, str]) -> None:
    command = [sys.executable, "-m", "genret", "--help"]
    done = subprocess.run(command, capture_output=True, env=environment(**values))
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"quickstart" in done.stdout


@pytest.mark.slow
def test_sigterm_is_as_clean_as_an_interrupt(titled: Path, tmp_path: Path) -> None:
    """A training is told to end at several moments: one line, status 143, nothing half-written."""
    run = Path(shutil.copytree(titled, tmp_path / "run"))
    assert main(["tokenize", str(run), "--levels", "2", "--codebook-size", "4", "--json"]) == 0
    command = [
        sys.executable, "-m", "genret", "train", str(run), *TINY_MODEL,
        "--steps", "100000", "--batch-size", "8", "--checkpoint-every", "1", "--eval-every", "1000",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment()
    )
    while process.poll() is None and not list((run / "checkpoints").glob("step-*")):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()
    assert (process.returncode, err) == (143, b"genret: terminated\n")
    assert not list(run.rglob("*.partial"))
    assert not (run / ".lock").exists()
