"""The table of hostile inputs: each is one line and the right status, and nothing is written."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from genret.cli.main import main
from tests.hostile.artifacts import ARTIFACTS
from tests.hostile.files import FILES
from tests.hostile.options import OPTIONS
from tests.hostile.table import Hostile
from tests.small_run import write_small_run

SECONDS = 300
"""After this a command hangs, on any machine."""


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_run(tmp_path_factory.mktemp("hostile") / "run")


@pytest.fixture(autouse=True)
def _ends() -> Iterator[None]:
    """Fail what waits for ever: a pipe that nobody writes into, a device that never ends."""

    def hangs(*_: object) -> None:
        raise AssertionError(f"did not end within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def contents(folder: Path) -> dict[str, bytes | str]:
    """Return the files and links of a folder; pipes and devices are not opened."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file():
            found[name] = path.read_bytes() if path.stat().st_size < 2**30 else "large"
    return found


@pytest.mark.parametrize("case", [*ARTIFACTS, *FILES, *OPTIONS], ids=str)
def test_hostile(
    case: Hostile,
    small_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(small_run, tmp_path / "run")
    case.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    capsys.readouterr()
    status = main(case.argv)
    out, err = capsys.readouterr()
    assert status == case.status, (out, err)
    if status == 0:
        assert case.outcome in out
        assert err == ""
        return
    assert len(err.splitlines()) == 1, err
    assert err.startswith("genret: error: ")
    assert case.outcome in err
    assert len(err) < 1100
    after = contents(tmp_path)
    kept = {name: value for name, value in after.items() if name in before}
    assert kept == before
    more = {name for name in after if name not in before and not name.endswith("lock")}
    assert more <= {"out/_job.json"}, "a job that stopped in the middle says what it is, no more"
