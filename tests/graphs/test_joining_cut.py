"""A branch that is cut off because its join is decided: what becomes of its tool calls, model calls and writes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from edgewright import Agent, Budget, Call, Handoff, Key, OfflineModel, Pipeline, System, Turn, tool
from edgewright.agents.offline import Say
from edgewright.contracts.errors import JoinUnmet
from edgewright.contracts.join import any_of, first
from edgewright.graphs.calls import Calls, Out
from edgewright.ledger.records import EffectDone, ModelFailed, ModelReserved
from edgewright.tools.sealed import SealedTool
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult
from support.joins import Clerks, bounded, found, gaps, joined
from support.offices import BRIEF, FINDING, done, fresh
from support.systems import PERMIT_ALL, of_kind


@pytest.fixture(autouse=True)
def _fresh() -> None:
    fresh()


class Till:
    """A tool that pays, slowly; `begun` is set when it does."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

        @tool(effect="write", idempotency="none", output="trusted", sensitivity="internal", name="pay")
        async def pay(part: str) -> str:
            """Pay for a part."""
            self.begun.set()
            await asyncio.sleep(0.2)
            done[part] += 1
            return "paid"

        self.pay: SealedTool = pay

    async def meanwhile(self, _: Any) -> str:
        """Answers once something is being paid for."""
        await self.begun.wait()
        return "x"


async def test_an_effect_under_way_is_let_end_and_no_other_begins() -> None:
    till = Till()

    async def pays(_: Any) -> str:
        await till.pay.call({"part": "first"})
        await till.pay.call({"part": "second"})
        return "y"

    clerks = Clerks({"a": till.meanwhile, "b": pays})
    system = joined(clerks, any_of(), "a", "b", tools=(till.pay,), policy=PERMIT_ALL)
    result = await bounded(system.arun({"text": "go"}))
    assert (found(result), gaps(result), done) == (["x"], ["late"], {"first": 1})
    kinds = [e.kind for e in system.ledger.entries(result.run) if e.kind.startswith("effect.")]
    assert kinds == ["effect.intended", "effect.done"]


async def test_a_read_under_way_is_not_waited_for() -> None:
    begun = asyncio.Event()

    @tool(effect="read", output="trusted", sensitivity="internal", name="look")
    async def look(part: str) -> str:
        """Look something up."""
        begun.set()
        await asyncio.Event().wait()
        return part

    async def looks(_: Any) -> str:
        return str(await look.call({"part": "b"}))

    async def answers_meanwhile(_: Any) -> str:
        await begun.wait()
        return "x"

    clerks = Clerks({"a": answers_meanwhile, "b": looks})
    system = joined(clerks, any_of(), "a", "b", tools=(look,), policy=PERMIT_ALL)
    result = await bounded(system.arun({"text": "go"}))
    assert (found(result), gaps(result)) == (["x"], ["late"])
    assert not of_kind(system, result.run, EffectDone)


class Endless(BaseChatModel):
    """A model that never answers."""

    begun: asyncio.Event

    @property
    def _llm_type(self) -> str:
        return "endless"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self.begun.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


def _both(_: Any) -> list[Handoff]:
    return [Handoff(target=n, payload={"part": n}) for n in ("quick", "slow")]


def _pair(quick: Any, slow: Agent, **options: Any) -> System:
    """Two branches of different kinds."""
    return joined(None, any_of(), specialists=[Agent("quick", version=1, function=quick), slow], **options)


async def test_a_model_call_that_is_cut_off_counts_as_one_that_was_made() -> None:
    model = Endless(begun=asyncio.Event())

    async def quick(_: Any) -> Any:
        await model.begun.wait()
        return {"found": "x"}

    slow = Agent("slow", version=1, prompt="Work.", model=model)
    system = _pair(quick, slow, router=_both, budget=Budget(model_calls=3))
    result = await bounded(system.arun({"text": "go"}))
    assert (found(result), gaps(result)) == (["x"], ["late"])
    [failed] = of_kind(system, result.run, ModelFailed)
    assert (failed.agent, failed.used["model_calls"]) == ("slow", 1)
    assert failed.error.startswith("it was cancelled")


