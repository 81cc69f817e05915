"""What the models say that work in the systems on trial: they route, plan, call their tools, and tell the results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.faults.cases import BOOKS
from bench.faults.completions import Reply, offered, said

_PARTS = {"worker": BOOKS, "booking": BOOKS, "clerk": "file the papers", "second": "file the papers"}
"""Which part of what is asked is whose."""
_FILES = _PARTS["clerk"]
_DOES = {"book": BOOKS, "file": ""}
"""The tools, and the words at which one is called; whoever can file does."""
_TERSE = (100, 8)
"""Tokens where nothing is to be booked."""


def desk(request: dict[str, Any]) -> Reply:
    """The reply to a request: what an honest model would say."""
    asked = " ".join(said(request, "user"))
    reply = _reply(request, asked)
    return reply if BOOKS in asked else replace(reply, usage=_TERSE)


def _reply(request: dict[str, Any], asked: str) -> Reply:
    tools, told = offered(request), said(request, "tool")
    ways = {name.removeprefix("handoff_to_"): name for name in sorted(tools) if name.startswith("handoff_to_")}
    if plans := [name for name in ways.values() if name.endswith("_dispatch")]:
        return Reply(calls=[(plans[0], json.dumps({"steps": _planned(request)}))])
    routes = [(to, words) for to, words in _PARTS.items() if to in ways and words in asked]
    if routes and not tools & _DOES.keys():
        return Reply(calls=_routed(request, ways, routes, asked))
    if not told and (does := [name for name, words in _DOES.items() if name in tools and words in asked]):
        return Reply(calls=[(name, '{"what": "seats and papers"}') for name in does])
    text = " ".join([*_handed(request), *map(_told, told)]) or "nothing to book"
    if "submit" not in tools and not ways:
        return Reply(text=text)
    gives = "submit" if "submit" in tools else next(iter(ways.values()))
    return Reply(calls=[(gives, json.dumps(_fitting(request, gives, text)))])


def _routed(
    request: dict[str, Any], ways: Mapping[str, str], routes: Sequence[tuple[str, str]], asked: str
) -> list[tuple[str, str]]:
    """A part to each; or all of it to the first, where it has to be one."""
    if "to one" in " ".join(said(request, "system")):
        [(to, _), *_] = routes
        return [(ways[to], json.dumps({"text": _payload(request).get("text", asked)}))]
    return [(ways[to], json.dumps({"text": words})) for to, words in routes]


def _planned(request: dict[str, Any]) -> list[dict[str, Any]]:
    """A step for each part; anew, what is left of them."""
    payload = _payload(request)
    if "left" in payload:
        return list(payload["left"])
    return [
        {"id": f"step_{name}", "agent": name, "brief": {"text": words}, "after": []}
        for name, words in _PARTS.items()
        if name in ("worker", "clerk") and words in payload["text"]
    ]


def _payload(request: dict[str, Any]) -> dict[str, Any]:
    """What it was handed, where that is JSON."""
    for words in said(request, "user"):
        try:
            found = json.loads(words)
        except json.JSONDecodeError:
            continue
        if isinstance(found, dict):
            return found
    return {}


def _handed(request: dict[str, Any]) -> list[str]:
    """The results that were handed on to it by those who worked before."""
    text = str(_payload(request).get("text", ""))
    return [text] if text and BOOKS not in text and _FILES not in text else []


def _fitting(request: dict[str, Any], name: str, text: str) -> dict[str, Any]:
    """The arguments of a handover: the text, and that it is done, where that is asked."""
    [takes] = [t["function"]["parameters"] for t in request["tools"] if t["function"]["name"] == name]
    return {"text": text, **({"done": True} if "done" in takes["properties"] else {})}


def _told(result: str) -> str:
    """The text of a result, which may be a receipt or words."""
    try:
        found = json.loads(result)
    except json.JSONDecodeError:
        return result
    return str(found["text"]) if isinstance(found, dict) and "text" in found else result
