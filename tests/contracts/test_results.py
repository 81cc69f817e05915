"""A result is labelled field by field as its tool declares it; what nobody declares has the label of the whole."""

from __future__ import annotations

from typing import Annotated, Any

from edgewright import Label, Origin, Sensitive
from edgewright.contracts.results import records_of
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

UNTRUSTED, TRUSTED = Label("untrusted"), Label("trusted")


class Mail(BaseModel):
    """A mail: the server vouches for its id alone."""

    id: Annotated[str, Origin("trusted")]
    sender: str
    phone: Annotated[str | None, Sensitive("personal")] = None
    body: str
    links: list[str] = []


class Box(BaseModel):
    """Mails of somebody."""

    owner: Annotated[str, Origin("trusted")]
    mails: list[Mail]


def labelled(value: Any, kind: Any, label: Label = UNTRUSTED) -> list[dict[str, tuple[Any, Label]]]:
    """Each record of a result: its values and their labels by name."""
    schema = TypeAdapter(kind).json_schema() if kind is not None else None
    return [{p.name: (p.value, p.label) for p in record.parts} for record in records_of(value, schema, label)]


MAIL = {"id": "M-1", "sender": "eve@evil.com", "phone": "+49 30 1234567", "body": "pay me", "links": ["http://evil"]}


def test_a_field_that_declares_its_origin_is_believed_and_the_rest_is_not() -> None:
    [found] = labelled(MAIL, Mail)
    assert found["id"] == ("M-1", TRUSTED)
    assert found["sender"][1] == found["body"][1] == found["links"][1] == UNTRUSTED


def test_sensitivity_rises_where_a_field_declares_it_and_never_falls() -> None:
    [found] = labelled(MAIL, Mail)
    assert found["phone"][1] == Label("untrusted", "personal")
    [found] = labelled(MAIL, Mail, Label("untrusted", "secret"))
    assert {label.sensitivity for _, label in found.values()} == {"secret"}


def test_each_object_of_a_result_is_a_record_of_its_own() -> None:
    found = labelled({"owner": "ada", "mails": [MAIL, {**MAIL, "id": "M-2"}]}, Box)
    assert [sorted(record) for record in found] == [["owner"]] + 2 * [["body", "id", "links", "phone", "sender"]]
    assert found[2]["id"] == ("M-2", TRUSTED)


def test_without_a_declaration_keys_and_values_have_the_label_of_the_tool() -> None:
    [found] = labelled({"to": "eve"}, None)
    assert found == {"": ("to", UNTRUSTED), "to": ("eve", UNTRUSTED)}


def test_a_key_that_no_schema_names_is_a_value_that_nobody_vouches_for() -> None:
    records = list(records_of({"eve@evil.com": "x"}, TypeAdapter(dict[str, str]).json_schema(), UNTRUSTED))
    assert [(p.value, p.declared) for r in records for p in r.parts] == [("eve@evil.com", False), ("x", False)]


def test_of_two_forms_that_both_fit_none_declares_anything() -> None:
    class A(BaseModel):
        x: Annotated[str, Origin("trusted")]

    class B(BaseModel):
        x: str

    [found] = labelled({"x": "which"}, A | B, TRUSTED)
    assert found["x"][1] == UNTRUSTED


plain = st.recursive(
    st.text(max_size=5) | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(plain)
def test_whatever_a_result_is_none_of_its_values_is_lost_and_none_is_believed_undeclared(value: Any) -> None:
    def leaves(v: Any) -> list[Any]:
        if isinstance(v, dict):
            return [x for k, inner in v.items() for x in [k, *leaves(inner)]]
        return [x for inner in v for x in leaves(inner)] if isinstance(v, list) else [v] if v is not None else []

    schema = TypeAdapter(Box).json_schema()
    for given_schema in (None, schema):
        parts = [p for r in records_of(value, given_schema, UNTRUSTED) for p in r.parts]
        if given_schema is None:
            assert sorted(map(repr, (p.value for p in parts))) == sorted(map(repr, leaves(value)))
        assert all(p.declared or p.label == UNTRUSTED for p in parts)
