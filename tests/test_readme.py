"""The README's example runs, and says what it prints; its commands are those of the gate."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert example is not None
    exec(compile(example[1], "README.md", "exec"), {})
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
