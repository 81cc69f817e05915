"""The offline model: deterministic, and in every other respect a chat model like any other."""

from __future__ import annotations

from typing import Any

import pytest
from edgewright import Call, OfflineModel, Price, Say, Turn
from edgewright.agents.models import model_id
from edgewright.agents.prices import price_of
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage


def look(place: str) -> str:
    """Look at a place."""
    return place


def _rules(turn: Turn) -> Say | list[Call]:
    if turn.tools and not turn.results:
        return [Call("look", {"place": "there"}), Call("look", {"place": "here"})]
    return Say(f"You said {turn.text!r}; I saw {[r[2] for r in turn.results]}.")


MODEL = OfflineModel("test", _rules, price=Price(input_per_million="1", output_per_million="2"))
CONVERSATIONS: list[list[BaseMessage]] = [
    [HumanMessage("hello")],
    [SystemMessage("be brief"), HumanMessage('{"a": 1}')],
    [HumanMessage("")],
    [HumanMessage("two  spaces and\na line, ümläut, 漢字")],
]


def _whole(parts: list[Any]) -> AIMessageChunk:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    assert isinstance(total, AIMessageChunk)
    return total


@pytest.mark.parametrize("messages", CONVERSATIONS)
def test_the_same_question_has_the_same_answer(messages: list[BaseMessage]) -> None:
    bound = MODEL.bind_tools([look])
    for model in (MODEL, bound):
        first, second = model.invoke(messages), model.invoke(messages)
        assert (first.content, first.tool_calls) == (second.content, second.tool_calls)
        assert first.usage_metadata == second.usage_metadata
    other = OfflineModel("test", _rules).bind_tools([look]).invoke(messages)
    assert other.tool_calls == bound.invoke(messages).tool_calls


@pytest.mark.parametrize("messages", CONVERSATIONS)
@pytest.mark.parametrize("with_tools", [False, True])
async def test_streaming_equals_invoking(messages: list[BaseMessage], with_tools: bool) -> None:
    model: Any = MODEL.bind_tools([look]) if with_tools else MODEL
    invoked = model.invoke(messages)
    streamed = _whole(list(model.stream(messages)))
    astreamed = _whole([part async for part in model.astream(messages)])
    for found in (streamed, astreamed):
        assert found.content == invoked.content
        assert [(c["name"], c["args"], c["id"]) for c in found.tool_calls] == [
            (c["name"], c["args"], c["id"]) for c in invoked.tool_calls
        ]
        assert found.usage_metadata == invoked.usage_metadata


def test_it_calls_tools_with_ids_apart_and_reads_their_results() -> None:
    bound = MODEL.bind_tools([look])
    asked = bound.invoke([HumanMessage("go")])
    assert len({c["id"] for c in asked.tool_calls}) == 2
    answers = [ToolMessage(f"saw {c['args']['place']}", tool_call_id=str(c["id"])) for c in asked.tool_calls]
    said = bound.invoke([HumanMessage("go"), asked, *answers])
    assert said.text == "You said 'go'; I saw ['saw there', 'saw here']."


def test_it_reports_usage_that_grows_with_what_is_said() -> None:
    short, long = MODEL.invoke("a"), MODEL.invoke("a" * 4_000)
    assert short.usage_metadata is not None
    assert long.usage_metadata is not None
    assert 0 < short.usage_metadata["input_tokens"] < long.usage_metadata["input_tokens"]
    assert short.usage_metadata["output_tokens"] > 0


def test_it_says_that_it_is_offline_wherever_it_shows() -> None:
    assert model_id(MODEL) == "offline:test"
    assert MODEL._llm_type == "offline"
    assert MODEL.invoke("a").response_metadata == {"model_name": "test", "model_provider": "offline"}
    free = price_of(model_id(OfflineModel("free", _rules)))
    assert free is not None
    assert free.source == "offline, free"


def test_a_turn_tells_what_a_model_would_see() -> None:
    call = {"name": "look", "args": {"place": "x"}, "id": "1", "type": "tool_call"}
    messages = (
        SystemMessage("prompt"),
        HumanMessage('{"a": 1}'),
        AIMessage("", tool_calls=[call]),
        ToolMessage("seen", tool_call_id="1"),
        ToolMessage("stray", tool_call_id="2"),
    )
    turn = Turn(messages, ())
    assert (turn.system, turn.request, turn.tools) == ("prompt", {"a": 1}, frozenset())
    assert turn.results == [("look", {"place": "x"}, "seen")]
    assert Turn((HumanMessage("no json"),), ()).request == {}
