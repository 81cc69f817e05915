"""The offline model: a deterministic chat model for demos and tests, labelled offline wherever it shows.

It answers by rules that whoever uses it supplies: a pure function of what a model would see. It calls tools and
reports usage like any other chat model (tokens counted as one per four bytes, a stand-in for a tokeniser).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import orjson
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

from ..contracts.budget import Price
from .prices import declare_price

PROVIDER = "offline"


@dataclass(frozen=True, slots=True)
class Say:
    """Answer with text."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """Call a tool."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Turn:
    """What a model sees when it is asked: the prompt, the request, what its calls returned, the tools it may call."""

    messages: tuple[BaseMessage, ...]
    schemas: tuple[dict[str, Any], ...]

    @cached_property
    def system(self) -> str:
        """The system prompt."""
        return "\n".join(str(m.text) for m in self.messages if isinstance(m, SystemMessage))

    @cached_property
    def text(self) -> str:
        """The first human message, as text."""
        return next((str(m.text) for m in self.messages if isinstance(m, HumanMessage)), "")

    @cached_property
    def request(self) -> dict[str, Any]:
        """The first human message, read as a JSON object; empty where it is none."""
        try:
            found = orjson.loads(self.text)
        except orjson.JSONDecodeError:
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def tools(self) -> frozenset[str]:
        """Names of the tools on offer."""
        return frozenset(s["function"]["name"] for s in self.schemas)

    @cached_property
    def results(self) -> list[tuple[str, dict[str, Any], str]]:
        """(tool, arguments, text of the result) of each answered call, in order."""
        calls = {c["id"]: c for m in self.messages if isinstance(m, AIMessage) for c in m.tool_calls}
        found = []
        for message in self.messages:
            if isinstance(message, ToolMessage) and message.tool_call_id in calls:
                call = calls[message.tool_call_id]
                found.append((call["name"], dict(call["args"]), str(message.text)))
        return found


Rules = Callable[[Turn], Say | Sequence[Call]]


class OfflineModel(BaseChatModel):
    """A chat model driven by rules.

    Args:
        name: known as `offline:<name>` on ledger and screen.
        rules: a pure function from what a model sees to what it says or calls.
        price: a notional price, so that budgets and cost trees have something to count.
    """

    rules_name: str
    max_tokens: int = 1024
    _rules: Rules = PrivateAttr()
    _schemas: tuple[dict[str, Any], ...] = PrivateAttr(default=())

    def __init__(self, name: str, rules: Rules, *, price: Price | None = None, max_tokens: int = 1024) -> None:
        super().__init__(rules_name=name, max_tokens=max_tokens)
        self._rules = rules
        nothing = Price(input_per_million="0", output_per_million="0", source="offline, free")
        declare_price(f"{PROVIDER}:{name}", replace(price, source="notional, offline") if price else nothing)

    @property
    def _llm_type(self) -> str:
        return PROVIDER

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.rules_name, "max_tokens": self.max_tokens}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        found = super()._get_ls_params(stop=stop, **kwargs)
        return {**found, "ls_provider": PROVIDER, "ls_model_name": self.rules_name}

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools: any that LangChain can convert."""
        return self.bind(tools=[convert_to_openai_tool(t) for t in tools])

    def _reply(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> AIMessage:
        turn = Turn(tuple(messages), tuple(kwargs.get("tools") or ()))
        said = self._rules(turn)
        seen = orjson.dumps([[m.type, m.content, getattr(m, "tool_calls", None)] for m in messages], default=str)
        if isinstance(said, Say):
            reply = AIMessage(content=said.text)
        else:
            stem = hashlib.sha256(seen).hexdigest()[:12]
            calls = [
                {"name": c.name, "args": c.arguments, "id": f"offline_{stem}_{i}", "type": "tool_call"}
                for i, c in enumerate(said)
            ]
            reply = AIMessage(content="", tool_calls=calls)
        out = len(orjson.dumps([reply.content, reply.tool_calls]))
        tokens_in, tokens_out = len(seen) // 4 + 1, out // 4 + 1
        reply.usage_metadata = UsageMetadata(
            input_tokens=tokens_in, output_tokens=tokens_out, total_tokens=tokens_in + tokens_out
        )
        reply.response_metadata = {"model_name": self.rules_name, "model_provider": PROVIDER}
        return reply

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._reply(messages, kwargs))])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._generate(messages, stop, None, **kwargs)

    def _chunks(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> Iterator[ChatGenerationChunk]:
        reply = self._reply(messages, kwargs)
        for word in re.findall(r"\S*\s*", reply.text)[:-1]:  # the last match is empty
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        last = AIMessageChunk(
            content="",
            tool_call_chunks=[
                {
                    "name": c["name"],
                    "args": orjson.dumps(c["args"]).decode(),
                    "id": c["id"],
                    "index": i,
                    "type": "tool_call_chunk",
                }
                for i, c in enumerate(reply.tool_calls)
            ],
            usage_metadata=reply.usage_metadata,
            response_metadata=reply.response_metadata,
            chunk_position="last",
        )
        yield ChatGenerationChunk(message=last)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages, kwargs):
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages, kwargs):
            if run_manager:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk
