"""The notebooks run from end to end, and what is committed was printed by the committed source."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colab import build

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


def test_what_notebooks_show_is_known() -> None:
    assert [source.stem for source in SOURCES] == list(SHOWN) == list(PICTURES)


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
    assert set(whole["metadata"]) == {"accelerator", "colab", "kernelspec"}
    assert whole["metadata"]["accelerator"] in ("GPU", "TPU")
    code = [c for c in whole["cells"] if c["cell_type"] == "code"]
    assert [c["execution_count"] for c in code] == list(range(1, len(code) + 1))
    assert all(set(c["metadata"]) <= {"tags"} for c in code)
    found = outputs(code)
    assert not [o for o in found if o["output_type"] == "error"]
    assert pictures(found) == PICTURES[source.stem]
    for folder in ("/home/", "/root/", "/tmp/", "site-packages"):
        assert folder not in printed(found)


def test_the_committed_results_are_of_real_data_and_beat_popularity() -> None:
    found = outputs(cells(COLAB / "01_quickstart.ipynb"))
    assert "MovieLens-100K, GroupLens" in printed(found)
    assert metric(found, "valid") == [1.0, 1.0, 1.0]
    model, popularity, random = metric(found, "ndcg@10")
    assert model > 1.6 * popularity > random


def test_the_committed_cold_start_beats_chance_under_the_filter() -> None:
    found = cells(COLAB / "04_cold_start_and_filters.ipynb")
    unconstrained, random, constrained = cold_recalls(found)
    assert constrained > max(random, unconstrained)


def test_no_data_that_may_not_be_passed_on_are_committed() -> None:
    found = [c for c in cells(COLAB / "01_quickstart.ipynb") if c["cell_type"] == "code"]
    tagged = [c for c in found if "shows-data" in c["metadata"].get("tags", [])]
    assert len(tagged) == 3
    for cell in tagged:
        assert "forbid passing" in text(cell["outputs"][0]["text"])
    for cell in found:
        # Only these cells can show titles; the second name is of the function that prints them.
        if re.search(r"^[^ ].*catalog\.titles|^side_by_side\(", text(cell["source"]), re.M):
            assert cell in tagged


def test_the_committed_benchmarks_are_of_exact_answers() -> None:
    found = printed(outputs(cells(COLAB / "03_microbenchmarks.ipynb")))
    rows = re.findall(r"^\| (genret|static-style|ppv-exact) \| .* \| 100% \| 100% \|$", found, re.M)
    assert rows.count("genret") == 4  # one point, and three of other kinds
    assert {"static-style", "ppv-exact"} <= set(rows)
    assert "Table 4a" in found


def test_the_first_cells_follow_from_one_setting() -> None:
    for source in SOURCES:
        own = source.read_text(encoding="utf-8")
        assert build.set_up(own, source.stem, build.repository()) == own
        address = "https://github.com/someone/genret"
        published = build.set_up(own, source.stem, address)
        assert f'REPOSITORY = "{address}"' in published
        page = f"https://colab.research.google.com/github/someone/genret/blob/main/colab/{source.stem}.ipynb"
        assert published.count(page) == 1
        assert build.set_up(published, source.stem, address) == published
        assert build.set_up(published, source.stem, build.repository()) == own


def test_the_first_cell_installs_nothing_that_it_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ran: list[list[str]] = []
    monkeypatch.setattr("subprocess.run", lambda command, **_: ran.append(command))
    with pytest.raises(SystemExit, match=r"set Repository in \[project.urls\]"):
        exec(build.INSTALL_CELL.format(repository=""), {})
    assert not ran
    exec(build.INSTALL_CELL.format(repository="https://github.com/someone/genret"), {})
    assert re.fullmatch(r"genret(\[\w+\])? @ git\+https://github.com/someone/genret", ran[-1][-1])
    (tmp_path / "genret").mkdir()
    (tmp_path / "genret" / "__init__.py").touch()
    (tmp_path / "colab").mkdir()
    monkeypatch.chdir(tmp_path / "colab")
    exec(build.INSTALL_CELL.format(repository=""), {})
    assert ran[-1][-1].startswith(str(tmp_path))


@pytest.mark.slow
@every_notebook
def test_the_notebook_runs(source: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(COLAB / "build.py"), source.stem, "--smoke"]
    # At test size nearly all time goes into compiling programs that run a few times.
    cheap = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    small = {"GENRET_SYNTHETIC": "1", "XLA_FLAGS": cheap}
    done = subprocess.run(
        [*command, "--to", str(tmp_path)],
        cwd=tmp_path, env=os.environ | small, capture_output=True, text=True, timeout=500,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = cells(tmp_path / f"{source.stem}.ipynb")
    assert [f.name for f in tmp_path.iterdir()] == [f"{source.stem}.ipynb"]
    assert pictures(outputs(found)) == PICTURES[source.stem]
    SHOWN[source.stem](found)


def shows_quickstart(found: list[dict[str, Any]]) -> None:
    assert metric(outputs(found, "metrics"), "valid") == [1.0, 1.0, 1.0]
    # The most watched item and its like; three people, freely and from before 1980.
    shown = printed(outputs(found, "shows-data"))
    assert shown.count("| codes | shared | film |") == 1
    assert shown.count("| watched, oldest first | recommended | log p |") == 6
    assert "all 30 answers" in printed(outputs(found, "filter"))


def shows_own_ids(found: list[dict[str, Any]]) -> None:
    assert printed(outputs(found, "search")).count("sku-") == 12
    (dearest,) = re.findall(r"dearest of request 0: ([\d.]+)", printed(outputs(found, "filter")))
    assert float(dearest) < 20
    assert "now: sku-new" in printed(outputs(found, "live"))
    assert printed(outputs(found, "sample")).count("sku-") == 3


def shows_benchmarks(found: list[dict[str, Any]]) -> None:
    assert re.search(
        r"^\| genret \| .* \| 100% \| 100% \|$", printed(outputs(found, "point")), re.M
    )
    assert printed(outputs(found, "axes")).count("needs an index for each set") == 2
    assert "paper, measured" in printed(outputs(found, "paper"))


def shows_cold_start(found: list[dict[str, Any]]) -> None:
    assert cold_recalls(found)[1] > 0  # of a random draw: exact
    rules = printed(outputs(found, "rules"))
    assert rules.count("answers, all allowed, none seen") == 3
    assert printed(outputs(found, "live")).count("are new; asked in") == 3


def shows_batch_scoring(found: list[dict[str, Any]]) -> None:
    killed = printed(outputs(found, "kill"))
    assert "exit status: -9" in killed
    assert "the job is finished: False" in killed
    again = printed(outputs(found, "again"))
    assert "days/4.parquet" in again
    assert "finished shards: 00000 00001 00002 00003 00005" in again
    assert "the job is finished: True" in printed(outputs(found, "repaired"))
    answers = printed(outputs(found, "answers"))
    assert "users are answered once" in answers
    assert answers.count("| 2.parquet |") == 4
    assert "7 of 7 files are equal" in printed(outputs(found, "bytes"))


def cold_recalls(found: list[dict[str, Any]]) -> list[float]:
    """Return the table's Recall@10: unconstrained, random, constrained."""
    table = printed(outputs(found, "cold"))
    rows = (re.findall(rf"^\| {way} \| .* \| ([\d.]+).* \|$", table, re.M) for way in WAYS)
    return [float(mean) for (mean,) in rows]


WAYS = ("unconstrained", "random", "constrained")

PICTURES = {
    "01_quickstart": 4,
    "02_your_own_ids": 0,
    "03_microbenchmarks": 1,
    "04_cold_start_and_filters": 3,
    "05_batch_scoring": 1,
}
"""Pictures of each notebook."""

SHOWN: dict[str, Callable[[list[dict[str, Any]]], None]] = {
    "01_quickstart": shows_quickstart,
    "02_your_own_ids": shows_own_ids,
    "03_microbenchmarks": shows_benchmarks,
    "04_cold_start_and_filters": shows_cold_start,
    "05_batch_scoring": shows_batch_scoring,
}
"""What a small run of each notebook has to show."""


def metric(found: list[dict[str, Any]], name: str) -> list[float]:
    """Return a row of the table of metrics: model, popularity, random."""
    (row,) = re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", printed(found), re.M)
    return [float(value) for value in row.split(" | ")]
