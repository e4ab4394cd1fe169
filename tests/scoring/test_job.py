"""Jobs: the same content however it comes about; nobody lost, nobody doubled."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genret.artifacts import read_manifest, verify_files
from genret.cli.main import main
from genret.errors import GenretError
from genret.scoring import ScoreResult
from genret.scoring._engine import _Background, _finish
from genret.scoring._locations import Location, find_files
from genret.scoring._output import ShardWriter
from tests.scoring.conftest import Job, answers, histories, rejected


def test_everybody_is_answered_once_in_order(
    job: Job, shards: Path, tmp_path: Path, whole: ScoreResult
) -> None:
    result = job(shards)
    out = tmp_path / "out"
    table = answers(out)
    assert table.schema.names == ["user", "rank", "item", "score"]
    users = [*range(40), *range(100, 125), *range(200, 233)]
    assert table["user"].to_pylist() == [user for user in users for _ in range(4)]
    assert table["rank"].to_pylist() == [1, 2, 3, 4] * len(users)
    scores = table["score"].to_numpy().reshape(-1, 4)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert result.manifest["summary"]["users"] == result.users_scored_now == 98
    assert rejected(out) == []
    assert result.manifest["fingerprint"] == whole.manifest["fingerprint"]
    verify_files(out, read_manifest(out, "scores"))
    left = sorted(p.name for p in out.iterdir())
    assert left == ["_SUCCESS", "manifest.json", "rejected.parquet", "scores"]


@pytest.mark.slow
@pytest.mark.optimized
@pytest.mark.parametrize("engine", [{"users_per_batch": 8}, {"users_per_batch": 200}])
def test_content_does_not_depend_on_the_batch_size(
    job: Job, shards: Path, whole: ScoreResult, engine: dict[str, int]
) -> None:
    assert job(shards, engine=engine).manifest["fingerprint"] == whole.manifest["fingerprint"]


def test_content_does_not_depend_on_the_chunks(job: Job, shards: Path, tmp_path: Path) -> None:
    job(shards)
    job(shards, out=tmp_path / "small", chunk_users=9)
    assert answers(tmp_path / "small").equals(answers(tmp_path / "out"))


def test_formats_and_layouts_hold_the_same(job: Job, tmp_path: Path) -> None:
    table = histories(30, seed=5, longest=9)
    users, lists = (table[c].to_pylist() for c in table.column_names)
    keep = [n for n, own in enumerate(lists) if own]
    users, lists = [users[n] for n in keep], [lists[n] for n in keep]
    pq.write_table(table.take(keep), tmp_path / "a.parquet")
    text = "user_id,items\n" + "".join(
        f"{u},{' '.join(map(str, own))}\n" for u, own in zip(users, lists, strict=True)
    )
    (tmp_path / "b.csv").write_text(text)
    lines = [{"user_id": u, "items": own} for u, own in zip(users, lists, strict=True)]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    events = [(u, i, t) for u, own in zip(users, lists, strict=True) for t, i in enumerate(own)]
    np.random.default_rng(0).shuffle(events)
    text = "user_id,item_id,time\n" + "".join(f"{u},{i},{1000 + t}\n" for u, i, t in events)
    (tmp_path / "d.csv").write_text(text)
    found = {}
    for name, layout in (
        ("a.parquet", "auto"),
        ("b.csv", "lists"),
        ("c.jsonl", "auto"),
        ("d.csv", "auto"),
    ):
        job(tmp_path / name, out=tmp_path / name[0], layout=layout)
        rows = answers(tmp_path / name[0]).to_pylist()
        found[name] = sorted((int(r["user"]), r["rank"], r["item"], r["score"]) for r in rows)
    assert found["b.csv"] == found["a.parquet"]
    assert found["c.jsonl"] == found["a.parquet"]
    assert found["d.csv"] == found["a.parquet"]


def test_lists_hold_what_rows_hold(job: Job, tmp_path: Path) -> None:
    data = histories(20)
    job(data)
    job(data, out=tmp_path / "lists", output="lists")
    rows, lists = answers(tmp_path / "out"), answers(tmp_path / "lists")
    assert lists["user"].to_pylist() == list(range(20))
    assert pa.chunked_array([lists["items"].combine_chunks().flatten()]).equals(rows["item"])
    assert pa.chunked_array([lists["scores"].combine_chunks().flatten()]).equals(rows["score"])


def test_a_restart_scores_what_is_left(
    job: Job, shards: Path, tmp_path: Path, whole: ScoreResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Location.write_json

    def dies(self: Location, name: str, value: object) -> None:
        if name.endswith("00001.json"):
            raise KeyboardInterrupt
        write(self, name, value)

    monkeypatch.setattr(Location, "write_json", dies)
    with pytest.raises(KeyboardInterrupt):
        job(shards)
    monkeypatch.undo()
    out = tmp_path / "out"
    assert not (out / "_SUCCESS").exists()
    assert [p.name for p in (out / "_shards").glob("*.json")] == ["00000.json"]
    result = job(shards, engine={"users_per_batch": 16})
    assert result.users_scored_now == 25 + 33
    assert result.manifest["fingerprint"] == whole.manifest["fingerprint"]
    again = job(shards)
    assert again.users_scored_now == 0
    assert again.manifest == result.manifest


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_shard_that_could_not_be_written_is_not_finished(
    job: Job, shards: Path, tmp_path: Path, whole: ScoreResult,
    monkeypatch: pytest.MonkeyPatch, broken: int,
) -> None:  # fmt: skip
    """What already waits in the background must not call a shard done that lacks a chunk."""
    add, queued = ShardWriter.add, threading.Event()
    background_do = _Background.do

    def fails(self: ShardWriter, users: Any, answers: Any) -> None:
        if self._shard.number == broken:
            queued.wait(60)  # until the end of the shard waits behind this
            raise GenretError("scores: no space left")
        add(self, users, answers)

    def do(self: _Background, function: Any, *args: Any) -> Any:
        future = background_do(self, function, *args)
        if function is _finish and args[1].number == broken:
            queued.set()
        return future

    monkeypatch.setattr(ShardWriter, "add", fails)
    monkeypatch.setattr(_Background, "do", do)
    with pytest.raises(GenretError, match="no space left"):
        job(shards)
    monkeypatch.undo()
    out = tmp_path / "out"
    done = sorted(p.name for p in out.glob("_shards/*"))
    assert done == [f"{n:05d}.json" for n in range(broken)]
    assert len(list(out.glob("scores/*"))) == broken
    assert job(shards).manifest["fingerprint"] == whole.manifest["fingerprint"]


@pytest.mark.parametrize("begun", [False, True])
def test_what_a_killed_job_left_half_written_goes(
    job: Job, shards: Path, tmp_path: Path, whole: ScoreResult, begun: bool
) -> None:
    """A job may be killed while it writes its first file, or one of its last."""
    out = tmp_path / "out"
    out.mkdir()
    left = [out / "._job.json.0a1b2c3d.partial"]
    if begun:
        job(shards)
        (out / "_SUCCESS").unlink()
        (out / "_job.json").write_text(json.dumps(read_manifest(out, "scores").config))
        names = ("rejected.parquet", "manifest.json", "_SUCCESS", "scores/00001-day-1.parquet")
        left = [(out / n).with_name(f".{Path(n).name}.0a1b2c3d.partial") for n in names]
    for file in left:
        file.write_bytes(b"half")
    assert job(shards).manifest["fingerprint"] == whole.manifest["fingerprint"]
    assert not list(out.rglob("*.partial"))


def test_half_a_file_of_somebody_else_is_left_alone(job: Job, shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".film.mkv.partial").write_bytes(b"half")
    with pytest.raises(GenretError, match=r"neither empty nor .* \['\.film\.mkv\.partial'\]"):
        job(shards)
    assert (out / ".film.mkv.partial").read_bytes() == b"half"


def test_a_second_job_is_refused(job: Job, shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    held = (
        "import sys; from genret.scoring._locations import Location\n"
        f"with Location.of({str(out)!r}).lock('_lock'): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(GenretError, match=f"out: another job writes into it .process {holder.pid}"):
        job(shards)
    holder.kill()  # a killed holder holds nothing
    holder.communicate()
    assert job(shards).users_scored_now == 98


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 3}, "its k is 4, now 3"),
        ({"where": ("price < 5",)}, r"its where is \[\], now \['price < 5'\]"),
        ({"exclude_seen": True}, "its exclude_seen is False, now True"),
    ],
)
def test_another_configuration_is_refused_by_name(
    job: Job, shards: Path, whole: ScoreResult, tmp_path: Path, change: dict, message: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "_job.json").write_text(json.dumps(whole.manifest["config"]))
    with pytest.raises(GenretError, match=message):
        job(shards, **change)


def test_other_inputs_and_another_run_are_refused_by_name(
    job: Job, shards: Path, whole: ScoreResult, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    document = json.loads(json.dumps(whole.manifest["config"]))
    document["run"]["model"] = "0" * 64
    (out / "_job.json").write_text(json.dumps(document))
    with pytest.raises(GenretError, match=r"its run\.model is '0+'"):
        job(shards)
    (out / "_job.json").write_text(json.dumps(whole.manifest["config"]))
    with pytest.raises(GenretError, match="its inputs is"):
        job(shards / "day-0.parquet")


def test_a_shard_that_changed_after_it_was_scored_is_refused(
    job: Job, shards: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(shards, tmp_path / "in")
    good = (folder / "day-2.parquet").read_bytes()
    (folder / "day-2.parquet").write_bytes(good[:100])
    with pytest.raises(GenretError, match=r"day-2\.parquet: cannot be read as Parquet"):
        job(folder)
    (folder / "day-2.parquet").write_bytes(good)
    pq.write_table(histories(3), folder / "day-0.parquet")
    with pytest.raises(GenretError, match=r"day-0\.parquet: has \d+ bytes, had"):
        job(folder)


@pytest.fixture
def killed_at_the_end(
    job: Job, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder of inputs whose shards are all scored, but the job was killed before its end."""
    folder = Path(shutil.copytree(shards, tmp_path / "in"))
    monkeypatch.setattr("genret.scoring._score.finish", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        job(folder)
    monkeypatch.undo()
    return folder


def other_bytes(file: Path) -> None:
    """Change a file and keep its size."""
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)


