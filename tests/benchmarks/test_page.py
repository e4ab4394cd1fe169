"""The page of a run in a real browser: it fits a phone, and it reads by day and by night."""

from pathlib import Path

import pytest

from benchmarks.tables import Table, page_of
from tests.browser import Browser


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_fits_and_is_readable(
    tmp_path: Path, browser: Browser, width: int, dark: bool
) -> None:
    columns = ["method", *(f"a long figure {n}" for n in range(12))]
    rows = [[f"method {n}", *["1,234.5 ms"] * 12] for n in range(4)] + [["lame", "has no filters"]]
    picture = "<figure><svg width=900 height=80></svg><figcaption>Who wins</figcaption></figure>"
    table = Table("given logits, 2048 codes", columns, rows)
    about = {"processor": "a processor", "cores": 2, "load": 0.1, "commit": "0", "versions": {}}
    page = tmp_path / "run.html"
    page.write_text(page_of("A run", about, [table], "Medians.", [picture]), encoding="utf-8")
    browser.open(page, width=width, dark=dark)
    assert browser.overflow() == (0, [])
    faintest = browser.faintest()
    assert faintest[0][0] >= 4.5, faintest
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")
