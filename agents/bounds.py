"""The most tokens a model call can have, known before it and without a network.

A byte-level tokeniser never makes more tokens than its text has bytes. So the bound is the bytes of all that may be
sent, in the longest form in which a provider may write it into its prompt, and a margin for what it adds of its own:
marks around messages, a system prompt of the chat template, what it tells the model about calling tools. What is not
text, or is fetched or remembered by the provider, has no such bound; a counter of the provider's may know more.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, is_typeddict

import orjson
from langchain_core.messages import AIMessage, BaseMessage
from pydantic import BaseModel

from .prices import one_name

Tools = Sequence[Mapping[str, Any]]
Counter = Callable[[Sequence[BaseMessage], Tools], int]
log = logging.getLogger("edgewright.agents")

CALL_MARGIN = 512
"""Tokens that a provider's chat template adds to any call; the longest known default prompts have about 400."""
TOOLS_MARGIN = 1024
"""Tokens by which a provider tells a model how to call tools, or to answer in a form; the longest known has 804."""
EACH_MARGIN = 16
"""Tokens around a message, a tool, a text."""

_ASCII = bytes(range(128))
_WRAPPED = 128  # bytes around a form: its kind, its name, that it is strict
_TEXT = frozenset(
    {"text", "input_text", "output_text", "refusal", "tool_use", "tool_call", "invalid_tool_call", "function_call"}
)
_REASONING = frozenset({"reasoning", "thinking", "redacted_thinking"})
_HOLDERS = frozenset({"tool_result", "function_call_output"})
_BARE = ({"text"}, {"cachePoint"})
_UNTOLD = frozenset({"audio", "images", "tool_outputs"})
"""Keys of `additional_kwargs` under which messages hold what is not text."""
_OUTSIDE = frozenset(
    {
        "previous_response_id",
        "conversation",
        "prompt",
        "container",
        "cached_content",
        "web_search_options",
        "search_parameters",
        "mcp_servers",
        "connectors",
        "data_sources",
        "plugins",
    }
)
"""Parameters by which a provider adds text of its own: stored, searched for, or fetched."""
_NESTED = ("extra_body", "model_kwargs", "generation_config")
_FORMS = ("response_format", "output_config", "output_format", "response_schema", "response_json_schema", "format")
_COMPLETIONS = ("n", "best_of", "candidate_count", "num_generations", "num_return_sequences")
_CAPS = (
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_new_tokens",
    "max_tokens_to_sample",
    "num_predict",
)
_COUNTERS: dict[str, Counter] = {}


class _NotText(TypeError):
    """What nobody can say the tokens of."""


def declare_counter(model: str, counter: Counter) -> None:
    """Declare how many input tokens a call of `provider:model` has at most, by the provider's own (offline) counting.

    It is called in the gate, on whatever thread a model is called: it must not wait for anything. It gets the messages
    and the tools as they are sent, and must count what the provider adds to them; for content or tools that it cannot
    count it raises. It makes a bound by bytes tighter, and supplies the bound where there is none.
    """
    _COUNTERS[one_name(model)] = counter


def bound_of(model: str, messages: Sequence[BaseMessage], params: Mapping[str, Any]) -> int | None:
    """The most input tokens that one request can have, or None where nothing bounds them.

    One request: a batch of lists of messages is as many requests, each with all the tools.

    Args:
        model: `provider:model`.
        params: the invocation parameters of the call, as LangChain tells them to a callback.
    """
    try:
        rest = _of_params({k: v for k, v in params.items() if k not in ("tools", "functions")})
    except (TypeError, ValueError, RecursionError):  # _NotText among them
        return None
    tools = [*(params.get("tools") or ()), *(params.get("functions") or ())]
    bound = input_bound(messages, tools)
    counted = _counted(model, messages, tools)
    found = [b for b in (bound, counted) if b is not None]
    return min(found) + rest if found else None


def input_bound(messages: Iterable[BaseMessage], tools: Iterable[Any] = ()) -> int | None:
    """The most tokens that messages and tools have, by their bytes; None where some of it is not text."""
    try:
        offered = [_of_tool(tool) for tool in tools]
        return CALL_MARGIN + sum(map(_of_message, messages)) + sum(offered) + (TOOLS_MARGIN if offered else 0)
    except (TypeError, ValueError, RecursionError):  # _NotText among them
        return None


def text_bound(prompts: Iterable[str]) -> int:
    """The most tokens that the prompts of a plain text model have; each of them is a request."""
    return sum(_of_text(prompt) + EACH_MARGIN for prompt in prompts)


def completions_of(params: Mapping[str, Any]) -> int:
    """How many completions one request asks for: each of them may be as long as the output cap.

    Raises:
        ValueError, TypeError: a parameter that says so is no number.
    """
    asked = [int(found[k]) for found in _levels(params) for k in _COMPLETIONS if found.get(k) is not None]
    return max([1, *asked])


def output_cap_of(params: Mapping[str, Any]) -> int | None:
    """The most output tokens of one completion: the highest cap that is sent; None where none is."""
    caps = [found.get(k) for found in _levels(params) for k in _CAPS]
    return max((c for c in caps if type(c) is int and c > 0), default=None)


