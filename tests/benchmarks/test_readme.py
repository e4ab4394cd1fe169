"""README says what the committed results say, and its picture is of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import readme
from benchmarks.record import Record
from genret.errors import GenretError

ROOT = Path(__file__).parents[2]


def test_the_table_is_that_of_the_results() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.with_block(text, readme.block()) == text, "run `python -m benchmarks readme`"


@pytest.mark.parametrize(
    ("page", "make"),
    [(readme.PAGE, readme.page_block), (readme.QUALITY_PAGE, readme.quality_block)],
)
def test_a_page_is_that_of_the_results(page: Path, make: Callable[[], str]) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert readme.with_block(text, make()) == text, "run `python -m benchmarks readme`"


@pytest.mark.parametrize(
    ("picture", "results"),
    [(readme.PICTURE, (readme.SUITE,)), (readme.MACHINES, (readme.PAPER, readme.ACCELERATORS))],
)
def test_a_picture_is_that_of_the_results(picture: Path, results: tuple[Path, ...]) -> None:
    if not all((ROOT / path).exists() for path in results):
        pytest.skip("no such results are committed")
    with Image.open(ROOT / picture) as drawn:
        assert drawn.info[readme.CHECKSUM] == readme.checksum(*results), (
            "run `python -m benchmarks readme`"
        )


def test_another_result_is_another_table() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.with_block(text, f"{readme.BEGIN}\nother\n{readme.END}") != text
    with pytest.raises(GenretError, match="expected"):
        readme.with_block("no marks", "x")


def test_models_are_rows(tmp_path: Path) -> None:
    sizes = {"items": 1000, "codes": 8, "depth": 2, "batch": 1, "beams": 4}
    methods = {
        "unconstrained": {"step_ms": 4.0, "times_first": 1.0, "over_first_ms": 0.0},
        "genret": {"step_ms": 4.1, "times_first": 1.025, "over_first_ms": 0.1},
        "cpu-trie": {"error": "GenretError: too large"},
    }
    about = {"processor": "one", "cores": 2, "commit": "abc"}
    record = Record(tmp_path / readme.MODELS, {"preset": "full", "environment": about})
    for model in ("0.3M", "30M"):
        record.add(model, {"sizes": sizes | {"model": model}, "methods": methods})
    shown = readme.page_block(tmp_path)
    assert "| parameters | `unconstrained` | `genret` | `cpu-trie` |" in shown
    assert "| 30M | 4.0 ms | +0.10 ms, +2.5% | too large |" in shown
    assert "commit abc" in shown
