"""Hostile files of interactions, items, semantic IDs and vectors."""

import gzip
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.hostile.table import Hostile, array, both, text

LOG = "user_id,item_id,timestamp\n"
ROWS = "".join(f"u{u},i{(u * 3 + t) % 9},{1000 + t}\n" for u in range(8) for t in range(5))
READ = "ingest new --interactions "


def parquet(name: str, **columns: object) -> Callable[[Path], object]:
    return lambda folder: pq.write_table(pa.table(columns), folder / name)


def flipped_footer(folder: Path) -> object:
    parquet("log.parquet", user_id=[1, 1, 2], item_id=[1, 2, 1])(folder)
    raw = bytearray((folder / "log.parquet").read_bytes())
    raw[-6] ^= 255
    return (folder / "log.parquet").write_bytes(raw)


def archive(
    name: str, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED
) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        with zipfile.ZipFile(folder / name, "w", method) as out:
            for member, content in members.items():
                out.writestr(member, content)

    return make


def inner_archive() -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as out:
        out.writestr("ml-100k/u.data", b"")
    return raw.getvalue()


def claimed_bytes(shape: tuple[int, ...]) -> bytes:
    """Return the header of a ``.npy`` file of doubles, without the doubles."""
    raw = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        raw, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    return raw.getvalue()


def claimed(name: str, header: str) -> Callable[[Path], object]:
    """Return a function that writes the header of a ``.npy`` file alone."""
    padded = header.encode().ljust(117) + b"\n"
    return text(name, b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded)


def lying_archive(folder: Path) -> object:
    """Write a ``.npz`` whose directory claims three gibibytes."""
    np.savez(folder / "v.npz", ids=np.arange(1, 61), vectors=np.ones((60, 4)))
    raw = bytearray((folder / "v.npz").read_bytes())
    at = raw.rindex(b"PK\x01\x02") + 24
    raw[at : at + 4] = (3 << 30).to_bytes(4, "little")
    return (folder / "v.npz").write_bytes(raw)


