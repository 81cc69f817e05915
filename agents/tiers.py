"""Tiers: the models of one agent, the cheapest first. A dearer one is asked where the cheaper one did not do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage

from ..contracts.errors import AgentInvalid
from ..tools.function import source_digest
from .models import model_id

Confidence = Callable[[AIMessage], float]
"""How sure a reply is, from 0 to 1: a pure function, which asks nobody."""


class Tiers:
    """Models of one agent, the cheapest first.

    A turn begins with the first. The next one is asked when an offer broke its contract, for the repair; and, with the
    same messages, when a reply is not sure enough: that reply is paid for, and nothing that it asks for is done.

    Args:
        models: `provider:model` or chat models, at least two.
        confidence: how sure a reply is, from 0 to 1. One that raises, or says no such number, is not sure.
        least: below it a reply is not sure enough.

    Raises:
        AgentInvalid: fewer than two models, two of one name, or a `least` that is no share.
    """

    def __init__(self, *models: str | BaseChatModel, confidence: Confidence | None = None, least: float = 0.7) -> None:
        names = [model_id(m) for m in models]
        faults = [f"model {name!r} is there twice" for name in sorted({n for n in names if names.count(n) > 1})]
        if len(models) < 2:
            faults.append(f"it has {len(models)} of the two models that it needs at least")
        if not (_is_share(least) and least > 0):
            faults.append(f"least is {least!r}, not a share above 0, 1 at most")
        if faults:
            raise AgentInvalid(name="Tiers", faults=faults)
        self.models, self.confidence, self.least = models, confidence, float(least)

    def unsure(self, reply: AIMessage) -> str | None:
        """Why a reply is not sure enough; None where it is, or where nothing tells."""
        if self.confidence is None:
            return None
        try:
            found = self.confidence(reply)
        except Exception as error:  # noqa: BLE001 - of a reply that cannot be judged nobody is sure
            return f"nothing tells how sure it is: {type(error).__name__}: {error}"
        if not _is_share(found):
            return f"nothing tells how sure it is: {found!r} is not between 0 and 1"
        return f"its confidence is {found:g}, and {self.least:g} is asked for" if found < self.least else None

    def as_json(self) -> dict[str, Any]:
        """As it counts in the agent's digest."""
        code = source_digest(self.confidence) if self.confidence is not None else ""
        return {"models": [model_id(m) for m in self.models], "confidence": code, "least": self.least}

    def __repr__(self) -> str:
        return f"Tiers({', '.join(model_id(m) for m in self.models)})"


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
