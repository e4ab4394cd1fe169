"""Both heads against a baseline, user by user: ratios, and intervals of the paired differences."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.bars import judge
from genret.data import HeldOut
from genret.errors import GenretError
from genret.evaluation import bootstrap_interval
from genret.evaluation.metrics import ndcg, recall, target_ranks
from genret.typing import Float, Int

Record = Mapping[str, Any]

METRICS = {"ndcg@10": ndcg, "recall@10": recall}
RATIOS = {"ndcg@10": 1.08, "recall@10": 1.05}
"""What both heads should reach over each baseline."""
RIVALS = ("sasrec", "bsarec")
"""The baselines that the bars ask about."""
HEADS = "hybrid_heads"
"""Both heads without transitions, as a method."""
PARTS = {
    HEADS: ("hybrid", "without_transitions"),
    **{f"{rival}_transitions": (rival, "with_transitions") for rival in RIVALS},
}
"""Methods whose figures are a part of another one's records: whose, and which."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def with_ranks(found: dict[str, Any], held_out: HeldOut) -> dict[str, Any]:
    """Put the rank of each user's item in the place of ``lists`` and ``asked``; see :func:`packed`."""
    kept = {name: value for name, value in found.items() if name not in ("lists", "asked")}
    ranks = target_ranks(found["lists"], held_out.targets[found["asked"]])
    return kept | {"ranks": packed(ranks)}


def packed(ranks: Int[np.ndarray, "U"]) -> str:
    """Write ranks as text, a character each: 0 (not in the list), 1 to 9, a (10), b (11), …, z (35).

    >>> packed(np.array([0, 3, 10, 20]))
    '03ak'
    """
    if len(ranks) and ranks.max() >= len(_DIGITS):
        raise GenretError(f"ranks: found {ranks.max()}, expected at most {len(_DIGITS) - 1}")
    return "".join(_DIGITS[rank] for rank in ranks.tolist())


def unpacked(text: str) -> Int[np.ndarray, "U"]:
    """Read ranks from text.

    >>> unpacked("03ak").tolist()
    [0, 3, 10, 20]
    """
    return np.array([int(character, len(_DIGITS)) for character in text], np.int64)


def over(ours: Sequence[Record], theirs: Sequence[Record], rule: str) -> dict[str, Any]:
    """Compare the records of two methods over the seeds that both have.

    Returns for each metric the ratio of the means, the ``difference`` and its 95 % ``interval``: that of
    the mean over users, each user's being the mean over the seeds, so it says nothing of how much seeds
    differ. It is None where a record holds no ranks.
    """
    by_seed = [{one["seed"]: one[rule] for one in side} for side in (ours, theirs)]
    seeds = sorted(by_seed[0].keys() & by_seed[1].keys())
    mine, other = ([side[seed] for seed in seeds] for side in by_seed)
    found: dict[str, Any] = {"seeds": seeds, "difference": {}, "interval": {}}
    for metric in RATIOS:
        own, rival = (statistics.fmean(one[metric] for one in side) for side in (mine, other))
        found |= {metric: own / rival}
        found["difference"][metric] = own - rival
        found["interval"][metric] = None
        if all("ranks" in one for one in (*mine, *other)):
            by_user = _by_user(mine, metric) - _by_user(other, metric)
            interval = bootstrap_interval(by_user, resamples=1000, seed=0)
            found["interval"][metric] = list(interval)
    return found


def _by_user(records: Sequence[Record], metric: str) -> Float[np.ndarray, "U"]:
    """Return each user's metric, the mean over the seeds."""
    values = [METRICS[metric](unpacked(one["ranks"]), 10) for one in records]
    counts = sorted({len(one) for one in values})
    if len(counts) > 1:
        raise GenretError(f"ranks: found records of {counts} users, expected the same users in all")
    return np.mean(values, axis=0)


def hybrid_block(found: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    """Return how both heads with transitions stand to each baseline, and the bars.

    Each rival's entry is that of :func:`over`, with the same for seen items that are forbidden as
    ``unseen``. The rivals with transitions have no bars; ``without_transitions`` are both heads alone.
    What shares no seed is left out.
    """

    def against(name: str, rivals: Sequence[str]) -> dict[str, Any]:
        ours, block = found.get(name, ()), {}
        for rival in rivals:
            theirs = found.get(rival, ())
            if {one["seed"] for one in ours} & {one["seed"] for one in theirs}:
                unseen = {"unseen": over(ours, theirs, "test_unseen")}
                block[f"over_{rival}"] = over(ours, theirs, "test") | unseen
        return block

    block = against("hybrid", RIVALS)
    for entry in block.values():
        entry["bars"] = {name: judge(entry[name], least) for name, least in RATIOS.items()}
    block |= against("hybrid", [f"{rival}_transitions" for rival in RIVALS])
    alone = against(HEADS, RIVALS)
    return block | ({"without_transitions": alone} if alone else {})


def with_parts(found: Mapping[str, Sequence[Record]]) -> dict[str, Sequence[Record]]:
    """Return the records with the parts of some as methods of their own, see :data:`PARTS`."""
    parts = {}
    for name, (whole, part) in PARTS.items():
        records = [{**one, **one[part]} for one in found.get(whole, ()) if part in one]
        parts |= {name: records} if records else {}
    return {**found, **parts}
