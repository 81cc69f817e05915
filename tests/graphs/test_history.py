"""What crosses beside a payload: a chat that every provider takes, cut like the payload, and nothing of a provider."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from edgewright.agents.handoff import OURS
from edgewright.contracts.contract import Contract, Never
from edgewright.contracts.edge import ALL, NO_HISTORY, History, last
from edgewright.graphs.history import EARLIER, as_text, chosen, crossing, plain, valid, without
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import tool_call
from pydantic import BaseModel
from support.chats import faults_of_chat
from support.talks import INTENTS, PROVIDER, talks

SUMMARY = History(kind="summary")
rules = st.sampled_from([NO_HISTORY, ALL, SUMMARY]) | st.integers(1, 9).map(last)


def as_is(value: Any) -> Any:
    """Cuts nothing."""
    return value


def crossed(talk: Sequence[Any], rule: History = ALL) -> list[AnyMessage]:
    """What crosses of a talk when nothing is cut."""
    return crossing(talk, rule, intents=INTENTS, clean=as_is)


def called(*names: str, text: str = "", first: int = 0) -> AIMessage:
    """A reply with calls of these tools; their ids are numbered."""
    return AIMessage(text, tool_calls=[tool_call(name=n, args={}, id=f"c{first + i}") for i, n in enumerate(names)])


def result(number: int, text: str = "ok") -> ToolMessage:
    """The result of a numbered call."""
    return ToolMessage(text, tool_call_id=f"c{number}")


def told(messages: Sequence[AnyMessage]) -> list[tuple[str, str, list[str]]]:
    """Kind, text and called tools of each message."""
    return [(m.type, str(m.text), [c["name"] for c in getattr(m, "tool_calls", ())]) for m in messages]


# -- properties ------------------------------------------------------------------------------------------------------


@given(talks(), rules)
def test_what_crosses_is_a_valid_chat_for_every_provider(talk: list[AnyMessage], rule: History) -> None:
    assert faults_of_chat(crossed(talk, rule)) == []


@given(talks(), rules, talks(), rules)
def test_what_crosses_over_two_edges_is_a_valid_chat_too(
    first: list[AnyMessage], rule: History, second: list[AnyMessage], then: History
) -> None:
    handed = [*crossed(first, rule), HumanMessage("the brief"), *second]
    assert faults_of_chat(crossed(handed, then)) == []
    assert faults_of_chat([*crossed(handed, then), HumanMessage("the next brief")]) == []


@given(talks())
def test_what_is_valid_stays_as_it_is(talk: list[AnyMessage]) -> None:
    once = crossed(talk)
    assert valid(once) == once
    assert crossed(once) == once


@given(talks(), rules)
def test_nothing_of_a_provider_crosses(talk: list[AnyMessage], rule: History) -> None:
    found = crossed(talk, rule)
    assert PROVIDER not in json.dumps([m.model_dump() for m in found])
    for message in found:
        assert (message.id, message.additional_kwargs, message.response_metadata) == (None, {}, {})


@given(talks(), rules)
def test_no_handover_and_no_word_about_one_crosses(talk: list[AnyMessage], rule: History) -> None:
    found = crossed(talk, rule)
    assert not {c["name"] for m in found if isinstance(m, AIMessage) for c in m.tool_calls} & INTENTS
    assert "Correct it." not in [m.text for m in found]


@given(talks(), st.integers(1, 9))
def test_last_lets_the_newest_messages_cross_and_at_most_a_word_before_them(talk: list[AnyMessage], count: int) -> None:
    every, found = told(crossed(talk)), told(crossed(talk, last(count)))
    every, found = ([m for m in messages if m[1] != EARLIER] for messages in (every, found))
    assert len(found) <= count
    assert found == every[len(every) - len(found) :]


@given(talks(), rules)
def test_every_text_argument_and_name_that_crosses_was_cut(talk: list[AnyMessage], rule: History) -> None:
    cut: list[Any] = []

    def clean(value: Any) -> Any:
        cut.append(value)
        return {"cut": True} if isinstance(value, dict) else "cut"

    found = crossing(talk, rule, intents=INTENTS, clean=clean)
    assert {str(m.text) for m in found} <= {"cut", "", EARLIER, "cut\n\ncut"}
    for message in found:
        if isinstance(message, AIMessage):
            assert all((c["name"], c["args"]) == ("cut", {"cut": True}) for c in message.tool_calls)
        if isinstance(message, ToolMessage):
            assert (message.name, message.text) == ("cut", "cut")
    assert found or not cut or rule.kind != "none"


CANARY = "4111 1111 1111 1111"
NEVER = Never(fields=("pin",), detectors=("card_number",))


class Brief(BaseModel):
    """What crosses in these tests."""

    text: str


places = st.sampled_from(["text", "argument", "nested", "key", "json", "name", "result", "user", "base64"])


@given(talks(), places, st.integers(0, 9), rules)
def test_no_canary_crosses_wherever_it_stands_in_a_talk(
    talk: list[AnyMessage], place: str, where: int, rule: History
) -> None:
    cases: dict[str, list[AnyMessage]] = {
        "text": [AIMessage(f"It is {CANARY}.")],
        "argument": [AIMessage("", tool_calls=[tool_call(name="add", args={"a": CANARY}, id="p")])],
        "nested": [AIMessage("", tool_calls=[tool_call(name="add", args={"a": [{"b": CANARY}]}, id="p")])],
        "key": [AIMessage("", tool_calls=[tool_call(name="add", args={CANARY: 1}, id="p")])],
        "json": [AIMessage("", tool_calls=[tool_call(name="add", args={"a": json.dumps({"b": CANARY})}, id="p")])],
        "name": [AIMessage("", tool_calls=[tool_call(name="pay_4111111111111111", args={}, id="p")])],
        "result": [AIMessage("", tool_calls=[tool_call(name="add", args={}, id="p")])],
        "user": [HumanMessage([{"type": "text", "text": f"My card: {CANARY}"}])],
        "base64": [AIMessage("NDExMSAxMTExIDExMTEgMTExMQ==")],
    }
    planted = cases[place]
    says = f"card {CANARY}" if place == "result" else "ok"
    if isinstance(planted[0], AIMessage):
        planted = [*planted, ToolMessage(says, tool_call_id="p")]
    found = _through(Contract(Brief, version=1, never=NEVER), [*talk[:where], *planted, *talk[where:]], rule)
    shown = json.dumps([m.model_dump() for m in found])
    assert CANARY not in shown
    assert CANARY.replace(" ", "") not in shown
    assert "NDExMSAxMTExIDExMTEgMTExMQ" not in shown
    assert faults_of_chat(found) == []


def _through(contract: Contract, talk: Sequence[AnyMessage], rule: History) -> list[AnyMessage]:
    redactor = contract.redactor({})

    def clean(value: Any) -> Any:
        return redactor.clean(without(value, contract.never.fields))[0]

    return crossing(talk, rule, intents=INTENTS, clean=clean)


# -- cases -----------------------------------------------------------------------------------------------------------


def test_parallel_calls_keep_their_results_in_the_order_of_the_calls() -> None:
    talk = [HumanMessage("go"), called("add", "lookup"), result(1, "second"), result(0, "first")]
    assert told(crossed(talk)) == [
        ("human", "go", []),
        ("ai", "", ["add", "lookup"]),
        ("tool", "first", []),
        ("tool", "second", []),
    ]


def test_a_handover_beside_calls_leaves_the_calls_and_their_results() -> None:
    talk = [HumanMessage("go"), called("add", "submit", "lookup", text="So:"), result(0), result(1, "noted"), result(2)]
    assert told(crossed(talk))[1:] == [("ai", "So:", ["add", "lookup"]), ("tool", "ok", []), ("tool", "ok", [])]


def test_a_repair_leaves_what_the_agent_said_before_it_and_after_as_one() -> None:
    talk = [
        HumanMessage("go"),
        AIMessage("I am done."),
        HumanMessage("Correct it.", additional_kwargs={OURS: "repair"}),
        called("add", text="Sorry."),
        result(0),
    ]
    assert told(crossed(talk)) == [("human", "go", []), ("ai", "I am done.\n\nSorry.", ["add"]), ("tool", "ok", [])]


def test_a_call_without_a_result_and_a_result_without_a_call_are_left_out() -> None:
    talk = [HumanMessage("go"), called("add", "lookup", text="So:"), result(1), HumanMessage("and?"), result(0)]
    assert told(crossed(talk)) == [
        ("human", "go", []),
        ("ai", "So:", ["lookup"]),
        ("tool", "ok", []),
        ("human", "and?", []),
    ]


def test_ids_that_come_again_in_a_later_reply_are_told_apart() -> None:
    talk = [HumanMessage("go"), called("add"), result(0, "one"), called("lookup"), result(0, "two")]
    found = crossed(talk)
    assert [m.tool_call_id for m in found if isinstance(m, ToolMessage)] == ["call00000", "call00001"]
    assert [m.text for m in found if isinstance(m, ToolMessage)] == ["one", "two"]


def test_a_chat_that_would_begin_with_the_assistant_begins_with_a_word_of_the_users_side() -> None:
    talk = [HumanMessage("go"), AIMessage("One."), HumanMessage("and?"), AIMessage("Two.")]
    assert told(crossed(talk, last(1))) == [("human", EARLIER, []), ("ai", "Two.", [])]


def test_of_two_results_of_one_call_the_first_counts() -> None:
    talk = [HumanMessage("go"), called("add"), result(0, "first"), result(0, "second")]
    assert told(crossed(talk))[1:] == [("ai", "", ["add"]), ("tool", "first", [])]


def test_an_error_that_a_tool_gave_is_still_an_error_behind_the_edge() -> None:
    talk = [HumanMessage("go"), called("add"), ToolMessage("no", tool_call_id="c0", status="error")]
    [found] = [m for m in crossed(talk) if isinstance(m, ToolMessage)]
    assert (found.status, found.name) == ("error", "add")


def test_a_summariser_reads_who_said_what() -> None:
    talk = [HumanMessage("go"), called("add", text="So:"), result(0, "3")]
    assert as_text(crossed(talk, SUMMARY)) == [
        {"who": "user", "says": "go"},
        {"who": "agent", "says": "So:\ncalls add({})"},
        {"who": "tool add", "says": "3"},
    ]


def test_plain_messages_are_chosen_by_the_rule() -> None:
    messages = plain([HumanMessage("go"), AIMessage("One.")], intents=(), clean=as_is)
    assert chosen(messages, ALL) == messages
    assert chosen(messages, NO_HISTORY) == chosen(messages, SUMMARY) == []


# -- fields that must never cross ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"pin": "4711", "name": "Ada"}',
        '{\n  "name": "Ada",\n  "pin": "4711"\n}',
        'The tool said {"name": "Ada", "deep": [{"pin": {"is": "4711"}}]} and no more.',
        '{"p\\u0069n": "4711", "name": "Ada"}',
        json.dumps({"name": "Ada", "inner": json.dumps({"pin": "4711"})}),
        json.dumps({"name": "Ada", "inner": json.dumps({"more": json.dumps({"pin": "4711"})})}),
        '{"name": "Ada"}\n\nShared state:\n{"pin": 4711}',
        '{"name": "Ada", "pin": "4711", "cut sho',
        '{"name": "Ada", "pin": "4711',
        '{"name": "Ada", "pin": 4711',
        '{"name": "Ada", "inner": "{\\"pin\\": \\"4711',
        '{"name": "Ada", "pin": {"is": "4711',
        '{"name": "Ada"} ' + '{"' * 1000 + '{"pin": ["4711"]} and more',
    ],
)
def test_a_field_that_must_never_cross_is_cut_out_of_json_in_a_text(text: str) -> None:
    found = without(text, ("pin",))
    assert "4711" not in found
    assert "Ada" in found


_scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=6)
_json = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "pin", "b"]), inner, max_size=3),
    max_leaves=8,
)


@given(_json)
def test_a_json_value_is_cut_alike_as_a_value_and_as_text(value: Any) -> None:
    bare = without(value, ("pin",))
    assert "pin" not in _names(bare)
    if isinstance(value, dict):
        assert json.loads(without(json.dumps(value), ("pin",))) == bare


@given(st.text(), st.sampled_from([(), ("pin",)]))
@example("{" * 50_000, ("pin",))
@example('{"a":' * 20_000, ("pin",))
@example('"pin"' * 20_000, ("pin",))
def test_a_text_without_the_field_stays_as_it_is(text: str, names: tuple[str, ...]) -> None:
    assert without(text, names) == text


def _names(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {n for v in value.values() for n in _names(v)}
    return {n for v in value for n in _names(v)} if isinstance(value, list) else set()
