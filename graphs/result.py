"""How a run stands when control comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from langgraph.types import Interrupt

from ..contracts.review import ReviewRequest
from .state import RESPONSE, RUN
from .story import result_html


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run stands when control comes back: `completed` with a response, or `waiting` for reviews."""

    status: Literal["completed", "waiting"]
    run: str
    thread: str
    output: dict[str, Any] | None = None
    reviews: tuple[ReviewRequest, ...] = ()
    interrupts: Mapping[str, str] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        return result_html(self.status, self.run, self.output, self.reviews)


def result_of(thread: str, value: Mapping[str, Any], interrupts: Sequence[Interrupt]) -> RunResult:
    """How a run stands, from what its graph left and what it waits for."""
    asked = [(ReviewRequest.model_validate_json(orjson.dumps(i.value)), i.id) for i in interrupts]
    if asked:
        return RunResult(
            status="waiting",
            run=asked[0][0].run,
            thread=thread,
            reviews=tuple(r for r, _ in asked),
            interrupts={r.id: i for r, i in asked},
        )
    return RunResult(status="completed", run=value.get(RUN, ""), thread=thread, output=value.get(RESPONSE) or None)
