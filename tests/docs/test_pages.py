"""The pages of docs/: their blocks run, and the site has all of them and all public packages."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import pages
from tests.pages import DOCS

ROOT = DOCS.parent
PAGES = (
    "tutorial.md", "own_model.md", "filters.md", "own_embeddings.md", "own_ids.md", "new_items.md",
    "devices.md", "fusion.md",
)  # fmt: skip
"""Pages whose blocks run with what the page itself makes."""
SITE = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_the_first_script_of_the_tutorial_is_short_and_prints_what_the_page_says() -> None:
    first = next(pages.blocks("tutorial.md"))
    script = [line for line in first.code.splitlines() if line.strip()]
    model = script[script.index("from genret import TrieIndex, beam_search") :]
    model = [line for line in model if line.startswith(("class Model", " "))]
    assert (len(script), len(model)) == (20, 10)
    assert first.printed is not None
    assert "item-" in first.printed
    pages.run("tutorial.md")


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pages.run(page, ("", "slow"))


def test_what_is_printed_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "DOCS", tmp_path)
    (tmp_path / "page.md").write_text("# A\n\n```python\nprint(1)\n```\n\n```text\n2\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md, line 3"):
        pages.run("page.md")


def test_the_nav_names_every_page() -> None:
    named = re.findall(r"^ +- [^:\n]+: (\S+\.md)$", SITE, re.MULTILINE)
    found = [str(file.relative_to(DOCS)) for file in DOCS.rglob("*.md")]
    assert sorted(named) == sorted(found)


def test_every_public_package_has_a_page_of_its_names() -> None:
    packages = {f.parent.name for f in (ROOT / "genret").glob("*/__init__.py")} - {"cli"}
    expected = {f"genret.{package}" for package in packages} | {"genret", "genret_kernels"}
    expected |= {
        f"genret_kernels.{f.parent.name}" for f in (ROOT / "kernels").glob("*/__init__.py")
    }
    text = "".join(file.read_text(encoding="utf-8") for file in (DOCS / "api").glob("*.md"))
    assert expected <= set(re.findall(r"^::: (\S+)$", text, re.MULTILINE))


def test_the_page_of_genret_names_its_names() -> None:
    tree = ast.parse((ROOT / "genret" / "__init__.py").read_text(encoding="utf-8"))
    (names,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    text = (DOCS / "api" / "genret.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\[`(\w+)`\]", text)) == set(names) - {"__version__"}


def test_the_first_page_answers_by_task() -> None:
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    questions = dict(re.findall(r"^\| (.+\?) \| \[[^]]+\]\(([^)]+)\)", text, re.MULTILINE))
    assert len(questions) >= 12
    assert {
        "own_data.md", "own_embeddings.md", "own_ids.md", "own_model.md", "filters.md",
        "new_items.md", "choosing.md", "evaluation.md", "devices.md", "batch_scoring.md",
        "serving.md", "colab.md", "resume.md",
    } <= set(questions.values())  # fmt: skip


def test_the_glossary_has_its_terms_in_order() -> None:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^\| \*\*([^*]+)\*\*", text, re.MULTILINE)
    assert len(terms) >= 20
    assert terms == sorted(terms, key=str.lower)


@pytest.mark.parametrize("page", [file.name for file in DOCS.glob("*.md")])
def test_what_a_page_links_to_exists(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        assert "://" in link or (DOCS / link).is_file(), link


@pytest.mark.slow
def test_the_figures_can_be_drawn(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-W", "error", str(DOCS / "figures.py"), str(tmp_path)],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    drawn = {file.name for file in tmp_path.iterdir()}
    assert drawn == {file.name for file in (DOCS / "figures").iterdir()}
    text = (DOCS / "how_it_works.md").read_text(encoding="utf-8")
    assert drawn == set(re.findall(r"\(figures/([^)]+)\)", text))


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    for needed in ("docs", "genret", "kernels", "colab", "benchmarks/results"):
        shutil.copytree(ROOT / needed, tmp_path / needed)
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "build" / "site" / "colab" / "01_quickstart.ipynb").is_file()
