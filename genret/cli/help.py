"""The help of the command line: one line per verb, and for each verb the options that people set."""

from collections.abc import Mapping, Sequence

from genret.cli.base import Verb, brief, parse
from genret.errors import GenretError

USUAL = {
    "train": {
        "preset", "recipe", "kind", "width", "layers", "max_items", "dropout", "item_ids",
        "item_vectors", "steps", "batch_size", "learning_rate", "loss", "eval_every", "patience",
        "transitions", "warm_start", "devices", "engine", "log_to",
    },
    "tokenize": {"codes", "preset", "method", "levels", "codebook_size", "collisions", "balanced"},
    "score": {
        "histories", "out", "k", "beams", "where", "where_column", "exclude_seen", "user", "item",
        "time", "output", "engine",
    },
}  # fmt: skip
"""Verb with many options -> the options that ``--help`` shows; ``--help-all`` shows all of them."""
SHELLS = ("bash", "zsh", "tcsh")
"""Shells for which there is a script of completion."""
COMMON = {"run_folder", "seed", "log_level", "json"}
"""Options that the help of every verb shows."""


def overview(verbs: Mapping[str, type[Verb]]) -> str:
    """Return the help of the whole command line: one line per verb."""
    width = max(map(len, verbs))
    lines = ["Generative retrieval: every answer is an item of the catalog.", ""]
    lines += ["usage: genret VERB [OPTIONS]", ""]
    for name, cls in verbs.items():
        lines.append(f"  {name:<{width}}  {(cls.__doc__ or '').strip().splitlines()[0]}")
    lines += [
        "",
        "`genret VERB --help` shows the options of a verb, `genret VERB --help-all` all of them;",
        "`genret --version` prints the version, `genret --completion bash` (or zsh, tcsh) a script that",
        "completes verbs and options in that shell.",
    ]
    return "\n".join(lines)


def print_completion(shells: Sequence[str], verbs: Mapping[str, type[Verb]]) -> None:
    """Print the script by which a shell completes verbs and options, and exit.

    Args:
      shells: what follows ``--completion``.
      verbs: name -> class of the verbs.

    Raises:
      GenretError: that is not one known shell.
      SystemExit: it was printed.
    """
    if len(shells) != 1 or shells[0] not in SHELLS:
        found = " ".join(shells) or "nothing"
        raise GenretError(f"--completion: found {found}, expected one of {', '.join(SHELLS)}")
    parse(verbs, ["--tyro-print-completion", *shells])


def asked_for_help(words: Sequence[str], verbs: Mapping[str, type[Verb]]) -> None:
    """Print the help of a verb and exit, if the command line asks for it.

    Raises:
      SystemExit: it does.
    """
    if not words or words[0] not in verbs:
        return
    verb, rest = words[0], set(words[1:])
    if "--help-all" in rest:
        parse(verbs, [verb, "--help"])
    if rest & {"-h", "--help"} and verb in USUAL:
        short = brief(verbs[verb], USUAL[verb] | COMMON)
        print(f"These are the most common options; `genret {verb} --help-all` shows all of them.\n")
        parse({**verbs, verb: short}, [verb, "--help"])
