"""The wheel: what it holds, and that it does the whole job without the checkout."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import genret

ROOT = Path(__file__).parents[1]
NO_NETWORK = re.compile(r"No matching distribution|Could not find a version|Connection|resolve")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("genret", "kernels"):
        shutil.copytree(
            ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder / "dist"),
         str(folder / "source")],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if done.returncode and NO_NETWORK.search(done.stderr):
        pytest.skip("pip cannot fetch setuptools, which builds the wheel")
    assert done.returncode == 0, done.stderr
    (file,) = (folder / "dist").iterdir()
    return file


@pytest.mark.slow
def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    assert wheel.name == f"genret-{genret.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"genret-{genret.__version__}.dist-info/METADATA").decode()
    assert {name.split("/")[0] for name in names} == {
        "genret", "genret_kernels", f"genret-{genret.__version__}.dist-info",
    }  # fmt: skip
    for folder, package in (("genret", "genret"), ("kernels", "genret_kernels")):
        sources = {
            f"{package}/{file.relative_to(ROOT / folder).as_posix()}"
            for file in (ROOT / folder).rglob("*")
            if file.suffix in (".py", ".json", ".typed")
        }
        assert sources <= names
    assert "Requires-Python: >=3.11" in metadata


@pytest.mark.slow
def test_the_wheel_does_the_whole_job(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # The libraries are those of this environment; genret is the wheel's.
    job = (
        "import sys, genret, genret_kernels; from genret.cli.main import main; "
        f"assert genret.__file__.startswith({str(site)!r}), genret.__file__; "
        f"assert genret_kernels.__file__.startswith({str(site)!r}); "
        "sys.exit(main(['quickstart', 'run', '--synthetic', '--smoke']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", job],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "reports" / "report.html").is_file()
