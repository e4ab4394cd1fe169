"""The help of the command line: one line a verb, and of a verb the options that people set."""

from collections.abc import Mapping, Sequence

from genret.cli.base import Verb, brief, parse

USUAL = {
    "train": {
        "preset", "recipe", "kind", "width", "layers", "max_items", "dropout", "item_ids",
        "item_vectors", "steps", "batch_size", "learning_rate", "loss", "eval_every", "patience",
        "warm_start", "devices",
    },
    "tokenize": {"codes", "preset", "method", "levels", "codebook_size", "collisions", "balanced"},
    "score": {
        "histories", "out", "k", "beams", "where", "where_column", "exclude_seen", "user", "item",
        "time", "output", "engine",
    },
}  # fmt: skip
"""Verb with many options -> those that its help shows; ``--help-all`` shows the others too."""
COMMON = {"run_folder", "seed", "log_level", "json"}
"""Options that every help shows."""


def overview(verbs: Mapping[str, type[Verb]]) -> str:
    """Return the help of the whole command line: a line a verb."""
    width = max(map(len, verbs))
    lines = ["Generative retrieval: every answer is an item of the catalog.", ""]
    lines += ["usage: genret VERB [OPTIONS]", ""]
    for name, cls in verbs.items():
        lines.append(f"  {name:<{width}}  {(cls.__doc__ or '').strip().splitlines()[0]}")
    lines += [
        "",
        "`genret VERB --help` shows the options of a verb, `genret VERB --help-all` all of them;",
        "`genret --version` prints the version.",
    ]
    return "\n".join(lines)


def asked_for_help(words: Sequence[str], verbs: Mapping[str, type[Verb]]) -> None:
    """Print the help of a verb and exit, where the words ask for it.

    Raises:
      SystemExit: they ask for help.
    """
    if not words or words[0] not in verbs:
        return
    verb, rest = words[0], set(words[1:])
    if "--help-all" in rest:
        parse(verbs, [verb, "--help"])
    if rest & {"-h", "--help"} and verb in USUAL:
        short = brief(verbs[verb], USUAL[verb] | COMMON)
        print(f"Of many options these are the usual ones; `genret {verb} --help-all` shows all.\n")
        parse({**verbs, verb: short}, [verb, "--help"])
