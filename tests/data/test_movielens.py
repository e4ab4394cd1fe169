"""MovieLens-100K from either layout, whole or not at all; the sums are those of a small fake."""

import hashlib
import os
import subprocess
import tracemalloc
import urllib.error
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.data import _movielens, ingest, movielens
from genret.data._movielens import INTER, ITEM, SHA256, TERMS, article_first
from genret.errors import GenretError

EVENTS = (
    "196\t242\t3\t881250949\n186\t302\t3\t891717742\n196\t302\t5\t881251000\n22\t4\t1\t878887116\n"
)
URL = "http://us.imdb.com/M/title-exact?x"
FLAGS = {"4": "0000100000000000000", "242": "0100010000000000001", "302": "1" + "0" * 18}
U_ITEM = "".join(
    f"{item}|{title}|01-Jan-1995||{URL}|{'|'.join(FLAGS[item])}\n"
    for item, title in (
        ("4", "Empire Strikes Back, The (1980)"),
        ("242", "Léon, \"Le\" (1994)"),
        ("302", "unknown"),
    )
).encode("latin-1")  # fmt: skip
U_ITEM += f"9|Bean (1997) (V)|||{URL}|{'|'.join('0' * 19)}\n".encode("latin-1")
FILES = {
    INTER: b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + EVENTS.encode(),
    ITEM: (
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "4\tEmpire Strikes Back, The\t1980\tChildren's\n"
        '242\tLéon, "Le"\t1994\tAction Comedy Western\n'
        "302\tunkonwn\tunkonwn\tunknown\n"
        "9\tBean (1997)\tV\t\n"
    ).encode(),
}
GROUPLENS = {"ml-100k/u.data": EVENTS.encode(), "ml-100k/u.item": U_ITEM, "ml-100k/README": b"."}
WHEEL = {f"recbole/dataset_example/ml-100k/{n}": c for n, c in FILES.items()}


def archive(file: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            target.writestr(name, content)
    return file


def folder(path: Path, members: dict[str, bytes]) -> Path:
    path.mkdir()
    for name, content in members.items():
        (path / Path(name).name).write_bytes(content)
    return path


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake's sums stand for the real ones, and no source answers."""
    for name, content in FILES.items():
        monkeypatch.setitem(SHA256, name, hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(_movielens.urllib.request, "urlopen", fails(urllib.error.URLError("down")))
    monkeypatch.setattr(_movielens.subprocess, "run", fails(OSError("no pip")))


def fails(error: Exception) -> Callable:
    def call(*_: object, **__: object) -> None:
        raise error

    return call


LAYOUTS = {
    "archive": lambda path: archive(path / "ml-100k.zip", GROUPLENS),
    "folder": lambda path: folder(path / "ml-100k", GROUPLENS),
    "wheel": lambda path: archive(path / "recbole-1.2.1-py3-none-any.whl", WHEEL),
    "folder of the wheel": lambda path: folder(path / "ml-100k", WHEEL),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_local_copy(layout: str, tmp_path: Path) -> None:
    data = LAYOUTS[layout](tmp_path)
    films = movielens(data, cache=tmp_path / "cache")
    assert films.source == str(data)
    assert "redistribution" in films.terms
    assert films.interactions.to_pylist()[0] == {
        "user_id": 196, "item_id": 242, "rating": 3, "timestamp": 881250949,
    }  # fmt: skip
    assert films.items.to_pydict() == {
        "item_id": [4, 242, 302, 9],
        "title": ["The Empire Strikes Back", 'Léon, "Le"', "unknown", "Bean"],
        "year": [1980, 1994, None, 1997],
        "genres": ["Children's", "Action, Comedy, Western", "unknown", ""],
    }
    assert not (tmp_path / "cache").exists()
    catalog, histories, _ = ingest(films.interactions, films.items)
    assert [catalog.titles[i] for i in histories.events.items[:2]] == ['Léon, "Le"', "unknown"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_another_sum_is_refused(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SHA256, ITEM, "0" * 64)
    data = LAYOUTS[layout](tmp_path)
    with pytest.raises(
        GenretError, match=r"is not MovieLens-100K: SHA-256 of ml-100k.item differs"
    ):
        movielens(data)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "holds neither ml-100k.inter nor u.data and u.item"),
        ({"u.data": b"1\t2\t3\t4\n"}, "holds neither ml-100k.inter nor"),
        ({"u.data": b"", "u.item": b""}, "SHA-256 of ml-100k.inter differs"),
        ({"u.data": EVENTS.encode(), "u.item": b"x\n\ny|\xff"}, "SHA-256 of ml-100k.item differs"),
        ({INTER: FILES[INTER]}, "holds neither ml-100k.item nor u.data and u.item"),
    ],
)
def test_what_is_no_copy(members: dict[str, bytes], message: str, tmp_path: Path) -> None:
    for data in (archive(tmp_path / "x.zip", members), folder(tmp_path / "x", members)):
        with pytest.raises(GenretError, match=f"^{data}: .*{message}"):
            movielens(data)


def test_a_damaged_archive(tmp_path: Path) -> None:
    file = archive(tmp_path / "x.zip", GROUPLENS)
    whole = file.read_bytes()
    at = whole.index(b"u.data") + 10  # within the deflated events
    for content in (whole[:-30], b"junk", b"", whole[:at] + b"\xff" * 20 + whole[at + 20 :]):
        file.write_bytes(content)
        with pytest.raises(GenretError, match="cannot be read as a zip archive"):
            movielens(file)
    with pytest.raises(GenretError, match="nope: no such file or folder"):
        movielens(tmp_path / "nope")


def test_no_source_answers(tmp_path: Path) -> None:
    with pytest.raises(
        GenretError,
        match=r"no source answers \(GroupLens: .*down.*; package index: no pip\); give a local copy "
        r"with --data PATH, or use --synthetic$",
    ):
        movielens(cache=tmp_path)
    assert not list(tmp_path.iterdir())


def pip(members: dict[str, bytes] | None, stderr: str = "") -> Callable:
    """Return what runs for pip: it leaves a wheel, or fails with a message."""

    def run(command: list[str], **_: object) -> SimpleNamespace:
        assert command[1:4] == ["-m", "pip", "download"]
        assert "--no-deps" in command
        if members is not None:
            archive(Path(command[command.index("--dest") + 1]) / "recbole-1.2.1.whl", members)
        return SimpleNamespace(returncode=int(members is None), stderr=stderr)

    return run


def test_the_second_source_fills_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_movielens.subprocess, "run", pip(WHEEL))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = movielens()
    assert first.source == "package index"
    cache = tmp_path / "genret" / "ml-100k"
    assert {p.name: p.read_bytes() for p in cache.iterdir()} == FILES
    monkeypatch.setattr(_movielens.subprocess, "run", fails(AssertionError("asked again")))
    again = movielens()
    assert again.source == f"cache {cache}"
    assert again.items.equals(first.items)
    assert again.interactions.equals(first.interactions)
    (cache / ITEM).write_bytes(b"spoilt")
    with pytest.raises(GenretError, match=rf"{cache}: is not MovieLens-100K: SHA-256"):
        movielens()


