"""The response cache: the very same request is answered again without a model, and nothing else ever is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson
import pytest
from edgewright import Agent, Call, Contract, OfflineModel, Pipeline, Policy, Say, System, Turn, tool
from edgewright.agents.agent import CompiledAgent
from edgewright.agents.cache import Key, ResponseCache, _read
from edgewright.contracts.budget import Price
from edgewright.contracts.errors import AgentInvalid
from edgewright.contracts.review import Reviewer
from edgewright.ledger.records import EffectDone, ModelCached, ModelReserved, ModelSaved, ReplyKept, RunEnded
from langchain.agents.middleware import AgentMiddleware
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.outputs import Generation
from support.systems import PERMIT_ALL, QUESTION, Answer, of_kind, solo, submitting

PRICE = Price(input_per_million="1", output_per_million="2")
looked: list[str] = []


@tool(effect="read", output="trusted", sensitivity="internal")
def look(what: str) -> str:
    """Look something up."""
    looked.append(what)
    return f"{what} is fine"


@tool(effect="read", output="trusted", sensitivity="secret")
def peek(what: str) -> str:
    """Look a secret up."""
    return f"{what} is fine"


@tool(effect="write", idempotency="key")
def pay(cents: int) -> str:
    """Pay."""
    return "paid"


class Caching(Agent):
    """An agent whose system has this cache."""

    store: BaseCache | None = None

    def compiled(self, targets: Any, model: Any, *, shared: Any = None, cache: Any = None) -> CompiledAgent:
        """With the cache of the test."""
        return super().compiled(targets, model, shared=shared, cache=self.store)


def _looks(turn: Turn) -> list[Call]:
    return [submitting(turn.results[-1][2])] if turn.results else [Call("look", {"what": "door"})]


def _agent(cache: BaseCache, rules: Any = _looks, tools: Sequence[Any] = (look,), **more: Any) -> Agent:
    options = {"version": 1, "prompt": "Do it.", "cache": True, **more}
    agent = Caching("worker", model=OfflineModel("cached", rules, price=PRICE), tools=tools, **options)
    agent.store = cache
    return agent


def _calls(system: System, run: str) -> int:
    return len(of_kind(system, run, ModelReserved))


async def test_a_hit_asks_no_model_reserves_nothing_and_says_what_it_saved() -> None:
    looked.clear()
    system = solo(_agent(InMemoryCache()))
    first, second = await system.arun({"text": "go"}), await system.arun({"text": "go"})
    assert first.output == second.output == {"text": "door is fine"}
    assert (_calls(system, first.run), _calls(system, second.run)) == (2, 0)
    assert looked == ["door", "door"]  # what reads, reads again
    cached = of_kind(system, second.run, ModelCached)
    assert [c.run for c in cached] == [first.run] * 2
    saved = of_kind(system, second.run, ModelSaved)
    assert {s.how for s in saved} == {"cache"}
    assert sum(Decimal(s.usd) for s in saved) == Decimal(_spent(system, first.run)) > 0
    assert "usd" not in of_kind(system, second.run, RunEnded)[0].spent
    marks = [m for k in of_kind(system, second.run, ReplyKept) for m in k.marks]
    assert [m[:2] for m in marks] == [["cached", "worker"]] * 2


def _spent(system: System, run: str) -> str:
    return str(of_kind(system, run, RunEnded)[0].spent["usd"])


async def test_a_cached_calls_ids_are_its_own_and_its_effects_have_their_places() -> None:
    system = solo(_agent(InMemoryCache()))
    runs = [(await system.arun({"text": "go"})).run for _ in range(3)]
    ids = [i for run in runs for k in of_kind(system, run, ReplyKept) for i in k.calls]
    assert len(ids[2:]) == len(set(ids[2:])) == 4  # of the second and third run
    assert not set(ids[:2]) & set(ids[2:])
    for run in runs:
        [effect] = of_kind(system, run, EffectDone)
        assert effect.effect == f"{of_kind(system, run, ReplyKept)[0].at}.0"


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "Do it now."},
        {"version": 2},
        {"policy": '@id("b") permit(principal, action, resource);'},
        {"environment": "test"},
        {"name": "duo"},
        {"text": "go on"},
        {"sender": "somebody"},
    ],
)
async def test_another_agent_policy_environment_system_or_request_is_another_question(other: dict[str, Any]) -> None:
    cache = InMemoryCache()

    async def run(text: str = "go", sender: str | None = None, **more: Any) -> int:
        agent = {k: more.pop(k) for k in ("prompt", "version") if k in more}
        system = solo(_agent(cache, **agent), **more)
        result = await system.arun({"text": text, "sender": sender})
        return _calls(system, result.run)

    assert await run() == 2
    assert await run() == 0
    assert await run(**other) == 2


async def test_tenants_share_no_reply() -> None:
    system = solo(_agent(InMemoryCache()))
    for tenant, calls in (("a", 2), ("a", 0), ("b", 2)):
        result = await system.arun({"text": "go"}, by=Reviewer(id="anna", tenant=tenant))
        assert _calls(system, result.run) == calls


async def test_what_the_agent_read_that_is_secret_is_not_kept() -> None:
    def rules(turn: Turn) -> list[Call]:
        return [submitting(turn.results[-1][2])] if turn.results else [Call("peek", {"what": "door"})]

    cache = InMemoryCache()
    system = solo(_agent(cache, rules, (peek,)))
    runs = [(await system.arun({"text": "go"})).run for _ in range(2)]
    # The first reply is to what is not secret; the second, once the secret was read, is asked for again.
    assert [_calls(system, run) for run in runs] == [2, 1]
    assert "door is fine" not in str(cache._cache)


async def test_the_cache_holds_no_request_in_clear() -> None:
    cache = InMemoryCache()
    await solo(_agent(cache)).arun({"text": "a very particular question"})
    assert cache._cache
    assert all(len(part) == 64 for key in cache._cache for part in key)
    assert "particular" not in str(cache._cache)


def _credential(turn: Turn) -> list[Call]:
    return [submitting("AKIAIOSFODNN7EXAMPLE")]


async def test_a_reply_that_no_record_may_show_is_not_kept() -> None:
    cache = InMemoryCache()
    system = solo(_agent(cache, _credential, ()))
    try:
        await system.arun({"text": "go"})
    finally:
        assert cache._cache == {}


async def test_a_reply_to_what_no_record_may_show_is_not_kept() -> None:
    cache = InMemoryCache()
    system = solo(_agent(cache, lambda turn: [submitting("fine")], ()))
    assert (await system.arun({"text": "my key is AKIAIOSFODNN7EXAMPLE"})).output == {"text": "fine"}
    assert cache._cache == {}


async def test_what_policy_reads_of_the_request_counts_though_the_agent_is_not_told() -> None:
    system = System(
        "line",
        version=1,
        topology=Pipeline(
            stages=[Agent("first", version=1, function=lambda payload: {"text": "go"}), _agent(InMemoryCache())],
            contracts=[QUESTION, Contract(Answer, version=1), Contract(Answer, version=1)],
        ),
        policy=Policy(text=PERMIT_ALL),
    )
    for sender, calls in (("a", 2), ("a", 0), ("b", 2)):
        assert _calls(system, (await system.arun({"text": "go", "sender": sender})).run) == calls


async def test_an_offer_that_a_contract_refused_is_not_given_again() -> None:
    asked: list[int] = []

    def rules(turn: Turn) -> list[Call]:
        asked.append(1)
        said = sum(m.type == "human" for m in turn.messages)
        return [Call("submit", {"wrong": 1})] if said == 1 and len(asked) == 1 else [submitting("right")]

    system = solo(_agent(InMemoryCache(), rules, ()))
    first = await system.arun({"text": "go"})
    second = await system.arun({"text": "go"})
    assert first.output == second.output == {"text": "right"}
    assert [_calls(system, r.run) for r in (first, second)] == [2, 1]
    third = await system.arun({"text": "go"})
    assert _calls(system, third.run) == 0


async def test_an_unknown_call_is_not_kept() -> None:
    def rules(turn: Turn) -> list[Call]:
        return [submitting("done")] if turn.results else [Call("nothing", {})]

    system = solo(_agent(InMemoryCache(), rules, ()))
    runs = [(await system.arun({"text": "go"})).run for _ in range(2)]
    assert [_calls(system, run) for run in runs] == [2, 2]


# -- what a cache may do to a run -----------------------------------------------------------------------------------


class Bad(InMemoryCache):
    """Answers with what it is told to, or not at all."""

    def __init__(self, found: Any) -> None:
        super().__init__()
        self.found = found

    async def alookup(self, prompt: str, llm_string: str) -> Any:
        """What it was told to."""
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def _entry(**changes: Any) -> str:
    message: Mapping[str, Any] = {"content": "x", "tool_calls": [], "additional_kwargs": {}, "name": None}
    whole = {"form": 1, "message": message, "used": {}, "priced": True, "run": "r", **changes}
    return orjson.dumps(whole).decode()


CALL = {"name": "pay", "args": {"cents": 1}, "id": "c", "type": "tool_call"}


@pytest.mark.parametrize(
    "found",
    [
        OSError("the disk is gone"),
        [Generation(text="no JSON")],
        [Generation(text="[]")],
        [Generation(text=_entry(form=2))],
        [Generation(text=_entry(message={"content": 5, "tool_calls": []}))],
        [Generation(text=_entry(message={"content": "", "tool_calls": [CALL]}))],
        [Generation(text=_entry(used={"usd": "much"}))],
        [Generation(text='{"lc": 1, "type": "constructor", "id": ["langchain_core", "messages", "AIMessage"]}')],
    ],
)
async def test_a_cache_at_fault_saves_nothing_and_says_so_and_the_run_goes_on(found: Any) -> None:
    system = solo(_agent(Bad(found)))
    result = await system.arun({"text": "go"})
    assert result.output == {"text": "door is fine"}
    assert _calls(system, result.run) == 2
    said = [s for s in of_kind(system, result.run, ModelSaved) if s.how == "cache"]
    assert [(s.usd, s.tokens) for s in said] == [("0", 0)] * 2
    assert all("cache" in s.basis for s in said)


async def test_a_cache_that_hangs_is_waited_for_no_longer_than_its_time() -> None:
    class Hanging(InMemoryCache):
        async def alookup(self, prompt: str, llm_string: str) -> Any:
            await asyncio.Event().wait()

    told: list[str] = []
    cache = ResponseCache(Hanging(), readable=(), behaviour="b", seconds=0.01)
    assert await cache.find(Key(prompt="a", asked="b"), told.append) is None
    assert "TimeoutError" in told[0]


# -- who may have one -----------------------------------------------------------------------------------------------


class Adding(AgentMiddleware[Any, Any, Any]):
    """Some middleware."""


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"tools": (pay,)}, "'pay' changes the world"),
        ({"middleware": (Adding(),)}, "middleware"),
        ({"writes": ("plan",)}, "writes shared state"),
    ],
)
def test_an_agent_that_changes_anything_has_no_cache(options: dict[str, Any], why: str) -> None:
    with pytest.raises(AgentInvalid, match=why):
        Agent("worker", version=1, prompt="x", cache=True, **options)


def test_a_function_has_none() -> None:
    with pytest.raises(AgentInvalid, match="calls no model"):
        Agent("worker", version=1, function=lambda payload: payload, cache=True)


def test_a_system_without_a_cache_is_told_so_when_it_is_built() -> None:
    model = OfflineModel("uncached", lambda turn: Say(""))
    with pytest.raises(AgentInvalid, match="has no cache"):
        Agent("worker", version=1, prompt="x", cache=True, model=model).compiled({}, None)


@pytest.mark.parametrize("used", [{"usd": "-1000000"}, {"usd": "sNaN"}, {"usd": "Infinity"}, {"output_tokens": -5}])
def test_an_entry_that_says_it_had_used_what_cannot_be_is_no_reply(used: dict[str, Any]) -> None:
    entry = {"form": 1, "message": {"content": "yes", "tool_calls": []}, "priced": True, "run": "r"}
    assert _read(json.dumps({**entry, "used": {"usd": "0.5", "output_tokens": 5}})) is not None
    assert _read(json.dumps({**entry, "used": used})) is None
