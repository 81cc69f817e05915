"""Hints by which a provider keeps the beginning of a prompt ready, which then costs less.

Anthropic keeps what is marked: the mark stands at the end of the system prompt, and covers the tools before it. OpenAI
keeps beginnings by itself, and finds them more often where requests of one kind carry one key. For any other provider
there is no hint here, and nothing is sent.
"""

from __future__ import annotations

from typing import Any

from langchain.agents.middleware.types import ModelRequest
from langchain_core.messages import SystemMessage

from ..contracts.digest import digest
from .models import model_id

_KEYED = frozenset({"openai", "azure", "azure_openai"})
_MARKED = frozenset({"anthropic"})
_MARK = {"cache_control": {"type": "ephemeral"}}


def hinted(request: ModelRequest[Any], *parts: str) -> ModelRequest[Any]:
    """The request with the hint that its model's provider has; as it is where that has none.

    Args:
        parts: what the key stands for: whose requests, of which agent. Only a digest of them is sent. Requests of two
            tenants never share a key.
    """
    provider = model_id(request.model).partition(":")[0]
    if provider in _KEYED and "prompt_cache_key" not in request.model_settings:
        return request.override(model_settings={**request.model_settings, "prompt_cache_key": digest(parts)[:32]})
    if provider in _MARKED and request.system_message is not None:
        return request.override(system_message=_marked(request.system_message))
    return request


def _marked(message: SystemMessage) -> SystemMessage:
    """A system prompt whose end is marked; one that has a mark already is left as its author made it."""
    content = message.content
    blocks: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    if not blocks or any(isinstance(block, dict) and "cache_control" in block for block in blocks):
        return message
    last = blocks[-1]
    blocks[-1] = {**({"type": "text", "text": last} if isinstance(last, str) else last), **_MARK}
    return message.model_copy(update={"content": blocks})
