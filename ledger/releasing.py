"""An operator's release of a shared record, on the record of the run whose effect held it."""

from __future__ import annotations

from ..contracts.errors import NotFound
from .entry import Draft
from .records import RecordReleased
from .shared import Release, State


def releasing(state: State, by: str) -> tuple[str, Draft]:
    """The run and the draft that release a held record. Raises NotFound when nothing holds it."""
    if state.holder is None:
        raise NotFound(kind="effect that holds record", name=state.record.kind)
    record = RecordReleased(effect=state.holder.effect, record=state.record.kind, by=by)
    return state.holder.run, Draft(record=record, shared=Release(record=state.record, holder=state.holder, by=by))
