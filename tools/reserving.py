"""Reserving before something is used, and settling after it: in the run, in the runs around it, and in what they share.

In memory first, where it costs nothing; then in the ledger's database, in the transaction of a record, where a shared
budget limits what is reserved. A run that is begun inside another spends the other's budget too, and tells it so by
`budget.charged`: the other may have to know after a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..contracts.budget import Amounts
from ..contracts.errors import BudgetExceeded, LimitReached
from ..ledger.counts import Count, Counting, Release
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
    _remember(made, used)
    now = signing.now()
    settled = {
        store: tuple(c for each in group for c in each.run.spending.settles(made.by, made.amounts, used, now))
        for store, group in _stores(made.activation).items()
    }
    mine = settled.pop(_store(made.activation.run), ())
    _tell(made, used, settled=True, counts=settled)
    return mine


def release(made: Reservation) -> tuple[Counting, ...]:
    """Give a reservation back: what it was for did not happen."""
    return settle(made, Amounts())


def counts_of(made: Reservation, *, open_: bool = True) -> tuple[Count, ...]:
    """What the record of a reservation counts in the budgets that are shared with other runs; mostly nothing."""
    return _merged(made, _stores(made.activation)[_store(made.activation.run)], open_=open_)


def elsewhere(made: Reservation, *, open_: bool = True) -> tuple[tuple[Run, Draft], ...]:
    """What a reservation counts for runs around its own that keep their counts in another place, with the records."""
    found = []
    # What is used at once was told before (`_tell`): this record only counts it.
    amounts = made.amounts if open_ else Amounts()
    for store, group in _stores(made.activation).items():
        if store != _store(made.activation.run) and (counts := _merged(made, group, open_=open_)):
            record = _charged(group[0], made, amounts, settled=not open_)
            found.append((group[0].run, Draft(record=record, counts=counts)))
    return tuple(found)


async def secured(made: Reservation) -> None:
    """Have what runs around count in other places durable. Raises LimitReached, LedgerUnavailable."""
    for run, draft in elsewhere(made):
        await written(run, draft)


def secured_blocking(made: Reservation) -> None:
    """`secured` for code outside an event loop."""
    for run, draft in elsewhere(made):
        written_blocking(run, draft)


def _merged(made: Reservation, group: Sequence[Activation], *, open_: bool) -> tuple[Count, ...]:
    now, found = signing.now(), dict[tuple[str, str], Count]()
    for each in group:
        for count in each.run.spending.counts(made.by, made.amounts, now, open_=open_):
            at, before = (count.key, count.by), found.get((count.key, count.by))
            # Runs inside each other may limit the same sum differently: each of their limits holds.
            found[at] = count if before is None else replace(before, windows=(*before.windows, *count.windows))
    return tuple(found.values())


def _store(run: Run) -> int:
    """Where a run's shared budgets are counted, by identity."""
    return id(run.counters if run.counters is not None else run.ledger)


def _stores(activation: Activation) -> dict[int, list[Activation]]:
    found = dict[int, list[Activation]]()
    for each in around(activation):
        found.setdefault(_store(each.run), []).append(each)
    return found


def refused(made: Reservation, error: LimitReached) -> BudgetExceeded:
    """Whose limit it was in the ledger; the reservation in memory is given back."""
    release(made)
    for each in around(made.activation):
        if each.run.spending.named(error.name):
            told = each.run.spending.refusal(error)
            return told if each is made.activation else told.inside(each.run.spending.name)
    return made.activation.run.spending.refusal(error)


def spend(activation: Activation, amounts: Amounts, *, call: str, at: str) -> tuple[tuple[Run, Draft], ...]:
    """Use what costs no more than is reserved, at once; returns the records that have to be durable before, if any.

    Raises:
        BudgetExceeded: whose limit it was; nothing is used.
    """
    made = reserve(activation, amounts, call=call, at=at)
    _remember(made, amounts)
    _tell(made, amounts, settled=True)
    counts, others = counts_of(made, open_=False), elsewhere(made, open_=False)
    if not counts:
        return others
    draft = Draft(record=_charged(activation, made, amounts, settled=True), key=f"charged:{call}", counts=counts)
    return (*others, (activation.run, draft))


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
    try:
        for run, draft in spend(activation, amounts, call=call, at=at):
            await written(run, draft)
    except LimitReached as error:
        raise unspent(activation, amounts, error, call=call) from error


def unspent(activation: Activation, amounts: Amounts, error: LimitReached, *, call: str) -> BudgetExceeded:
    """Whose limit it was; what was used for it, in memory and by those that had room, is given back."""
    for each in around(activation):
        each.run.spending.unspend(each.agent, amounts)
    made = Reservation(activation=activation, call=call, at="", amounts=amounts)
    for run, draft in elsewhere(made, open_=False):
        back = tuple(Release(key=c.key, by=c.by) for c in draft.counts)
        noted(run, Draft(record=_charged(activation, made, Amounts(), settled=True), counts=back))
    return refused(replace(made, amounts=Amounts()), error)


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


def look(activation: Activation) -> None:
    """See how much is used of the shared budgets that know a cheaper model. Blocks."""
    now = signing.now()
    for each in around(activation):
        each.run.spending.look((each.run.counters or each.run.ledger).counted, now)


def looks(activation: Activation) -> bool:
    """Whether there is anything to `look` at."""
    return any(s.budget.to for each in around(activation) for s in each.run.spending.shared)


def _remember(made: Reservation, used: Amounts) -> None:
    for each in around(made.activation):
        each.run.spending.settle(each.agent, each.limits, made.amounts, used)


def _charged(told: Activation, made: Reservation, amounts: Amounts, *, settled: bool) -> BudgetCharged:
    return BudgetCharged(
        at=made.at if told is made.activation else told.places[-1] if told.places else "",
        agent=told.agent,
        run=made.activation.run.grounds.run,
        call=made.call,
        amounts=amounts.as_json(),
        settled=settled,
    )


def _tell(
    made: Reservation, amounts: Amounts, *, settled: bool, counts: Mapping[int, tuple[Counting, ...]] | None = None
) -> None:
    """Let the runs around know, each in its own ledger; the first of each place counts there."""
    left = dict(counts or {})
    for outer in around(made.activation.outer):
        record = _charged(outer, made, amounts, settled=settled)
        noted(outer.run, Draft(record=record, counts=left.pop(_store(outer.run), ())))
