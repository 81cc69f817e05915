"""Digests of definitions, and how tools stand by them: pure decisions."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from edgewright.tools.foreign.declarations import Declaration
from edgewright.tools.foreign.wire import Listing, Standing, handle_of, standings
from hypothesis import given
from hypothesis import strategies as st

READ = Declaration(effect="read")
TOOL: dict[str, Any] = {
    "name": "search",
    "title": "Search",
    "description": "Search notes.",
    "inputSchema": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    "outputSchema": {"type": "object", "properties": {"found": {"type": "array", "items": {"type": "string"}}}},
    "annotations": {"readOnlyHint": True},
    "icons": [{"src": "https://a.example/i.png"}],
    "_meta": {"author": "us", "of/the": {"deep": [1, 2, {"deeper": None}]}},
    "whatever": {"comes": "next year"},
}


def stands(*tools: Any, declared: Any = None, pins: Any = None, instructions: str | None = None) -> list[Standing]:
    listing = Listing.of(tools, instructions)
    honest = {t.name: t.digest for t in listing.tools}
    return standings(listing, {"search": READ} if declared is None else declared, honest if pins is None else pins, "n")


def digest(tool: Any, instructions: str | None = None) -> str:
    [found] = Listing.of([tool], instructions).tools
    return found.digest


def changes(value: Any) -> list[Any]:
    """The value with one change, in every place: a leaf replaced, a key added, renamed or gone, an item added."""
    inner: list[Any]
    if isinstance(value, dict):
        inner = [{**value, key: one} for key in value for one in changes(value[key])]
        gone = [{k: v for k, v in value.items() if k != key} for key in value]
        renamed = [{(f"{k}_" if k == key else k): v for k, v in value.items()} for key in value]
        return [*inner, *gone, *renamed, {**value, "added": None}]
    if isinstance(value, list):
        inner = [[*value[:i], one, *value[i + 1 :]] for i in range(len(value)) for one in changes(value[i])]
        return [*inner, [*value, "added"], *([value[::-1]] if value[::-1] != value else [])]
    return ["other", None if value is not None else 0, [value]]


def test_every_change_anywhere_in_a_definition_changes_its_digest() -> None:
    every = changes(TOOL)
    assert len(every) > 100
    assert digest(TOOL) not in {digest(changed) for changed in every}


def test_instructions_are_in_every_digest_and_their_absence_is_no_empty_text() -> None:
    assert len({digest(TOOL), digest(TOOL, ""), digest(TOOL, "Be kind.")}) == 3


def test_the_order_of_keys_means_nothing() -> None:
    assert digest(dict(reversed(list(TOOL.items())))) == digest(TOOL)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), st.lists))
def test_whatever_a_definition_is_it_has_a_digest_or_is_in_quarantine(value: Any) -> None:
    for tool in (value, {**TOOL, "inputSchema": value}, {**TOOL, "_meta": value}, {**TOOL, "name": value}):
        [found] = stands(tool, declared={"search": READ, "": READ})
        assert found.tool.digest.startswith("sha256:") or found.reasons


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 2**64, "\ud800"], ids=repr)
def test_what_is_no_plain_json_has_no_digest_and_cannot_be_pinned(odd: Any) -> None:
    [found] = stands({**TOOL, "_meta": {"x": odd}}, pins={"search": digest(TOOL)})
    assert found.tool.digest == ""
    assert [r.split(":")[0] for r in found.reasons] == ["its definition has no digest"]


def test_a_tool_stands_well_only_as_it_was_pinned_and_declared() -> None:
    assert stands(TOOL)[0].callable
    pinned = {"search": digest(TOOL)}
    for changed in changes(TOOL):
        if isinstance(changed.get("name"), str):
            assert not stands(changed, pins=pinned, declared={changed["name"]: READ, "search": READ})[0].callable
    assert not stands(TOOL, pins=pinned, instructions="Be kind.")[0].callable
    assert not stands(TOOL, declared={})[0].callable
    assert not stands(TOOL, pins={})[0].callable
    assert not stands(TOOL, pins={"Search": digest(TOOL)})[0].callable


def test_a_pin_that_is_given_goes_before_the_one_in_the_declaration() -> None:
    old = Declaration(effect="read", pin="sha256:" + "0" * 64)
    assert not stands(TOOL, declared={"search": old}, pins={})[0].callable
    assert stands(TOOL, declared={"search": old})[0].callable
    new = Declaration(effect="read", pin=digest(TOOL))
    assert not stands(TOOL, declared={"search": new}, pins={"search": old.pin})[0].callable


@pytest.mark.parametrize("other", ["search", "Search", "SE_ARCH", "sea-rch", "ｓearch", "search "])
def test_names_that_can_be_taken_for_each_other_are_all_in_quarantine(other: str) -> None:
    twin = {**copy.deepcopy(TOOL), "name": other}
    for order in ((TOOL, twin), (twin, TOOL)):
        found = stands(*order, declared={"search": READ, other: READ})
        assert all(any("taken for each other" in r for r in each.reasons) for each in found)
    listing = Listing.of([TOOL, twin], None)
    assert "taken for each other" in str(listing.fault("search", digest(TOOL)))


def test_at_a_call_the_pin_is_compared_with_the_list_of_now() -> None:
    pin = digest(TOOL)
    assert Listing.of([TOOL], None).fault("search", pin) is None
    assert "offer it any more" in str(Listing.of([], None).fault("search", pin))
    assert "changed" in str(Listing.of([{**TOOL, "title": ""}], None).fault("search", pin))
    assert "changed" in str(Listing.of([TOOL], "Be kind.").fault("search", pin))
    assert "changed" in str(Listing.of([{**TOOL, "name": "Search"}], None).fault("search", pin))
    assert "changed" in str(Listing.of([{**TOOL, "_meta": float("nan")}], None).fault("search", ""))


HIDDEN = [*(chr(c) for c in range(0xFE00, 0xFE10)), *"\u3164\u115f\u1160\u034f\u180b\u180c\u2028\u2029\u2800\ue000"]


@pytest.mark.parametrize("hidden", [*HIDDEN, "\U000e0041", "\U000e0101", "\u200d", "a\u200d", "\u200d" * 9], ids=ascii)
def test_a_description_that_says_more_than_a_person_sees_is_in_quarantine(hidden: str) -> None:
    """threat 26: bytes can be written in characters that show nothing, and a model reads them."""
    described = {**TOOL, "description": f"Search notes.{hidden}"}
    schema = {**TOOL["inputSchema"], "properties": {"query": {"type": "string", "description": f"a{hidden}b"}}}
    for tool in (described, {**TOOL, "inputSchema": schema}):
        [found] = stands(tool)
        assert any("does not see" in r for r in found.reasons)


@pytest.mark.parametrize(
    "text", ["One\n\ttwo", "\U0001f469\u200d\U0001f4bb", "क\u094d\u200dष", "日本語", "naïve – 10 €"]
)
def test_a_description_that_a_person_sees_all_of_stands_well(text: str) -> None:
    assert stands({**TOOL, "description": text})[0].callable


@given(st.text(max_size=80))
def test_a_handle_is_a_name_that_policy_takes_or_the_tool_is_in_quarantine(name: str) -> None:
    [found] = stands({**TOOL, "name": name}, declared={name: READ})
    plain = set("abcdefghijklmnopqrstuvwxyz0123456789_")
    assert found.reasons or (set(found.handle) <= plain and len(found.handle) <= 63 and found.handle[0] == "n")


def test_handles_are_lower_case_and_have_a_prefix() -> None:
    assert [handle_of(n, "x") for n in ("Repo.search", "do-it", "a/b", "_a_")] == [
        "x_repo_search",
        "x_do_it",
        "x_a_b",
        "x_a",
    ]
