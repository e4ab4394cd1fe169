"""The notebooks run from end to end, and what is committed was printed by the committed source."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COLAB = Path(__file__).parents[2] / "colab"
SOURCES = sorted(COLAB.glob("[0-9]*.py"))
every_notebook = pytest.mark.parametrize("source", SOURCES, ids=lambda f: f.stem)


def cells(notebook: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return found


def text(parts: list[str] | str) -> str:
    return parts if isinstance(parts, str) else "".join(parts)


def outputs(found: list[dict[str, Any]], tag: str = "") -> list[dict[str, Any]]:
    """Return the outputs of the code cells, or of those with a tag."""
    return [
        output
        for cell in found
        if cell["cell_type"] == "code" and (not tag or tag in cell["metadata"].get("tags", []))
        for output in cell["outputs"]
    ]


def printed(found: list[dict[str, Any]]) -> str:
    """Return all that outputs say in words."""
    return "\n".join(
        text(output.get("text", "")) + text(output.get("data", {}).get("text/markdown", ""))
        for output in found
    )


def pictures(found: list[dict[str, Any]]) -> int:
    return sum("image/png" in output.get("data", {}) for output in found)


def test_there_are_notebooks() -> None:
    assert SOURCES


@every_notebook
def test_the_committed_notebook_is_that_of_its_source(source: Path) -> None:
    jupytext = pytest.importorskip("jupytext")
    expected = [
        (c.cell_type, c.source, c.metadata.get("tags")) for c in jupytext.read(source).cells
    ]
    found = [
        (c["cell_type"], text(c["source"]), c["metadata"].get("tags"))
        for c in cells(source.with_suffix(".ipynb"))
    ]
    assert found == expected, "run `python colab/build.py`"


@every_notebook
def test_the_committed_notebook_has_results_and_nothing_of_a_machine(source: Path) -> None:
    whole = json.loads(source.with_suffix(".ipynb").read_text(encoding="utf-8"))
    assert set(whole["metadata"]) == {"kernelspec"}
    code = [c for c in whole["cells"] if c["cell_type"] == "code"]
    assert [c["execution_count"] for c in code] == list(range(1, len(code) + 1))
    assert all(set(c["metadata"]) <= {"tags"} for c in code)
    found = outputs(code)
    assert not [o for o in found if o["output_type"] == "error"]
    assert pictures(found) == 4
    assert "ndcg@10" in printed(found)
    for folder in ("/home/", "/root/", "/tmp/", "site-packages"):
        assert folder not in printed(found)


@every_notebook
def test_the_committed_results_are_of_real_data_and_beat_popularity(source: Path) -> None:
    found = outputs(cells(source.with_suffix(".ipynb")))
    assert "MovieLens-100K, GroupLens" in printed(found)
    assert metric(found, "valid") == [1.0, 1.0, 1.0]
    model, popularity, random = metric(found, "ndcg@10")
    assert model > 1.6 * popularity > random


@every_notebook
def test_no_data_that_may_not_be_passed_on_are_committed(source: Path) -> None:
    found = [c for c in cells(source.with_suffix(".ipynb")) if c["cell_type"] == "code"]
    tagged = [c for c in found if "shows-data" in c["metadata"].get("tags", [])]
    assert len(tagged) == 3
    for cell in tagged:
        (output,) = cell["outputs"]
        assert "forbid passing the data on" in text(output["text"])
    for cell in found:
        # Only these cells can show titles; the second name is of the function that prints them.
        if re.search(r"^[^ ].*catalog\.titles|^side_by_side\(", text(cell["source"]), re.M):
            assert cell in tagged


@pytest.mark.slow
@every_notebook
def test_the_notebook_runs(source: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(COLAB / "build.py"), source.stem, "--smoke"]
    small = {"GENRET_SYNTHETIC": "1", "XLA_FLAGS": ""}
    done = subprocess.run(
        [*command, "--to", str(tmp_path)],
        cwd=tmp_path, env=os.environ | small, capture_output=True, text=True, timeout=500,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = cells(tmp_path / f"{source.stem}.ipynb")
    assert [f.name for f in tmp_path.iterdir()] == [f"{source.stem}.ipynb"]
    assert pictures(outputs(found)) == 4
    assert metric(outputs(found, "metrics"), "valid") == [1.0, 1.0, 1.0]
    # The most watched item and its like; three people, freely and from before 1980.
    shown = printed(outputs(found, "shows-data"))
    assert shown.count("| codes | shared | film |") == 1
    assert shown.count("| watched, oldest first | recommended | log p |") == 6
    assert "all 30 answers" in printed(outputs(found, "policy"))


def metric(found: list[dict[str, Any]], name: str) -> list[float]:
    """Return a row of the table of metrics: model, popularity, random."""
    (row,) = re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", printed(found), re.M)
    return [float(value) for value in row.split(" | ")]
