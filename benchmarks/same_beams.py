"""Whether two beam searches over the same weights found the same items, but for ties."""

from collections.abc import Callable

import numpy as np

from genret.errors import GenretError

PrefixScores = Callable[[int, np.ndarray], np.ndarray]
"""Scores of all prefixes of semantic IDs: (number of the prompt, codes [C, L]) to floats [C, L]."""
TIED, SAME = 1e-4, 1e-3
"""Scores so close may change places; those of one item are no farther apart."""


def apart(
    name: str,
    own: tuple[np.ndarray, np.ndarray],
    reference: tuple[np.ndarray, np.ndarray],
    prefix_scores: PrefixScores | None = None,
) -> float:
    """Return the largest difference between the scores [B, M] of two searches for one item.

    Sums of floats in another order differ in their last bits. Where two scores are equal to 1e-4
    either order will do; and where the last prefix that a beam kept and the first that it dropped
    are tied so, one search may answer below the one, and the other below the other; without
    ``prefix_scores`` to look that up every item must be the same. Other items, another order or other
    scores are refused.
    """
    worst = 0.0
    for prompt in range(len(own[0])):
        mine, theirs = (
            dict(zip(map(tuple, codes[prompt].tolist()), scores[prompt].tolist(), strict=True))
            for codes, scores in (own, reference)
        )
        both = np.array([(score, theirs[item]) for item, score in mine.items() if item in theirs])
        new, lost = ([i for i in a if i not in b] for a, b in ((mine, theirs), (theirs, mine)))
        tied = not new and not lost
        if prefix_scores is not None and len(both) and 0 < len(new) == len(lost):
            # Each item that one search alone has is tied, at some prefix, with one that it lacks.
            scores = prefix_scores(prompt, np.array([*new, *lost]))
            between = np.abs(scores[: len(new), None] - scores[None, len(new) :]).min(axis=-1)
            tied = max(between.min(axis=0).max(), between.min(axis=1).max()) <= TIED
        if len(both) == 0 or not tied:
            raise GenretError(f"{name}: answers differ: items {new[:3]} for {lost[:3]}")
        largest = float(np.abs(both[:, 0] - both[:, 1]).max())
        if largest > SAME or (np.diff(both[:, 1]) > TIED).any():
            raise GenretError(f"{name}: answers differ in order or score (by {largest:.2g})")
        worst = max(worst, largest)
    return worst
