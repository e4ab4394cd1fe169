"""One line for a command line that does not parse, in place of tyro's boxes."""

import contextlib
import difflib
import io
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeVar

from genret.errors import GenretError

T = TypeVar("T")

_COLOR = re.compile("\x1b\\[[0-9;]*m")
_FRAME = re.compile("[│╭╮╰╯]")  # where the output is ASCII, there is none
_RULE = re.compile("^[─-]{3,}$")
_KINDS = {
    "INT": "an integer",
    "FLOAT": "a number",
    "INT|FLOAT": "a number",
    "[INT [INT ...]]": "integers",
    "[FLOAT [FLOAT ...]]": "numbers",
}
"""tyro's name for the type of an option -> what the type is called in a message."""


def check_verb(words: Sequence[str], verbs: Collection[str]) -> None:
    """Refuse a command line that does not begin with a verb.

    Args:
      words: the command line, at least one word.
      verbs: the names of the verbs.

    Raises:
      GenretError: the first word is no verb.
    """
    if words[0] in verbs:
        return
    near = difflib.get_close_matches(words[0], verbs, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise GenretError(f"genret: found {words[0]!r}, expected one of {', '.join(verbs)}{meant}")


def parsed_or_refused(parse: Callable[[], T], words: Sequence[str]) -> T:
    """Parse a command line; say in one line what does not parse.

    Args:
      parse: parses ``words``; it prints a box to standard error and exits where it cannot.
      words: the command line, beginning with a verb.

    Returns:
      What ``parse`` returns.

    Raises:
      GenretError: the command line does not parse; the message names the option, what was found and
        what was expected.
      SystemExit: ``parse`` printed a help.
    """
    printed = io.StringIO()
    try:
        with _unbroken_lines(), contextlib.redirect_stderr(printed):
            return parse()
    except SystemExit as e:
        if e.code != 2:
            raise
    sections = _sections(printed.getvalue())
    raise GenretError(f"{_problem(sections, words)} (see `genret {words[0]} --help`)")


@contextlib.contextmanager
def _unbroken_lines() -> Iterator[None]:
    """Let tyro think that the terminal is so wide that no message needs a second line."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100000"
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _sections(box: str) -> list[list[str]]:
    """Return the lines of a box without its frame, grouped by the rules between them."""
    title, *lines = [_FRAME.sub("", _COLOR.sub("", line)).strip() for line in box.splitlines()]
    sections: list[list[str]] = [[]]
    for line in lines:
        if _RULE.match(line):
            sections.append([])
        elif line:
            sections[-1].append(line)
    return [section for section in sections if section] or [[title.strip("─ ")]]


def _problem(sections: Sequence[Sequence[str]], words: Sequence[str]) -> str:
    """Say what is wrong: each of tyro's messages in our form, any other in one line as it is."""
    message = " ".join(sections[0])
    if found := re.match(r"Error parsing (\S+): (.*)", message):
        return _bad_value(found[1], found[2], sections[1] if len(sections) > 1 else ())
    if found := re.match(r"invalid choice '(.*)' for argument '(\S+)'.*\((.*)\)\.$", message):
        choices = ", ".join(
            choice.strip(" '\"") for choice in found[3].split(",") if choice.strip()
        )
        return f"{found[2]}: found {found[1]!r}, expected one of {choices}"
    if found := re.match(r"Missing value for argument '(\S+)'\. Expected (\S+)", message):
        count = "a value" if found[2] == "1" else f"{found[2]} values"
        return f"{found[1]}: found nothing, expected {count}"
    if message.startswith("Missing from "):
        lacks = [line.split()[0] for line in sections[0] if re.match(r"--|[A-Z]+$", line)]
        return f"genret {words[0]}: found no {' and no '.join(lacks)}, expected {_all(lacks)}"
    if found := re.match(r"Unrecognized options: (.*)", message):
        return _unknown(found[1].split(", "), sections, words)
    if "misplaced options" in message:  # options of other verbs
        return _unknown(re.findall(r"(\S+) \(applied to", message), sections[:1], words)
    return message


def _bad_value(option: str, message: str, help_lines: Sequence[str]) -> str:
    """Say what was found for an option, and what its type expects."""
    found = re.search(r"(?:base 10|to float|for arguments): (.*?)\.?$", message)
    shown = next((line for line in help_lines if line.startswith(option)), "")
    kind = shown.removeprefix(option).strip().replace("{None}|", "")
    if found is None:
        return f"{option}: {message}"
    return f"{option}: found {found[1]}, expected {_KINDS.get(kind, kind or 'another value')}"


def _unknown(tokens: Sequence[str], sections: Sequence[Sequence[str]], words: Sequence[str]) -> str:
    """Say which words nothing takes; tyro looks for options that are spelled alike."""
    options = [token for token in tokens if token.startswith("-")]
    first = (options or list(tokens))[0]
    verb = words[0]
    if not first.startswith("-"):
        return f"genret {verb}: found {first!r}, which no argument or option takes"
    hint = ""
    near = [line.split()[0].split(",")[0] for line in sections[1:2] for line in line[1:]
            if line.startswith("--")]  # fmt: skip
    if near and near[0] != first:  # an option of another verb is spelled alike in full
        hint = f"; did you mean {near[0]}?"
    elif not first.startswith("--") and re.search("[./]", first):
        hint = f"; a path that begins with - is written ./{first}"
    return f"{first}: is no option of `genret {verb}`{hint}"


def _all(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "both" if len(names) == 2 else "them"
