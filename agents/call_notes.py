"""What the ledger is told of a model call, beside what the model gate tells of each request."""

from __future__ import annotations

from decimal import Decimal

from ..contracts.budget import Amounts
from ..ledger.entry import Draft
from ..ledger.records import (
    CircuitMoved,
    ModelCached,
    ModelDegraded,
    ModelEscalated,
    ModelFellBack,
    ModelRetried,
    ModelSaved,
    Record,
)
from ..tools.containment import Moved, Retried
from ..tools.run import Activation
from .prices import Pricing, price_of
from .saving import Saving

_CUT = 500


class Notes:
    """Of one call. Nothing is waited for: what hangs on a record is what happens after it.

    Args:
        at: the position of the node that calls.
    """

    def __init__(self, activation: Activation, at: str) -> None:
        self._activation, self._run, self._at = activation, activation.run, at

    def price(self, model: str) -> Pricing | None:
        """What a model costs: as a person said in this run, else as it is known; None where nobody knows."""
        return self._run.prices.get(model) or price_of(model)

    def retried(self, told: Retried, model: str) -> None:
        """A try failed, and there will be another."""
        record = ModelRetried(
            at=self._at,
            agent=self._activation.agent,
            model=model,
            attempt=told.attempt,
            fault=told.kind,
            error=self._text(f"{type(told.error).__name__}: {told.error}"),
            wait=round(told.wait, 3),
        )
        self._note(record)

    def moved(self, told: Moved) -> None:
        """The breaker of an endpoint turned."""
        record = CircuitMoved(
            at=self._at,
            agent=self._activation.agent,
            of=told.of,
            before=told.before,
            after=told.after,
            failures=told.failures,
            last=told.last or "",
        )
        self._note(record)

    def escalated(self, model: str, to: str, reason: str) -> None:
        """The next tier is asked."""
        who = self._activation.agent
        self._note(ModelEscalated(at=self._at, agent=who, model=model, to=to, reason=self._text(reason)))

    def degraded(self, model: str, to: str, reason: str) -> None:
        """A cheaper model is asked."""
        who = self._activation.agent
        self._note(ModelDegraded(at=self._at, agent=who, model=model, to=to, reason=self._text(reason)))

    def fell_back(self, model: str, to: str, reason: str) -> None:
        """Another model is asked."""
        who = self._activation.agent
        self._note(ModelFellBack(at=self._at, agent=who, model=model, to=to, reason=self._text(reason)))

    def cached(self, model: str, run: str, used: Amounts) -> None:
        """A reply that another run had was given again."""
        cost = used.as_json()
        self._note(ModelCached(at=self._at, agent=self._activation.agent, model=model, run=run, cost=cost))

    def cache_failed(self, why: str) -> None:
        """The response cache is at fault, and saved nothing."""
        self._note(self._saving(Saving(how="cache", usd=Decimal(0), tokens=0, basis=self._text(why)), ""))

    def saved(self, saving: Saving, model: str, *, part: str = "") -> None:
        """Something was saved; told once per call and `part`, however often it is executed."""
        self._note(self._saving(saving, model), f"saved:{saving.how}{part}:{self._at}")

    def saved_before(self) -> list[Decimal]:
        """What cheaper tiers were said to save in the earlier tries of this turn."""
        within = tuple(f"{place}/" for place in self._activation.places[:-1])
        with self._run.lock:
            records = [r for r in self._run.journal.values() if isinstance(r, ModelSaved) and r.how == "tier"]
        return [Decimal(r.usd) for r in records if r.usd and r.at.startswith(within)]

    def _saving(self, saving: Saving, model: str) -> ModelSaved:
        return ModelSaved(
            at=self._at,
            agent=self._activation.agent,
            model=model,
            how=saving.how,
            usd=saving.dollars,
            tokens=saving.tokens,
            basis=saving.basis,
        )

    def _text(self, text: str) -> str:
        found: str = self._run.knows.text(text)
        return found[:_CUT]  # cut last: half a find would not be found

    def _note(self, record: Record, key: str | None = None) -> None:
        self._run.note(Draft(record=record, key=key))
