"""A model that never says the same thing twice: other call ids, other words and amounts, another order of its calls."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool

from bench.crash.fuse import FUSE
from bench.crash.world import WAYS, Slot, slots_in

ROUTES = "handoff_to_"


def worded(slot: Slot) -> dict[str, Any]:
    """The arguments of the call for a slot, as nobody will word them again."""
    return {"slot": slot.name, "cents": random.randint(1, 10**6), "note": uuid4().hex}


class Moody(BaseChatModel):
    """Asks for the slots that its first message names and that it has not asked for, one turn's in one message.

    Where it has no tool for them, it hands over: all of them to its one target, or, in a fan-out, each branch's.
    """

    @property
    def _llm_type(self) -> str:
        return "moody"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """As LangChain's."""
        return self.bind(tools=[convert_to_openai_tool(t) for t in tools])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        FUSE.at("model.before")
        offered = {t["function"]["name"] for t in kwargs.get("tools", ())}
        calls = _calls(messages, offered)
        random.shuffle(calls)
        reply = AIMessage(
            content=f"So be it, {uuid4().hex}.",
            tool_calls=[{**call, "id": f"call_{uuid4().hex}", "type": "tool_call"} for call in calls],
            usage_metadata=UsageMetadata(input_tokens=10, output_tokens=5, total_tokens=15),
        )
        FUSE.at("model.after")
        return ChatResult(generations=[ChatGeneration(message=reply)])


def _calls(messages: Sequence[BaseMessage], offered: set[str]) -> list[dict[str, Any]]:
    wanted = slots_in(" ".join(str(m.text) for m in messages if m.type == "human"))
    ways_on = sorted(name for name in offered if name.startswith(ROUTES) or name == "submit")
    if not offered & set(WAYS):
        branches = sorted({s.branch for s in wanted})
        if len(branches) == 1 or not wanted:
            return [{"name": ways_on[0], "args": {"work": " ".join(s.name for s in wanted)}}]
        each = [" ".join(s.name for s in wanted if s.branch == b) for b in branches]
        return [{"name": ways_on[0], "args": {"work": work}} for work in each]
    asked = {c["args"].get("slot") for m in messages if isinstance(m, AIMessage) for c in m.tool_calls}
    left = [s for s in wanted if s.name not in asked]
    if not left:
        return [{"name": ways_on[0], "args": {"text": uuid4().hex}}] if ways_on else []
    now = min(s.turn for s in left)
    return [{"name": s.way, "args": worded(s)} for s in left if s.turn == now]
