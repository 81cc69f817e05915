"""The response cache: an earlier reply to the very same request, given again without asking the model.

It lives in any of LangChain's caches, as plain text, and nothing that comes out of one is ever executed or unpickled.
What is kept answers the same agent under the same policy, for the same tenant, told the same: all of that is in the
key. Never kept are replies to what is personal or secret, replies of agents whose tools write, and what a contract has
refused. A cache is no ledger: whoever can write to it can put words into an agent's mouth, though no call past a gate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson
from langchain.agents.middleware.types import ModelRequest
from langchain_core.caches import BaseCache
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import Generation
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ValidationError

from ..contracts.budget import Amounts
from ..contracts.digest import digest
from ..contracts.labels import SENSITIVITIES
from ..tools.run import Activation
from .models import model_id

SECONDS = 2.0
"""How long a cache may take to answer. One that takes longer saves nothing."""
_SHOWN = SENSITIVITIES.index("internal")
_FORM = 1
# What a model says when it is through; anything else is half an answer, or none.
_WHOLE = frozenset({"stop", "tool_calls", "end_turn", "tool_use", "completed", "function_call"})
_SENT = ("type", "content", "name", "tool_calls", "invalid_tool_calls", "tool_call_id", "status", "additional_kwargs")
_IDS = frozenset({"id", "tool_call_id", "tool_use_id", "call_id"})
Told = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What a reply is kept under: digests, so that a cache holds no request in clear."""

    prompt: str
    asked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """A reply as it was kept: what it had used (`priced`: its dollars are known), and in which run."""

    message: AIMessage
    used: Amounts
    priced: bool
    run: str


class ResponseCache:
    """Replies in one of LangChain's caches.

    Args:
        cache: any of them: memory, SQLite, Redis, …
        readable: names of the tools that the agent's replies may call, and whose results it may have read.
        behaviour: digest of the agent's behaviour.
        seconds: how long the cache may take.
    """

    def __init__(
        self, cache: BaseCache, *, readable: Collection[str], behaviour: str, seconds: float = SECONDS
    ) -> None:
        self._cache, self._readable, self._seconds = cache, frozenset(readable), seconds
        self._behaviour = behaviour

    def key(self, request: ModelRequest[Any], activation: Activation) -> Key | None:
        """What a reply to this request is kept under; None where none may be kept, or given."""
        run, sources = activation.run, activation.sources()
        if sources is None or SENSITIVITIES.index(sources.context.sensitivity) > _SHOWN:
            return None
        if any(isinstance(m, ToolMessage) and m.name not in self._readable for m in request.messages):
            return None
        system = [request.system_message] if request.system_message is not None else []
        prompt = _sent([*system, *request.messages])
        if run.knows.cleaned(prompt) != prompt:  # what no record may show is not for a cache
            return None
        grounds = run.grounds
        asked = [
            self._behaviour,
            model_id(request.model),
            request.model._get_llm_string(**request.model_settings),
            [convert_to_openai_tool(tool) for tool in request.tools],
            repr(request.tool_choice),
            [grounds.system, grounds.tenant, grounds.environment],
            grounds.policy.digest if grounds.policy else "",
            dict(grounds.request),
            [sources.context.integrity, sources.context.sensitivity],
        ]
        return Key(prompt=digest(prompt), asked=digest(asked))

    async def find(self, key: Key, told: Told) -> Cached | None:
        """The reply that is kept, its calls under ids of their own; None where none is.

        Args:
            told: told why, where the cache itself is at fault.
        """
        try:
            async with asyncio.timeout(self._seconds):
                found = await self._cache.alookup(key.prompt, key.asked)
        except Exception as error:  # noqa: BLE001 - a cache of any make; an agent does not fail for it
            told(f"the cache could not be read: {type(error).__name__}: {error}")
            return None
        if not found:
            return None
        cached = _read(found[0].text)
        if cached is None or not self._may(cached.message):
            told("what the cache holds is no reply that may be given")
            return None
        return cached

    async def keep(
        self, key: Key, reply: AIMessage, activation: Activation, *, used: Amounts | None, told: Told
    ) -> None:
        """Keep a reply, if one like it may be given again.

        Args:
            used: what it used; None where nobody knows its price.
        """
        said = reply.response_metadata.get("finish_reason") or reply.response_metadata.get("stop_reason")
        message = reply.model_dump(mode="json", include={"content", "tool_calls", "additional_kwargs", "name"})
        whole = said is None or str(said).lower() in _WHOLE
        if not whole or not self._may(reply) or activation.run.knows.cleaned(message) != message:
            return
        entry = {
            "form": _FORM,
            "message": message,
            "used": (used or Amounts()).as_json(),
            "priced": used is not None,
            "run": activation.run.grounds.run,
        }
        await self._put(key, [Generation(text=orjson.dumps(entry).decode())], told)

    async def forget(self, key: Key, told: Told) -> None:
        """Give a reply no more: a contract refused what it offered."""
        await self._put(key, [], told)

    async def _put(self, key: Key, value: Sequence[Generation], told: Told) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._cache.aupdate(key.prompt, key.asked, value)
        except Exception as error:  # noqa: BLE001 - as above
            told(f"the cache could not be written: {type(error).__name__}: {error}")

    def _may(self, reply: AIMessage) -> bool:
        """Whether a reply asks for nothing but what reads, or hands over."""
        return not reply.invalid_tool_calls and all(call["name"] in self._readable for call in reply.tool_calls)


def _sent(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Messages without what differs from run to run though nothing else was said: ids of calls become numbers."""
    dumped = [m.model_dump(mode="json", include=set(_SENT)) for m in messages]
    numbers: dict[str, str] = {}
    for message in dumped:
        for call in message.get("tool_calls") or ():
            numbers.setdefault(str(call["id"]), f"#{len(numbers)}")
    found: list[dict[str, Any]] = _renamed(dumped, numbers)
    return found


def _read(text: str) -> Cached | None:
    """What `keep` wrote; None for anything else."""
    try:
        entry = orjson.loads(text)
        if entry["form"] != _FORM:
            return None
        body = entry["message"]
        ids = {str(call["id"]): f"call_{uuid4().hex}" for call in body["tool_calls"]}
        message = AIMessage.model_validate(_renamed(body, ids))
        used = Amounts.from_json(entry["used"])
        if not used.usd.is_finite() or used.beyond(Amounts()) != used:  # what was used is not negative
            return None
        return Cached(message=message, used=used, priced=bool(entry["priced"]), run=str(entry["run"]))
    except (orjson.JSONDecodeError, ValidationError, KeyError, TypeError, ValueError, ArithmeticError, AttributeError):
        return None


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A JSON value in which the ids of calls, wherever providers put them, are others; texts stay as they are."""
    if isinstance(value, Mapping):
        return {
            key: names.get(inner, inner) if key in _IDS and isinstance(inner, str) else _renamed(inner, names)
            for key, inner in value.items()
        }
    return [_renamed(inner, names) for inner in value] if isinstance(value, list) else value