def _levels(params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Parameters, and those that are sent along inside of others."""
    return [params, *(inner for k in _NESTED if isinstance(inner := params.get(k), Mapping))]


def _counted(model: str, messages: Sequence[BaseMessage], tools: Tools) -> int | None:
    """What the declared counter says; None where there is none, it raises, or what it says cannot be."""
    counter = _COUNTERS.get(one_name(model))
    if counter is None:
        return None
    try:
        found = counter(list(messages), list(tools))
    except Exception:
        log.warning("the token counter of %s raised; its bound is not used", model, exc_info=True)
        return None
    if type(found) is not int or found <= 0:
        log.warning("the token counter of %s said %r; its bound is not used", model, found)
        return None
    return found


# -- parts of a request ---------------------------------------------------------------------------------------------


def _of_message(message: BaseMessage) -> int:
    beside = message.additional_kwargs
    if _UNTOLD & beside.keys():
        raise _NotText("a message holds something beside its text")
    content, thought = message.content, any(k.startswith("reasoning") for k in beside)
    if isinstance(content, str):
        total = _of_text(content)
    else:
        thought |= sum(_is_thought(part, message) for part in content) > 0  # each of them is looked at
        total = _of_json(content)
    told = [message.name, getattr(message, "role", None), getattr(message, "tool_call_id", None), beside]
    if isinstance(message, AIMessage):
        told += [message.tool_calls, message.invalid_tool_calls]
        if thought and message.usage_metadata:
            # The provider may keep the whole of a thought, of which the message holds a summary.
            total += max(message.usage_metadata["output_tokens"], 0)
    return total + _of_json(told) + EACH_MARGIN


def _is_thought(part: Any, message: BaseMessage) -> bool:
    """Whether a part of a message's content is reasoning. Raises _NotText for one that is no text at all."""
    if isinstance(part, str):
        return False
    kind = part.get("type")
    if kind in _REASONING:
        if not (getattr(message, "usage_metadata", None) or part.get("encrypted_content") or "id" not in part):
            raise _NotText("reasoning that the provider keeps, of unknown length")
        return True
    if kind in _HOLDERS:
        inner = part.get("content", part.get("output"))
        for each in inner if isinstance(inner, list) else ():
            _is_thought(each, message)
    elif kind not in _TEXT and not (kind is None and any(part.keys() <= bare for bare in _BARE)):
        raise _NotText(f"content of type {kind!r}")
    return False


def _of_tool(tool: Any) -> int:
    """A tool that the caller carries out. Those of the provider's own put text into the prompt that nobody has seen."""
    named = "name" in tool and ("input_schema" in tool or "parameters" in tool)
    kind = tool.get("type")
    function = kind in ("function", "custom") or (kind is None and named)
    if not function and not (kind is None and tool.keys() <= {"function_declarations", "toolSpec"}):
        raise _NotText(f"a tool of type {kind!r}")
    return _of_json(tool) + EACH_MARGIN


def _of_params(params: Mapping[str, Any]) -> int:
    """All other parameters, whether a provider shows them to the model or not: most of them are short."""
    for found in _levels(params):
        if outside := sorted(k for k in _OUTSIDE & found.keys() if found[k]):
            raise _NotText(f"the provider adds to the prompt by {', '.join(outside)}")
    told = {k: v for k, v in params.items() if v is not None}
    models = [told.pop(k) for k in _FORMS if _is_model(told.get(k))]
    form = models or any(found.get(k) for found in _levels(params) for k in _FORMS)
    return _of_json(told) + sum(map(_of_model, models)) + (TOOLS_MARGIN if form else 0)


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)


def _of_model(model: type[BaseModel]) -> int:
    """Bytes of a model's JSON Schema as strict providers want it: models in it written out, all fields required."""
    schema = model.model_json_schema()
    models: dict[str, Any] = schema.pop("$defs", {})
    sizes: dict[str, int] = {}

    def written_out(part: Any, within: tuple[str, ...]) -> int:
        size, left = _of_json(part), [part]
        while left:
            found = left.pop()
            left += found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
            if isinstance(found, dict) and isinstance(found.get("properties"), dict):
                size += _of_json({"additionalProperties": False, "required": list(found["properties"])})
            if isinstance(found, dict) and isinstance(ref := found.get("$ref"), str):
                name = ref.rpartition("/")[2]
                if name in within:
                    raise _NotText(f"a form that holds itself: {name}")
                if name not in sizes:
                    sizes[name] = written_out(models[name], (*within, name))
                size += sizes[name]
        return size

    return _of_json(models) + written_out(schema, ()) + _WRAPPED


def _of_text(text: str) -> int:
    """Bytes of a text, or of the form that some tokenisers bring it into first: a sign may stand for eighteen."""
    if text.isascii():
        return len(text)
    forms = (text, unicodedata.normalize("NFKC", text))
    return max(len(form.encode("utf-8", "surrogatepass")) for form in forms)


def _of_json(value: Any) -> int:
    """Bytes of a value, written out in the longest way that JSON is: with spaces, and with escapes for letters."""
    try:
        body = orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # a number of more than 64 bits, a lone surrogate
        body = json.dumps(value, default=_plain).encode()
    foreign = body.translate(None, _ASCII)
    size = len(body) if not foreign else _of_text(body.decode())
    return size + body.count(b",") + body.count(b":") + 2 * len(foreign)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    schema = _is_model(value) or is_typeddict(value) or (isinstance(value, type) and dataclasses.is_dataclass(value))
    if schema or isinstance(value, bytes | bytearray | memoryview):
        raise _NotText(f"{value!r} is sent in a form that is not known here")
    return str(value)
