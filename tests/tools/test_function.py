"""Arguments: exactly what a model sent is judged, and exactly what was judged is executed (threats 12 and 13)."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, TypedDict

import pytest
from edgewright import Call, tool
from edgewright.contracts.errors import ToolInvalid
from edgewright.ledger.records import CallJudged
from edgewright.tools.function import MAX_ARGUMENTS, read_function
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field
from support.systems import inside, of_kind, only_run, plays, with_model

got: list[Any] = []


class Colour(Enum):
    RED = "red"


class Line(BaseModel):
    sku: str
    count: int


def bounded(cents: Annotated[int, Field(ge=0, le=10_000)]) -> None:
    """Take a bounded amount."""


def loose(cents: int) -> None:
    """Take any integer."""


def optional(cents: int = 5, note: str | None = None, ratio: float | None = None) -> None:
    """Take optional things."""


def nested(lines: list[Line], kind: Literal["a", "b"] = "a") -> None:
    """Take lines."""


def rich(day: date, amount: Decimal, colour: Colour) -> None:
    """Take values that JSON has no type for."""


def faults(function: Any, **arguments: Any) -> list[str]:
    return read_function(function, function.__name__).validated(arguments)[1]


@pytest.mark.parametrize(
    "value",
    [
        "10",
        10.0,
        True,
        1e3,
        math.nan,
        math.inf,
        -math.inf,
        -0.0,
        1e309,
        "１０",
        None,
        [10],
        {"a": 1},
        2**63,
        -1,
        10_001,
    ],
    ids=repr,
)
def test_a_bounded_integer_takes_no_stand_in(value: Any) -> None:
    assert faults(bounded, cents=value)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 10**30], ids=repr)
def test_an_integer_that_no_ledger_can_hold_is_refused(value: int) -> None:
    assert faults(loose, cents=value)


async def test_an_integer_that_no_policy_can_hold_is_denied() -> None:
    @tool(effect="read")
    def look(cents: int) -> str:
        """Look."""
        got.append(cents)
        return ""

    ran = await inside(lambda: look.ainvoke({"cents": 2**63}), look)
    assert [j.rules for j in ran.of(CallJudged)] == [["policy.error"]]


@pytest.mark.parametrize(
    "arguments",
    [
        {"cents": None},
        {"cents": 1, "unknown": 1},
        {"Cents": 1},
        {"cents ": 1},
        {"note": 5},
        {"ratio": math.nan},
        {"ratio": math.inf},
        {"ratio": "0.5"},
        {"note": "\ud800"},
        {"__class__": "x"},
    ],
    ids=repr,
)
def test_optional_arguments_take_neither_null_nor_strangers(arguments: dict[str, Any]) -> None:
    assert faults(optional, **arguments)


def test_null_is_for_those_that_say_so_and_defaults_are_filled_in() -> None:
    reading = read_function(optional, "optional")
    assert reading.validated({"note": None}) == ({"cents": 5, "note": None, "ratio": None}, [])


@pytest.mark.parametrize(
    "lines",
    [
        [{"sku": "a", "count": "1"}],
        [{"sku": "a", "count": 1, "extra": 1}],
        [{"sku": "a"}],
        {"sku": "a", "count": 1},
        "[]",
    ],
    ids=repr,
)
def test_nested_arguments_are_as_strict(lines: Any) -> None:
    assert faults(nested, lines=lines)


def test_a_literal_takes_its_values_only() -> None:
    assert faults(nested, lines=[], kind="A")


def test_deep_nesting_is_refused() -> None:
    value: Any = []
    for _ in range(2_000):
        value = [value]
    assert faults(loose, cents=value)


def test_a_megabyte_is_refused() -> None:
    assert "at most" in faults(optional, note="x" * 1_000_000)[0]


def test_what_is_not_json_is_refused() -> None:
    assert faults(optional, note=object())
    assert faults(optional, note=b"x")
    assert faults(loose, cents={1: 2})


def test_values_that_json_has_no_type_for_come_as_the_python_values_that_were_declared() -> None:
    reading = read_function(rich, "rich")
    arguments, wrong = reading.validated({"day": "2026-01-31", "amount": "1.10", "colour": "red"})
    assert not wrong
    assert reading.python(arguments) == {"day": date(2026, 1, 31), "amount": Decimal("1.10"), "colour": Colour.RED}


def test_a_validator_that_would_change_what_was_judged_is_refused() -> None:
    def doubling(cents: Annotated[int, AfterValidator(lambda cents: cents * 100)]) -> None:
        """Take dollars, mean cents."""

    assert "changes what it has changed already" in faults(doubling, cents=5)[0]


def test_a_validator_that_normalises_is_fine() -> None:
    def trimmed(name: Annotated[str, AfterValidator(str.strip)]) -> None:
        """Take a name."""

    assert read_function(trimmed, "trimmed").validated({"name": " a "}) == ({"name": "a"}, [])


@given(
    st.dictionaries(
        st.sampled_from(["cents", "note", "ratio", "other"]),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers(), max_size=2)),
    )
)
def test_what_passes_is_what_was_sent_with_defaults(arguments: dict[str, Any]) -> None:
    passed, wrong = read_function(optional, "optional").validated(arguments)
    if wrong:
        assert not passed
        return
    assert passed == {"cents": 5, "note": None, "ratio": None} | arguments
    assert type(passed["cents"]) is int


async def test_a_refused_argument_is_on_the_ledger_and_its_value_is_not_in_what_the_model_is_told() -> None:
    got.clear()

    @tool(effect="write")
    def pay(cents: int) -> str:
        """Pay."""
        got.append(cents)
        return ""

    system = with_model(plays([Call("pay", {"cents": "4111 1111"})]), pay)
    result = await system.arun({"text": "go"})
    [judged] = of_kind(system, result.run, CallJudged)
    assert (judged.verdict, judged.rules) == ("deny", ["arguments.schema"])
    assert "4111" not in str(result.output)
    assert not got


async def test_the_ledger_keeps_no_more_of_a_huge_argument_than_its_size() -> None:
    @tool(effect="write")
    def say(text: str) -> str:
        """Say."""
        return ""

    system = with_model(plays([Call("say", {"text": "x" * 1_000_000})]), say)
    await system.arun({"text": "go"})
    [judged] = of_kind(system, only_run(system), CallJudged)
    body = system.ledger.payload(only_run(system), judged.arguments)
    assert body is not None
    assert len(body) < MAX_ARGUMENTS
    assert judged.verdict == "deny"


# -- declarations --------------------------------------------------------------------------------------------------


def _star(*things: int) -> None:
    """Take many."""


def _star_star(**things: int) -> None:
    """Take many."""


def _positional(thing: int, /) -> None:
    """Take one."""


def _bare(thing) -> None:  # type: ignore[no-untyped-def]
    """Take one."""


def _reserved(config: int) -> None:
    """Take one."""


def _unresolvable(thing: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Take one."""


