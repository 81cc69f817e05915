"""Which messages of a turn cross an edge, and in which form: a chat that every provider takes.

Providers refuse a tool call without its result, a result without its call, a chat that begins with the assistant, an
empty message, two calls of one id, and each other's reasoning blocks and ids. So what crosses is made anew from plain
text and tool calls, and its calls are numbered. Pure functions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

import orjson
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import ToolCall, tool_call

from ..agents.handoff import OURS
from ..contracts.edge import History
from ..contracts.names import folded, folded_all, spelt

Clean = Callable[[Any], Any]
"""Cuts out of a JSON value what must not cross."""
EARLIER = "(earlier conversation)"
_JSON = json.JSONDecoder()
_OBJECT = re.compile(r'\{\s*"')
_VALUE = r'\\{0,9}"(?:\\.|[^"\\])*\\?"?|[^\s,{}\[\]"\\]+|(?s:[\[{].*)'
_MOST_TRIED = 64  # beginnings of JSON in one text that turn out to be none: each costs as much as the text is long
_TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")  # what each provider takes as the name of a tool


def crossing(talk: Sequence[AnyMessage], rule: History, *, intents: Collection[str], clean: Clean) -> list[AnyMessage]:
    """The messages of a turn that `rule` lets cross, in the form of `plain`; for a summary, those to be summed up.

    `last(n)` counts what `plain` leaves; only what crosses is cleaned.
    """
    if rule.kind == "none":
        return []
    bare = plain(talk, intents=intents, clean=lambda value: value)
    return plain(bare if rule.kind == "summary" else chosen(bare, rule), intents=(), clean=clean)


def plain(talk: Sequence[AnyMessage], *, intents: Collection[str], clean: Clean) -> list[AnyMessage]:
    """The messages of a turn as they may cross: texts and tool calls, and nothing about handovers and their repair.

    No system prompt, no reasoning, no metadata, no id or extra of a provider.

    Args:
        talk: the messages of the turn, those included that had crossed to it.
        intents: names of the tools that ask for handovers and writes; their calls and answers are left out.
        clean: applied to every text, every tool call's arguments and name.
    """
    found: list[AnyMessage] = []
    for message in talk:
        if OURS in message.additional_kwargs:
            continue
        text = str(clean(str(message.text)))
        match message:
            case AIMessage():
                calls = [
                    tool_call(name=str(clean(c["name"])), args=_mapping(clean(c["args"])), id=c["id"])
                    for c in message.tool_calls
                    if c["name"] not in intents
                ]
                found.append(AIMessage(content=text, tool_calls=calls))
            case ToolMessage():
                found.append(ToolMessage(content=text, tool_call_id=message.tool_call_id, status=message.status))
            case HumanMessage():
                found.append(HumanMessage(text))
            case _:  # prompts, and roles that not every provider has
                continue
    return valid(found)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"value": value}


def valid(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """`messages` as a valid chat: each tool call followed by its one result, each result after its call.

    Left out are calls without a result, results without a call, calls of a name that no tool can have, and what says
    nothing. What an agent said in several messages is one. A chat that would begin with the assistant begins with a
    word of the user's side instead. Applied to its own result it changes nothing.
    """
    found: list[AnyMessage] = []
    number = 0
    for index, message in enumerate(messages):
        if isinstance(message, ToolMessage):
            continue  # taken with its call
        text = _said(message)
        if not isinstance(message, AIMessage):
            if text:
                found.append(HumanMessage(text))
            continue
        answered = _answered(message, messages[index + 1 :])
        if not text and not answered:
            continue
        if found and isinstance(found[-1], AIMessage):  # one with calls would have its results behind it
            text = "\n\n".join(part for part in (_said(found.pop()), text) if part)
        calls = [
            tool_call(name=c["name"], args=c["args"], id=_numbered(number + i)) for i, (c, _) in enumerate(answered)
        ]
        number += len(calls)
        found.append(AIMessage(content=text, tool_calls=calls))
        found += [
            ToolMessage(content=str(result.text), name=c["name"], tool_call_id=str(c["id"]), status=result.status)
            for c, (_, result) in zip(calls, answered, strict=True)
        ]
    if found and not isinstance(found[0], HumanMessage):
        found.insert(0, HumanMessage(EARLIER))
    return found


def chosen(messages: Sequence[AnyMessage], rule: History) -> list[AnyMessage]:
    """Of plain messages, those that `rule` lets cross. A summary is made elsewhere."""
    match rule.kind:
        case "none" | "summary":
            return []
        case "all":
            return list(messages)
        case "last":
            return valid(messages[-rule.count :])


def _said(message: AnyMessage) -> str:
    """Its text; nothing where it is blank, which some providers refuse."""
    text = str(message.text)
    return text if text.strip() else ""


def _answered(message: AIMessage, after: Sequence[AnyMessage]) -> list[tuple[ToolCall, ToolMessage]]:
    """The calls of a message with their results, which stand right behind it."""
    results: dict[str, ToolMessage] = {}
    for later in after:
        if not isinstance(later, ToolMessage):
            break
        results.setdefault(later.tool_call_id, later)
    calls = [c for c in message.tool_calls if _TOOL_NAME.fullmatch(c["name"])]
    return [(c, results[str(c["id"])]) for c in calls if str(c["id"]) in results]


def _numbered(number: int) -> str:
    """The id of a call: nine letters and digits, which is what the strictest provider takes."""
    return f"call{number:05d}"


def without(value: Any, names: Collection[str]) -> Any:
    """A JSON value without the fields of these names, those in JSON that stands inside its texts included.

    What an agent was handed, and what its tools told it, stand in its messages as JSON. A value that is told in prose
    has no name there: it takes a sensitivity or a detector to find it.
    """
    return _without(value, names, folded_all(names)) if names else value


def _without(value: Any, names: Collection[str], known: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {k: _without(v, names, known) for k, v in value.items() if folded(str(k)) not in known}
    if isinstance(value, list):
        return [_without(v, names, known) for v in value]
    return _text_without(value, names, known) if isinstance(value, str) else value


def _text_without(text: str, names: Collection[str], known: frozenset[str]) -> str:
    plain = folded(text)
    if not any(name in plain for name in known) and "\\u" not in text:
        return text
    out: list[str] = []
    at = tried = 0
    while tried < _MOST_TRIED and (begin := _OBJECT.search(text, at)) is not None:
        start = begin.start()
        try:
            inner, end = _JSON.raw_decode(text, start)
        except (ValueError, RecursionError):
            tried, end = tried + 1, start + 1
            out.append(text[at:end])
        else:
            kept = _without(inner, names, known)
            out += [text[at:start], text[start:end] if kept == inner else json.dumps(kept, ensure_ascii=False)]
        at = end
    rest = "".join([*out, text[at:]])
    # What is left of JSON that was cut short: the value behind the name goes, an object or a list with all behind it.
    named = "|".join(map(spelt, names))
    return re.sub(rf'(\\{{0,9}}"\s*(?:{named})\s*\\{{0,9}}"\s*:\s*)(?:{_VALUE})', r"\1null", rest, flags=re.IGNORECASE)


def as_text(messages: Sequence[AnyMessage]) -> list[dict[str, str]]:
    """Messages as a summariser reads them: who said what, tool calls included."""
    found = []
    for message in messages:
        who = {"human": "user", "ai": "agent", "tool": f"tool {getattr(message, 'name', '') or ''}"}[message.type]
        text = str(message.text)
        calls = getattr(message, "tool_calls", None) or ()
        asked = [f"calls {c['name']}({orjson.dumps(c['args']).decode()})" for c in calls]
        found.append({"who": who.strip(), "says": "\n".join(part for part in (text, *asked) if part)})
    return found
