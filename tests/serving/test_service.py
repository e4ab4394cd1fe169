"""The service answers as the recommender does, whatever the batch."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genret.config import ServeConfig
from genret.errors import GenretError
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
