"""What leaves a hand-made graph at an edge to END: of the state, what its contract changed is written again.

A state that holds what crossed already is left as it is, so branches that end side by side do not get into each other's
way. Where a key has a reducer, what was cleaned takes the place of what was there instead of being added to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.channels import BinaryOperatorAggregate, LastValue
from langgraph.errors import InvalidUpdateError
from langgraph.graph import StateGraph
from langgraph.types import Overwrite

Channels = Mapping[str, Any]


class Agreed(LastValue[Any]):
    """A key that several edges to END may write at once, as long as they say the same."""

    __slots__ = ()

    def update(self, values: Sequence[Any]) -> bool:
        """As LangGraph's. Raises InvalidUpdateError: two values that differ."""
        return super().update(values[:1] if len(values) > 1 and _agree(values) else values)


class AgreedReduced(BinaryOperatorAggregate[Any]):
    """The same for a key with a reducer: what was cleaned first, then what others add at that moment."""

    __slots__ = ()

    def update(self, values: Sequence[Any]) -> bool:
        """As LangGraph's, and nothing that is added beside a cleaned value is lost.

        Raises:
            InvalidUpdateError: two cleaned values that differ.
        """
        cleaned = [v.value for v in values if isinstance(v, Overwrite)]
        if not cleaned:
            return super().update(values)
        if not _agree(cleaned):
            raise InvalidUpdateError(
                f"key {self.key!r}: two edges to END clean it differently in one step; give both the same `never`"
            )
        self.value = cleaned[0]
        super().update([v for v in values if not isinstance(v, Overwrite)])
        return True


def made_agreeing(graph: StateGraph[Any, Any, Any, Any], keys: Sequence[str]) -> None:
    """Let edges to END write these keys of a graph side by side."""
    for key in keys:
        before = graph.channels[key]
        made: Agreed | AgreedReduced
        if type(before) is LastValue:
            made = Agreed(before.typ, key)
        elif type(before) is BinaryOperatorAggregate:
            made = AgreedReduced(before.typ, before.operator)
            made.key = key
        else:
            continue
        graph.channels[key] = made


def replaceable(channel: Any) -> bool:
    """Whether a cleaned value can take the place of what a key holds."""
    return isinstance(channel, LastValue | BinaryOperatorAggregate)


def leaving(state: Mapping[str, Any], crossed: Mapping[str, Any], channels: Channels, *, alone: bool) -> dict[str, Any]:
    """Of what crossed to END, what the state does not hold like that, as an update of it.

    Args:
        alone: no other edge leads to END. Else what a contract fills in by default is left out: another branch may be
            about to write it.
    """
    changed = {k: v for k, v in crossed.items() if (k in state or alone) and not same(state.get(k, ...), v)}
    return {k: Overwrite(v) if isinstance(channels[k], BinaryOperatorAggregate) else v for k, v in changed.items()}


def same(held: Any, crossed: Any) -> bool:
    """Whether a value is just what crossed: equal, and of the same plain types. A model may hold more than it shows."""
    if type(held) is not type(crossed):
        return False
    if isinstance(held, dict):
        return held.keys() == crossed.keys() and all(same(v, crossed[k]) for k, v in held.items())
    if isinstance(held, list):
        return len(held) == len(crossed) and all(map(same, held, crossed))
    return bool(held == crossed)


def _agree(values: Sequence[Any]) -> bool:
    return all(same(values[0], v) for v in values[1:])
