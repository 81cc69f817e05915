"""From a name to a chat model: any `provider:model` that LangChain knows, with an output cap on every call."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage

from ..contracts.errors import AgentInvalid

DEFAULT_OUTPUT_CAP = 4096
# What providers' classes call the most that a call may write: OpenAI and most others, Google, Ollama, Hugging Face.
_CAPS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict", "max_new_tokens")
# Where they keep the address that they call, as given, or as their client has it.
_ADDRESSES = ("openai_api_base", "anthropic_api_url", "azure_endpoint", "base_url", "endpoint_url", "endpoint")
# Whose streams end with the reason why they end, and where LangChain puts it.
_ENDING = frozenset({"openai", "azure", "azure_openai", "anthropic", "mistralai", "groq", "deepseek"})
_ENDS = ("finish_reason", "stop_reason", "status")
_CLIENTS = ("root_async_client", "async_client", "_async_client")


def resolve_model(model: str | BaseChatModel | None, *, agent: str, **options: Any) -> BaseChatModel:
    """The chat model of an agent.

    A model that is made here tries once per call: each further try is ours, reserved and recorded. A ready model keeps
    the retries of its own client (`max_retries`, two more in most); they count as one call, and nobody sees them.

    Args:
        model: `provider:model`, a ready model, or None.
        options: passed to the provider's class; `max_tokens` and `max_retries` have defaults.

    Raises:
        AgentInvalid: no model given, a name without provider, or a provider whose package or key is missing.
    """
    if isinstance(model, BaseChatModel):
        return _capped(_telling_usage(model))
    if not model:
        raise AgentInvalid(
            name=agent, faults=["has no model; give it one, or give the System one: model='provider:model'"]
        )
    if ":" not in model:
        raise AgentInvalid(name=agent, faults=[f"model {model!r} names no provider; write 'provider:model'"])
    given = {"max_tokens": DEFAULT_OUTPUT_CAP, **options}
    try:
        made: BaseChatModel = init_chat_model(model, **given)
        # Only where its class knows the word; others would send it to the provider, or refuse it.
        if "max_retries" in type(made).model_fields and "max_retries" not in given:
            made = init_chat_model(model, **given, max_retries=0)
    except Exception as error:
        raise AgentInvalid(name=agent, faults=[f"model {model!r} cannot be used: {error}"]) from error
    return _capped(_telling_usage(made))


def _telling_usage(model: BaseChatModel) -> BaseChatModel:
    """The model, asking for usage in streams too; LangChain leaves that out for OpenAI under another base URL.

    A caller who said `stream_usage=False`, for a server that does not know it, is left alone; such a stream is settled
    as what was reserved.
    """
    if getattr(model, "stream_usage", True) is None:
        return model.model_copy(update={"stream_usage": True})
    return model


def _capped(model: BaseChatModel) -> BaseChatModel:
    """The model, with an output cap where it has none: in a copy, the caller's own is not touched.

    By the field of its class, which knows what the provider calls it. A class that has no such field is left alone;
    budgets that need a bound refuse its calls.
    """
    fields = [name for name in _CAPS if name in type(model).model_fields]
    more = getattr(model, "model_kwargs", None) or {}
    if not fields or any(getattr(model, name) is not None for name in fields) or any(more.get(n) for n in _CAPS):
        return model
    return model.model_copy(update={fields[0]: DEFAULT_OUTPUT_CAP})


def model_id(model: str | BaseChatModel) -> str:
    """`provider:model`, as ledger and agent digests name it."""
    if isinstance(model, str):
        return model
    found = model._get_ls_params()
    return f"{found.get('ls_provider', 'unknown')}:{found.get('ls_model_name', type(model).__name__)}"


def is_whole(reply: AIMessage, model: str) -> bool:
    """Whether a reply that came in pieces came to its end. Of providers that do not say so at the end, each one is."""
    told = reply.response_metadata
    return model.partition(":")[0] not in _ENDING or any(told.get(name) for name in _ENDS)


def endpoint_of(model: BaseChatModel) -> str:
    """What a breaker knows a model by: `provider:model@host`; without host where its class does not tell it.

    Two agents that ask one model at one place share a breaker, and a local stand-in never opens that of the provider.
    """
    places = [getattr(model, name, None) for name in _ADDRESSES]
    places += [getattr(getattr(model, name, None), "base_url", None) for name in _CLIENTS]
    hosts = (urlsplit(str(place)).netloc.rpartition("@")[2] for place in places if place)
    host = next((h for h in hosts if h), "")
    return f"{model_id(model)}@{host}" if host else model_id(model)