def _aliased(thing: Annotated[int, Field(alias="other")]) -> None:
    """Take one."""


def _shapeless(thing: type[Any] | AsyncThing) -> None:
    """Take one."""


class AsyncThing:
    pass


def _generator(thing: int) -> Any:
    """Give many."""
    yield thing


@pytest.mark.parametrize(
    "function",
    [_star, _star_star, _positional, _bare, _reserved, _unresolvable, _aliased, _shapeless, _generator],
)
def test_a_signature_that_cannot_be_checked_is_refused(function: Any) -> None:
    with pytest.raises(ToolInvalid):
        tool(function)


def test_a_tool_says_all_that_is_wrong_with_it() -> None:
    with pytest.raises(ToolInvalid) as caught:

        @tool(name="Bad Name", timeout=0)
        def nothing() -> None: ...

    assert len(caught.value.faults) == 3


class Known(TypedDict):
    owner: str


def test_a_helper_that_wants_what_the_tool_does_not_take_is_refused() -> None:
    def facts(invoice: str) -> Known:
        return {"owner": invoice}

    for declare in (tool(facts=facts), tool(probe=facts)):
        with pytest.raises(ToolInvalid, match="wants 'invoice', which is no argument"):
            declare(loose)


def test_facts_without_a_type_are_refused() -> None:
    def untyped(cents: int):  # type: ignore[no-untyped-def]
        return {}

    def listed(cents: int) -> list[str]:
        return []

    for facts in (untyped, listed):
        with pytest.raises(ToolInvalid):
            tool(facts=facts)(loose)


def test_undeclared_is_the_most_dangerous() -> None:
    spec = tool(loose).spec
    assert (spec.effect, spec.output, spec.sensitivity, spec.sink) == ("irreversible", "untrusted", "secret", True)
    assert (spec.idempotency, spec.roles) == ("none", {"cents": "target"})