def test_an_input_of_the_same_size_is_refused(
    job: Job, killed_at_the_end: Path, tmp_path: Path
) -> None:
    other_bytes(killed_at_the_end / "day-1.parquet")
    with pytest.raises(GenretError, match=r"day-1\.parquet: holds other bytes than when it was sc"):
        job(killed_at_the_end)


@pytest.mark.parametrize("name", ["scores/00001-day-1.parquet", "_shards/00001.json"])
@pytest.mark.parametrize("damage", [other_bytes, Path.unlink])
def test_answers_that_were_damaged_meanwhile_are_made_again(
    job: Job, killed_at_the_end: Path, tmp_path: Path, whole: ScoreResult, name: str, damage: Any
) -> None:
    damage(tmp_path / "out" / name)
    result = job(killed_at_the_end)
    assert result.users_scored_now == 25
    assert result.manifest["fingerprint"] == whole.manifest["fingerprint"]
    verify_files(tmp_path / "out", read_manifest(tmp_path / "out"))


def test_a_job_killed_between_rewriting_and_its_end_scores_nothing_again(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, first in enumerate((0, 8, 100)):
        pq.write_table(histories(12, seed=number, first=first), folder / f"{number}.parquet")
    expected = job(folder, out=tmp_path / "whole").manifest["fingerprint"]
    killed = Mock(side_effect=KeyboardInterrupt)
    monkeypatch.setattr("genret.scoring._finish._write_rejected", killed)
    with pytest.raises(KeyboardInterrupt):
        job(folder)
    monkeypatch.undo()
    result = job(folder)
    assert result.users_scored_now == 0
    assert result.manifest["fingerprint"] == expected


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("in/day-1.parquet", other_bytes, r"day-1\.parquet: holds other bytes than when it was sc"),
        ("in/day-1.parquet", lambda f: f.write_bytes(b"x"), r"day-1\.parquet: has 1 bytes, had"),
        ("out/scores/00001-day-1.parquet", other_bytes, r"00001-day-1\.parquet: damaged or edited"),
        ("out/scores/00001-day-1.parquet", Path.unlink, r"00001-day-1\.parquet: missing"),
        ("out/rejected.parquet", Path.unlink, r"rejected\.parquet: missing"),
        ("out/manifest.json", other_bytes, r"manifest\.json: "),
        ("out/scores/more.parquet", lambda f: f.write_bytes(b""), "more.parquet: not in the manif"),
    ],
)
def test_a_finished_job_notices_what_changed(
    job: Job, shards: Path, tmp_path: Path, name: str, damage: Any, message: str
) -> None:
    folder = Path(shutil.copytree(shards, tmp_path / "in"))
    job(folder)
    damage(tmp_path / name)
    with pytest.raises(GenretError, match=message) as refused:
        job(folder)
    assert "\n" not in str(refused.value)


