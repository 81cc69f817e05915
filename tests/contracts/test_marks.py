"""Marks: each once, in the order they came up; what is partial; a contract that takes nothing partial."""

from __future__ import annotations

from typing import Any

import pytest
from edgewright import Contract
from edgewright.contracts.compat import diff, verdict
from edgewright.contracts.errors import ContractInvalid
from edgewright.contracts.marks import MARKS, Mark, joined, partial
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

MARK = st.builds(Mark, st.sampled_from(MARKS), st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"]))


class Report(BaseModel):
    text: str


def plain(marks: list[Mark]) -> list[dict[str, str]]:
    return [m.as_json() for m in marks]


@given(st.lists(MARK), st.lists(MARK))
def test_joining_keeps_each_mark_once_and_loses_none(one: list[Mark], other: list[Mark]) -> None:
    found = joined(plain(one), plain(other))
    assert joined(found, found) == found
    assert found[: len(joined(plain(one)))] == joined(plain(one))
    assert {tuple(m.values()) for m in found} == {tuple(m.as_json().values()) for m in [*one, *other]}
    assert len({tuple(m.values()) for m in found}) == len(found)


@given(st.lists(MARK))
def test_a_gap_and_what_is_partial_are_missing_and_nothing_else_is(marks: list[Mark]) -> None:
    assert [m.kind for m in partial(marks)] == [m.kind for m in marks if m.kind == "gap"]


def test_a_kind_that_is_none_is_refused() -> None:
    wrong: Any = "better"
    with pytest.raises(ValueError, match="known: degraded, fallback, cached, gap"):
        Mark(wrong, "a", "x")


# -- the contract that takes nothing partial --------------------------------------------------------------------------


def test_a_contract_that_takes_partial_input_has_the_digest_that_it_always_had() -> None:
    plain_one = Contract(Report, version=1)
    assert "partial" not in plain_one.document["x-contract"]
    assert Contract(Report, version=1, partial="take").digest == plain_one.digest
    assert Contract(Report, version=1, partial="refuse").digest != plain_one.digest


def test_refusing_partial_input_stands_in_the_document_and_comes_out_of_it_again() -> None:
    strict = Contract(Report, version=1, partial="refuse")
    assert strict.document["x-contract"]["partial"] == "refuse"
    again = Contract.from_schema(strict.document)
    assert (again.partial, again.digest) == ("refuse", strict.digest)
    assert Contract.from_schema(Contract(Report, version=1).document).partial == "take"


def test_a_change_of_it_is_no_safe_change() -> None:
    old, new = Contract(Report, version=1), Contract(Report, version=2, partial="refuse")
    assert verdict(diff(old.document, new.document)) != "safe"


def test_a_word_that_it_does_not_know_is_refused() -> None:
    wrong: Any = "reject"
    with pytest.raises(ContractInvalid, match="partial='reject': takes one of 'take', 'refuse'"):
        Contract(Report, version=1, partial=wrong)
