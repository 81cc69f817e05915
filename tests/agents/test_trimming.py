"""Trimming: what fits is sent whole; what does not is cut by the rule, and what is left is a valid chat."""

from __future__ import annotations

from typing import Any

import pytest
from edgewright.agents.handoff import OURS
from edgewright.agents.trimming import LEFT_OUT, Trim, size, trimmed
from edgewright.contracts.errors import AgentInvalid
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import tool_call

REQUEST = '{\n  "text": "the request"\n}'


def _asks(number: int, *results: str) -> list[AnyMessage]:
    """One exchange: calls, and a result for each."""
    ids = [f"call{number:02d}{place:03d}" for place in range(len(results))]
    calls = [tool_call(name="look", args={"n": number}, id=i) for i in ids]
    told = [ToolMessage(content=r, name="look", tool_call_id=i) for r, i in zip(results, ids, strict=True)]
    return [AIMessage(content="" if calls else f"thought {number}", tool_calls=calls), *told]


@st.composite
def _talks(draw: st.DrawFn) -> list[AnyMessage]:
    found: list[AnyMessage] = []
    number = 0
    for _ in range(draw(st.integers(0, 2))):  # messages that crossed with the request
        found.append(HumanMessage(f"earlier word {number}"))
        found += [AIMessage(content=f"earlier answer {number}")]
        number += 1
    found.append(HumanMessage(REQUEST + "\n\nShared state: {}"))
    for _ in range(draw(st.integers(0, 5))):
        found += _asks(number, *draw(st.lists(st.text("ab é", max_size=300), min_size=1, max_size=3)))
        number += 1
        if draw(st.integers(0, 4)) == 0:
            found.append(AIMessage(content="Handed over.", additional_kwargs={OURS: "handover"}))
            found.append(HumanMessage("Correct it.", additional_kwargs={OURS: "repair"}))
    return found


def _unpaired(messages: list[AnyMessage]) -> list[str]:
    """Calls without their results right behind them, and results without calls."""
    faults, open_ = [], list[str]()
    for message in messages:
        if isinstance(message, ToolMessage):
            if message.tool_call_id not in open_:
                faults.append(f"{message.tool_call_id} follows no call")
            else:
                open_.remove(message.tool_call_id)
        else:
            faults += [f"{i} is not answered" for i in open_]
            open_ = [str(c["id"]) for c in message.tool_calls] if isinstance(message, AIMessage) else []
    return faults + [f"{i} is not answered" for i in open_]


@given(_talks(), st.integers(1, 4000), st.integers(0, 4), st.integers(0, 500))
def test_what_is_sent_is_a_valid_chat_with_all_that_always_stays(
    talk: list[AnyMessage], tokens: int, keep: int, around: int
) -> None:
    found = trimmed(talk, Trim(tokens=tokens, keep=keep), around=around, request=REQUEST)
    sent = list(found.sent)
    assert isinstance(sent[0], HumanMessage)
    assert _unpaired(sent) == []
    asked = next(m for m in talk if isinstance(m, HumanMessage) and str(m.text).startswith(REQUEST))
    assert asked in sent
    assert [m for m in talk if isinstance(m, HumanMessage)][-1] in sent
    spoken = [m for m in talk if isinstance(m, AIMessage)]
    assert not spoken or spoken[-1] in sent
    # The order is the talk's, and the account is exact.
    places = [next(i for i, m in enumerate(talk) if m is s or _same(m, s)) for s in sent]
    assert places == sorted(set(places))
    assert found.bound == around + sum(map(size, sent))
    assert found.spared == around + sum(map(size, talk)) - found.bound
    assert found.messages == len(talk) - len(sent)
    results = [m for m in sent if isinstance(m, ToolMessage)]
    assert found.results == sum(m.content == LEFT_OUT for m in results)
    assert all(m.content != LEFT_OUT for m in results[len(results) - keep :] if keep)


def _same(one: AnyMessage, other: AnyMessage) -> bool:
    both = isinstance(one, ToolMessage) and isinstance(other, ToolMessage)
    return both and getattr(one, "tool_call_id", 0) == getattr(other, "tool_call_id", 1)


@given(_talks(), st.integers(0, 4))
def test_what_fits_is_sent_as_it_is(talk: list[AnyMessage], keep: int) -> None:
    found = trimmed(talk, Trim(tokens=sum(map(size, talk)) + 7, keep=keep), around=7, request=REQUEST)
    assert list(found.sent) == talk
    assert (found.spared, found.results, found.messages) == (0, 0, 0)


@given(_talks(), st.integers(1, 3000), st.integers(0, 500))
def test_the_bound_holds_wherever_it_can_and_a_wider_one_sends_no_less(
    talk: list[AnyMessage], tokens: int, more: int
) -> None:
    least = trimmed(talk, Trim(tokens=1, keep=0), around=0, request=REQUEST)
    narrow = trimmed(talk, Trim(tokens=tokens, keep=0), around=0, request=REQUEST)
    wide = trimmed(talk, Trim(tokens=tokens + more, keep=0), around=0, request=REQUEST)
    assert narrow.bound <= max(tokens, least.bound)
    assert len(narrow.sent) <= len(wide.sent)


def test_older_results_go_first_then_the_oldest_exchanges() -> None:
    talk = [HumanMessage(REQUEST), *_asks(1, "x" * 900), *_asks(2, "y" * 900), *_asks(3, "z" * 900)]
    whole = sum(map(size, talk))
    once = trimmed(talk, Trim(tokens=whole - 1, keep=1), around=0, request=REQUEST)
    assert [m.content for m in once.sent if isinstance(m, ToolMessage)] == [LEFT_OUT, LEFT_OUT, "z" * 900]
    assert (once.results, once.messages) == (2, 0)
    twice = trimmed(talk, Trim(tokens=once.bound - 1, keep=1), around=0, request=REQUEST)
    assert [m.content for m in twice.sent if isinstance(m, ToolMessage)] == [LEFT_OUT, "z" * 900]
    assert (twice.results, twice.messages) == (1, 2)
    least = trimmed(talk, Trim(tokens=1, keep=1), around=0, request=REQUEST)
    assert [type(m) for m in least.sent] == [HumanMessage, AIMessage, ToolMessage]
    assert least.bound > 1


def test_an_offer_that_was_refused_is_sent_with_the_refusal() -> None:
    offer = _asks(2, "Handover to end noted.")
    said = AIMessage(content="Handed over.", additional_kwargs={OURS: "handover"})
    repair = HumanMessage("Correct it.", additional_kwargs={OURS: "repair"})
    talk = [HumanMessage(REQUEST), *_asks(1, "x" * 900), *offer, said, repair]
    assert list(trimmed(talk, Trim(tokens=1), around=0, request=REQUEST).sent) == [talk[0], *offer, said, repair]


def test_the_agents_own_messages_are_not_touched() -> None:
    talk = [HumanMessage(REQUEST), *_asks(1, "x" * 900), *_asks(2, "y" * 900)]
    before = [m.model_dump_json() for m in talk]
    trimmed(talk, Trim(tokens=1, keep=0), around=0, request=REQUEST)
    assert [m.model_dump_json() for m in talk] == before


@pytest.mark.parametrize(
    "wrong", [{"tokens": 0}, {"tokens": True}, {"tokens": 5, "keep": -1}, {"tokens": 5, "results": " "}]
)
def test_a_rule_that_bounds_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(AgentInvalid):
        Trim(**wrong)
