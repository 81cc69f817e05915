"""What Pydantic enforces beyond JSON Schema stands in the document, moves the digest, and is compared."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Annotated, Any, Literal

import orjson
import pytest
from edgewright import Contract, Id
from edgewright.contracts.compat import diff
from edgewright.contracts.errors import ContractInvalid
from edgewright.contracts.json_schema import without_beyond
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NaiveDatetime,
    PastDate,
    PlainSerializer,
    SkipValidation,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    computed_field,
    create_model,
    field_validator,
    model_validator,
)

READERS, WRITERS, SECURITY = "breaks_readers", "breaks_writers", "changes_security"


def contract(kind: Any, default: Any = ..., **more: Any) -> Contract:
    return Contract(create_model("M", x=(kind, default), **more), version=1)


def kinds(old: Contract, new: Contract) -> set[str]:
    return {str(c.kind) for c in diff(old.document, new.document)} - {"safe"}


def day(**bounds: int) -> Any:
    limits: dict[str, Any] = {k: date(year, 1, 1) for k, year in bounds.items()}
    return Annotated[date, Field(**limits)]


def money(**rules: Any) -> Any:
    return Annotated[Decimal, Field(**rules)]


def many(kind: Any) -> Any:
    return list[kind]


def named(kind: Any) -> Any:
    return dict[str, kind]


def hours(most: int) -> Any:
    return Annotated[timedelta, Field(le=timedelta(hours=most))]


def same(value: Any) -> Any:
    return value


def other(value: Any) -> Any:
    return value or value


def text(**rules: Any) -> Any:
    return Annotated[str, StringConstraints(**rules)]


def above(limit: int) -> Any:
    def check(value: int) -> int:
        assert value > limit
        return value

    return Annotated[int, AfterValidator(check)]


# -- decided ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        (money(), money(max_digits=5)),
        (money(max_digits=10), money(max_digits=3)),
        (money(decimal_places=3), money(decimal_places=2)),
        (money(max_digits=5, decimal_places=2), money(max_digits=4, decimal_places=1)),
        (money(ge=0), money(gt=0)),
        (money(le=Decimal("9.5")), money(le=9)),
        (date, day(ge=2020)),
        (day(ge=2020), day(ge=2030)),
        (day(lt=2030), day(lt=2020)),
        (day(ge=2020), day(gt=2020)),
        (hours(2), hours(1)),
        (datetime, AwareDatetime),
        (datetime, NaiveDatetime),
        (date, PastDate),
        (money(max_digits=5) | None, money(max_digits=3) | None),
        (many(day(ge=2020)), many(day(ge=2030))),
        (named(day(ge=2020)), named(day(ge=2030))),
    ],
)
def test_a_tighter_condition_breaks_writers_and_a_looser_one_readers(wide: Any, narrow: Any) -> None:
    old, new = contract(wide), contract(narrow)
    assert old.digest != new.digest
    assert kinds(old, new) == {WRITERS}
    assert kinds(new, old) == {READERS}
    assert kinds(old, contract(wide)) == set()


def test_more_decimal_places_of_as_many_digits_leave_fewer_before_the_point() -> None:
    old, new = contract(money(max_digits=5, decimal_places=2)), contract(money(max_digits=5, decimal_places=3))
    assert kinds(old, new) == {WRITERS, READERS}


def test_a_moment_is_compared_across_time_zones_and_not_with_one_that_has_none() -> None:
    utc = contract(Annotated[datetime, Field(ge=datetime(2020, 1, 1, tzinfo=UTC))])
    later = contract(Annotated[datetime, Field(ge=datetime.fromisoformat("2020-01-01T01:00:00+02:00"))])
    assert kinds(utc, later) == {READERS}
    assert kinds(utc, contract(Annotated[datetime, Field(ge=datetime(2019, 1, 1))])) == {WRITERS, READERS}  # noqa: DTZ001


# -- in doubt --------------------------------------------------------------------------------------------------------


class Strips(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)
    x: str


class Keeps(BaseModel):
    x: str


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (str, text(strip_whitespace=True)),
        (str, text(to_lower=True)),
        (text(to_lower=True), text(to_upper=True)),
        (int | str, Annotated[int | str, Field(union_mode="left_to_right")]),
        (int, Annotated[int, AfterValidator(same)]),
        (Annotated[int, AfterValidator(same)], Annotated[int, AfterValidator(other)]),
        (Annotated[int, BeforeValidator(same)], Annotated[int, BeforeValidator(other)]),
        (Annotated[int, BeforeValidator(same)], Annotated[int, AfterValidator(same)]),
        (Annotated[int, PlainSerializer(same)], Annotated[int, PlainSerializer(other)]),
        (above(3), above(4)),
        (many(above(3)), many(above(4))),
        (Strips, Keeps),
        (Annotated[str, Field(max_length=9)], Annotated[str, Field(json_schema_extra={"maxLength": 9})]),
    ],
)
def test_what_changes_a_value_or_runs_code_is_in_doubt_and_breaks_both(one: Any, two: Any) -> None:
    old, new = contract(one), contract(two)
    assert old.digest != new.digest
    for found in (diff(old.document, new.document), diff(new.document, old.document)):
        assert {c.kind for c in found} == {WRITERS, READERS}
        assert all("could not be decided" in c.reason for c in found)
    assert contract(one).digest == old.digest
    assert diff(old.document, contract(one).document) == []


def with_method(method: str) -> Contract:
    class M(BaseModel):
        x: int

        if method == "field":

            @field_validator("x")
            @classmethod
            def check(cls, value: int) -> int:
                return value

        elif method == "model":

            @model_validator(mode="after")
            def whole(self) -> M:
                return self

        elif method == "init":

            def model_post_init(self, context: Any) -> None:
                object.__setattr__(self, "x", 0)

        elif method == "computed":

            @computed_field  # type: ignore[prop-decorator]
            @property
            def twice(self) -> int:
                return self.x * 2

    return Contract(M, version=1)


@pytest.mark.parametrize("method", ["field", "model", "init", "computed"])
def test_a_method_that_decides_is_seen(method: str) -> None:
    plain, with_code = with_method(""), with_method(method)
    assert plain.digest != with_code.digest
    assert {WRITERS, READERS} <= kinds(plain, with_code)
    assert diff(with_code.document, with_method(method).document) == []


def test_code_that_did_not_change_gives_no_row_where_something_else_did() -> None:
    class Line(BaseModel):
        when: day(ge=2020)  # type: ignore[valid-type]

        @model_validator(mode="after")
        def whole(self) -> Line:
            return self

    def holding(n: Any) -> Contract:
        inner = create_model("N", q=(n, ...))
        more: dict[str, Any] = {"y": (Line, ...), "z": (Line | None, None), "n": (inner, ...)}
        return contract(money() | None, **more)

    assert [(c.path, c.kind) for c in diff(holding(int).document, holding(float).document)] == [("n.q", READERS)]


def test_the_document_is_the_same_in_another_process() -> None:
    code = (
        "from typing import Annotated\nfrom decimal import Decimal\nfrom pydantic import *\nfrom edgewright import *\n"
        "from annotated_types import Predicate\n"
        "class M(BaseModel):\n"
        "    a: Annotated[str, Predicate(str.islower)]\n    b: HttpUrl\n"
        "    c: Annotated[Decimal, Field(max_digits=3)]\n"
        "    d: set[int] = Field(default_factory=set)\n    e: Annotated[float, AfterValidator(abs)]\n"
        "    f: Annotated[int, AfterValidator(lambda v: v)]\n"
        "print(Contract(M, version=1).digest)"
    )
    env = {**os.environ}
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**env, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_a_document_that_says_what_nobody_there_can_check_is_not_loaded() -> None:
    for kind in (money(max_digits=3), Annotated[int, AfterValidator(same)]):
        document = contract(kind).document
        with pytest.raises(ContractInvalid, match=r"x-(constraints|validated)"):
            Contract.from_schema(document)
        assert Contract.from_schema(without_beyond(document)).closed == frozenset()


def test_a_plain_contract_has_nothing_beyond_its_schema() -> None:
    plain = contract(int, y=(str | None, None), z=(list[Keeps], []), id=(Annotated[str, Id("customers")], ...))
    assert b"x-constraints" not in orjson.dumps(plain.document)
    assert b"x-validated" not in orjson.dumps(plain.document)
    assert Contract.from_schema(plain.document).digest == plain.digest


# -- closed types ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        Annotated[str, WithJsonSchema({"type": "boolean"})],
        Annotated[str, WithJsonSchema({"enum": ["a", "b"]})],
        Annotated[str, Field(json_schema_extra={"format": "date"})],
        Annotated[str, Field(json_schema_extra={"enum": ["a", "b"]})],
        Annotated[Any, WithJsonSchema({"type": "boolean"})],
        SkipValidation[bool],
        Annotated[list[bool], Field(json_schema_extra={"maxItems": 3})],
        Annotated[int, Field(json_schema_extra={"minimum": 0, "maximum": 9})],
        Annotated[SkipValidation[bool], Field(max_length=3)] | None,
    ],
)
def test_a_schema_that_claims_what_the_validator_does_not_hold_is_not_closed(kind: Any) -> None:
    made = contract(kind)
    assert made.closed == frozenset()
    assert any("claims a closed type" in said for said in made.warnings)


def test_a_validator_that_stops_holding_a_closed_type_changes_security() -> None:
    assert SECURITY in kinds(contract(bool), contract(SkipValidation[bool]))


def test_code_after_or_before_a_closed_type_leaves_it_closed() -> None:
    for code in (AfterValidator(same), BeforeValidator(same)):
        assert contract(Annotated[Literal["a", "b"], code]).closed == {"x"}


@pytest.mark.parametrize(("name", "closed"), [("date", True), ("time", False), ("date-time", False)])
def test_of_the_formats_of_a_document_only_a_date_is_of_bounded_length(name: str, closed: bool) -> None:
    inner = {"type": "string", "format": name}
    made = Contract.from_schema({"title": "M", "type": "object", "properties": {"x": inner}, "required": ["x"]})
    assert made.closed == (frozenset("x") if closed else frozenset())


# -- soundness -------------------------------------------------------------------------------------------------------


def _kind(rng: Random) -> tuple[Any, Any]:
    """A constrained type, and a source of values near its bounds."""
    bounds = rng.sample(["ge", "gt", "le", "lt"], rng.randrange(3))
    if rng.random() < 0.5:
        kind = day(**{b: rng.choice([2019, 2020, 2021]) for b in bounds})
        return kind, lambda: f"{rng.choice([2018, 2019, 2020, 2021, 2022])}-01-01"
    rules: dict[str, Any] = {b: rng.choice([0, 1, Decimal("1.5")]) for b in bounds}
    rules |= {k: rng.choice([1, 2, 3]) for k in rng.sample(["max_digits", "decimal_places"], rng.randrange(3))}
    if rules.get("decimal_places", 0) > rules.get("max_digits", 9):
        del rules["decimal_places"]
    return money(**rules), lambda: rng.choice(["0", "1", "1.5", "1.25", "0.125", "12", "12.5", "123", "-1", 1, 2])


@settings(max_examples=300, deadline=None)
@given(st.integers(min_value=0, max_value=2**40))
def test_bounds_called_safe_refuse_nothing_that_was_accepted(seed: int) -> None:
    rng = Random(seed)
    (one, values), (two, _) = _kind(rng), _kind(rng)
    made = (contract(one), contract(two))
    told = kinds(*made)

    def takes(index: int, value: Any) -> bool:
        try:
            made[index].model.__pydantic_validator__.validate_json(orjson.dumps({"x": value}), strict=True)
        except ValidationError:
            return False
        return True

    for value in [values() for _ in range(12)]:
        assert WRITERS in told or not takes(0, value) or takes(1, value), (one, two, value)
        assert READERS in told or not takes(1, value) or takes(0, value), (one, two, value)
