"""Folders that nobody but this user can write into: what lies there may be executed."""

import os
import stat
from pathlib import Path


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone.

    Whatever the umask: a folder that others may write into is never there, not even for a moment.
    """
    missing = []
    path = Path(os.path.abspath(folder))
    while not path.exists():
        missing.append(path)
        path = path.parent
    for path in reversed(missing):
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            continue  # another process made it; it is checked like any other


def unsafe(folder: Path) -> str | None:
    """Say why others could put files into a folder, or another folder in its place; None: they cannot.

    The folder and all above it, by the path as it is written and by the one that links lead to, must
    belong to this user (those above also to root) and must not be writable by group or others; above
    it, a folder with the sticky bit (``/tmp``) may be, for there nobody can rename what belongs to
    another one.
    """
    try:
        real = Path(os.path.realpath(folder))
        reason = _refusal(real, own=True)
        if reason is None:
            shared = bool(real.stat().st_mode & (stat.S_IXGRP | stat.S_IXOTH))
            reason = next((r for f in real.iterdir() if (r := _foreign(f, shared))), None)
        for path in {*Path(os.path.abspath(folder)).parents, *real.parents}:
            reason = reason or _refusal(path, own=False)
    except OSError as e:
        return f"{e.filename}: {e.strerror}"
    return reason


def _refusal(path: Path, *, own: bool) -> str | None:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return None if found.st_uid in (0, os.geteuid()) else f"{path} is a link of another user"
    owners = {os.geteuid()} if own else {0, os.geteuid()}
    if found.st_uid not in owners:
        return f"{path} belongs to user {found.st_uid}"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and (own or not found.st_mode & stat.S_ISVTX):
        return f"{path} is writable by others (mode {stat.S_IMODE(found.st_mode):o})"
    return None


def _foreign(file: Path, shared: bool) -> str | None:
    """Say why a file is not to be trusted that lies in a folder which others may, or not, enter."""
    found = file.lstat()
    if found.st_uid != os.geteuid() or stat.S_ISLNK(found.st_mode):
        return f"{file} belongs to another user, or is a link"
    if shared and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{file} is writable by others"
    return None
