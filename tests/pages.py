"""Pages of docs/ as programs: their blocks of Python, and what stands under them as printed."""

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

DOCS = Path(__file__).parents[1] / "docs"
_BLOCK = re.compile(
    r"^```python(?P<kind>[^\n]*)\n(?P<code>.*?)^```\n(?:\s*^```text\n(?P<printed>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A block of Python in a page."""

    kind: str
    """What stands behind ``python`` on its first line, such as ``torch``."""
    code: str
    line: int
    printed: str | None
    """The block ``text`` that follows it directly, if one does."""


def blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of Python of a page, in order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("code"))
        yield Block(found["kind"].strip(), found["code"], line, found["printed"])


def run(page: str, kinds: tuple[str, ...] = ("",), **given: Any) -> dict[str, Any]:
    """Run the blocks of a page in its order, as one program; hold what they print against the page.

    Args:
      page: the page's name in docs/.
      kinds: the kinds of blocks to run.
      given: what the reader of the page has at hand, by name.

    Returns:
      The names that the program leaves.
    """
    names = {"__name__": "page", **given}
    for block in blocks(page):
        if block.kind not in kinds:
            continue
        # Empty lines before it: an error then names the line of the page.
        program = compile("\n" * block.line + block.code, str(DOCS / page), "exec")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(program, names)
        if block.printed is not None:
            assert printed.getvalue() == block.printed, f"{page}, line {block.line}"
    return names
