"""What a change of a tool's declaration means for those who judge by it: policy, labels, reviewers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from .compat import WHOLE, diff
from .phrases import quoted
from .tool import LATER

_EFFECTS = ("read", "write", "irreversible")
_TEXT = {
    "description": "What models read of it changed; its declaration holds as before.",
    "code": "Its code changed; its declaration holds as before.",
}
_NOTHING: dict[str, Any] = {"type": "object", "properties": {}}
ToolChange = tuple[Literal["safe", "breaks_readers", "breaks_writers", "changes_security"], str, str]


def tool_changes(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[ToolChange]:
    """Changes between two declarations of one tool, as a lock holds them: (kind, path, reason)."""
    for key in sorted({*was, *now}):
        then, here = was.get(key), now.get(key)
        if then == here:
            continue
        if key in ("parameters", "facts"):
            yield from _schema(key, then, here)
        elif key in _TEXT:
            yield "safe", key, _TEXT[key]
        elif key == "timeout":
            yield "safe", key, f"Its timeout is {here} s now, {then} s until now."
        elif key in LATER:
            yield "safe", key, f"Its {key} is {quoted(here)} now, {quoted(then)} until now."
        elif key == "has_probe":
            follows = "can be asked how a call ended" if here else "can no longer be asked: a person must be"
            yield "safe", key, f"After a crash it {follows}."
        else:
            yield (
                "changes_security",
                key,
                f"{key} is {quoted(here)} now, {quoted(then)} until now: {_meaning(key, then, here)}",
            )


def _meaning(key: str, then: Any, here: Any) -> str:
    if key == "effect" and then in _EFFECTS and here in _EFFECTS:
        if _EFFECTS.index(here) > _EFFECTS.index(then):
            return "it does more to the world, under rules that were written for less."
        return "rules for graver effects no longer hold for it."
    if key == "output":
        return "what it returns ends taint." if here == "trusted" else "what it returns taints who reads it."
    if key == "sensitivity":
        return "what it returns is withheld from other readers than before."
    if key == "sink":
        return "data may leave through it." if here else "rules against data leaving no longer hold for it."
    if key == "idempotency":
        return "a call that a crash cut off " + ("is left to a person." if here == "none" else "is made again.")
    if key == "roles":
        return "rules and reviewers read its arguments differently."
    return "policy and gates judge it differently."


def _schema(key: str, then: Any, here: Any) -> Iterator[ToolChange]:
    what = "arguments" if key == "parameters" else "facts"
    if then is None or here is None:
        gone = "no longer tells policy facts" if here is None else "tells policy facts now"
        yield "changes_security", what, f"It {gone}: rules over them decide differently."
    for change in diff(then or _NOTHING, here or _NOTHING):
        path = what if change.path == WHOLE else f"{what}.{change.path}"
        yield change.kind, path, change.reason
