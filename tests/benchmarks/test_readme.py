"""README says what the committed results say, and its picture is of them."""

from pathlib import Path

import pytest
from PIL import Image

from benchmarks import readme
from benchmarks.record import Record
from genret.errors import GenretError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", readme.PAGES)
def test_a_page_is_that_of_the_results(path: Path) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert readme.page(path) == text, "run `python -m benchmarks readme`"


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


def test_another_result_is_another_table(tmp_path: Path) -> None:
    for name in (readme.BARS, readme.SUITE):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    marks, path = f"before {readme.BEGIN}\nother\n{readme.END} after", Path("README.md")
    (tmp_path / path).write_text(marks)
    made = readme.page(path, tmp_path)
    assert made == f"before {readme.BEGIN}\n\n{readme.block(tmp_path)}\n\n{readme.END} after"
    (tmp_path / path).write_text("no marks")
    with pytest.raises(GenretError, match=r"README\.md: expected"):
        readme.page(path, tmp_path)


def test_models_are_rows(tmp_path: Path) -> None:
    sizes = {"items": 1000, "codes": 8, "depth": 2, "batch": 1, "beams": 4}
    methods = {
        "unconstrained": {"step_ms": 4.0, "times_first": 1.0, "over_first_ms": 0.0},
        "genret": {"step_ms": 4.1, "times_first": 1.025, "over_first_ms": 0.1},
        "cpu-trie": {"error": "GenretError: too large"},
    }
    about = {"processor": "one", "cores": 2, "commit": "abc"}
    record = Record(tmp_path / readme.MODELS, {"preset": "models", "environment": about})
    for model in ("0.3M", "30M"):
        record.add(model, {"sizes": sizes | {"model": model}, "methods": methods})
    shown = readme.page_block(tmp_path)
    assert "| parameters | `unconstrained` | `genret` | `cpu-trie` |" in shown
    assert "| 30M | 4.0 ms | +0.10 ms, +2.5% | too large |" in shown
    assert "commit abc" in shown
