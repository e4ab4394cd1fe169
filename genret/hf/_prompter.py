"""Text prompts around histories, read by the checkpoint's own tokenizer: the file that imports it."""

import dataclasses
import string
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from genret.errors import GenretError
from genret.hf._checkpoint import Checkpoint
from genret.hf._config import read_object
from genret.hf._tokens import TOKENIZER, SemanticTokens
from genret.models import Prompts

_FIELDS = ("history", "query")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Template:
    """A prompt with places for the history and a query; a JSON file of these fields.

    Attributes:
      prompt: the text, with ``{history}`` and, where it asks for one, ``{query}``.
      separator: what stands between the items of a history.
      empty: what stands for a history without items.
      about: what the prompt is for.
    """

    prompt: str
    separator: str = ", "
    empty: str = ""
    about: str = ""

    def __post_init__(self) -> None:
        try:
            fields = [
                name for _, name, _, _ in string.Formatter().parse(self.prompt) if name is not None
            ]
        except ValueError as e:
            raise GenretError(f"template: prompt {self.prompt[:40]!r}: {e}") from e
        unknown = sorted(set(fields) - set(_FIELDS))
        if unknown or not fields:
            raise GenretError(
                f"template: the prompt has the places {fields}, expected {{history}} or {{query}}"
            )

    @classmethod
    def load(cls, name: str | Path) -> "Template":
        """Read a template: one of ours by name ("plain", "sequential", "search"), or a JSON file.

        >>> Template.load("sequential").separator
        ', '
        """
        own = resources.files("genret.hf.templates")
        path = Path(name)
        if path.suffix != ".json":
            known = sorted(
                f.name.removesuffix(".json") for f in own.iterdir() if f.name.endswith(".json")
            )
            if str(name) not in known:
                raise GenretError(
                    f"template: found {str(name)!r}, expected a file or one of {known}"
                )
            with resources.as_file(own / f"{name}.json") as file:
                fields = read_object(file)
        else:
            fields = read_object(path)
        wrong = [k for k, v in fields.items() if not isinstance(v, str)]
        wrong += sorted(fields.keys() - {f.name for f in dataclasses.fields(cls)})
        if wrong or "prompt" not in fields:
            raise GenretError(f"{name}: {(wrong or ['prompt'])[0]}: missing, unknown or no text")
        return cls(**fields)

    @property
    def asks_for_query(self) -> bool:
        """Say whether the prompt has a place for a query."""
        return any(name == "query" for _, name, _, _ in string.Formatter().parse(self.prompt))

    def text(self, items: Sequence[str], query: str | None = None) -> str:
        """Return the prompt of a history.

        Args:
          items: texts of the items, oldest first.
          query: what is asked for, where the prompt has a place for it.

        >>> Template(prompt="{history} -> ").text(["<a_1><b_2>", "<a_0><b_5>"])
        '<a_1><b_2>, <a_0><b_5> -> '
        """
        if self.asks_for_query != (query is not None):
            wanted = "expected one" if query is None else "the prompt has no place for it"
            raise GenretError(f"query: {wanted} (found {query!r})")
        history = self.separator.join(items) if items else self.empty
        return self.prompt.format(history=history, query=query)


class Prompter:
    """Turns histories, and queries in words, into the prompts that a checkpoint reads.

    Args:
      checkpoint: its folder held a ``tokenizer.json``, which reads the text.
      tokens: its semantic-ID tokens.
      template: the prompt.
      max_tokens: longest prompt; a longer one loses its oldest items.

    Raises:
      GenretError: ``tokenizers`` is not installed, or the checkpoint has no tokenizer.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        tokens: SemanticTokens,
        template: Template | str = "sequential",
        *,
        max_tokens: int = 512,
    ) -> None:
        self._tokenizer = _tokenizer(checkpoint)
        self.tokens = tokens
        self.template = template if isinstance(template, Template) else Template.load(template)
        self.max_tokens = max_tokens

    def __call__(
        self,
        histories: Sequence[Any],
        queries: Sequence[str] | None = None,
        *,
        length: int | None = None,
    ) -> Prompts:
        """Return the prompts of a batch.

        Args:
          histories: for each request the codes of its items, oldest first, integers [n, L]; n may be
            0.
          queries: for each request what it asks for, where the template has a place for that.
          length: tokens to pad to; None takes the longest, rounded up to a multiple of 32.

        Raises:
          GenretError: another number of queries, codes of another number of levels or out of range,
            or a prompt that is too long without any item.
        """
        if queries is not None and len(queries) != len(histories):
            raise GenretError(f"queries: found {len(queries)}, expected {len(histories)}")
        rows = []
        for row, history in enumerate(histories):
            items = [self._item(codes, row) for codes in history]
            rows.append(self._read(items, None if queries is None else queries[row], row))
        return Prompts.from_lists(rows, length)

    def _item(self, codes: Any, row: int) -> str:
        values = [int(code) for code in codes]
        counts = self.tokens.codes_per_level
        if len(values) != len(counts) or not all(
            0 <= code < count for code, count in zip(values, counts, strict=True)
        ):
            raise GenretError(f"histories: request {row}: found codes {values}, of {counts}")
        return self.tokens.text(values)

    def _read(self, items: list[str], query: str | None, row: int) -> list[int]:
        """Read a prompt; drop as few of the oldest items as the length asks for."""

        def read(dropped: int) -> list[int]:
            return self._tokenizer.encode(self.template.text(items[dropped:], query)).ids

        tokens = read(0)
        low, high = 0, len(items)
        while len(tokens) > self.max_tokens and low < high:  # bisect: fewer items, fewer tokens
            middle = (low + high) // 2
            if len(read(middle)) > self.max_tokens:
                low = middle + 1
            else:
                high = middle
            if low == high:
                tokens = read(low)
        if not 0 < len(tokens) <= self.max_tokens:
            raise GenretError(
                f"prompts: request {row} has {len(tokens)} tokens without any item, expected 1 to "
                f"{self.max_tokens}"
            )
        return tokens


def _tokenizer(checkpoint: Checkpoint) -> Any:
    if TOKENIZER not in checkpoint.files:
        raise GenretError(f"checkpoint: its folder had no {TOKENIZER}")
    try:
        import tokenizers
    except ImportError as e:
        raise GenretError(
            "prompts need tokenizers; install it with: pip install 'genret[hf]'"
        ) from e
    try:
        return tokenizers.Tokenizer.from_str(checkpoint.files[TOKENIZER].decode())
    except Exception as e:  # the library raises bare Exception
        raise GenretError(f"{TOKENIZER}: cannot be read: {e}") from e
