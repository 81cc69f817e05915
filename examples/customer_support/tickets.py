"""The tickets of the demo, what each should lead to, and whether it did."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .contracts import Channel, CustomerNumber, Text, Topic
from .database import EFFECTS, HelpDesk
from .tools import AreaCode, InvoiceNumber, LineId, LoginName, Service

Kind = Literal["seen", "unseen"]

FILES: dict[Kind, Path] = {
    "seen": Path(__file__).with_name("tickets.toml"),
    "unseen": Path(__file__).with_name("tickets_unseen.toml"),
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Credit(_Strict):
    """A credit that should be made."""

    invoice: InvoiceNumber
    amount_cents: Annotated[int, Field(gt=0)]


class Incident(_Strict):
    """A fault that should be reported."""

    area: AreaCode
    service: Service


class Expectation(_Strict):
    """The specialist who should get a ticket, and the rows it should leave in the tables of effects."""

    route: Topic
    credits: tuple[Credit, ...] = ()
    cancellations: tuple[LineId, ...] = ()
    resets: tuple[LoginName, ...] = ()
    incidents: tuple[Incident, ...] = ()

    def end_state(self) -> EndState:
        """The rows in the form in which they are compared."""
        owed: Counter[str] = Counter()
        for credit in self.credits:
            owed[credit.invoice] += credit.amount_cents
        return EndState(
            credits=frozenset(owed.items()),
            cancellations=tuple(sorted(self.cancellations)),
            resets=tuple(sorted(self.resets)),
            incidents=tuple(sorted((incident.area, incident.service) for incident in self.incidents)),
        )


class Case(_Strict):
    """A ticket of the demo: what a customer wrote, what it should lead to, and why."""

    id: Annotated[str, Field(pattern=r"^[TU]-\d{2,3}$")]
    language: Literal["de", "en", "es", "fr", "it", "nl", "pl", "pt", "tr"]
    channel: Channel
    sender: CustomerNumber | None = None
    text: Text
    note: Annotated[str, Field(min_length=1)]
    expect: Expectation

    @model_validator(mode="after")
    def _the_portal_verifies(self) -> Self:
        if self.channel == "portal" and self.sender is None:
            raise ValueError(f"{self.id}: the portal always verifies its sender")
        return self

    def request(self) -> dict[str, Any]:
        """What the agents get to see."""
        return self.model_dump(include={"sender", "channel", "text"}, exclude_none=True)


@dataclass(frozen=True, kw_only=True)
class EndState:
    """What a ticket has done to the database; credits are summed per invoice."""

    credits: frozenset[tuple[str, int]]
    cancellations: tuple[str, ...]
    resets: tuple[str, ...]
    incidents: tuple[tuple[str, str], ...]

    @classmethod
    def of_run(cls, desk: HelpDesk, run: str) -> Self:
        """Read the rows one run has left behind."""
        rows = {kind: desk.effects(kind, run=run) for kind in EFFECTS}
        credited: Counter[str] = Counter()
        for row in rows["credits"]:
            credited[row["invoice"]] += row["amount_cents"]
        return cls(
            credits=frozenset(credited.items()),
            cancellations=tuple(sorted(row["line"] for row in rows["cancellations"])),
            resets=tuple(sorted(row["login"] for row in rows["resets"])),
            incidents=tuple(sorted((row["area"], row["service"]) for row in rows["incidents"])),
        )


@dataclass(frozen=True, kw_only=True)
class Score:
    """Whether a ticket went to the right specialist, and left the database as it should."""

    case: str
    route: bool
    end_state: bool


def load_tickets(kind: Kind) -> tuple[Case, ...]:
    """The tickets the rules were written with in view, or those their author had not seen.

    Raises:
        ValueError: naming the field, if a ticket is not well formed or two share an id.
    """
    found = tomllib.loads(FILES[kind].read_text(encoding="utf-8"))
    cases = tuple(Case.model_validate(ticket) for ticket in found.pop("ticket"))
    if found:
        raise ValueError(f"{FILES[kind].name}: unknown tables {sorted(found)}")
    if twice := [name for name, count in Counter(case.id for case in cases).items() if count > 1]:
        raise ValueError(f"{FILES[kind].name}: ids used twice: {twice}")
    return cases


def score(case: Case, *, route: str | None, end_state: EndState) -> Score:
    """Compare what happened with what should have."""
    return Score(case=case.id, route=route == case.expect.route, end_state=end_state == case.expect.end_state())


def summary(scores: Sequence[Score]) -> dict[str, int]:
    """How many of the tickets were right, by route, by end state and by both."""
    return {
        "tickets": len(scores),
        "route": _count(score.route for score in scores),
        "end_state": _count(score.end_state for score in scores),
        "both": _count(score.route and score.end_state for score in scores),
    }


def _count(right: Iterable[bool]) -> int:
    return sum(right)
