"""A stage whose condition does not hold: it takes no turn and hands on what it was handed. That is no failure.

What was decided for a place in a run holds there: a turn that began is gone on with after a crash, a stage that was
skipped stays skipped.
"""

from __future__ import annotations

from typing import Any

from ..ledger.entry import Draft
from ..ledger.records import AgentStarted, StageSkipped
from ..tools.run import Run
from .failures import Seat
from .stages import Condition
from .state import Turned


def skipped_stage(run: Run, condition: Condition | None, seat: Seat, begun: Turned, gate: Any) -> Turned | None:
    """What a stage leaves that is skipped, recorded; None for one that takes its turn.

    Args:
        gate: what the last contract node said; a turn that is taken again has been begun.

    Raises:
        ConditionFailed
    """
    at = begun["at"]
    if condition is None or gate not in (None, "passed"):
        return None
    skipped = isinstance(run.journal.get(f"skipped:{at}"), StageSkipped)
    if not skipped and (isinstance(run.journal.get(f"started:{at}"), AgentStarted) or condition.holds(begun["inbox"])):
        return None
    run.note(Draft(record=StageSkipped(at=at, agent=seat.who, when=condition.text), key=f"skipped:{at}"))
    [(target, contract)] = seat.gives.items()
    payload = {k: v for k, v in begun["inbox"].items() if k not in contract.carried}
    return {**begun, "offers": [{"target": target, "payload": payload}], "given": True}
