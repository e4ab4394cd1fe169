"""``genret``: the entry point. Parses, runs one verb, turns bad input into exit status 2."""

import os
import sys
from collections.abc import Sequence

from genret.errors import GenretError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
      argv: the arguments; None takes those of the process.

    Returns:
      The exit status: 0 when all went well, 2 for bad input (one line on standard error says
      what), 3 where a job is whole but for rows that it rejected, 130 when interrupted.
    """
    from genret.cli.base import Reporter, parse
    from genret.cli.coldstart import Coldstart
    from genret.cli.embed import Embed
    from genret.cli.evaluate import Evaluate
    from genret.cli.export import Export
    from genret.cli.index import Index
    from genret.cli.ingest import Ingest
    from genret.cli.inspect import Inspect
    from genret.cli.quickstart import Quickstart
    from genret.cli.recommend import Recommend
    from genret.cli.score import Score
    from genret.cli.tokenize import Tokenize
    from genret.cli.train import Train

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
        "export": Export,
        "inspect": Inspect,
    }
    try:
        verb = parse(verbs, argv)
        reporter = Reporter(as_json=verb.json, log_level=verb.log_level)
        result = verb.run(reporter)
        reporter.finish(result)
    except GenretError as e:
        print(f"genret: error: {' '.join(str(e).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("genret: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`genret inspect | head`): not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return int(result.get("exit_status", 0))


if __name__ == "__main__":
    sys.exit(main())
