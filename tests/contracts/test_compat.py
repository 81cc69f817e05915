"""What a change of a contract breaks; and that what is called safe is, for ten thousand random pairs of schemas."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from datetime import date
from random import Random
from typing import Annotated, Any, Literal

import orjson
import pytest
from edgewright.contracts.compat import Change, diff, verdict
from edgewright.contracts.json_schema import closed
from edgewright.contracts.places import bare
from edgewright.contracts.subsumption import included
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import BaseModel, Field, ValidationError, create_model
from referencing import Registry
from support import random_schemas

Document = dict[str, Any]
PAIRS = 10_000
READERS, WRITERS, SECURITY = "breaks_readers", "breaks_writers", "changes_security"


def with_x(kind: Any, default: Any = ..., **more: Any) -> Document:
    made = create_model("M", x=(kind, default), **more)
    return made.model_json_schema()


def rules(**told: Any) -> Document:
    never = {"fields": [], "sensitivities": [], "detectors": [], **told.pop("never", {})}
    return {"x-contract": {"name": "M", "version": 1, "carried": [], "policy_fields": [], **told, "never": never}}


def kinds(found: list[Change]) -> set[str]:
    return {str(c.kind) for c in found} - {"safe"}


def only(found: list[Change], kind: str) -> Change:
    [change] = [c for c in found if c.kind == kind]
    return change


class A(BaseModel):
    kind: Literal["a"]
    amount: int


class B(BaseModel):
    kind: Literal["b"]


class C(BaseModel):
    kind: Literal["c"]


class IntNode(BaseModel):
    v: int
    inner: IntNode | None = None


class FloatNode(BaseModel):
    v: float
    inner: FloatNode | None = None


AB = Annotated[A | B, Field(discriminator="kind")]
ABC = Annotated[A | B | C, Field(discriminator="kind")]


# -- soundness -------------------------------------------------------------------------------------------------------


def violations(
    found: list[Change],
    documents: tuple[Document, Document],
    accept: tuple[Callable[[Any], bool], Callable[[Any], bool]],
    rng: Random,
    count: Counter[str],
) -> list[str]:
    """Documents that one version accepts and the other refuses, although the diff calls that direction safe."""
    wrong = []
    for kind, first, second in ((WRITERS, 0, 1), (READERS, 1, 0)):
        if kind in kinds(found):
            continue
        count[f"no {kind}"] += 1
        count[f"no {kind}, though changed"] += bare(documents[0]) != bare(documents[1])
        for _ in range(8):
            source = documents[first] if rng.random() < 0.7 else documents[second]
            document = random_schemas.fitting(rng, source, source)
            if not accept[first](document):
                continue
            count["documents accepted"] += 1
            if not accept[second](document):
                wrong.append(f"{kind}: {document!r}\n  {documents[0]}\n  {documents[1]}")
    return wrong


def by_schema(document: Document) -> Callable[[Any], bool]:
    checker = Draft202012Validator(closed(document), format_checker=FormatChecker(["date"]), registry=Registry())

    def accepts(value: Any) -> bool:
        found: bool = checker.is_valid(value)
        return found

    return accepts


def by_model(model: type[BaseModel]) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        try:
            model.__pydantic_validator__.validate_json(orjson.dumps(value), strict=True, extra="forbid")
        except ValidationError:
            return False
        return True

    return accepts


def schema_pair(seed: int, count: Counter[str]) -> list[str]:
    rng = Random(seed)
    old = random_schemas.document(rng)
    new = random_schemas.mutated(rng, old) if rng.random() < 0.8 else random_schemas.document(rng)
    return violations(diff(old, new), (old, new), (by_schema(old), by_schema(new)), rng, count)


def model_pair(seed: int, count: Counter[str]) -> list[str]:
    rng = Random(seed)
    was = random_schemas.fields(rng, 2)
    now = random_schemas.changed(rng, was) if rng.random() < 0.85 else random_schemas.fields(rng, 2)
    one, other = random_schemas.model(was), random_schemas.model(now)
    documents = (one.model_json_schema(), other.model_json_schema())
    return violations(diff(*documents), documents, (by_model(one), by_model(other)), rng, count)


@pytest.mark.slow
def test_ten_thousand_pairs_hold_no_unsound_safe() -> None:
    schemas, models = Counter[str](), Counter[str]()
    wrong = [w for seed in range(PAIRS * 7 // 10) for w in schema_pair(seed, schemas)]
    wrong += [w for seed in range(PAIRS * 3 // 10) for w in model_pair(seed, models)]
    print(f"\n{PAIRS * 7 // 10} pairs of schemas: {dict(schemas)}\n{PAIRS * 3 // 10} pairs of models: {dict(models)}")
    assert wrong == []
    for kind in (WRITERS, READERS):  # nor is it sound by calling nothing safe
        assert schemas[f"no {kind}, though changed"] > 700
        assert models[f"no {kind}, though changed"] > 100
    assert schemas["documents accepted"] > 20_000
    assert models["documents accepted"] > 3_000


@settings(max_examples=150, deadline=None)
@given(st.integers(min_value=10**6, max_value=2**40))
def test_a_pair_called_safe_refuses_nothing_that_was_accepted(seed: int) -> None:
    assert schema_pair(seed, Counter()) == []
    assert model_pair(seed, Counter()) == []


@settings(max_examples=100, deadline=None)
@given(st.integers(min_value=0, max_value=2**40))
def test_a_document_compared_with_itself_has_no_change(seed: int) -> None:
    document = random_schemas.document(Random(seed))
    assert diff(document, copy.deepcopy(document)) == []


# -- each rule -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (with_x(int), with_x(float), {READERS}),
        (with_x(float), with_x(int), {WRITERS}),
        (with_x(int), with_x(int | None), {READERS}),
        (with_x(int | None), with_x(int), {WRITERS}),
        (with_x(int), with_x(bool), {WRITERS, READERS}),
        (with_x(Literal["a"]), with_x(Literal["a", "b"]), {READERS}),
        (with_x(Literal["a", "b"]), with_x(Literal["b"]), {WRITERS}),
        (with_x(Literal["a"]), with_x(str), {READERS, SECURITY}),
        (with_x(Literal["a", "b"] | None), with_x(Literal["a", "b"]), {WRITERS}),
        (with_x(bool), with_x(str), {WRITERS, READERS, SECURITY}),
        (with_x(date), with_x(str), {READERS, SECURITY}),
        (with_x(str), with_x(date), {WRITERS}),
        (with_x(Annotated[int, Field(gt=0)]), with_x(Annotated[int, Field(ge=1)]), set()),
        (with_x(Annotated[float, Field(gt=0)]), with_x(Annotated[float, Field(ge=1)]), {WRITERS}),
        (with_x(Annotated[int, Field(ge=0, le=9)]), with_x(int), {READERS, SECURITY}),
        (with_x(Annotated[int, Field(multiple_of=4)]), with_x(Annotated[int, Field(multiple_of=2)]), {READERS}),
        (with_x(Annotated[str, Field(max_length=5)]), with_x(Annotated[str, Field(max_length=9)]), {READERS}),
        (with_x(Annotated[str, Field(pattern="a")]), with_x(str), {READERS}),
        (with_x(str), with_x(Annotated[str, Field(pattern="a")]), {WRITERS}),
        (with_x(list[int]), with_x(Annotated[list[int], Field(max_length=3)]), {WRITERS}),
        (with_x(tuple[int, int]), with_x(list[int]), {READERS}),
        (with_x(list[int]), with_x(set[int]), {WRITERS}),
        (with_x(dict[str, int]), with_x(dict[str, float]), {READERS}),
        (with_x(dict[Literal["a"], int]), with_x(dict[str, int]), {READERS}),
        (with_x(A), with_x(dict[str, Any]), {READERS}),
        (with_x(AB), with_x(ABC), {READERS}),
        (with_x(ABC), with_x(AB), {WRITERS}),
        (with_x(AB), with_x(A | B), set()),
        (with_x(list[IntNode]), with_x(list[FloatNode]), {READERS}),
        (with_x(Any), with_x(int), {WRITERS}),
        (with_x(str), with_x(str, "x"), {READERS}),
        (with_x(str, "x"), with_x(str), {WRITERS}),
        (with_x(str, "x"), with_x(str, "y"), set()),
        (with_x(int, 1), with_x(int, None), {READERS}),
        (with_x(str), with_x(str, y=(int | None, None)), {READERS}),
        (with_x(str, y=(int | None, None)), with_x(str), {WRITERS}),
        (with_x(str), with_x(Annotated[str, Field(description="words")]), set()),
    ],
)
def test_a_change_breaks_whom_it_breaks_and_nobody_else(old: Document, new: Document, expected: set[str]) -> None:
    found = diff(old, new)
    assert kinds(found) == expected, found
    assert found, "a change is told even where it is safe"


def test_a_set_that_becomes_a_list_of_the_same_bound_breaks_writers_because_sets_are_counted_without_repetitions() -> (
    None
):
    old, new = with_x(Annotated[set[int], Field(max_length=2)]), with_x(Annotated[list[int], Field(max_length=2)])
    assert WRITERS in kinds(diff(old, new))
    assert "repetitions" in only(diff(old, new), WRITERS).reason


def test_a_number_among_constants_lets_its_twins_pass_and_a_whole_number_does_not() -> None:
    assert by_model(create_model("M", x=(Literal[1, 2], ...)))({"x": True})
    assert WRITERS in kinds(diff(with_x(Literal[1, 2]), with_x(int)))


def test_bytes_are_not_measured_as_text_is() -> None:
    old, new = with_x(Annotated[bytes, Field(min_length=2)]), with_x(Annotated[str, Field(min_length=2)])
    assert WRITERS in kinds(diff(old, new))


def test_a_rename_is_a_removal_and_an_addition_and_is_recognised() -> None:
    found = diff(
        create_model("M", cust=(str, ...)).model_json_schema(),
        create_model("M", customer=(str, ...)).model_json_schema(),
    )
    assert {c.path for c in found} == {"cust", "customer"}
    assert any("renamed to 'customer'" in c.reason for c in found)
    assert any("renamed from 'cust'" in c.reason for c in found)


def test_a_reason_says_what_was_and_what_is() -> None:
    old, new = with_x(Annotated[str, Field(max_length=50)]), with_x(Annotated[str, Field(max_length=20)])
    assert only(diff(old, new), WRITERS).reason == (
        "Accepted until now: up to 50 characters. Accepted from now on: up to 20 characters."
    )


def test_a_change_deep_inside_has_the_path_that_people_call_it_by() -> None:
    line, wider = create_model("Line", amount=(int, ...)), create_model("Line", amount=(float, ...))
    assert only(diff(with_x(list[line]), with_x(list[wider])), READERS).path == "x[].amount"  # type: ignore[valid-type]
    assert only(diff(with_x(dict[str, int]), with_x(dict[str, float])), READERS).path == "x{}"


@pytest.mark.parametrize(
    "odd", [{"pattern": "^b"}, {"not": {"const": 1}}, {"if": {"type": "string"}}, {"contentEncoding": "base64"}]
)
def test_what_cannot_be_decided_counts_as_breaking_and_says_so(odd: Document) -> None:
    old = {"type": "object", "properties": {"x": {"type": "string", "pattern": "^a"}}}
    new = {"type": "object", "properties": {"x": {"type": "string", **odd}}}
    found = diff(old, new)
    assert {READERS, WRITERS} <= kinds(found)
    assert any("could not be decided" in c.reason for c in found)


def test_a_union_that_leads_back_to_itself_proves_nothing() -> None:
    loop = {"anyOf": [{"$ref": "#/$defs/Loop"}, {"type": "string"}]}
    new = {"type": "object", "properties": {"x": {"$ref": "#/$defs/Loop"}}, "required": ["x"], "$defs": {"Loop": loop}}
    assert WRITERS in kinds(diff(with_x(int), new))


def test_a_schema_made_to_explode_ends_as_undecided() -> None:
    deep: Document = {f"D{i}": {"type": "object", "properties": {}} for i in range(30)}
    for i in range(30):
        deep[f"D{i}"]["properties"]["a"] = {"anyOf": [{"$ref": f"#/$defs/D{i + 1}"}] * 2 + [{"type": "null"}]}
    old = {"type": "object", "properties": {"x": {"$ref": "#/$defs/D0"}}, "$defs": {**deep, "D30": {"type": "number"}}}
    new = {**old, "$defs": {**deep, "D30": {"type": "integer"}}}
    found = diff(old, new)
    assert {WRITERS, SECURITY} <= kinds(found)


@pytest.mark.timeout(30)
def test_forms_that_are_made_of_each_other_end_soon() -> None:
    def forms(kind: str) -> Document:
        refs = [{"$ref": f"#/$defs/D{i}"} for i in range(4)]
        defs: Document = {
            f"D{i}": {
                "oneOf": [
                    {"type": "object", "properties": {"v": {"type": kind}, "p": refs[i - 1]}, "required": ["p"]},
                    *(
                        {"type": "object", "properties": {"k": one, "m": {"oneOf": refs}}, "required": ["k", "m"]}
                        for one in refs
                    ),
                ]
            }
            for i in range(4)
        }
        return {"type": "object", "properties": {"x": refs[0]}, "$defs": defs}

    assert {WRITERS, READERS} & kinds(diff(forms("integer"), forms("number")))


def test_a_default_that_changed_is_told_as_a_change_of_behaviour() -> None:
    [change] = diff(with_x(bool, False), with_x(bool, True))
    assert change.kind == "safe"
    assert "from false to true" in change.reason
    assert "behaviour changes" in change.reason


def test_inclusion_is_proven_for_recursive_schemas() -> None:
    assert included(IntNode.model_json_schema(), FloatNode.model_json_schema()) == []
    assert included(FloatNode.model_json_schema(), IntNode.model_json_schema()) != []


def test_one_of_two_forms_that_overlap_takes_nothing_that_is_in_both() -> None:
    def holding(x: Any) -> Document:
        return {"type": "object", "properties": {"x": x}}

    text, short = {"type": "string"}, {"type": "string", "maxLength": 3}
    assert WRITERS in kinds(diff(holding(short), holding({"oneOf": [text, short]})))
    assert WRITERS not in kinds(diff(holding(short), holding({"anyOf": [text, short]})))
    assert WRITERS not in kinds(diff(holding(short), holding({"oneOf": [text, {"type": "integer"}]})))


def test_keys_of_a_mapping_are_compared_as_its_values_are() -> None:
    one, two = with_x(dict[Literal["a"], int]), with_x(dict[Literal["a", "b"], int])
    assert kinds(diff(one, two)) == {READERS}
    assert kinds(diff(two, one)) == {WRITERS}
    assert kinds(diff(with_x(dict[str, int]), one)) == {WRITERS}


# -- security --------------------------------------------------------------------------------------------------------


def labelled(**labels: str) -> Document:
    return with_x(Annotated[str, Field(json_schema_extra={f"x-{k}": v for k, v in labels.items()})])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (labelled(sensitivity="secret"), labelled(), "lowered from secret to internal"),
        (labelled(), labelled(sensitivity="personal"), "raised from internal to personal"),
        (labelled(registry="customers"), labelled(), "registry 'customers' is gone"),
        (labelled(registry="customers"), labelled(registry="orders"), "'orders' now, 'customers' until now"),
        (labelled(origin="untrusted"), labelled(), "x-origin changed"),
    ],
)
def test_a_label_that_changes_changes_security(old: Document, new: Document, said: str) -> None:
    assert any(c.kind == SECURITY and c.path == "x" and said in c.reason for c in diff(old, new))


@pytest.mark.parametrize("key", ["fields", "sensitivities", "detectors"])
def test_a_never_that_is_lost_changes_security(key: str) -> None:
    old, new = {**with_x(str), **rules(never={key: ["pin"]})}, {**with_x(str), **rules()}
    assert "'pin'" in only(diff(old, new), SECURITY).reason
    assert kinds(diff(new, old)) == set()  # no bound and no mapping: nothing can be refused for it


def test_a_never_that_is_new_breaks_writers_where_a_document_could_be_refused_for_it() -> None:
    old, new = rules(), rules(never={"fields": ["pin"]})
    assert kinds(diff({**with_x(dict[str, str]), **old}, {**with_x(dict[str, str]), **new})) == {WRITERS}
    bounded = with_x(Annotated[str, Field(max_length=9)])
    assert kinds(diff({**bounded, **old}, {**bounded, **rules(never={"detectors": ["secret"]})})) == {WRITERS}


def test_a_field_that_is_carried_no_more_changes_security() -> None:
    old, new = {**with_x(str), **rules(carried=["x"])}, {**with_x(str), **rules()}
    assert kinds(diff(old, new)) == {SECURITY, WRITERS}
    assert kinds(diff(new, old)) == {SECURITY, WRITERS}


def test_what_policy_reads_changes_security_only() -> None:
    old, new = {**with_x(str), **rules(policy_fields=["x"])}, {**with_x(str), **rules()}
    assert kinds(diff(old, new)) == {SECURITY}


def test_a_free_field_in_a_contract_of_closed_types_changes_security() -> None:
    found = diff(with_x(bool), with_x(bool, y=(str, "")))
    assert only(found, SECURITY).path == "payload"


def test_the_gravest_kind_is_the_verdict() -> None:
    assert verdict([]) == "safe"
    assert verdict(diff(with_x(bool), with_x(str))) == SECURITY
    assert verdict(diff(with_x(str, "x"), with_x(str, "y"))) == "safe"
