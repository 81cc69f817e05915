"""What a change of the bound on an edge means, as a lock holds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

BoundChange = tuple[Literal["breaks_writers", "changes_security"], str]


def bound_changes(was: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> Iterator[BoundChange]:
    """Changes between two bounds of one edge: (kind, reason). None is an edge without one."""
    if was == now:
        return
    told = f"Its bound is {_words(now)} now, {_words(was)} until now"
    if was is None:
        yield "breaks_writers", f"{told}: its source can hand over so often only."
    elif now is None:
        yield "changes_security", f"{told}: its agents may go round as often as the run's own limits let them."
    else:
        if now["most"] < was["most"]:
            yield "breaks_writers", f"{told}: its source can hand over less often."
        if now["most"] > was["most"] or now["name"] != was["name"]:
            yield "changes_security", f"{told}: it is counted anew, and may be crossed more often."
        if now["then"] != was["then"]:
            yield "changes_security", f"{told}: another decides what happens at its end."


def _words(bound: Mapping[str, Any] | None) -> str:
    return f"{bound['name']!r}, {bound['most']} then {bound['then']}" if bound else "none"