FILES = [
    Hostile("a CSV line of 100,000 commas", READ + "log.csv", "log.csv", text("log.csv", LOG + "," * 100_000 + "\n")),
    Hostile("a column name of a million characters", READ + "log.csv", "log.csv", text("log.csv", "user_id," + "x" * 10**6 + "\na,b\n")),
    Hostile("two columns of one name", READ + "log.csv", "log.csv", text("log.csv", "user_id,item_id,item_id\na,b,c\na,c,b\n")),
    Hostile("a header and a byte-order mark alone", READ + "log.csv", "log.csv", text("log.csv", b"\xef\xbb\xbfuser_id,item_id")),
    Hostile("times at the end of 64 bits", READ + "log.csv", "log.csv", text("log.csv", LOG + "a,x,9223372036854775807\na,y,9223372036854775806\nb,x,1\n")),
    Hostile("times that are infinite", READ + "log.csv", "log.csv", text("log.csv", LOG + "a,x,inf\na,y,-inf\nb,x,nan\n")),
    Hostile("times of 1e300", READ + "log.csv", "log.csv", text("log.csv", LOG + "a,x,1e300\na,y,2e300\nb,x,1\n")),
    Hostile("a gzip file that is cut", READ + "log.csv.gz", "log.csv.gz: cannot be read as CSV", text("log.csv.gz", gzip.compress((LOG + ROWS).encode(), mtime=0)[:60])),
    Hostile("a Parquet file whose footer claims another length", READ + "log.parquet", "log.parquet", flipped_footer),
    Hostile("JSON lines nested 100,000 deep", READ + "log.jsonl", "log.jsonl: line 1: cannot be read as JSON", text("log.jsonl", "[" * 100_000 + "]" * 100_000 + "\n")),
    Hostile("inter.json nested 100,000 deep", READ + "a.inter.json", "a.inter.json: cannot be read as JSON", text("a.inter.json", "[" * 100_000 + "]" * 100_000)),
    Hostile("inter.json with NaN for an item", READ + "a.inter.json", "a.inter.json", text("a.inter.json", '{"0": [NaN, 1], "1": [2, 3]}')),
    Hostile("a pipe that nobody writes into", READ + "pipe.csv", "pipe.csv", lambda f: os.mkfifo(f / "pipe.csv")),
    Hostile("a folder that links to itself", READ + "days", "days", both(lambda f: (f / "days").mkdir(), lambda f: (f / "days/again").symlink_to("."))),
    Hostile("/dev/zero", READ + "/dev/zero", "/dev/zero"),
    Hostile("the interactions are the items as well", READ + "log.csv --items log.csv", "dropped, the first kept", text("log.csv", LOG + ROWS), status=0),
    Hostile("one column as user and as item", READ + "log.csv --user user_id --item user_id", "log.csv: takes the column 'user_id' for the user and for the item", text("log.csv", LOG + ROWS)),
    Hostile("a zip member above the folder", "quickstart new --data a.zip", "a.zip", archive("a.zip", {"../../u.data": b"", "../u.item": b""})),
    Hostile("a zip within a zip", "quickstart new --data a.zip", "a.zip", archive("a.zip", {"a.zip": inner_archive()})),
    Hostile("a zip file that is cut", "quickstart new --data a.zip", "a.zip", text("a.zip", inner_archive()[:40])),
    Hostile("an archive whose u.data is a folder", "quickstart new --data ml", "ml", lambda f: (f / "ml/u.data").mkdir(parents=True)),
    Hostile("a zip whose ratings are noise", "quickstart new --data a.zip", "a.zip: is not MovieLens-100K", archive("a.zip", {"ml-100k/u.data": b"\x80" * 99, "ml-100k/u.item": b"\x80" * 99})),
    Hostile("a negative code", "inspect c.index.json", "c.index.json: item '0': found the code '-1'", text("c.index.json", '{"0": [-1, 2], "1": [1, 2]}')),
    Hostile("a code that is true", "inspect c.index.json", "c.index.json: item '0'", text("c.index.json", '{"0": [true, 2], "1": [1, 2]}')),
    Hostile("a code that is half a number", "inspect c.index.json", "c.index.json: item '0'", text("c.index.json", '{"0": [0.5, 2], "1": [1, 2]}')),
    Hostile("an item twice", "inspect c.index.json", "c.index.json: the key '0' occurs more than once", text("c.index.json", '{"0": [1, 2], "0": [1, 3]}')),
    Hostile("codes of no level", "inspect c.index.json", "c.index.json", text("c.index.json", '{"0": [], "1": []}')),
    Hostile("an index of no item", "inspect c.index.json", "c.index.json", text("c.index.json", "{}")),
    Hostile("a .npy file of Python objects", "tokenize run --from c.npy", "c.npy: cannot be read as .npy", lambda f: np.save(f / "c.npy", np.array([{}], dtype=object), allow_pickle=True)),
    Hostile("a .npy header with code in it", "tokenize run --from c.npy", "c.npy: cannot be read as .npy", claimed("c.npy", "__import__('os').system('id')")),
    Hostile("a .npy header of a negative size", "tokenize run --from c.npy", "c.npy: cannot be read as .npy", claimed("c.npy", "{'descr': '<i8', 'fortran_order': False, 'shape': (-60, 2), }")),
    Hostile("codes in three dimensions", "tokenize run --from c.npy", "c.npy", array("c.npy", np.zeros((60, 2, 2), int))),
    Hostile("codes of a structured type", "tokenize run --from c.npy", "c.npy", array("c.npy", np.zeros(60, [("a", int), ("b", int)]))),
    Hostile("codes in the other byte order", "inspect c.npy", "60 items", array("c.npy", np.arange(120).reshape(60, 2).astype(">i4")), status=0),
    Hostile("a pipe of codes", "tokenize run --from c.npy", "c.npy: cannot be read as .npy: is no regular file", lambda f: os.mkfifo(f / "c.npy")),
    Hostile("complex vectors", "embed run --vectors v.npy --ids v.json", "v.npy", both(array("v.npy", np.ones((60, 4), complex)), text("v.json", json.dumps(list(range(1, 61)))))),
    Hostile("vectors of width 0", "embed run --vectors v.npy --ids v.json", "v.npy", both(array("v.npy", np.ones((60, 0))), text("v.json", json.dumps(list(range(1, 61)))))),
    Hostile("ids of vectors that are lists", "embed run --vectors v.npy --ids v.json", "v.json", both(array("v.npy", np.ones((60, 4))), text("v.json", json.dumps([[i] for i in range(60)])))),
    Hostile("a .npz file without the usual names", "embed run --vectors v.npz", "v.npz", lambda f: np.savez(f / "v.npz", a=np.ones(3), b=np.ones(3))),
    Hostile("a .npz file that expands to gigabytes", "embed run --vectors v.npz", "v.npz: 2,9", lying_archive),
    Hostile("a .npz header that claims petabytes", "embed run --vectors v.npz", "v.npz: cannot be read as .npz", lambda f: archive("v.npz", {"ids.npy": claimed_bytes((10**15,)), "vectors.npy": b""})(f)),
    Hostile("a .npz file of no .npy", "embed run --vectors v.npz", "v.npz: its member 'vectors' is no array", archive("v.npz", {"vectors.npy": b"no array", "ids.npy": b"no array"})),
]  # fmt: skip
