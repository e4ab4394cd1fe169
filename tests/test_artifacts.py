"""Run folders: whole or not at all, stale inputs named, foreign folders left alone."""

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from genret.artifacts import LOCK, Run, read_manifest, verify_files, write_folder
from genret.errors import GenretError


def make(run: Path, kind: str, text: str, inputs: dict[str, str] | None = None) -> str:
    """Write an artifact of one file; return its fingerprint."""
    with write_folder(run / kind, kind, inputs=inputs) as folder:
        (folder / "data.txt").write_text(text)
    return read_manifest(run / kind, kind).fingerprint


def test_round_trip_and_fingerprint_follows_the_contents(tmp_path: Path) -> None:
    first = make(tmp_path, "codes", "1 2 3")
    again = make(tmp_path, "codes", "1 2 3")
    other = make(tmp_path, "codes", "1 2 4")
    assert first == again
    assert first != other
    assert sorted(p.name for p in tmp_path.iterdir()) == ["codes"]


def test_an_exception_leaves_the_older_artifact(tmp_path: Path) -> None:
    before = make(tmp_path, "codes", "old")

    def fail() -> None:
        with write_folder(tmp_path / "codes", "codes") as folder:
            (folder / "data.txt").write_text("new")
            raise KeyError("half-way")

    with pytest.raises(KeyError):
        fail()
    assert read_manifest(tmp_path / "codes").fingerprint == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["codes"]


@pytest.mark.parametrize("moment", ["in the block", "between the renames"])
def test_a_kill_leaves_the_older_artifact(tmp_path: Path, moment: str) -> None:
    before = make(tmp_path, "codes", "old")
    script = f"""
import os, pathlib
from genret import artifacts
run = pathlib.Path({str(tmp_path)!r})
die = lambda *a: os._exit(9)
rename = os.rename
if {moment!r} == "between the renames":
    artifacts.os.rename = lambda a, b: rename(a, b) if ".old" in str(b) else die()
with artifacts.write_folder(run / "codes", "codes") as folder:
    (folder / "data.txt").write_text("new")
    if {moment!r} == "in the block":
        die()
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == 9
    # The next writer puts back what had stepped aside before it starts.
    with (
        pytest.raises(KeyError),
        write_folder(tmp_path / "codes", "codes"),
    ):
        raise KeyError("stop again")
    assert read_manifest(tmp_path / "codes").fingerprint == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["codes"]


def test_a_stale_input_is_named(tmp_path: Path) -> None:
    catalog = make(tmp_path, "catalog", "a")
    codes = make(tmp_path, "codes", "b", {"catalog": catalog})
    make(tmp_path, "index", "c", {"codes": codes})
    run = Run.open(tmp_path)
    assert run.require("index").kind == "index"
    make(tmp_path, "catalog", "changed")
    with pytest.raises(
        GenretError, match=r"codes: stale: made from catalog/ .*rerun `genret tokenize"
    ):
        run.require("index")


def test_a_missing_input_names_its_verb(tmp_path: Path) -> None:
    make(tmp_path, "catalog", "a")
    with pytest.raises(GenretError, match=r"has no codes/; make it with `genret tokenize"):
        Run.open(tmp_path).require("codes")


@pytest.mark.parametrize(
    ("text", "message"),
    [("12", "has 2 bytes, expected 3"), ("124", "SHA-256 differs"), (None, "missing")],
)
def test_damaged_files_are_found(tmp_path: Path, text: str | None, message: str) -> None:
    make(tmp_path, "codes", "123")
    file = tmp_path / "codes" / "data.txt"
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(GenretError, match=message):
        verify_files(tmp_path / "codes", read_manifest(tmp_path / "codes"))


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "codes"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("years of work")
    with pytest.raises(GenretError, match="refusing to replace"):
        make(tmp_path, "codes", "x")
    with pytest.raises(GenretError, match="neither empty nor a genret run"):
        Run.open(foreign)
    (tmp_path / "file").write_text("")
    with pytest.raises(GenretError, match="is a file"):
        Run.open(tmp_path / "file")
    with pytest.raises(GenretError, match="no such run folder"):
        Run.open(tmp_path / "nowhere")
    make(tmp_path, "index", "y")
    with (
        pytest.raises(GenretError, match="refusing to replace"),
        write_folder(tmp_path / "index", "model"),
    ):
        pass


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    with (
        pytest.raises(GenretError, match="cannot be written: No space left on device"),
        write_folder(tmp_path / "codes", "codes"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())


def test_a_link_stays_a_link_and_a_dangling_one_is_named(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    make(disk, "codes", "1")
    run = tmp_path / "run"
    run.mkdir()
    (run / "codes").symlink_to(disk / "codes")
    after = make(run, "codes", "2")
    assert (run / "codes").is_symlink()
    assert read_manifest(disk / "codes").fingerprint == after
    assert sorted(p.name for p in disk.iterdir()) == ["codes"]
    (run / "model").symlink_to(tmp_path / "nowhere")
    with pytest.raises(GenretError, match=r"model: is a link to .*nowhere, which is not there"):
        make(run, "model", "3")
    (run / "index").symlink_to(run / "index")
    with pytest.raises(GenretError, match="index: "):
        make(run, "index", "3")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(GenretError, match=r"link: is a link to .*which is not there"):
        Run.open(tmp_path / "link", create=True)


def test_one_process_writes_into_a_run(tmp_path: Path) -> None:
    make(tmp_path, "codes", "1")
    script = f"""
import sys
from genret.artifacts import Run
with Run.open({str(tmp_path)!r}).writing():
    print("held", flush=True)
    sys.stdin.read()
"""
    run = Run.open(tmp_path)
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(GenretError, match=rf"another genret writes .*process {other.pid} on "),
            run.writing(),
        ):
            pass
        other.kill()
    with run.writing(), run.writing():  # what a killed process held is free; stages nest
        assert (tmp_path / LOCK).exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["codes"]


def test_two_threads_do_not_write_into_a_run(tmp_path: Path) -> None:
    run = Run.open(tmp_path / "run", create=True)

    def write() -> None:
        with run.writing():
            pass

    with run.writing(), ThreadPoolExecutor(1) as pool, pytest.raises(GenretError, match="thread"):
        pool.submit(write).result()
    write()
