"""From a name to a chat model: any `provider:model` that LangChain knows, with an output cap on every call."""

from __future__ import annotations

from typing import Any

from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel

from ..contracts.errors import AgentInvalid

DEFAULT_OUTPUT_CAP = 4096


def resolve_model(model: str | BaseChatModel | None, *, agent: str, **options: Any) -> BaseChatModel:
    """The chat model of an agent.

    Args:
        model: `provider:model`, a ready model, or None.
        options: passed to the provider's class; `max_tokens` has a default, so that a call's cost has a bound.

    Raises:
        AgentInvalid: no model given, a name without provider, or a provider whose package or key is missing.
    """
    if isinstance(model, BaseChatModel):
        return _telling_usage(model)
    if not model:
        raise AgentInvalid(
            name=agent, faults=["has no model; give it one, or give the System one: model='provider:model'"]
        )
    if ":" not in model:
        raise AgentInvalid(name=agent, faults=[f"model {model!r} names no provider; write 'provider:model'"])
    try:
        made: BaseChatModel = init_chat_model(model, **{"max_tokens": DEFAULT_OUTPUT_CAP, **options})
    except Exception as error:
        raise AgentInvalid(name=agent, faults=[f"model {model!r} cannot be used: {error}"]) from error
    return _telling_usage(made)


def _telling_usage(model: BaseChatModel) -> BaseChatModel:
    """The model, asking for usage in streams too; LangChain leaves that out for OpenAI under another base URL.

    A caller who said `stream_usage=False`, for a server that does not know it, is left alone; such a stream is settled
    as what was reserved.
    """
    if getattr(model, "stream_usage", True) is None:
        return model.model_copy(update={"stream_usage": True})
    return model


def model_id(model: str | BaseChatModel) -> str:
    """`provider:model`, as ledger and agent digests name it."""
    if isinstance(model, str):
        return model
    found = model._get_ls_params()
    return f"{found.get('ls_provider', 'unknown')}:{found.get('ls_model_name', type(model).__name__)}"
