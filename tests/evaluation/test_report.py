"""The report: what its sentences say, and a page that reads in a real browser."""

from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from genret.config import EvaluateConfig
from genret.data import HeldOut
from genret.evaluation import bootstrap_interval, compare, compare_lists, ndcg, recall
from genret.evaluation._evaluate import measure
from genret.evaluation.report import Sample, verdict, write_report
from genret.evaluation.report_words import MEANINGS, repeats
from genret.histories import Histories
from genret.testing import random_codes
from tests.browser import Browser

USERS, ITEMS, K = 200, 60, 10
METHODS = ("model", "exact", "sasrec", "item_knn", "popularity", "random")


def document(methods: tuple[str, ...] = METHODS, exclusions: str = "none") -> dict[str, Any]:
    """Return measured lists of several methods, each a little worse than the one before."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, ITEMS, USERS)
    history = rng.integers(0, ITEMS, USERS * 4)
    asked = HeldOut(Histories.from_lists(history.reshape(USERS, 4)), targets.astype(np.int32))
    counts = np.bincount(history, minlength=ITEMS)
    config = EvaluateConfig(k=(5, K), bootstrap=50, exclude_seen=False)
    lists = {}
    for number, method in enumerate(methods):
        lists[method] = np.array([rng.permutation(ITEMS)[:K] for _ in range(USERS)], np.int32)
        hits = rng.random(USERS) < 0.5 - 0.08 * number
        lists[method][hits, number] = targets[hits]
    found: dict[str, Any] = {
        name: measure(
            own, asked, config, num_items=ITEMS,
            train_counts=counts, seen_share=counts / USERS,
        )
        for name, own in lists.items()
    }  # fmt: skip
    found["comparisons"] = compare_lists(lists, targets, K, resamples=50, seed=0)
    found["protocol"] = {"split": "test", "exclusions": exclusions, "versions": {"jax": "0.10.2"}}
    return found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    codes = random_codes(50, (8, 8, 8), "zipf")
    long = "A title that is longer than a narrow screen is wide, with <tags> & ampersands " * 2
    write_report(
        folder,
        document(),
        run_name="shop <1>",
        facts={"items": 50, "users": USERS, "a path": "/" + "long/" * 40},
        training=[{"step": 1, "loss": 2.0}, {"step": 2, "valid": {"ndcg@10": 0.1}}],
        codes=codes,
        codes_per_level=(8, 8, 8),
        num_nodes=(1, 8, 30, 45),
        samples=[
            Sample("ann", ["Tea", long], 12, "Mug", ["Pot", "Mug"], 1),
            Sample("bob" * 40, [], 0, "Cup", [], -1),
        ],
    )
    return folder


ranks = st.lists(st.integers(0, 12), min_size=1, max_size=30)


@hypothesis.given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1))
def test_a_comparison_is_the_mean_of_the_differences(pairs: list[tuple[int, int]]) -> None:
    ours, theirs = np.array(pairs).T
    found = compare(ours, theirs, K, resamples=20, seed=3)
    for name, metric in (("ndcg", ndcg), ("recall", recall)):
        gaps = [float(metric(np.array([a]), K)[0] - metric(np.array([b]), K)[0]) for a, b in pairs]
        entry = found[f"{name}@{K}"]
        assert entry["difference"] == pytest.approx(sum(gaps) / len(gaps))
        expected = bootstrap_interval(np.array(gaps), resamples=20, seed=3)
        assert entry["interval"] == pytest.approx(list(expected))


def test_equal_methods_do_not_differ() -> None:
    ours = np.array([1, 0, 3, 9])
    found = compare(ours, ours, K, resamples=100, seed=0)
    assert found["ndcg@10"] == {"difference": 0.0, "interval": [0.0, 0.0]}


def with_gap(difference: float, low: float, high: float) -> dict[str, Any]:
    gap = {"difference": difference, "interval": [low, high]}
    return {
        "model": {"ndcg@10": 0.2},
        "popularity": {"ndcg@10": 0.1},
        "sasrec": {"ndcg@10": 0.19},
        "comparisons": {"sasrec": {"ndcg@10": gap}},
    }


@pytest.mark.parametrize(
    ("gap", "judged"),
    [
        ((0.01, -0.002, 0.03), "no clear difference"),
        ((0.01, 0.002, 0.03), "better"),
        ((-0.01, -0.03, -0.002), "worse"),
    ],
)
def test_the_verdict_names_ratios_and_judges_the_strongest(
    gap: tuple[float, float, float], judged: str
) -> None:
    said = verdict(with_gap(*gap))
    assert said.startswith(
        "NDCG@10 of the model is 0.200: 2.00 times popularity and 1.05 times SASRec"
    )
    assert f"difference from SASRec {gap[0]:+.4f}" in said
    assert said.endswith(f"[{gap[1]:+.4f}, {gap[2]:+.4f}]: {judged}.")


def test_the_verdict_of_baselines_that_find_nothing() -> None:
    said = verdict({"model": {"ndcg@5": 0.2}, "popularity": {"ndcg@5": 0.0}})
    assert said == "NDCG@5 of the model is 0.200; no baseline found anything to compare it with."


def test_repeats_are_explained() -> None:
    found = document()
    again, users = found["model"]["seen_targets"], found["model"]["users"]
    assert 0 < again < users
    assert f"{again:,} of {users:,}" in repeats(found)
    assert "may be recommended again" in repeats(found)
    assert "--no-exclude-seen" in repeats(document(exclusions="items of the history"))


def test_every_metric_has_a_meaning() -> None:
    families = {name.partition("@")[0] for name in document()["model"]}
    assert families - {"intervals", "slices"} <= set(MEANINGS)


def test_the_page_stands_alone_and_escapes(report: Path) -> None:
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "http" not in page
    assert "<script" not in page
    assert "shop &lt;1&gt;" in page
    assert "<tags>" not in page
    assert "data:image/png;base64," in page
    markdown = (report / "report.md").read_text(encoding="utf-8")
    assert verdict(document()) in markdown
    assert "shop &lt;1&gt;" in markdown
    assert "<tags>" not in markdown
    assert verdict(document()) in page.replace("&#x27;", "'")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 400, 1280])
def test_the_page_fits_and_is_readable(
    report: Path, browser: Browser, width: int, dark: bool
) -> None:
    browser.open(report / "report.html", width=width, dark=dark)
    browser.unfold()
    assert browser.overflow() == (0, [])
    faintest = browser.faintest()
    assert faintest[0][0] >= 4.5, faintest
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")