def test_users_beyond_int64_keep_their_type(job: Job, tmp_path: Path) -> None:
    users = pa.array([2**63, 2**64 - 1, 7], pa.uint64())
    pq.write_table(pa.table({"user": users, "items": [[1], [2], [3]]}), tmp_path / "in.parquet")
    job(tmp_path / "in.parquet")
    found = answers(tmp_path / "out")["user"]
    assert found.type == pa.uint64()
    assert list(dict.fromkeys(found.to_pylist())) == [2**63, 2**64 - 1, 7]


def test_a_path_that_exists_as_it_is_written_is_meant(job: Job, tmp_path: Path) -> None:
    folder = tmp_path / "shop [2024]*?"
    folder.mkdir()
    file = folder / "day [1].parquet"
    pq.write_table(histories(3), file)
    assert [f.path for f in find_files(file)] == [str(file)]
    assert [f.path for f in find_files(folder)] == [str(file)]
    assert job(file).users_scored_now == 3
    (tmp_path / "link").symlink_to(folder)
    assert [f.path for f in find_files(tmp_path / "link")] == [str(tmp_path / "link" / file.name)]
    (folder / "gone.parquet").symlink_to("nowhere")
    with pytest.raises(GenretError, match=r"gone\.parquet: is a link to nowhere, which is not th"):
        find_files(folder)
    with pytest.raises(GenretError, match="no such file"):
        find_files(tmp_path / "day-[0-9].parquet")
    with pytest.raises(GenretError, match=r"cannot be read|no such file"):
        find_files("null\0character")


