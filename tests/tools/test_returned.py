"""What a tool returns is what it declares to return, or it is no result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, NamedTuple, TypedDict

import pytest
from edgewright import Call, tool
from edgewright.contracts.containment import Breaker
from edgewright.contracts.errors import ResultInvalid, ToolFailed, ToolUnavailable
from edgewright.ledger.records import EffectDone, EffectFailed
from edgewright.tools.containing import key_of
from edgewright.tools.containment import BREAKERS
from edgewright.tools.function import Reading, read_function
from edgewright.tools.sealed import SealedTool
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, computed_field
from support.systems import inside, of_kind, only_run, plays, with_model
from typing_extensions import TypedDict as ExtendedTypedDict

SECRET = "pin-4471"
given_back: list[Any] = []


@pytest.fixture(autouse=True)
def well() -> Iterator[None]:
    BREAKERS.clear()
    given_back.clear()
    yield
    BREAKERS.clear()


class Receipt(TypedDict):
    text: str
    cents: int


class Open(ExtendedTypedDict, total=False):
    text: str


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str = Field(min_length=1)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def loud(self) -> str:
        """Not among what it is made of."""
        return self.text.upper()


@dataclass
class Data:
    count: int
    day: date


class Pair(NamedTuple):
    left: int
    right: str


class Colour(Enum):
    RED = "red"


def reading(hint: Any) -> Reading:
    def returns() -> Any:
        """Return something."""

    returns.__annotations__["return"] = hint
    return read_function(returns, "returns")


FITS: list[tuple[Any, Any]] = [
    (Receipt, {"text": "a", "cents": 1}),
    (Receipt, {"text": "a", "cents": 1, "more": [None]}),
    (Open, {}),
    (Model, Model(text="a")),
    (Model, {"text": "a"}),
    (list[Model], [Model(text="a")]),
    (Data, Data(1, date(2026, 1, 2))),
    (Data, {"count": 1, "day": "2026-01-02"}),
    (Pair, Pair(1, "a")),
    (Colour, Colour.RED),
    (float, 1),
    (list[int], (1, 2)),
    (tuple[int, ...], [1, 2]),
    (set[int], {1}),
    (dict[int, str], {1: "a"}),
    (dict[str, Any], {"a": [1]}),
    (Decimal, Decimal("1.50")),
    (timedelta, timedelta(seconds=5)),
    (str | None, None),
    (None, None),
    (Any, [1, {"a": None}]),
    (object, 5),
]
MISFITS: list[tuple[Any, Any, str]] = [
    (Receipt, [{"unexpected": None}, 7], "result: "),
    (Receipt, {"text": "a"}, "result.cents: "),
    (Receipt, {"text": "a", "cents": "1"}, "result.cents: "),
    (Receipt, None, "result: "),
    (Open, {"text": None}, "result.text: "),
    (Model, {"text": ""}, "result.text: "),
    (Model, {"text": "a", "more": 1}, "result.more: "),
    (Data, {"count": 1, "day": "soon"}, "result.day: "),
    (dict[str, int], [1], "result: "),
    (dict[str, int], {"a": "1"}, "result.a: "),
    (list[int], {"0": 1}, "result: "),
    (int, True, "result: "),
    (int, 1.0, "result: "),
    (int, "1", "result: "),
    (str, 1, "result: "),
    (str, ["a"], "result: "),
    (bool, 1, "result: "),
    (Literal["a"], "b", "result: "),
    (Colour, "blue", "result: "),
    (None, {"done": True}, "result: "),
]


@pytest.mark.parametrize(("hint", "value"), FITS)
def test_what_is_of_the_declared_type_passes(hint: Any, value: Any) -> None:
    reading(hint).returned(value)


@pytest.mark.parametrize(("hint", "value", "where"), MISFITS)
def test_what_is_not_of_the_declared_type_is_refused_by_field(hint: Any, value: Any, where: str) -> None:
    with pytest.raises(ResultInvalid) as caught:
        reading(hint).returned(value)
    assert caught.value.tool == "returns"
    assert any(fault.startswith(where) for fault in caught.value.faults)


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(json)
def test_whoever_declares_nothing_may_return_any_json(value: Any) -> None:
    assert reading(Any).returned(value) == value


@given(json)
def test_a_receipt_passes_exactly_where_its_fields_are_what_they_should_be(value: Any) -> None:
    fits = isinstance(value, dict) and type(value.get("text")) is str and type(value.get("cents")) is int
    if fits:
        assert reading(Receipt).returned(value) == value
    else:
        with pytest.raises(ResultInvalid):
            reading(Receipt).returned(value)


# -- through the gate --------------------------------------------------------------------------------------------------


@tool(effect="read", breaker=Breaker(failures=2, cooldown=3600.0))
def look() -> Receipt:
    """Look."""
    found: Receipt = given_back[0]
    return found


@tool(effect="write", idempotency="key")
async def pay() -> Receipt:
    """Pay."""
    found: Receipt = given_back[0]
    return found


Way = Callable[[SealedTool], Awaitable[Any]]


async def _async(handle: SealedTool) -> Any:
    return await handle.ainvoke({})


async def _blocking(handle: SealedTool) -> Any:
    return await asyncio.to_thread(handle.invoke, {})


every_way = pytest.mark.parametrize("way", [_async, _blocking], ids=["async", "blocking"])


@every_way
async def test_a_read_of_the_wrong_shape_failed_and_counts_against_its_integration(way: Way) -> None:
    given_back.append([SECRET])
    for _ in range(2):
        ran = await inside(lambda: way(look), look)
        assert isinstance(ran.error, ToolFailed)
        assert not ran.error.facts["unknown"]
        assert "'look'" in str(ran.error)
        assert "result: " in str(ran.error)
        assert SECRET not in str(ran.error)
        assert ran.of(EffectDone) == []
        assert [SECRET in r.error for r in ran.of(EffectFailed)] == [False]
    assert BREAKERS.mode(key_of(look.spec)) == "open"
    ran = await inside(lambda: way(look), look)
    assert isinstance(ran.error, ToolUnavailable)


@every_way
async def test_an_effect_whose_result_is_of_the_wrong_shape_may_have_happened(way: Way) -> None:
    given_back.append({"text": SECRET})
    ran = await inside(lambda: way(pay), pay)
    assert isinstance(ran.error, ToolFailed)
    assert ran.error.facts["unknown"]
    assert "result.cents: " in str(ran.error)
    assert SECRET not in str(ran.error)
    assert [r.unknown for r in ran.of(EffectFailed)] == [True]


async def test_a_model_is_told_that_a_result_was_none_and_not_what_it_was() -> None:
    given_back.append([SECRET])
    system = with_model(plays([Call("look", {})]), look)
    result = await system.arun({"text": "go"})
    assert result.output is not None
    assert "result: " in result.output["text"]
    assert SECRET not in result.output["text"]
    assert of_kind(system, only_run(system), EffectDone) == []
