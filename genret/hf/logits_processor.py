"""Our index for people who stay in PyTorch: the one file that imports torch."""

from typing import Any

import numpy as np
import torch

from genret.errors import GenretError
from genret.hf._masks import check_tokens, code_of_token
from genret.index import TrieIndex


class TrieLogitsProcessor:
    """Lets ``transformers.generate`` spell items of an index and nothing else.

    Goes where a ``LogitsProcessor`` goes::

        model.generate(**inputs, num_beams=50, num_return_sequences=50, max_new_tokens=index.depth,
                       do_sample=False, logits_processor=[processor])

    Every call is a few vectorized operations on the device of the scores, whatever the number of
    rows: a level of the trie is one sorted array of ``node · V + code``, and a child is found by
    ``searchsorted``; no loop over beams and no callback.

    Args:
      index: the items; removed ones are left out, inserted ones are in.
      tokens: for each level, the token of each code, int [V]; -1: none.
      prompt_length: tokens of ``input_ids`` before the first generated one: the padded length of
        the prompts, or 1 for an encoder-decoder model.
      end_token: what follows a whole semantic ID; None: nothing (generate exactly L tokens).

    Raises:
      GenretError: tokens that do not fit the index.
    """

    def __init__(
        self, index: TrieIndex, tokens: Any, *, prompt_length: int, end_token: int | None = None
    ) -> None:
        if prompt_length < 1:
            raise GenretError(f"prompt_length: found {prompt_length}, expected at least 1")
        if index.end_code is not None:
            raise GenretError("index: has an end code, expected semantic IDs of one length")
        self.prompt_length = prompt_length
        self.end_token = end_token
        vocabulary = 1 + max(int(np.max(own)) for own in tokens)
        checked = check_tokens(index, tokens, vocabulary)
        self._tokens = [torch.from_numpy(own).long() for own in checked]
        self._codes = [torch.from_numpy(code_of_token(own, vocabulary)).long() for own in checked]
        self._widths = index.codes_per_level
        self._keys = [torch.from_numpy(keys) for keys in _keys(index)]
        # Most children of a node: what a gather has to make room for.
        self._most = [
            int(torch.unique(keys // width, return_counts=True)[1].max())
            for keys, width in zip(self._keys, self._widths, strict=True)
        ]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores [R, T] with -inf for every token that leads to no item.

        Args:
          input_ids: int64 [R, S], R = requests times beams.
          scores: floats [R, T].
        """
        self._to(scores.device)
        generated = input_ids[:, self.prompt_length :]
        masked = torch.full_like(scores, -torch.inf)
        if generated.shape[1] >= len(self._keys):
            if self.end_token is not None:
                masked[:, self.end_token] = scores[:, self.end_token]
            return masked
        # A row that left the trie stands at node -1, which has no children.
        node = torch.zeros(len(input_ids), dtype=torch.int64, device=scores.device)
        for level in range(generated.shape[1]):
            node = self._child(level, node, generated[:, level])
        tokens = self._children(generated.shape[1], node)
        # Nobody's token is written to a column past the last, which is then cut off.
        wider = torch.nn.functional.pad(masked, (0, 1), value=-torch.inf)
        source = torch.nn.functional.pad(scores, (0, 1), value=-torch.inf)
        tokens = torch.where(tokens < 0, scores.shape[1], tokens)
        return wider.scatter(1, tokens, source.gather(1, tokens))[:, :-1]

    def _child(self, level: int, node: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
        """Return the child of each node along the code of a token; -1: none."""
        table, keys = self._codes[level], self._keys[level]
        known = token < len(table)
        code = torch.where(known, table[torch.where(known, token, 0)], -1)
        key = node * self._widths[level] + code
        child = torch.searchsorted(keys, key).clamp(max=len(keys) - 1)
        legal = (keys[child] == key) & (code >= 0) & (node >= 0)
        return torch.where(legal, child, -1)

    def _children(self, level: int, node: torch.Tensor) -> torch.Tensor:
        """Return the tokens that may follow each node, [R, K]; -1: none."""
        width, keys = self._widths[level], self._keys[level]
        begin, end = (
            torch.searchsorted(keys, node * width),
            torch.searchsorted(keys, (node + 1) * width),
        )
        slot = begin[:, None] + torch.arange(self._most[level], device=node.device)
        there = (slot < end[:, None]) & (node >= 0)[:, None]
        codes = keys[slot.clamp(max=len(keys) - 1)] % width
        return torch.where(there, self._tokens[level][codes], -1)

    def _to(self, device: torch.device) -> None:
        if self._keys[0].device != device:
            for name in ("_tokens", "_codes", "_keys"):
                setattr(self, name, [array.to(device) for array in getattr(self, name)])


def _keys(index: TrieIndex) -> list[np.ndarray]:
    """Return for each level ``node · V + code`` of all edges, ascending, int64 [E]."""
    codes = index.codes_of(np.sort(index.items_below(())))
    node = np.zeros(len(codes), np.int64)
    levels = []
    for level, width in enumerate(index.codes_per_level):
        keys, node = np.unique(node * width + codes[:, level], return_inverse=True)
        levels.append(keys)
    return levels
