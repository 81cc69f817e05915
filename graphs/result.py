"""How a run stands when control comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

import orjson
from langgraph.types import Interrupt

from ..contracts.marks import Mark, partial
from ..contracts.review import ReviewRequest
from ..ledger.transcript import plain
from .state import MARKS, RESPONSE, RUN
from .story import result_html


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run stands when control comes back.

    It is `completed` with a response, `waiting` for reviews, or `drained`: stopped at a checkpoint for the `reason`
    given, to be gone on with by `resume`.

    `marks` say what a reader of the output has to know of how it came about.
    """

    status: Literal["completed", "waiting", "drained"]
    run: str
    thread: str
    output: dict[str, Any] | None = None
    reviews: tuple[ReviewRequest, ...] = ()
    interrupts: Mapping[str, str] = field(default_factory=dict)
    marks: tuple[Mark, ...] = ()
    reason: str = ""

    @property
    def partial(self) -> bool:
        """Whether a part of what was asked for is missing."""
        return bool(partial(self.marks))

    def _repr_html_(self) -> str:
        said = "".join(f"<li><b>{m.kind}</b> of {escape(m.agent)}: {escape(plain(m.why))}</li>" for m in self.marks)
        shown = result_html(self.status, self.run, self.output, self.reviews)
        return f"{shown}<ul style='margin:4px 0'>{said}</ul>" if said else shown


def result_of(thread: str, value: Mapping[str, Any], interrupts: Sequence[Interrupt]) -> RunResult:
    """How a run stands, from what its graph left and what it waits for."""
    marks = tuple(map(Mark.from_json, value.get(MARKS) or ()))
    asked = [(ReviewRequest.model_validate_json(orjson.dumps(i.value)), i.id) for i in interrupts]
    if asked:
        return RunResult(
            status="waiting",
            run=asked[0][0].run,
            thread=thread,
            reviews=tuple(r for r, _ in asked),
            interrupts={r.id: i for r, i in asked},
            marks=marks,
        )
    output = value.get(RESPONSE) or None
    return RunResult(status="completed", run=value.get(RUN, ""), thread=thread, output=output, marks=marks)