async def test_a_model_is_not_asked_again_behind_the_effect_that_was_let_end() -> None:
    till = Till()

    def works(turn: Turn) -> Say | Sequence[Call]:
        if not turn.results:
            return [Call("pay", {"part": "first"})]
        return [Call("submit" if "submit" in turn.tools else "handoff_to_head", {"found": "y"})]

    async def quick(brief: Any) -> Any:
        return {"found": await till.meanwhile(brief)}

    slow = Agent("slow", version=1, prompt="Work.", model=OfflineModel("cut_off", works), tools=[till.pay])
    system = _pair(quick, slow, router=_both, policy=PERMIT_ALL)
    result = await bounded(system.arun({"text": "go"}))
    assert (found(result), gaps(result), done) == (["x"], ["late"], {"first": 1})
    assert len(of_kind(system, result.run, EffectDone)) == len(of_kind(system, result.run, ModelReserved)) == 1


async def test_an_effect_inside_of_a_team_is_let_end_when_the_team_is_cut_off() -> None:
    till = Till()

    async def pays(_: Any) -> dict[str, str]:
        await till.pay.call({"part": "first"})
        await till.pay.call({"part": "second"})
        return {"found": "y"}

    async def quick(brief: Any) -> Any:
        return {"found": await till.meanwhile(brief)}

    payer = Agent("payer", version=1, function=pays, tools=[till.pay])
    team = Agent("slow", version=1, team=Pipeline(stages=[payer], contracts=[BRIEF, FINDING]))
    system = _pair(quick, team, router=_both, policy=PERMIT_ALL)
    result = await bounded(system.arun({"text": "go"}))
    assert (found(result), gaps(result), done) == (["x"], ["late"], {"first": 1})
    kinds = Counter(e.kind for e in system.ledger.entries(result.run))
    assert (kinds["effect.intended"], kinds["effect.done"]) == (1, 1)


async def test_a_run_that_is_cancelled_takes_its_branches_with_it() -> None:
    clerks = Clerks({"a": "x", "b": "y"}, slow="ab")
    system = joined(clerks, first(2), "a", "b")
    run = asyncio.create_task(system.arun({"text": "go"}))

    async def stops() -> None:
        await clerks.reached["a"].wait()
        await clerks.reached["b"].wait()
        run.cancel()

    await bounded(stops())
    with pytest.raises(asyncio.CancelledError):
        await bounded(run)
    assert sorted(clerks.cancelled) == ["a", "b"]


async def test_an_answer_whose_write_was_in_conflict_counts_and_its_turn_is_taken_again() -> None:
    begun = Counter[str]()

    async def writes(brief: dict[str, Any], _: dict[str, Any]) -> Any:
        begun[brief["part"]] += 1
        return Handoff(target="head", payload={"found": brief["part"]}, writes={"ledger": brief["part"]})

    branch = Agent("clerk", version=1, function=writes, reads=["ledger"], writes=["ledger"])
    shared = {"ledger": Key(type=str, writer="clerk", on_conflict="retry")}
    system = joined(None, first(2), "a", "b", specialists=[branch], shared=shared)
    result = await bounded(system.arun({"text": "go"}))
    assert found(result) == ["a", "b"]
    assert begun.total() == 3


async def test_an_answer_that_met_the_policy_and_does_not_hold_when_it_is_given_again_is_not_handed_on() -> None:
    begun = Counter[str]()

    async def writes(brief: dict[str, Any], _: dict[str, Any]) -> Any:
        begun[brief["part"]] += 1
        if begun.total() > 2:
            raise ValueError("not again")
        return Handoff(target="head", payload={"found": brief["part"]}, writes={"ledger": brief["part"]})

    branch = Agent("clerk", version=1, function=writes, reads=["ledger"], writes=["ledger"])
    shared = {"ledger": Key(type=str, writer="clerk", on_conflict="retry")}
    system = joined(None, first(2), "a", "b", specialists=[branch], shared=shared)
    with pytest.raises(JoinUnmet, match="an answer that did not hold"):
        await bounded(system.arun({"text": "go"}))


# -- the calls that are out -------------------------------------------------------------------------------------------


async def test_no_call_begins_once_a_turn_is_to_end_and_the_turn_ends_behind_the_last_one() -> None:
    around = Calls()
    inner = Calls(around)
    turn, call = (asyncio.create_task(asyncio.Event().wait()) for _ in range(2))
    out = Out(inner, counts=True)
    out.add(call)
    ending = asyncio.create_task(around.ended(turn))
    await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        Out(inner, counts=False).add(call)
    assert not turn.done()
    out.discard(call)
    await bounded(ending)
    assert turn.cancelled()
    call.cancel()


async def test_calls_that_change_nothing_do_not_hold_up_the_end_of_a_turn() -> None:
    calls = Calls()
    turn = asyncio.create_task(asyncio.Event().wait())
    Out(calls, counts=False).add(turn)
    await bounded(calls.ended(turn))
    assert turn.cancelled()
