"""``genret``: the entry point, which parses the command line, runs one verb and sets the exit status."""

import contextlib
import os
import signal
import sys
import warnings
from collections.abc import Sequence

from genret.cli.jax_environment import missing_device, prepare_jax
from genret.cli.terminal import Terminated, orderly, printable
from genret.errors import GenretError

BAD_INPUT, INTERRUPTED, TERMINATED = 2, 128 + signal.SIGINT, 128 + signal.SIGTERM
"""Exit statuses: bad input, Ctrl-C (130), SIGTERM (143)."""


_LONGEST = 1000
"""Most characters of an error message."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
      argv: the arguments; None takes those of the process.

    Returns:
      The exit status: 0 when all went well, 2 for bad input (one line on standard error says
      what), 3 when a job finished but rejected some rows, 130 after Ctrl-C, 143 after SIGTERM.
    """
    try:
        with orderly():
            return _run(argv)
    except BrokenPipeError:
        # Whoever read our output stopped (`genret inspect | head`): that is no error.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except GenretError as e:
        return _say(f"error: {e}", BAD_INPUT)
    except KeyboardInterrupt:
        _forget_unfinished()
        return _say("interrupted", INTERRUPTED)
    except Terminated:
        _forget_unfinished()
        return _say("terminated", TERMINATED)
    except OSError as e:
        where = f"{e.filename}: " if e.filename is not None else ""
        return _say(f"error: {where}{e.strerror or e}", BAD_INPUT)
    except MemoryError:
        return _say("error: memory ran out", BAD_INPUT)
    except (RuntimeError, AssertionError):
        reason = missing_device()
        if reason is None:
            raise
        return _say(f"error: {reason}", BAD_INPUT)


def _run(argv: Sequence[str] | None) -> int:
    from genret import __version__
    from genret.cli.add_items import AddItems
    from genret.cli.base import Reporter, parse
    from genret.cli.coldstart import Coldstart
    from genret.cli.compact import Compact
    from genret.cli.embed import Embed
    from genret.cli.evaluate import Evaluate
    from genret.cli.export import Export
    from genret.cli.help import asked_for_help, overview, print_completion
    from genret.cli.index import Index
    from genret.cli.ingest import Ingest
    from genret.cli.inspect import Inspect
    from genret.cli.quickstart import Quickstart
    from genret.cli.recommend import Recommend
    from genret.cli.remove_items import RemoveItems
    from genret.cli.score import Score
    from genret.cli.tokenize import Tokenize
    from genret.cli.train import Train
    from genret.cli.usage import check_verb
    from genret.kept_programs import keep_programs

    verbs = {
        "quickstart": Quickstart,
        "ingest": Ingest,
        "embed": Embed,
        "tokenize": Tokenize,
        "index": Index,
        "train": Train,
        "evaluate": Evaluate,
        "coldstart": Coldstart,
        "recommend": Recommend,
        "score": Score,
        "add-items": AddItems,
        "remove-items": RemoveItems,
        "compact": Compact,
        "export": Export,
        "inspect": Inspect,
    }
    words = sys.argv[1:] if argv is None else list(argv)
    if words in ([], ["-h"], ["--help"]):
        print(overview(verbs))
        return 0 if words else BAD_INPUT
    if words == ["--version"]:
        print(f"genret {__version__}")
        return 0
    if words[0] == "--completion":
        print_completion(words[1:], verbs)
    check_verb(words, verbs)
    asked_for_help(words, verbs)
    verb = parse(verbs, words)
    reporter = Reporter(as_json=verb.json, log_level=verb.log_level)
    with verb.joined(), verb.holding():
        if verb.needs_devices():
            prepare_jax(quiet=verb.log_level != "debug")
            if argv is None:  # a process of its own
                keep_programs()
        result = verb.run(reporter)
    reporter.finish(result)
    sys.stdout.flush()  # while a closed pipe is still handled
    return int(result.get("exit_status", 0))


def _forget_unfinished() -> None:
    """Suppress warnings about coroutines of Orbax that a signal left unfinished."""
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)


def _say(text: str, status: int) -> int:
    """Print one line on standard error; return the exit status."""
    with contextlib.suppress(OSError):
        line = printable(" ".join(text.split()))
        if len(line) > _LONGEST:  # an endless path: its beginning, and what is wrong with it
            line = f"{line[: _LONGEST // 2]}…{line[-_LONGEST // 2 :]}"
        print(f"genret: {line}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
