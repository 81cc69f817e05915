"""What the models say that work in the systems on trial: they route, call their one tool, and tell its result."""

from __future__ import annotations

import json
from typing import Any

from bench.faults.completions import Reply, offered, said

_WORDS = {"worker": "Book the seats", "clerk": "file the papers"}


def desk(request: dict[str, Any]) -> Reply:
    """The reply to a request: what an honest model would say."""
    tools, told = offered(request), said(request, "tool")
    if "handoff_to_worker" in tools:
        asked = " ".join(said(request, "user"))
        handed = [(name, words) for name, words in _WORDS.items() if words in asked]
        return Reply(calls=[(f"handoff_to_{name}", json.dumps({"text": words})) for name, words in handed])
    if told:
        text = _told(told[-1])
        gives = [t for t in tools if t == "submit" or t.startswith("handoff_to_")]
        return Reply(calls=[(gives[0], json.dumps({"text": text}))]) if gives else Reply(text=text)
    return Reply(calls=[("book" if "book" in tools else "file", '{"what": "seats and papers"}')])


def _told(result: str) -> str:
    """The text of a result, which may be a receipt or words."""
    try:
        found = json.loads(result)
    except json.JSONDecodeError:
        return result
    return str(found["text"]) if isinstance(found, dict) and "text" in found else result
