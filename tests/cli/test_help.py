"""The help shows what people set, names what may be chosen, and is whole on demand."""

import dataclasses
import subprocess
import time

import pytest

from genret import __version__
from genret.cli.base import Reporter
from genret.cli.heartbeat import Heartbeat
from genret.cli.help import USUAL
from genret.config import MODEL_PRESETS, RECIPES, TOKENIZER_PRESETS
from tests.cli.conftest import Command


def test_the_overview_has_one_line_a_verb(genret: Command) -> None:
    lines = [line for line in genret("--help").out.splitlines() if line.startswith("  ")]
    assert len(lines) == 15
    assert all(line.rstrip().endswith(".") for line in lines)
    nothing = genret()
    assert (nothing.status, nothing.out) == (2, genret("--help").out)


def test_the_version_is_that_of_the_package(genret: Command) -> None:
    done = genret("--version")
    assert (done.status, done.out.strip()) == (0, f"genret {__version__}")


def test_a_shell_is_taught_the_verbs(genret: Command) -> None:
    done = genret("--completion", "bash")
    assert done.status == 0
    assert "add-items" in done.out
    assert "--insert-capacity" in done.out
    subprocess.run(["bash", "-n", "-c", done.out], check=True)
    for shells, found in (((), "nothing"), (("fish",), "fish")):
        refused = genret("--completion", *shells)
        assert refused.status == 2
        assert f"--completion: found {found}, expected one of bash, zsh, tcsh" in refused.err


@pytest.mark.parametrize("verb", USUAL)
def test_the_usual_options_are_shown_and_all_on_demand(verb: str, genret: Command) -> None:
    some, whole = genret(verb, "--help"), genret(verb, "--help-all")
    assert some.status == whole.status == 0
    assert len(some.out) < len(whole.out)
    for name in USUAL[verb] - {"codes", "histories", "out"}:
        assert f"--{name.replace('_', '-')}" in some.out
    assert f"genret {verb} --help-all" in some.out
    rare = {"train": "--rope-theta", "tokenize": "--fsq-levels", "score": "--ray-address"}[verb]
    assert rare not in some.out
    assert rare in whole.out
    for option in ("--codes-per-level", "--num-items", "--vector-dim"):
        assert option not in whole.out


def test_presets_and_recipes_are_listed(genret: Command) -> None:
    squeezed = "".join(genret("train", "--help").out.replace("│", "").split())
    assert "{" + ",".join(MODEL_PRESETS) + "}" in squeezed
    assert "{" + ",".join(RECIPES) + "}" in squeezed
    squeezed = "".join(genret("tokenize", "--help").out.replace("│", "").split())
    assert "{" + ",".join(TOKENIZER_PRESETS) + "}" in squeezed


def test_every_usual_option_is_one() -> None:
    from genret.cli.score import Score
    from genret.cli.tokenize import Tokenize
    from genret.cli.train import Train

    for verb, cls in {"train": Train, "tokenize": Tokenize, "score": Score}.items():
        known = {f.name for f in dataclasses.fields(cls)}
        for field in dataclasses.fields(cls):
            if dataclasses.is_dataclass(field.default):
                known |= {f.name for f in dataclasses.fields(field.default)}
        assert USUAL[verb] <= known


def test_without_a_terminal_long_work_says_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reporter = Reporter(say_every=0.02)
    with reporter.progress("steps", 600) as advance:
        advance(150, "loss 2.1")
        time.sleep(0.3)
    with reporter.counting("users") as count:
        count(7, "reading")
        time.sleep(0.3)
    found = capsys.readouterr()
    assert "steps: 150 of 600 (25 %)" in found.err
    assert "a second" in found.err
    assert "left; loss 2.1" in found.err
    assert "users: 7, " in found.err
    assert found.out == ""
    with Reporter(say_every=0.02, log_level="error").progress("steps", 2):
        time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_what_is_told_before_anything_is_done() -> None:
    beat = Heartbeat("steps", 600, print, every=30.0, clock=iter([0.0, 61.0]).__next__)
    assert beat.line() == "steps: 0 of 600 (0 %), 1 min 1 s so far"