def test_users_of_several_shards_are_kept_once(job: Job, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, first in enumerate((0, 8, 100)):
        pq.write_table(histories(12, seed=number, first=first), folder / f"{number}.parquet")
    result = job(folder)
    out = tmp_path / "out"
    users = [r["user"] for r in answers(out).to_pylist() if r["rank"] == 1]
    assert users == [*range(20), *range(100, 112)]
    assert [(r["shard"], r["user"], r["reason"]) for r in rejected(out)] == [
        ("1.parquet", str(user), "the user occurs in an earlier shard") for user in range(8, 12)
    ]
    summary = result.manifest["summary"]
    assert (summary["users"], summary["rejected"], summary["answers"]) == (32, 4, 128)
    verify_files(out, read_manifest(out, "scores"))


def test_the_command_line(
    run: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def genret(*argv: object) -> tuple[int, str, str]:
        status = main([str(a) for a in argv])
        return status, *capsys.readouterr()

    options = ("--k", "4", "--beams", "6", "--decode-batch", "8", "--no-all-devices")
    base = ("score", run, "--histories", f"{shards}/day-*.parquet", "--out")
    status, out, err = genret(*base, tmp_path / "a", *options, "--json")
    assert status == 0, err
    assert json.loads(out)["summary"]["users"] == 98
    bad = tmp_path / "bad.parquet"
    pq.write_table(pa.table({"user": ["a", None], "items": [[1], [2]]}), bad)
    status, out, _ = genret("score", run, "--histories", bad, "--out", tmp_path / "b", *options)
    assert status == 3
    assert "1 rows were rejected: see rejected.parquet" in out
    status, _, err = genret(*base, tmp_path / "a", *options[2:], "--k", "2")
    assert status == 2
    assert "its k is 4, now 2" in err
