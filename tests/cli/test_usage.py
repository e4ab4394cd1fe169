"""Command lines that do not parse: one line that names the option, what was found and expected."""

import sys

import pytest

from genret.cli.usage import parsed_or_refused
from genret.errors import GenretError
from tests.cli.conftest import Command

REFUSED = {
    "embd x": "genret: found 'embd', expected one of quickstart, ",
    "--json": "genret: found '--json', expected one of quickstart, ",
    "embed x --seed 1e3": "--seed: found '1e3', expected an integer",
    "embed x --sed 3": "--sed: is no option of `genret embed`; did you mean --seed?",
    "inspect x --beams 3": "--beams: is no option of `genret inspect` (",
    "recommend x -k 3": "-k: is no option of `genret recommend`",
    "ingest x --interactions -log.csv": "-log.csv: is no option of `genret ingest`; a path that begins "
    "with - is written ./-log.csv",
    "recommend x --k": "--k: found nothing, expected a value",
    "recommend": "genret recommend: found no RUN, expected it",
    "score x": "genret score: found no --histories and no --out, expected both",
    "score": "genret score: found no RUN and no --histories and no --out, expected them",
    "recommend x --include-seen maybe": "genret recommend: found 'maybe', which no argument or option",
    "recommend x y": "genret recommend: found 'y', which no argument or option takes",
    "train x --kind foo": "--kind: found 'foo', expected one of item_decoder, decoder_only, ",
    "train x --log-level loud": "--log-level: found 'loud', expected one of debug, info, warning, error",
    "train x --batch-size 3.5": "--batch-size: found '3.5', expected an integer",
    "train x --learning-rate high": "--learning-rate: found 'high', expected a number",
    "train x --level-weights a b": "--level-weights: found ['a', 'b'], expected numbers",
    "tokenize x --fsq-levels 3 x": "--fsq-levels: found ['3', 'x'], expected integers",
}


@pytest.mark.parametrize("command", REFUSED)
def test_a_usage_error_is_one_line(genret: Command, command: str) -> None:
    done = genret(*command.split())
    assert (done.status, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith(f"genret: error: {REFUSED[command]}")


UNICODE = "╭─ New ─╮\n│ Some  │\n│ text  │\n│ ───── │\n│ more  │\n╰───────╯\n"
ASCII = " New   \n ----- \n  Some \n  text \n  -----\n  more \n       \n"


@pytest.mark.parametrize("box", [UNICODE, ASCII])
def test_messages_of_an_unknown_form_are_told_as_they_are(box: str) -> None:
    def parse() -> None:
        sys.stderr.write(box)
        raise SystemExit(2)

    with pytest.raises(GenretError, match=r"^Some text \(see `genret train --help`\)$"):
        parsed_or_refused(parse, ["train"])


def test_help_is_printed_and_ends() -> None:
    def parse() -> None:
        raise SystemExit(0)

    with pytest.raises(SystemExit):
        parsed_or_refused(parse, ["train"])
