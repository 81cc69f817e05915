"""What a policy can never permit, read from the scopes of its rules alone: conditions are taken as they may turn out.

Sound and not complete: what is said to be out of reach is denied for every call; much else may be denied too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .tool import ToolSpec


def out_of_reach(
    rules: Iterable[Mapping[str, Any]], asks: Iterable[Mapping[str, Any]], agent: str, tools: Iterable[ToolSpec]
) -> frozenset[str]:
    """Tools that an agent may call under no circumstances.

    Args:
        rules: the policies of a set as Cedar's JSON form holds them.
        asks: those of them that a person can lift.
    """
    every, lifted = list(rules), list(asks)
    permits = [r for r in every if r["effect"] == "permit"]
    flat = [r for r in every if r["effect"] == "forbid" and not r.get("conditions") and r not in lifted]
    return frozenset(
        tool.name
        for tool in tools
        if not any(_may_cover(r, agent, tool, unclear=True) for r in permits)
        or any(_may_cover(r, agent, tool, unclear=False) for r in flat)
    )


def _may_cover(rule: Mapping[str, Any], agent: str, tool: ToolSpec, *, unclear: bool) -> bool:
    """Whether a rule's scope covers a call of a tool by an agent; `unclear` where its form is not known here."""
    actions = {("Action", f"call:{tool.name}"), ("Action", tool.effect)}
    return (
        _covers(rule["principal"], {("Agent", agent)}, "Agent", unclear)
        and _covers(rule["action"], actions, "Action", unclear)
        and _covers(rule["resource"], {("Tool", tool.name)}, "Tool", unclear)
    )


def _covers(scope: Mapping[str, Any], of: set[tuple[str, str]], kind: str, unclear: bool) -> bool:
    match scope.get("op"):
        case "All":
            return True
        case "==" | "in" if "entity" in scope or "entities" in scope:
            named = scope.get("entities") or [scope["entity"]]
            found = {(str(e.get("type")), str(e.get("id"))) for e in named if isinstance(e, Mapping)}
            return not found.isdisjoint(of)
        case "is" if "in" not in scope:
            return scope.get("entity_type") == kind
        case _:
            return unclear
