"""How a run stops where it cannot go on: it fails, stops at a checkpoint to be gone on with, or asks a person for more.

What a budget that ran out does is declared with it (`Budget(then=...)`). Draining is LangGraph's own: the node raises
`GraphDrained`, the others of its step still end, and the checkpoint before the step is what the run goes on from. A
question interrupts the node. It is executed again with the answer, which is taken in before anything else of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from langgraph.errors import GraphDrained

from ..contracts.budget import UNITS, Amounts, Budget, Price, dollars
from ..contracts.errors import BudgetClosed, BudgetExceeded, BudgetRefused, CostUnknown
from ..contracts.review import AskingRule, ReviewAnswer, binding_of
from ..ledger.counts import MAX_AMOUNT, Count, Window
from ..ledger.entry import Draft
from ..ledger.records import BudgetRaised, PriceGiven, ReviewAnswered, ReviewAsked
from ..tools import signing
from ..tools.reserving import written
from ..tools.run import Run
from ..tools.spending import counted, uncounted
from .questions import Question, answer_to, review_of
from .runs import Runs

_BUDGET, _PRICE = "budget of ", "price of "
_PER_MILLION = ("input_per_million", "output_per_million")


async def stopped(runs: Runs, run: Run, error: Exception, *, at: str) -> BaseException:
    """Write down that a run stopped by an error; returns what is to be raised in its place.

    Raises:
        GraphInterrupt: a person is asked.
    """
    reason = run.knows.text(f"{type(error).__name__}: {error}")[:2000]
    if not isinstance(error, BudgetExceeded | CostUnknown):
        await runs.end(run, "failed", reason=reason)
        return error
    budget = run.spending.budget_of(error.scope)
    if budget is None and (outer := _around(run, error.scope)) is not None:
        # The limit of a run around this one: that one says what happens, and goes on with this one where it goes on.
        if outer.then != "fail":
            runs.let_go(run.grounds.run)
            return error
    elif budget is not None and _asks(budget, error) and not _said_no(run, _about(error), at):
        try:
            await answer_to(run, _question(run, budget, _about(error), at=at))
        except BudgetExceeded as no_more:  # no question may be asked any more
            reason = run.knows.text(f"{reason}; and nobody could be asked: {no_more}")[:2000]
    elif budget is not None and budget.then == "drain":
        await runs.drain(run, reason, scope=error.scope, unit=error.unit)
        return GraphDrained(reason)
    await runs.end(run, "out_of_budget", reason=reason)
    return error


def is_asked(run: Run, at: str) -> bool:
    """Whether a person was asked for more at this node, and has not answered."""
    return any(True for _ in _open(run, at))


async def allowed(run: Run, *, at: str) -> None:
    """Take in what a person allowed, who was asked at this node before; interrupts it where nobody has answered.

    Raises:
        BudgetExceeded, CostUnknown: the person said no, or nobody answered in time.
    """
    for asked in list(_open(run, at)):
        about = asked.about
        budget = run.spending.budget_of(_scope(about))
        if budget is None:
            continue
        question = _question(run, budget, about, at=at)
        if review_of(run, question) != asked.review:
            continue  # the budget was declared anew since: where it still does not fit, that is asked about
        answer = await answer_to(run, question)
        if answer is None or answer.decision == "reject":
            raise _refusal(run, budget, about)
        if about.startswith(_PRICE):
            await _priced(run, _model(about), asked.review, answer)
        else:
            await _raised(run, about, asked.review, answer, question.payload)


def _open(run: Run, at: str) -> list[ReviewAsked]:
    found = [r for r in list(run.asked.values()) if r.at == at and r.about.startswith((_BUDGET, _PRICE))]
    done = (f"{what}:{r.review}" for r in found for what in ("raised", "priced"))
    known = {key.partition(":")[2] for key in done if key in run.journal}
    refused = {r.review for r in found if _is_no(run.journal.get(f"answered:{r.review}"))}
    return [r for r in found if r.review not in known | refused]


def _said_no(run: Run, about: str, at: str) -> bool:
    asked = [r.review for r in list(run.asked.values()) if r.about == about and r.at == at]
    return any(_is_no(run.journal.get(f"answered:{review}")) for review in asked)


def _is_no(record: Any) -> bool:
    return isinstance(record, ReviewAnswered) and record.decision not in ("approve", "edit")


def _asks(budget: Budget, error: BudgetExceeded | CostUnknown) -> bool:
    if isinstance(error, CostUnknown):
        return budget.unpriced == "ask" and error.unit == "usd"
    return budget.then == "ask" and not isinstance(error, BudgetClosed) and error.unit.replace(" ", "_") in UNITS


def _around(run: Run, scope: str) -> Budget | None:
    """The budget of a run around this one."""
    outer, found = run.outer, None
    while found is None and outer is not None:
        found, outer = outer.run.spending.budget_of(scope), outer.run.outer
    return found


# -- the question ----------------------------------------------------------------------------------------------------


def _about(error: BudgetExceeded | CostUnknown) -> str:
    """What stands on record as asked about; all that is needed to ask the same again."""
    if isinstance(error, CostUnknown):
        return f"{_PRICE}{error.model} | {error.scope}"
    return f"{_BUDGET}{error.scope} | {error.unit.replace(' ', '_')}"


def _scope(about: str) -> str:
    head, _, tail = about.partition(" | ")
    return tail if about.startswith(_PRICE) else head.removeprefix(_BUDGET)


def _unit(about: str) -> str:
    return about.partition(" | ")[2]


def _model(about: str) -> str:
    return about.partition(" | ")[0].removeprefix(_PRICE)


def _question(run: Run, budget: Budget, about: str, *, at: str) -> Question:
    scope, unit = _scope(about), _unit(about)
    earlier = [r for r in run.asked.values() if r.about == about and r.at == at]
    answered = sum(f"raised:{r.review}" in run.journal for r in earlier)
    takes: type[ReviewAnswer] = ReviewAnswer
    if about.startswith(_PRICE):
        why = f"the budget of {scope} limits dollars, and nobody knows what {_model(about)} costs"
        payload: dict[str, Any] = {"model": _model(about), **dict.fromkeys(_PER_MILLION, "")}
        takes, fits = PriceAnswer, _is_price
    else:
        limit = getattr(budget, unit)
        why = f"the budget of {scope} allows {limit} {unit.replace('_', ' ')}, and the next call does not fit"
        most = uncounted(unit, MAX_AMOUNT)  # at once
        payload = {"add": {unit: str(min(limit, most)) if unit == "usd" else min(limit, most)}}
        fits = _Adds(unit).fits
    rule = AskingRule(
        id="budget.price" if about.startswith(_PRICE) else "budget.more", approver=budget.role, reason=why
    )
    base = binding_of(run=run.grounds.run, tenant=run.grounds.tenant, at=at, about=about, payload=payload, nth=answered)
    return Question(
        kind="budget",
        base=base,
        at=at,
        agent="",
        about=about,
        edge="",
        rule=rule,
        payload=payload,
        faults=(why,),
        takes=takes,
        fits=fits,
    )


class PriceAnswer(ReviewAnswer):
    """What can be answered about a model whose price nobody knows: what it costs, or no."""

    decision: Literal["edit", "reject"]


@dataclass(frozen=True, slots=True)
class _Adds:
    unit: str

    def fits(self, edited: Mapping[str, Any]) -> bool:
        """Whether an edit says how much to add: `{"usd": "0.50"}`, alone or under `add`."""
        try:
            return bool(0 < counted(self.unit, self.amount(edited)) <= MAX_AMOUNT)
        except (TypeError, ValueError, KeyError, ArithmeticError):
            return False

    def amount(self, edited: Mapping[str, Any]) -> Any:
        inner = edited.get("add", edited)
        value = inner[self.unit]
        if self.unit == "usd":
            return dollars(value, "usd")
        if type(value) is not int:
            raise TypeError(f"{self.unit} of {value!r}")
        return value


def _is_price(edited: Mapping[str, Any]) -> bool:
    try:
        Price(**{name: edited[name] for name in _PER_MILLION})
    except (TypeError, ValueError, KeyError):
        return False
    return True


def fault_of_more(asked: Mapping[str, Any], answer: ReviewAnswer) -> str:
    """Why an answer to a question about a budget cannot be taken; empty where it can.

    Args:
        asked: what the question shows.
    """
    told = answer.arguments or {}
    if "model" in asked:
        if answer.decision == "approve" or not _is_price(told):
            return f"say what it costs, in dollars per million tokens: an edit with {' and '.join(_PER_MILLION)}"
        return ""
    [unit] = asked["add"]
    if answer.decision == "edit" and not _Adds(unit).fits(told):
        kind = "dollars as a string" if unit == "usd" else "a whole number"
        return f"say how much to add: an edit with {unit}, {kind} above zero"
    return ""


# -- the answer ------------------------------------------------------------------------------------------------------


async def _raised(run: Run, about: str, review: str, answer: ReviewAnswer, proposed: Mapping[str, Any]) -> None:
    unit, scope = _unit(about), _scope(about)
    told = answer.arguments if answer.decision == "edit" else proposed
    amount = _Adds(unit).amount(told or {})
    shared = next((s for s in run.spending.shared if s.budget.name == scope), None)
    counts: tuple[Count, ...] = ()
    if shared is not None:
        window = Window(limit=None, since=shared.since(signing.now()))
        key = shared.of(f"{unit}/raised")
        counts = (Count(key=key, by=review, amount=counted(unit, amount), windows=(window,)),)
    record = BudgetRaised(
        review=review,
        scope=scope,
        amounts=Amounts(**{unit: amount}).as_json(),
        by=answer.reviewer,
        key=shared.key if shared else "",
    )
    kept = (await written(run, Draft(record=record, key=f"raised:{review}", counts=counts)))[0].record
    if kept is record:
        run.allow(record)


async def _priced(run: Run, model: str, review: str, answer: ReviewAnswer) -> None:
    told = answer.arguments or {}
    prices = {name: str(Decimal(str(told[name]))) for name in _PER_MILLION}
    record = PriceGiven(review=review, model=model, **prices, by=answer.reviewer)
    kept = (await run.write(Draft(record=record, key=f"priced:{review}")))[0].record
    run.allow(kept if isinstance(kept, PriceGiven) else record)


def _refusal(run: Run, budget: Budget, about: str) -> BudgetExceeded | CostUnknown:
    scope = _scope(about)
    if about.startswith(_PRICE):
        return CostUnknown(scope=scope, unit="usd", model=_model(about), remedy="a person gave no price for it")
    unit = _unit(about)
    return BudgetRefused(scope=scope, unit=unit.replace("_", " "), limit=str(getattr(budget, unit)))
