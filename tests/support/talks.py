"""Random talks of an agent, as LangGraph's state holds them: right, wrong, and of every provider's making."""

from __future__ import annotations

from typing import Any

from edgewright.agents.handoff import OURS
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import invalid_tool_call, tool_call

INTENTS = frozenset({"submit", "handoff_to_billing", "handoff_to_shipping", "write_plan"})
"""The tools of the talks that ask for handovers and writes."""
PROVIDER = "provider-made"
"""Stands in every id, reasoning block, piece of metadata and name that a provider made."""
texts = st.sampled_from(["", " ", "\n\t", "Hello.", "It is {open}.", "[]", '{"a": 1}', "ünïcode ✓"]) | st.text(
    max_size=12
)
_arguments: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.text(max_size=4), st.integers() | texts | st.lists(texts, max_size=2), max_size=3
)
_names = st.sampled_from(["lookup", "add", "functions.add", "", "pay ", "9lives", "x" * 65, *sorted(INTENTS)])
# Few ids, so that they come again; some that a provider may have made and others refuse.
_ids = st.sampled_from(["", "call_0", "call_1", f"{PROVIDER}:3", f"toolu_{PROVIDER}", "call00000"])


@st.composite
def _replies(draw: st.DrawFn) -> AIMessage:
    text = draw(texts)
    blocks: list[str | dict[str, Any]] = [
        {"type": "reasoning", "reasoning": PROVIDER, "id": f"rs_{PROVIDER}"},
        {"type": "thinking", "thinking": PROVIDER, "signature": PROVIDER},
        {"type": "text", "text": text, "annotations": [{"type": "citation", "url": PROVIDER}], "id": PROVIDER},
    ]
    calls = draw(st.lists(st.tuples(_names, _arguments, _ids), max_size=4))
    own = draw(st.booleans())
    return AIMessage(
        content=blocks if draw(st.booleans()) else text,
        id=f"msg_{PROVIDER}",
        name=PROVIDER if draw(st.booleans()) else None,
        tool_calls=[tool_call(name=n, args=a, id=i) for n, a, i in calls],
        invalid_tool_calls=[invalid_tool_call(name="add", args="{", id="call_9", error=PROVIDER)]
        if draw(st.booleans())
        else [],
        additional_kwargs={"reasoning_content": PROVIDER, **({OURS: "handover"} if own and not calls else {})},
        response_metadata={"model_name": PROVIDER, "system_fingerprint": PROVIDER},
    )


@st.composite
def _results(draw: st.DrawFn, reply: AIMessage) -> list[AnyMessage]:
    """Results of a reply's calls: all, some, in another order, twice, or of calls that nobody made."""
    calls = draw(st.permutations(reply.tool_calls)) if draw(st.booleans()) else list(reply.tool_calls)
    if draw(st.integers(0, 3)) == 0:
        calls = calls[1:]
    found: list[AnyMessage] = [
        ToolMessage(
            content=draw(texts),
            name=c["name"] if draw(st.booleans()) else None,
            tool_call_id=str(c["id"]),
            id=f"tool_{PROVIDER}",
            artifact={"raw": PROVIDER},
            additional_kwargs={"raw": PROVIDER},
            status=draw(st.sampled_from(["success", "error"])),
        )
        for c in calls
    ]
    if found and draw(st.integers(0, 5)) == 0:
        found.append(found[0])
    if draw(st.integers(0, 5)) == 0:
        found.append(ToolMessage(content="stray", tool_call_id=draw(_ids)))
    return found


@st.composite
def talks(draw: st.DrawFn) -> list[AnyMessage]:
    """A talk: prompts, users' words, replies with results, refused handovers and their repair, in any order."""
    found: list[AnyMessage] = []
    for _ in range(draw(st.integers(0, 6))):
        match draw(st.sampled_from(["user", "reply", "reply", "reply", "prompt", "repair", "other", "late"])):
            case "user":
                found.append(HumanMessage(draw(texts), id=f"user_{PROVIDER}"))
            case "prompt":
                found.append(SystemMessage(draw(texts)))
            case "repair":
                found.append(HumanMessage("Correct it.", additional_kwargs={OURS: "repair"}))
            case "other":
                found.append(ChatMessage(content=draw(texts), role="developer"))
            case "late":  # a result whose call is far away
                found.append(ToolMessage(content="late", tool_call_id=draw(_ids)))
            case _:
                reply = draw(_replies())
                found += [reply, *draw(_results(reply))]
    return found
