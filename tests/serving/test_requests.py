"""Bad requests are refused in one line that names the key, what was found and what was expected."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genret.config import ServeConfig
from genret.errors import GenretError
from genret.serving import Request
from genret.serving._requests import MOST_BYTES, read_body, read_several

CONFIG = ServeConfig(run="run", k=4, most_items=12)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], r"request: found \[\], expected an object"),
        ({"histori": []}, r"request: found the key \['histori'\], expected some of history, k"),
        ({"history": "SKU17"}, "history: found 'SKU17', expected a list of item ids"),
        ({"history": [1.5]}, r"history\[0\]: found 1.5, expected an item id"),
        ({"history": [True]}, r"history\[0\]: found True, expected an item id"),
        ({"history": ["a", None]}, r"history\[1\]: found None, expected an item id"),
        ({"history": ["a"] * 13}, "history: found 13 items, expected at most 12, the newest"),
        ({"k": 0}, "k: found 0, expected 1 to 4"),
        ({"k": 5}, "k: found 5, expected 1 to 4"),
        ({"k": "3"}, "k: found '3', expected 1 to 4"),
        ({"k": True}, "k: found True, expected 1 to 4"),
        ({"filter": ["cheap"]}, r"filter: found \['cheap'\], expected the name of a filter"),
        ({"history": ["a"], "times": []}, r"times: found \[\], expected a list of 1 times"),
        ({"history": ["a"], "times": ["now"]}, r"times\[0\]: found 'now', expected microseconds"),
        ({"history": ["a"], "times": [2**70]}, r"times\[0\]: found 118"),
        ({"user": {}}, "user: found {}, expected a string or integer"),
    ],
)
def test_bad_values(values: Any, said: str) -> None:
    with pytest.raises(GenretError, match=said):
        Request.read(values, CONFIG)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "request"),
        (b"{", "request"),
        (b"\xff", "request"),
        (b'{"k": NaN}', "request"),
        (b'{"k": 1, "k": 2}', "request"),
        (b"[" * 10_000, "request"),
        (b" " * (MOST_BYTES + 1), "request: found more than 1,048,576 bytes"),
    ],
)
def test_bad_bodies(body: bytes, said: str) -> None:
    with pytest.raises(GenretError, match=said):
        read_body(body, CONFIG)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
KEYS = st.sampled_from(["history", "k", "filter", "times", "user"])


@given(values=JSON | st.dictionaries(KEYS, JSON, max_size=5))
def test_any_json_is_read_or_refused_in_one_line(values: Any) -> None:
    try:
        found = read_body(json.dumps(values).encode(), CONFIG)
    except GenretError as e:
        assert len(str(e).splitlines()) == 1  # noqa: PT017 (either is right)
    else:
        assert isinstance(found, Request)
        assert len(found.history) == len(values.get("history", []))


def test_several_users_in_one_body() -> None:
    body = {"requests": [{"history": ["a"], "k": 2}, {"k": 9}, {}]}
    known, wrong, new = read_body(json.dumps(body).encode(), CONFIG)  # type: ignore[misc]
    assert (known, new) == (Request(history=("a",), k=2), Request())
    assert str(wrong) == "k: found 9, expected 1 to 4"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"requests": []}, "requests: found 0, expected a list of 1 to 3 requests"),
        ({"requests": [{}] * 4}, "requests: found 4, expected a list of 1 to 3 requests"),
        ({"requests": {}}, "requests: found {}, expected a list of 1 to 3 requests"),
        ({"requests": [{}], "k": 3}, r"request: found the key \['k'\], expected requests alone"),
    ],
)
def test_bad_requests_of_several_users(values: Any, said: str) -> None:
    with pytest.raises(GenretError, match=said):
        read_several(values, ServeConfig(run="run", most_users=3))
