"""Histories and answers in an S3-compatible store give what folders give."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest

from genret.config import EngineConfig, ScoreConfig
from genret.errors import GenretError
from genret.scoring import ScoreResult, score
from genret.scoring._locations import Location, find_files
from tests.scoring.conftest import CONFIG

SERVER = """
from moto.server import ThreadedMotoServer
import sys
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
print("PORT", server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Start a server; return a format string for URIs in a bucket of it."""
    pytest.importorskip("moto", reason="moto[server] is not installed")
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVER],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    port = next(int(line.split()[1]) for line in server.stdout if line.startswith("PORT"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        store = pa.fs.S3FileSystem(
            endpoint_override=f"127.0.0.1:{port}", scheme="http", region="us-east-1",
            allow_bucket_creation=True,
        )  # fmt: skip
        store.create_dir("nightly")
        yield f"s3://nightly/{{}}?endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
    server.kill()
    server.communicate()


def upload(bucket: str, shards: Path, folder: str) -> Location:
    place = Location.of(bucket.format(folder))
    for file in sorted(shards.iterdir()):
        place.publish(file, file.name)
    return place


def test_the_same_answers(bucket: str, run: Path, shards: Path, whole: ScoreResult) -> None:
    upload(bucket, shards, "in")
    config, engine = ScoreConfig(**CONFIG), EngineConfig(all_devices=False)
    out = bucket.format("out")
    result = score(run, bucket.format("in/day-*.parquet"), out, config, engine)
    assert result.manifest["fingerprint"] == whole.manifest["fingerprint"]
    place = Location.of(out)
    assert place.names() == ["_SUCCESS", "manifest.json", "rejected.parquet", "scores"]
    again = score(run, bucket.format("in/day-*.parquet"), out, config, engine)
    assert again.users_scored_now == 0
    name = place.names("scores")[0]
    table = pq.read_table(place.at(f"scores/{name}"), filesystem=place.filesystem)
    assert table.num_rows == 160


def test_a_lock_is_held_while_its_holder_lives(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Location.of(bucket.format("locked"))
    refused = pytest.raises(GenretError, match=f"another job writes into it .process {os.getpid()}")
    with place.lock("_lock"), refused, place.lock("_lock"):
        pass
    with place.lock("_lock"):
        pass
    place.write_json("_lock", {"host": "gone", "process": 1, "token": "x", "time": 0.0})
    with place.lock("_lock"):  # no sign of life
        pass
    assert threading.active_count() < 50


def test_missing_files_and_unknown_stores(bucket: str) -> None:
    with pytest.raises(GenretError, match="no such file"):
        find_files(bucket.format("nowhere/*.parquet"))
    with pytest.raises(GenretError, match="cannot be opened"):
        Location.of("gopher://hole/burrow")


def test_what_fsspec_knows() -> None:
    pytest.importorskip("fsspec")
    place = Location.of("memory://box")
    place.write("a.txt", b"hello")
    place.write_json("b.json", {"x": 1})
    assert place.names() == ["a.txt", "b.json"]
    assert place.read_json("b.json") == {"x": 1}
    assert [f.path.rsplit("/", 1)[1] for f in find_files("memory://box/*.txt")] == ["a.txt"]
    with place.local_of("a.txt") as file:
        assert file.read_bytes() == b"hello"
    place.delete("a.txt")
    assert not place.exists("a.txt")
