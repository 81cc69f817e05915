"""A contract lets pass exactly what it declares, and says why the rest does not, without saying what it was."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
import pytest
from edgewright.contracts.contract import MAX_BYTES, Contract, Never
from edgewright.contracts.errors import ContractInvalid, ContractViolation
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, AnyUrl, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

CARD = "4111 1111 1111 1111"
CANARY = "CANARY7f3a"


class Colour(Enum):
    red = "red"
    blue = "blue"


class Line(BaseModel):
    item: str
    count: int = 1


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int = 0


class Typed(TypedDict):
    a: int


@dataclass
class Plain:
    a: int = 0


class Card(BaseModel):
    kind: Literal["card"]
    last: str


class Cash(BaseModel):
    kind: Literal["cash"]


class Lax(BaseModel):
    model_config = ConfigDict(strict=False, coerce_numbers_to_str=False)
    n: int


class Brief(BaseModel):
    text: str = ""
    count: Annotated[int, Field(ge=0, le=100)] = 0
    ratio: float | None = None
    paid: bool | None = None
    when: date | None = None
    colour: Colour | None = None
    price: Decimal | None = None
    ident: UUID | None = None
    link: AnyUrl | None = None
    line: Line | None = None
    lines: list[Line] = []
    pair: tuple[str, int] | None = None
    free: dict[str, Any] = {}
    opened: Open | None = None
    typed: Typed | None = None
    plain: Plain | None = None
    lax: Lax | None = None
    tender: Annotated[Card | Cash, Field(discriminator="kind")] | None = None


BRIEF = Contract(Brief, version=1, never=Never(fields=("password", "pin"), detectors=("card_number",)))


def check(told: Any, *, received: Mapping[str, Any] | None = None, contract: Contract = BRIEF) -> dict[str, Any]:
    return contract.check(told, received=received or {}, edge="a→b").payload


def faults(told: Any, *, received: Mapping[str, Any] | None = None, contract: Contract = BRIEF) -> tuple[str, ...]:
    with pytest.raises(ContractViolation) as caught:
        check(told, received=received, contract=contract)
    assert caught.value.edge == "a→b"
    assert caught.value.contract == contract.id
    found: tuple[str, ...] = caught.value.faults
    assert found
    return found


# -- strictness -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "10",
        " 10",
        "１０",
        10.0,
        1e3,
        True,
        False,
        math.nan,
        math.inf,
        -math.inf,
        [10],
        {"n": 1},
        None,
        1e309,
        Decimal(10),
    ],
    ids=repr,
)
def test_nothing_but_an_integer_is_an_integer(value: Any) -> None:
    faults({"count": value})


@pytest.mark.parametrize("value", [-1, 101, 2**63, 2**64, -(2**70)])
def test_an_integer_outside_its_bounds_does_not_pass(value: int) -> None:
    faults({"count": value})


@pytest.mark.parametrize("value", [0, -0, 100])
def test_an_integer_inside_its_bounds_passes_as_it_is(value: int) -> None:
    found = check({"count": value})["count"]
    assert (found, type(found)) == (value, int)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("text", 1),
        ("text", b"bytes"),
        ("text", None),
        ("ratio", "1.5"),
        ("ratio", math.nan),
        ("ratio", math.inf),
        ("ratio", True),
        ("paid", 1),
        ("paid", "true"),
        ("paid", "yes"),
        ("when", 0),
        ("when", "yesterday"),
        ("when", "2024-13-01"),
        ("colour", "RED"),
        ("colour", 0),
        ("price", True),
        ("ident", "no-uuid"),
        ("lines", {"0": {"item": "a"}}),
        ("lines", "ab"),
        ("line", [["item", "a"]]),
        ("lax", {"n": "10"}),
    ],
)
def test_nothing_is_coerced(field: str, value: Any) -> None:
    assert faults({field: value})[0].startswith((field, "payload"))


def test_dates_enums_and_ids_may_be_the_strings_that_json_has_for_them() -> None:
    told = {"when": "2024-02-29", "colour": "blue", "ident": "12345678-1234-5678-1234-567812345678", "price": "1.10"}
    passed = check(told)
    assert {k: passed[k] for k in told} == told
    assert check({"when": date(2024, 2, 29), "colour": Colour.blue})["when"] == "2024-02-29"


@pytest.mark.parametrize("field", ["line", "opened", "typed", "plain"])
def test_an_unknown_field_is_refused_at_every_depth_whatever_the_nested_model_says(field: str) -> None:
    given_ = {"item": "x"} if field == "line" else {"a": 1}
    assert check({field: given_})[field]
    assert f"{field}.extra" in faults({field: {**given_, "extra": 1}})[0]


def test_an_unknown_field_is_refused_in_lists_and_at_the_top() -> None:
    assert faults({"lines": [{"item": "a"}, {"item": "b", "extra": 1}]})[0].startswith("lines.1.extra")
    assert faults({"extra": 1})[0].startswith("extra")


def test_every_fault_is_named_not_only_the_first() -> None:
    assert len(faults({"count": "10", "text": 1, "extra": 2})) == 3


@pytest.mark.parametrize("told", [None, [], "text", 1, [("text", "a")], Brief()], ids=repr)
def test_a_payload_is_an_object(told: Any) -> None:
    assert faults(told)[0].startswith("payload")


@pytest.mark.parametrize(
    "value",
    ["\udc00", {"a": "\ud800"}, {"\ud800": 1}, {1: "a"}, {1, 2}, object, b"x", 2**64, [math.nan], (None, math.inf)],
    ids=repr,
)
def test_what_is_not_json_does_not_pass(value: Any) -> None:
    assert faults({"free": {"a": value}})[0].startswith("payload: is not JSON")


def test_nesting_without_end_does_not_pass() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    assert faults({"free": deep})[0].startswith("payload")
    loop: dict[str, Any] = {}
    loop["a"] = loop
    assert faults({"free": loop})[0].startswith("payload")


def test_a_payload_of_the_largest_size_passes_and_one_byte_more_does_not() -> None:
    fill = MAX_BYTES - len(orjson.dumps({"text": ""}))
    assert len(check({"text": "x" * fill})["text"]) == fill
    assert "at most" in faults({"text": "x" * (fill + 1)})[0]
    assert "at most" in faults({"text": "é" * fill})[0]  # bytes, not characters


def test_a_read_only_mapping_is_no_json_and_raises_nothing_else() -> None:
    assert faults(MappingProxyType({"text": "a"}))[0].startswith("payload")


# -- never ------------------------------------------------------------------------------------------------------


@dataclass
class Holder:
    password: str


@pytest.mark.parametrize(
    ("told", "path"),
    [
        ({"password": 1}, "password"),
        ({"free": {"pin": 1}}, "free.pin"),
        ({"free": {"a": [{"b": [1, {"password": None}]}]}}, "free.a[0].b[1].password"),
        ({"free": {"a": ({"pin": 1},)}}, "free.a[0].pin"),
        ({"free": {"a": Holder("x")}}, "free.a.password"),
        ({"free": {"a": [Plain(), Holder("x")]}}, "free.a[1].password"),
    ],
)
def test_a_field_that_must_never_cross_is_found_wherever_it_hides(told: Any, path: str) -> None:
    assert f"{path}: must never cross" in faults(told)


def test_a_carried_field_must_not_bring_along_what_must_never_cross() -> None:
    contract = Contract(Brief, version=1, carried=["free"], never=["password"])
    assert faults({}, received={"free": {"a": [{"password": 1}]}}, contract=contract) == (
        "free.a[0].password: must never cross",
    )


def test_what_the_model_fills_in_itself_is_held_to_the_same_rule() -> None:
    class Login(BaseModel):
        user: str
        password: str = "default"

    class WithLogin(BaseModel):
        login: Login

    contract = Contract(WithLogin, version=1, never=["password"])
    assert faults({"login": {"user": "a"}}, contract=contract) == ("login.password: must never cross",)


# -- carried and withheld ---------------------------------------------------------------------------------------


class Request(BaseModel):
    customer: str
    text: str
    secret: str = ""


class Finding(BaseModel):
    customer: str
    verdict: str


FINDING = Contract(Finding, version=2, carried=["customer"])
RECEIVED = {"customer": "C-1", "text": "t", "secret": "s"}


def test_a_carried_field_comes_from_what_the_source_received() -> None:
    crossing = FINDING.check({"verdict": "ok"}, received=RECEIVED, edge="e")
    assert crossing.payload == {"customer": "C-1", "verdict": "ok"}


@pytest.mark.parametrize("value", ["C-2", "C-1", None])
def test_a_carried_field_cannot_be_told_not_even_rightly(value: Any) -> None:
    assert faults({"verdict": "ok", "customer": value}, received=RECEIVED, contract=FINDING) == (
        "customer: is carried by the runtime and cannot be told",
    )


def test_a_carried_field_that_was_not_received_is_missing_and_cannot_be_told_either() -> None:
    assert "customer" in faults({"verdict": "ok"}, received={"text": "t"}, contract=FINDING)[0]
    assert "carried" in faults({"verdict": "ok", "customer": "x"}, received={"text": "t"}, contract=FINDING)[0]


def test_at_the_entry_where_nothing_was_received_all_fields_are_told() -> None:
    assert check({"customer": "C-1", "verdict": "v"}, contract=FINDING) == {"customer": "C-1", "verdict": "v"}


def test_a_carried_field_is_validated_and_redacted_like_any_other() -> None:
    contract = Contract(Finding, version=1, carried=["customer"], never=Never(detectors=("card_number",)))
    crossing = contract.check({"verdict": "ok"}, received={"customer": CARD}, edge="e")
    assert crossing.payload["customer"] == "[card_number]"
    assert "customer" in faults({"verdict": "ok"}, received={"customer": 7}, contract=contract)[0]


def test_what_was_received_and_does_not_cross_is_withheld_by_name() -> None:
    crossing = FINDING.check({"verdict": "ok"}, received=RECEIVED, edge="e")
    assert crossing.withheld == (("text", "not declared"), ("secret", "not declared"))
    assert not FINDING.check({"customer": "c", "verdict": "v"}, received={}, edge="e").withheld


def test_what_was_received_is_not_changed() -> None:
    received = {"customer": CARD, "nested": {"a": [1]}}
    before = pickle.dumps(received)
    Contract(Finding, version=1, carried=["customer"], never=Never(detectors=("card_number",))).check(
        {"verdict": "v"}, received=received, edge="e"
    )
    assert pickle.dumps(received) == before


# -- redaction --------------------------------------------------------------------------------------------------


@dataclass
class Note:
    item: str
    count: int = 1


@pytest.mark.parametrize(
    "told",
    [
        {"text": f"my card {CARD}."},
        {"lines": [{"item": CARD}]},
        {"line": Note(CARD)},
        {"pair": (CARD, 1)},
        {"free": {"a": [[{"b": CARD}]]}},
        {"free": {"a": (CARD,)}},
        {"free": {CARD: 1}},
    ],
    ids=repr,
)
def test_a_card_number_is_redacted_in_every_string_that_crosses(told: Any) -> None:
    crossing = BRIEF.check(told, received={}, edge="e")
    assert "4111" not in repr(crossing)
    assert "[card_number]" in repr(crossing.payload)
    assert [detector for _, detector in crossing.redacted] == ["card_number"]


def test_what_crossed_crosses_again_unchanged() -> None:
    told = {"text": CARD, "when": "2024-01-02", "price": "1.10", "lines": [{"item": "a"}], "free": {"b": [1, None]}}
    once = check(told)
    assert check(once) == once


# -- faults hold no value ---------------------------------------------------------------------------------------


def _no_canary(value: str) -> str:
    if CANARY in value:
        raise ValueError(f"{value} is refused")
    return value


def _custom(value: str) -> str:
    raise PydanticCustomError("my_rule", "the value {value} is refused", {"value": value})


class Chatty(BaseModel):
    """Every kind of field whose refusal could quote what it refused."""

    number: int = 0
    real: float = 0
    flag: bool = False
    day: date | None = None
    ident: UUID | None = None
    link: AnyUrl | None = None
    colour: Colour | None = None
    kind: Literal["a", "b"] = "a"
    short: Annotated[str, Field(max_length=3)] = ""
    coded: Annotated[str, Field(pattern="^[a-z]{2}$")] = "ab"
    amount: Decimal | None = None
    tender: Annotated[Card | Cash, Field(discriminator="kind")] | None = None
    either: Card | Line | int | None = None
    checked: Annotated[str, AfterValidator(_no_canary)] = ""
    custom: Annotated[str, AfterValidator(_custom)] = ""
    line: Line | None = None
    lines: list[Line] = []
    counts: dict[str, int] = {}

    @field_validator("kind", mode="before")
    @classmethod
    def _before(cls, value: Any) -> Any:
        if value == f"{CANARY}!":
            raise AssertionError(value)
        return value

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("number") == CANARY:
            raise ValueError(f"bad: {value}")
        return value


CHATTY = Contract(Chatty, version=1, never=["password"])
HOLDING = st.builds(lambda a, b: f"{a}{CANARY}{b}", st.text(max_size=3), st.text(max_size=3))
HIDING: st.SearchStrategy[Any] = st.recursive(
    HOLDING,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["item", "kind", "last", "count", "a", "password"]) | HOLDING.map("x y ".__add__),
            inner,
            max_size=3,
        )
    ),
    max_leaves=5,
)


def _said(told: dict[str, Any]) -> str:
    """All that the refusal of `told` says; empty where it passes (a string may fit)."""
    try:
        CHATTY.check(told, received={"customer": CANARY}, edge="a→b")
    except ContractViolation as error:
        return f"{error} {error!r} {error.facts} {error.faults} {error.__cause__}"
    return ""


@given(st.dictionaries(st.sampled_from([*Chatty.model_fields, "unknown", "password"]), HIDING, min_size=1, max_size=5))
def test_a_fault_names_fields_and_rules_and_never_a_value(told: dict[str, Any]) -> None:
    assert CANARY not in _said(told)


@pytest.mark.parametrize("field", list(Chatty.model_fields))
def test_each_kind_of_field_refuses_without_quoting(field: str) -> None:
    for value in (CANARY, {"kind": CANARY}, [{"item": CANARY, CANARY + " ": 1}], {f"{CANARY} x": CANARY}, f"{CANARY}!"):
        assert CANARY not in _said({field: value})


# -- definitions ------------------------------------------------------------------------------------------------


def test_every_fault_of_a_definition_is_named_at_once() -> None:
    with pytest.raises(ContractInvalid) as caught:
        Contract(
            Brief,
            version=0,
            carried=["no"],
            never=Never(fields=("text",), detectors=("iris_scan",)),
            policy_fields=["nor"],
        )
    said = "\n".join(caught.value.faults)
    for part in ("version 0", "'no'", "'text'", "'iris_scan'", "'card_number'", "'nor'"):
        assert part in said
    assert len(caught.value.faults) == 5


@pytest.mark.parametrize("argument", ["carried", "never", "policy_fields"])
def test_a_string_is_not_a_list_of_names(argument: str) -> None:
    with pytest.raises(ContractInvalid, match="not a list of strings"):
        Contract(Brief, version=1, **{argument: "qz"})  # type: ignore[arg-type]


def test_a_field_with_an_alias_is_a_fault() -> None:
    class Aliased(BaseModel):
        order_id: str = Field(alias="orderId")

    with pytest.raises(ContractInvalid, match="alias"):
        Contract(Aliased, version=1)


def test_a_model_name_that_is_no_identifier_is_a_fault() -> None:
    with pytest.raises(ContractInvalid, match="plain identifier"):
        Contract(type("a b", (Brief,), {}), version=1)


def test_a_model_that_contains_itself_has_a_schema_and_checks() -> None:
    contract = Contract(Tree, version=1, carried=["name"])
    assert set(contract.told_schema["properties"]) == {"kids"}
    assert check({"name": "a", "kids": [{"name": "b", "kids": []}]}, contract=contract)["kids"][0]["name"] == "b"


class Tree(BaseModel):
    name: str
    kids: list[Tree] = []


def test_the_told_schema_is_closed_and_leaves_out_what_is_carried() -> None:
    assert set(FINDING.told_schema["properties"]) == {"verdict"}
    assert FINDING.told_schema["required"] == ["verdict"]
    assert FINDING.told_schema["additionalProperties"] is False
    assert set(FINDING.schema["properties"]) == {"customer", "verdict"}


def test_a_digest_changes_with_every_rule_and_with_nothing_else() -> None:
    same = Contract(Finding, version=2, carried=["customer"])
    others = [
        Contract(Finding, version=3, carried=["customer"]),
        Contract(Finding, version=2),
        Contract(Finding, version=2, carried=["customer"], never=["pin"]),
        Contract(Finding, version=2, carried=["customer"], never=Never(detectors=("card_number",))),
        Contract(Finding, version=2, carried=["customer"], policy_fields=["verdict"]),
        Contract(Request, version=2, carried=["customer"]),
    ]
    assert same.digest == FINDING.digest
    assert len({c.digest for c in others} | {same.digest}) == len(others) + 1
    assert (same.id, repr(same)) == ("Finding@2", "Contract(Finding@2)")
