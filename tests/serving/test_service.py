"""The service answers as the recommender does, whatever the batch."""

import copy
import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.config import ServeConfig
from genret.errors import GenretError
from genret.pipeline import remove_items
from genret.recommend import Recommender
from genret.serving import Request, Service
from tests.serving.conftest import FILTERS
from tests.small_run import ITEMS


def ids(answer: Any) -> list[Any]:
    assert isinstance(answer, dict), answer
    return [one["item_id"] for one in answer["items"]]


@pytest.fixture(scope="module")
def shop(run: Path) -> Recommender:
    return Recommender.load(run)


VALUES = st.fixed_dictionaries(
    {
        "history": st.lists(st.integers(1, ITEMS).map(str), max_size=12).map(tuple),
        "k": st.none() | st.integers(1, 4),
        "filter": st.none() | st.sampled_from(sorted(FILTERS)),
    }
)


@settings(max_examples=20)
@given(values=st.lists(VALUES, max_size=20))
def test_answers_are_those_of_the_recommender(
    service: Service, shop: Recommender, values: list[dict[str, Any]]
) -> None:
    requests = [Request(**one) for one in values]
    answers = service.answer(requests)
    assert len(answers) == len(requests)
    for one, answer in zip(requests, answers, strict=True):
        where = None if one.filter is None else FILTERS[one.filter]
        expected = shop.recommend(one.history, one.k or 4, beams=8, where=where)[0]
        assert ids(answer) == [item.id for item in expected]
        assert isinstance(answer, dict)
        assert answer["unknown_items"] == 0
        for found, item in zip(answer["items"], expected, strict=True):
            assert found["title"] == item.title
            assert found["rank"] == item.rank
            assert found["score"] == pytest.approx(item.score, abs=1e-4)
        json.dumps(answer)


def test_unknown_items_are_counted_and_wrong_filters_named(service: Service) -> None:
    known, unknown, wrong = service.answer(
        [
            Request(history=("3", "4")),
            Request(history=("3", "no such", "4")),
            Request(filter="middle"),
        ]
    )
    assert ids(known) == ids(unknown)
    assert isinstance(unknown, dict)
    assert unknown["unknown_items"] == 1
    assert isinstance(wrong, GenretError)
    assert str(wrong) == "filter: found 'middle', expected one of first, last"


def test_unknown_items_are_refused_if_asked(service: Service, config: ServeConfig) -> None:
    strict = copy.copy(service)
    strict.config = ServeConfig.from_dict(config.to_dict() | {"unknown_items": "reject"})
    (answer,) = strict.answer([Request(history=("3", "no such"))])
    assert isinstance(answer, GenretError)
    assert str(answer) == "history: found 'no such', expected items of the catalog"


def test_nothing_is_compiled_for_a_request(service: Service) -> None:
    longest = tuple(map(str, range(1, 13)))
    before = {size: dict(engine.programs) for size, engine in service._items.engines.items()}
    assert [len(programs) for programs in before.values()] == [1, 1]
    for count in (1, 2, 8, 9):
        service.answer([Request(history=longest, filter="last")] * count)
    assert {n: dict(one.programs) for n, one in service._items.engines.items()} == before


@pytest.fixture
def own_config(config: ServeConfig, run: Path, tmp_path: Path) -> ServeConfig:
    """Return a service of a run and a file of filters that may be changed."""
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "filters.json"
    file.write_text(json.dumps(FILTERS))
    changed = {"run": str(tmp_path / "run"), "filters": str(file), "batch_sizes": (8,)}
    return ServeConfig.from_dict(config.to_dict() | changed)


@pytest.mark.slow
def test_items_and_filters_change_while_it_answers(own_config: ServeConfig) -> None:
    service = Service(own_config)
    asked = [Request(history=("3",)), Request(filter="first")]
    before = [ids(answer) for answer in service.answer(asked)]
    gone = set(before[0]) | set(before[1])
    refreshed, ended = threading.Event(), threading.Event()
    late: list[list[Any]] = []

    def keep_asking() -> None:
        while not ended.is_set():
            new = refreshed.is_set()
            answers = [ids(answer) for answer in service.answer(asked)]
            if new:
                late.append(answers)

    with ThreadPoolExecutor(3) as pool:
        users = [pool.submit(keep_asking) for _ in range(3)]
        try:
            remove_items(own_config.run, ids=[str(item) for item in gone])
            Path(str(own_config.filters)).write_text(json.dumps({"first": "item_id > 30"}))
            assert [ids(answer) for answer in service.answer(asked)] == before
            described = service.refresh()
            refreshed.set()
            while len(late) < 3 and not any(user.done() for user in users):
                time.sleep(0.01)
        finally:
            ended.set()
        for user in users:
            user.result()
    assert (described["items"], described["filters"]) == (ITEMS - len(gone), ["first"])
    assert len(late) >= 3
    for any_item, above_30 in late:
        assert not gone.intersection(any_item)
        assert not gone.intersection(above_30)
        assert min(above_30) > 30


def test_a_refresh_that_fails_changes_nothing(own_config: ServeConfig) -> None:
    service = Service(own_config)
    before = service.answer([Request(filter="first")])
    Path(str(own_config.filters)).write_text(json.dumps({"first": "no_such_column > 3"}))
    with pytest.raises(GenretError, match="no_such_column"):
        service.refresh()
    assert service.answer([Request(filter="first")]) == before


@pytest.mark.slow
def test_what_was_read_before_a_refresh_is_read_anew(
    own_config: ServeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(own_config)
    asked = [Request(history=("3",))]
    gone = ids(service.answer(asked)[0])
    read = service._read

    def read_and_refresh(*args: Any) -> Any:
        found = read(*args)
        monkeypatch.setattr(service, "_read", read)
        remove_items(own_config.run, ids=[str(item) for item in gone])
        service.refresh()
        return found

    monkeypatch.setattr(service, "_read", read_and_refresh)
    assert not set(gone).intersection(ids(service.answer(asked)[0]))
    assert service._read == read
