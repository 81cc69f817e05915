"""A law firm in a folder of its own, and drafts of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from edgewright.examples.contract_drafting.firm import Firm, Placed


@pytest.fixture
def firm(tmp_path: Path) -> Firm:
    """A firm with the written matters."""
    return Firm.open(tmp_path / "law_firm")


@pytest.fixture
def draft_of(firm: Firm) -> Callable[..., str]:
    """Writes a draft of a matter and gives its id: the template's own clauses, with some slots filled otherwise.

    `changed` has per slot the key of a clause, a text that is drafted, or None to leave the slot empty.
    """

    def write(number: str, template: str, changed: Mapping[str, str | None] | None = None) -> str:
        library, form = firm.library, firm.template(template)
        wanted: dict[str, str | None] = {s.name: library.current[s.clause].key for s in form.slots if s.needed}
        wanted |= changed or {}
        placed = [
            Placed(slot=slot, clause=told) if told in library.by_key else Placed(slot=slot, text=told)
            for slot, told in wanted.items()
            if told is not None
        ]
        return firm.write_draft(number, template, placed)

    return write