def test_the_first_source_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = archive(tmp_path / "ml-100k.zip", GROUPLENS)
    monkeypatch.setattr(_movielens.urllib.request, "urlopen", lambda *_, **__: file.open("rb"))
    films = movielens(cache=tmp_path / "cache")
    assert films.source == "GroupLens"
    assert (tmp_path / "cache" / "ml-100k" / ITEM).read_bytes() == FILES[ITEM]


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (pip(None, "noise\nERROR: No matching distribution\n"), "ERROR: No matching distribution"),
        (pip(None), "pip exited with 1"),
        (pip({"recbole/x.py": b""}), "package index: holds neither"),
        (
            pip({**WHEEL, next(iter(WHEEL)): b"x"}),
            "package index: is not MovieLens-100K: SHA-256 of",
        ),
        (fails(subprocess.TimeoutExpired("pip", 180)), "timed out after 180 seconds"),
    ],
)
def test_each_failure_is_told(
    run: Callable, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_movielens.subprocess, "run", run)
    with pytest.raises(GenretError, match=f"no source answers .*{reason}") as found:
        movielens(cache=tmp_path / "cache")
    assert "\n" not in str(found.value)
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_movielens.subprocess, "run", pip(WHEEL))
    (tmp_path / "file").write_text("")
    with pytest.raises(GenretError, match=r"cannot be written \(the cache\): Not a directory"):
        movielens(cache=tmp_path / "file")


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Alien", "Alien"),
        ("Theory, The", "The Theory"),
        ("Avventura, L'", "L'Avventura"),
        ("Me, Myself and I", "Me, Myself and I"),
        ("Thin Man, A", "A Thin Man"),
        ("Postman, The (Postino, Il)", "The Postman (Il Postino)"),
    ],
)
def test_articles_stand_first(title: str, expected: str) -> None:
    assert article_first(title) == expected


def test_the_terms_name_their_source() -> None:
    assert "grouplens" in TERMS
    assert "\n" not in TERMS


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (6, 1, "encrypted"),  # the flag of encryption
        (8, 97, "not supported"),  # a method of compression that nobody knows
        (8, 14, "cannot be read as a zip archive"),  # LZMA, which this is not
    ],
)
def test_archives_that_zipfile_cannot_read_are_one_line(
    tmp_path: Path, offset: int, value: int, message: str
) -> None:
    file = archive(tmp_path / "a.zip", GROUPLENS)
    raw = bytearray(file.read_bytes())
    for mark, at in ((b"PK\x03\x04", offset), (b"PK\x01\x02", offset + 2)):
        start = 0
        while (start := raw.find(mark, start)) >= 0:
            raw[start + at] = value
            start += 4
    file.write_bytes(raw)
    with pytest.raises(GenretError, match=message) as refused:
        movielens(file)
    assert "\n" not in str(refused.value)


@settings(max_examples=100)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_flipped_byte_of_an_archive_is_one_line_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, position: int, mask: int
) -> None:
    file = archive(tmp_path_factory.mktemp("zip") / "a.zip", GROUPLENS)
    raw = bytearray(file.read_bytes())
    raw[position % len(raw)] ^= mask
    file.write_bytes(raw)
    try:
        found = movielens(file)
    except GenretError as e:
        assert "\n" not in str(e)  # noqa: PT017
    else:
        assert found.interactions.num_rows == 4


def test_a_zip_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    bomb = archive(tmp_path / "a.zip", {"u.data": bytes(200 << 20), "u.item": b""})
    assert bomb.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(GenretError, match=r"u\.data: has more than 64 MiB"):
        movielens(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 160 << 20
    huge = tmp_path / "folder"
    huge.mkdir()
    with (huge / "u.data").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(GenretError, match=r"u\.data: has more than 64 MiB"):
        movielens(huge)


def test_the_cache_does_not_follow_links_that_others_laid(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    (tmp_path / "ml-100k").mkdir()
    for name in FILES:
        (tmp_path / "ml-100k" / f".{name}.{os.getpid()}").symlink_to(target)
        (tmp_path / "ml-100k" / name).symlink_to(target)
    _movielens._keep(FILES, tmp_path / "ml-100k")
    assert target.read_text() == "precious"
    assert (tmp_path / "ml-100k" / INTER).read_bytes() == FILES[INTER]
