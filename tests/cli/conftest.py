"""A small trained run, made once by the verbs themselves, and a way to call the command line."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from genret.cli.main import main

TINY_MODEL = (
    "--width", "16", "--layers", "1", "--heads", "2", "--kv-heads", "2",
    "--head-dim", "8", "--mlp-dim", "32", "--max-items", "8",
)  # fmt: skip
TINY_TRAIN = (
    "--steps", "6", "--batch-size", "8", "--eval-every", "3", "--eval-users", "20",
    "--checkpoint-every", "2", "--log-every", "2",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Done:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def genret(capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs ``genret`` with some arguments in this process."""

    def run(*argv: object) -> Done:
        capsys.readouterr()
        try:
            status = main([str(a) for a in argv])
        except SystemExit as e:
            status = int(e.code or 0)
        printed = capsys.readouterr()
        return Done(status, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder with every artifact; not to be changed."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    ingest = ("--synthetic", "--synthetic-users", "60", "--synthetic-items", "40")
    for verb, *options in (
        ("ingest", *ingest),
        ("embed", "--text-dim", "8", "--cooccurrence-dim", "8"),
        ("tokenize", "--levels", "2", "--codebook-size", "8"),
        ("index",),
        ("train", *TINY_MODEL, *TINY_TRAIN),
        ("evaluate", "--beams", "20", "--bootstrap", "20"),
    ):
        assert main([verb, str(folder), "--json", *options]) == 0
    return folder


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> Path:
    """Return a copy of the run, to be changed at will."""
    return Path(shutil.copytree(trained_once, tmp_path / "run"))
