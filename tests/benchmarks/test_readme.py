"""README says what the committed results say, and its picture is of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import readme
from genret.errors import GenretError

ROOT = Path(__file__).parents[2]


def test_the_table_is_that_of_the_results() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.with_block(text, readme.block()) == text, "run `python -m benchmarks readme`"


@pytest.mark.parametrize(
    ("page", "make"),
    [(readme.PAGE, readme.paper_block), (readme.QUALITY_PAGE, readme.quality_block)],
)
def test_a_page_is_that_of_the_results(page: Path, make: Callable[[], str]) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert readme.with_block(text, make()) == text, "run `python -m benchmarks readme`"


def test_the_picture_is_that_of_the_results() -> None:
    with Image.open(ROOT / readme.PICTURE) as picture:
        assert picture.info[readme.CHECKSUM] == readme.checksum(), (
            "run `python -m benchmarks readme`"
        )


def test_another_result_is_another_table() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.with_block(text, f"{readme.BEGIN}\nother\n{readme.END}") != text
    with pytest.raises(GenretError, match="expected"):
        readme.with_block("no marks", "x")
