"""The notebooks run from end to end, and what is committed was printed by the committed source."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COLAB = Path(__file__).parents[2] / "colab"
SOURCES = sorted(COLAB.glob("[0-9]*.py"))


def cells(notebook: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return found


def text(parts: list[str] | str) -> str:
    return parts if isinstance(parts, str) else "".join(parts)


def test_there_are_notebooks() -> None:
    assert SOURCES


@pytest.mark.parametrize("source", SOURCES, ids=lambda f: f.stem)
def test_the_committed_notebook_is_that_of_its_source(source: Path) -> None:
    jupytext = pytest.importorskip("jupytext")
    expected = [(c.cell_type, c.source) for c in jupytext.read(source).cells]
    found = [(c["cell_type"], text(c["source"])) for c in cells(source.with_suffix(".ipynb"))]
    assert found == expected, "run `python colab/build.py`"


@pytest.mark.parametrize("source", SOURCES, ids=lambda f: f.stem)
def test_the_committed_notebook_has_results_and_nothing_of_a_machine(source: Path) -> None:
    notebook = source.with_suffix(".ipynb")
    outputs = [o for c in cells(notebook) if c["cell_type"] == "code" for o in c["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error"]
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 4
    printed = "".join(text(o.get("text", "")) for o in outputs)
    assert "ndcg@10" in printed
    assert "/home/" not in printed
    assert "/root/" not in printed
    assert "/tmp/" not in printed


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda f: f.stem)
def test_the_notebook_runs(source: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(COLAB / "build.py"), source.stem, "--to", str(tmp_path)]
    environment = os.environ | {"GENRET_SMOKE": "1", "XLA_FLAGS": ""}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    outputs = [
        o
        for c in cells(tmp_path / f"{source.stem}.ipynb")
        if c["cell_type"] == "code"
        for o in c["outputs"]
    ]
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 4


@pytest.mark.parametrize("source", SOURCES, ids=lambda f: f.stem)
def test_no_data_that_may_not_be_passed_on_are_committed(source: Path) -> None:
    tagged = [
        c for c in cells(source.with_suffix(".ipynb"))
        if "shows-data" in c["metadata"].get("tags", [])
    ]  # fmt: skip
    assert len(tagged) == 3
    for cell in tagged:
        (output,) = cell["outputs"]
        assert "forbid passing the data on" in text(output["text"])
