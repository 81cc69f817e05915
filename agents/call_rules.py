"""What an agent declares of its model's calls, as one value: checked, and part of the agent's digest where set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel

from ..contracts.containment import Breaker, Bulkhead, Containment, Off, Retry, Timeouts, chosen
from ..tools.sealed import SealedTool
from .models import model_id
from .trimming import Trim

CONTAINMENT = Containment(
    timeouts=Timeouts(total=120.0, idle=30.0),
    retry=Retry(attempts=3),
    breaker=Breaker(),
    # A model's endpoint has as many places as it takes; its own limit is one that it tells of (429).
    bulkhead=None,
)
"""What holds for every call of an agent's model, unless the agent says otherwise."""
PLACES = Bulkhead(running=64, waiting=1000, wait=120.0)
"""How many of an agent's calls may be under way at once, in all runs of its system in this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRules:
    """See `Agent` for what each part means. None is the default; `"off"` is without it, knowingly."""

    fallback: tuple[str | BaseChatModel, ...] = ()
    timeouts: Timeouts | None = None
    retry: Retry | Off | None = None
    breaker: Breaker | Off | None = None
    bulkhead: Bulkhead | Off | None = None
    cache: bool = False
    cache_prompt: bool = False
    trim: Trim | None = None

    @property
    def containment(self) -> Containment:
        """What holds for each of its calls, per endpoint."""
        return Containment(
            timeouts=self.timeouts or CONTAINMENT.timeouts,
            retry=chosen(self.retry, CONTAINMENT.retry),
            breaker=chosen(self.breaker, CONTAINMENT.breaker),
            bulkhead=None,
        )

    @property
    def places(self) -> Bulkhead | None:
        """The agent's own bulkhead."""
        return chosen(self.bulkhead, PLACES)

    def faults(self, *, driven: bool, tools: Sequence[SealedTool], writes: bool, middleware: bool) -> list[str]:
        """What is wrong with it, for an agent of that kind.

        Args:
            driven: by a model, not by a function.
            writes: it writes shared state.
        """
        if not driven:
            said = ", ".join(sorted(self.declared()))
            return [f"a function calls no model by itself, so {said} would do nothing"] if said else []
        if not self.cache:
            return []
        changing = sorted(t.name for t in tools if t.spec.changes_world)
        faults = [
            f"cache=True, and tool {name!r} changes the world: a reply may not be given twice" for name in changing
        ]
        if writes:
            faults.append("cache=True, and it writes shared state: a reply may not be given twice")
        if middleware:
            faults.append("cache=True, and it has middleware: what that makes of a request is not known to the cache")
        return faults

    def declared(self) -> dict[str, Any]:
        """What is not the default, as it counts in the agent's digest."""
        parts = {
            "fallback": [model_id(m) for m in self.fallback],
            "timeouts": self.timeouts and self.timeouts.as_json(),
            "retry": self.retry.as_json() if isinstance(self.retry, Retry) else self.retry,
            "breaker": self.breaker.as_json() if isinstance(self.breaker, Breaker) else self.breaker,
            "bulkhead": self.bulkhead.as_json() if isinstance(self.bulkhead, Bulkhead) else self.bulkhead,
            "cache": self.cache,
            "cache_prompt": self.cache_prompt,
            "trim": self.trim and self.trim.as_json(),
        }
        return {name: value for name, value in parts.items() if value}
