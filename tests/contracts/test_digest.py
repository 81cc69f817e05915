"""One content, one digest; two contents, two."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import pytest
from edgewright.contracts.digest import canonical, digest, digest_text
from hypothesis import given
from hypothesis import strategies as st

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS | TEXT, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
)


@dataclass
class Point:
    x: float
    y: int


def _strict(value: Any) -> Any:
    """The value with its types: Python says that 1 == 1.0 == True."""
    if isinstance(value, dict):
        return ("object", sorted((k, _strict(v)) for k, v in value.items()))
    if isinstance(value, list):
        return ("array", [_strict(v) for v in value])
    return (type(value).__name__, repr(value))


@given(JSON, JSON)
def test_two_values_share_a_digest_exactly_if_they_are_the_same(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) == (repr(_strict(one)) == repr(_strict(other)))


@given(st.dictionaries(TEXT, SCALARS, max_size=6))
def test_the_order_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        [math.inf],
        {"a": [1, -math.inf, None]},
        {"a": (math.nan,)},
        Point(math.nan, 1),
        {1: "a"},
        {None: "a"},
        {True: "a"},
        2**64,
        -(2**63) - 1,
        "\udc00",
        {"\ud800": 1},
        {1, 2},
        object,
        b"bytes",
    ],
    ids=repr,
)
def test_what_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical(value)


def test_null_beside_plain_numbers_is_json() -> None:
    assert canonical({"b": None, "a": [1.5, "null"]}) == b'{"a":[1.5,"null"],"b":null}'
    assert canonical(Point(0.5, 1)) == b'{"x":0.5,"y":1}'


def test_a_digest_is_sha256_of_the_canonical_form() -> None:
    assert digest({"b": 1, "a": "ü"}) == hashlib.sha256('{"a":"ü","b":1}'.encode()).hexdigest()
    assert digest_text("ü") == hashlib.sha256("ü".encode()).hexdigest()
