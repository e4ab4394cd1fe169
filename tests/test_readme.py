"""The README's example runs, and says what it prints; its commands are those of the gate."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.small_run import write_small_run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_a_run_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_small_run(tmp_path / "runs" / "shop")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    names: dict[str, Any] = {}
    exec(compile(EXAMPLES[0], "README.md", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "id", "title", "score"]
    assert [line.split()[0] for line in lines[1:]] == list("12345")
    prices = names["shop"].catalog.table["price"].to_pylist()
    assert all(prices[int(line.split()[1]) - 1] < 50 for line in lines[1:])
    assert names["table"]["user"].to_pylist() == [0] * 20 + [1] * 20 + [2] * 20


def test_the_example_of_the_search_runs(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(EXAMPLES[1], "README.md", "exec"), {})
    printed = capsys.readouterr().out
    expected = re.search(r"It prints\n\n((?:    .*\n)+)", README)
    assert expected is not None
    assert printed.split() == expected[1].split()


@pytest.mark.parametrize("command", ["bin/pytest", "bin/genret quickstart"])
def test_the_gate_finds_the_commands(command: str) -> None:
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    lines = [line for line in README.splitlines() if command in line]
    assert lines, f"README.md names no command with {command}"
    assert lines[0].startswith("    python3 -m venv .venv && ")
    subprocess.run(["bash", "-n", "-c", lines[0]], check=True)


def test_every_file_that_is_named_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not missing
