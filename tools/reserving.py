"""Reserving before something is used, and settling after it: in the run, in the runs around it, and in what they share.

In memory first, where it costs nothing; then in the ledger's database, in the transaction of a record, where a shared
budget limits what is reserved. A run that is begun inside another spends the other's budget too, and tells it so by
`budget.charged`: the other may have to know after a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..contracts.budget import Amounts
from ..contracts.errors import BudgetExceeded, LimitReached
from ..ledger.counts import Count, Counting
from ..ledger.entry import Draft, Entry
from ..ledger.records import BudgetCharged
from . import signing
from .run import Activation, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What is reserved for one call. `call` is unique in its run."""

    activation: Activation
    call: str
    at: str
    amounts: Amounts

    @property
    def by(self) -> str:
        """Who counts, in every budget alike: a call counts once, however many runs around it share one budget."""
        return f"{self.activation.run.grounds.run}/{self.call}"


def around(activation: Activation | None) -> Iterator[Activation]:
    """An activation, and those of the runs around its own, from the inside out."""
    while activation is not None:
        yield activation
        activation = activation.outer


def reserve(activation: Activation, amounts: Amounts, *, call: str, at: str) -> Reservation:
    """Reserve in memory: in its run and in those around it, or in none.

    Raises:
        BudgetExceeded: whose limit it was.
    """
    held = list[Activation]()
    made = Reservation(activation=activation, call=call, at=at, amounts=amounts)
    try:
        for each in around(activation):
            each.run.spending.reserve(each.agent, each.limits, amounts)
            held.append(each)
    except BudgetExceeded as error:
        for each in held:
            each.run.spending.settle(each.agent, each.limits, amounts, Amounts())
        if held:  # not its own
            raise error.inside(list(around(activation))[len(held)].run.spending.name) from error
        raise
    _tell(made, amounts, settled=False)
    return made


def settle(made: Reservation, used: Amounts) -> tuple[Counting, ...]:
    """Replace a reservation by what was used; returns what the record that says so counts."""
    for each in around(made.activation):
        each.run.spending.settle(each.agent, each.limits, made.amounts, used)
    _tell(made, used, settled=True)
    now = signing.now()
    return tuple(
        c for each in around(made.activation) for c in each.run.spending.settles(made.by, made.amounts, used, now)
    )


def release(made: Reservation) -> tuple[Counting, ...]:
    """Give a reservation back: what it was for did not happen."""
    return settle(made, Amounts())


def counts_of(made: Reservation, *, open_: bool = True) -> tuple[Count, ...]:
    """What the record of a reservation counts in the budgets that are shared with other runs; mostly nothing."""
    now, found = signing.now(), dict[tuple[str, str], Count]()
    for each in around(made.activation):
        for count in each.run.spending.counts(made.by, made.amounts, now, open_=open_):
            at, before = (count.key, count.by), found.get((count.key, count.by))
            # Runs inside each other may limit the same sum differently: each of their limits holds.
            found[at] = count if before is None else replace(before, windows=(*before.windows, *count.windows))
    return tuple(found.values())


def refused(made: Reservation, error: LimitReached) -> BudgetExceeded:
    """Whose limit it was in the ledger; the reservation in memory is given back."""
    release(made)
    known = [each.run.spending for each in around(made.activation)]
    mine = next((s for s in known if any(error.name.startswith(b.budget.name) for b in s.shared)), known[0])
    return mine.refusal(error)


def spend(activation: Activation, amounts: Amounts, *, call: str, at: str) -> tuple[Draft, ...]:
    """Use what costs no more than is reserved, at once; returns the record that has to be durable before, if any.

    Raises:
        BudgetExceeded: whose limit it was; nothing is used.
    """
    made = reserve(activation, amounts, call=call, at=at)
    settle(made, amounts)
    counts = counts_of(made, open_=False)
    if not counts:
        return ()
    record = BudgetCharged(
        at=at, agent=activation.agent, run=activation.run.grounds.run, call=call, amounts=amounts.as_json()
    )
    return (Draft(record=record, key=f"charged:{call}", counts=counts),)


async def written(run: Run, *drafts: Draft) -> list[Entry]:
    """Write records of something reserved, with what they count, and wait until that is durable.

    Raises:
        LimitReached: nothing was written.
        LedgerUnavailable: it is not known whether it is counted; that is no permission.
    """
    if run.counters is not None and (counts := _all_counts(drafts)):
        await asyncio.wrap_future(run.counters.take(counts))
        drafts = tuple(replace(d, counts=()) for d in drafts)
    return await run.write(*drafts)


def written_blocking(run: Run, *drafts: Draft) -> list[Entry]:
    """`written` for code outside an event loop."""
    if run.counters is not None and (counts := _all_counts(drafts)):
        run.counters.take(counts).result()
        drafts = tuple(replace(d, counts=()) for d in drafts)
    return run.write_blocking(*drafts)


def noted(run: Run, draft: Draft) -> None:
    """Note a record of something settled. What cannot be settled lapses, and then counts in full."""
    if run.counters is not None and draft.counts:
        run.counters.take(draft.counts)
        draft = replace(draft, counts=())
    run.note(draft)


def _all_counts(drafts: Sequence[Draft]) -> tuple[Counting, ...]:
    return tuple(c for d in drafts for c in d.counts)


async def charge(activation: Activation, amounts: Amounts, *, call: str, at: str) -> None:
    """`spend`, durable where it has to be. Raises BudgetExceeded, LedgerUnavailable."""
    drafts = spend(activation, amounts, call=call, at=at)
    if drafts:
        try:
            await written(activation.run, *drafts)
        except LimitReached as error:
            raise unspent(activation, amounts, error) from error


def unspent(activation: Activation, amounts: Amounts, error: LimitReached) -> BudgetExceeded:
    """Whose limit it was; what was used in memory for it is given back."""
    for each in around(activation):
        each.run.spending.unspend(each.agent, amounts)
    return refused(Reservation(activation=activation, call="", at="", amounts=Amounts()), error)


def cheaper(activation: Activation, refused: BudgetExceeded | None) -> tuple[Any, str] | None:
    """The model that some budget of an activation wants asked instead, and why; the innermost budget first.

    Args:
        refused: a reservation that did not fit; the budget that refused it may know another model.
    """
    for each in around(activation):
        found = each.run.spending.cheaper(each.agent, each.limits, refused)
        if found is not None:
            return found
    return None


def look(made: Reservation) -> None:
    """See how much of the shared budgets that degrade is used. Blocks."""
    now = signing.now()
    for each in around(made.activation):
        each.run.spending.look((each.run.counters or each.run.ledger).counted, now)


def looks(made: Reservation) -> bool:
    """Whether there is anything to `look` at."""
    return any(s.budget.to for each in around(made.activation) for s in each.run.spending.shared)


def _tell(made: Reservation, amounts: Amounts, *, settled: bool) -> None:
    for outer in around(made.activation.outer):
        record = BudgetCharged(
            at=outer.places[-1] if outer.places else "",
            agent=outer.agent,
            run=made.activation.run.grounds.run,
            call=made.call,
            amounts=amounts.as_json(),
            settled=settled,
        )
        outer.run.note(Draft(record=record))
