"""Folders of programs that are executed: nobody but the user can put a file there."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from genret.private_folders import make_private, unsafe


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_what_is_made_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_private(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    for folder in ("a", "a/b", "a/b/c"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700
    assert unsafe(tmp_path / "a" / "b" / "c") is None
    make_private(tmp_path / "a" / "b" / "c")


def linked(root: Path, mode: int) -> Path:
    """A link in a safe place to a folder in an unsafe one."""
    (root / "open" / "programs").mkdir(parents=True)
    (root / "open").chmod(mode)
    (root / "link").symlink_to(root / "open" / "programs")
    return root / "link"


def link_in_unsafe_place(root: Path) -> Path:
    (root / "safe").mkdir()
    (root / "open").mkdir()
    (root / "open" / "link").symlink_to(root / "safe")
    (root / "open").chmod(0o777)
    return root / "open" / "link"


def made(root: Path, mode: int, parent: int = 0o700) -> Path:
    (root / "parent" / "programs").mkdir(parents=True)
    (root / "parent" / "programs").chmod(mode)
    (root / "parent").chmod(parent)
    return root / "parent" / "programs"


def holding(root: Path, mode: int, file_mode: int, owner: int | None = None) -> Path:
    folder = made(root, mode)
    (folder / "x-cache").write_bytes(b"")
    (folder / "x-cache").chmod(file_mode)
    if owner is not None:
        os.chown(folder / "x-cache", owner, -1)
    return folder


def given_away(root: Path, path: str) -> Path:
    folder = made(root, 0o700)
    os.chown(root / path, 65534, -1)
    return folder


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda r: made(r, 0o770), "writable by others .mode 770"),
        (lambda r: made(r, 0o702), "writable by others"),
        (
            lambda r: made(r, 0o1777),
            "writable by others",
        ),  # the sticky bit keeps nobody from adding
        (lambda r: made(r, 0o700, parent=0o777), "parent is writable by others"),
        (lambda r: made(r, 0o700, parent=0o720), "parent is writable by others"),
        (lambda r: linked(r, 0o777), "open is writable by others"),
        (link_in_unsafe_place, "open is writable by others"),
        (lambda r: holding(r, 0o755, 0o666), "x-cache is writable by others"),
        (lambda r: r / "missing", "No such file"),
        pytest.param(lambda r: holding(r, 0o700, 0o600, 65534), "another user", marks=needs_root),
        pytest.param(lambda r: given_away(r, "parent"), "belongs to user 65534", marks=needs_root),
        pytest.param(lambda r: given_away(r, "parent/programs"), "to user 65534", marks=needs_root),
    ],
)
def test_unsafe_places_are_named(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    folder = make(tmp_path)
    with pytest.raises(AssertionError, match=message):
        assert unsafe(folder) is None, unsafe(folder)


@pytest.mark.parametrize(
    "make",
    [
        lambda r: made(r, 0o700),
        lambda r: made(r, 0o755),
        lambda r: made(r, 0o700, parent=0o1777),  # as /tmp: nobody can rename what is ours
        lambda r: linked(r, 0o755),
        lambda r: holding(r, 0o700, 0o664),  # written under the umask 002, where nobody can enter
    ],
)
def test_safe_places_are_used(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    assert unsafe(make(tmp_path)) is None
