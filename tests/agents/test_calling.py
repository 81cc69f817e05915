"""Calls of an agent's model against a server that misbehaves: tried again, contained, answered by another model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from typing import Any

import openai
import pytest
from edgewright import Agent, Budget, Call, OfflineModel, Say, System, Turn, tool
from edgewright.agents.agent import CompiledAgent
from edgewright.agents.agent import Turn as AgentTurn
from edgewright.agents.middleware import Governance
from edgewright.agents.models import DEFAULT_OUTPUT_CAP, endpoint_of, resolve_model
from edgewright.agents.trimming import Trim
from edgewright.contracts.budget import Price
from edgewright.contracts.containment import Breaker, Bulkhead, Retry, Timeouts
from edgewright.contracts.errors import BudgetExceeded, CircuitOpen, Overloaded, StreamCut, TimedOut
from edgewright.contracts.marks import Mark
from edgewright.ledger.records import (
    CircuitMoved,
    ModelDegraded,
    ModelFailed,
    ModelFellBack,
    ModelRefused,
    ModelReserved,
    ModelRetried,
    ModelSaved,
    ModelSettled,
    ReplyKept,
    ReplyReused,
    RunEnded,
)
from edgewright.tools.containment import BREAKERS
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr
from support.systems import of_kind, only_run, solo, submitting

from bench.faults import Fault, ModelServer, Reply

BOUND = 20.0
QUICK = Retry(attempts=3, first=0.0, most=0.0, jitter=False)
ANSWER = Reply(calls=[("submit", json.dumps({"text": "fine"}))], usage=(50, 5))
done: list[int] = []


@tool(effect="write", idempotency="key")
def pay(cents: int) -> str:
    """Pay."""
    done.append(cents)
    return f"paid {cents}"


@tool(effect="read", output="trusted", sensitivity="internal")
def look(n: int) -> str:
    """Look something up."""
    return "x" * 2000


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    BREAKERS.clear()
    done.clear()
    yield
    BREAKERS.clear()


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(lambda _: ANSWER) as found:
        yield found


Chat = Callable[..., ChatOpenAI]


@pytest.fixture
async def chat(server: ModelServer) -> AsyncIterator[Chat]:
    """Clients of the server, each of its own: those that LangChain shares would outlive their event loop."""
    clients: list[tuple[openai.DefaultHttpxClient, openai.DefaultAsyncHttpxClient]] = []

    def made(model: str = "steady", **options: Any) -> ChatOpenAI:
        clients.append((openai.DefaultHttpxClient(), openai.DefaultAsyncHttpxClient()))
        given = {"max_retries": 0, "stream_usage": True, "base_url": server.url, **options}
        own = {"http_client": clients[-1][0], "http_async_client": clients[-1][1]}
        return ChatOpenAI(model=model, api_key=SecretStr("sk-test"), **own, **given)

    yield made
    for blocking, other in clients:
        blocking.close()
        await other.aclose()


def _system(model: Any, *tools: Any, **more: Any) -> System:
    system = {k: more.pop(k) for k in ("budget",) if k in more}
    given = {"retry": QUICK, **more}
    return solo(Agent("worker", version=1, prompt="Do it.", model=model, tools=tools, **given), **system)


async def _ran(system: System) -> tuple[str, Any]:
    async with asyncio.timeout(BOUND):
        result = await system.arun({"text": "go"})
    return result.run, result.output


# -- tried again ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["429", "500", "503", "disconnect", "truncated_stream"])
async def test_a_passing_fault_is_tried_again_each_try_reserved_and_on_record(
    kind: Any, server: ModelServer, chat: Chat
) -> None:
    server.command(Fault(kind, times=2))
    system = _system(chat())
    run, output = await _ran(system)
    assert output == {"text": "fine"}
    assert len(server.requests) == 3
    assert len(of_kind(system, run, ModelReserved)) == 3
    assert len(of_kind(system, run, ModelFailed)) == 2
    assert [(r.attempt, r.model) for r in of_kind(system, run, ModelRetried)] == [
        (1, "openai:steady"),
        (2, "openai:steady"),
    ]
    assert of_kind(system, run, RunEnded)[0].spent["model_calls"] == 3
    assert of_kind(system, run, ReplyKept)[0].marks == []


async def test_a_budget_of_one_call_lets_no_second_try_onto_the_wire(server: ModelServer, chat: Chat) -> None:
    server.command(Fault("500"))
    system = _system(chat(), budget=Budget(model_calls=1))
    with pytest.raises(BudgetExceeded):
        await _ran(system)
    assert len(server.requests) == 1


@pytest.mark.parametrize(("kind", "requests"), [("400", 1), ("401", 1)])
async def test_what_was_refused_is_not_tried_again(kind: str, requests: int, chat: Chat) -> None:
    with ModelServer(lambda _: Reply(status=int(kind))) as refusing:
        system = _system(chat(base_url=refusing.url))
        with pytest.raises(openai.APIStatusError, match=kind):
            await _ran(system)
        assert len(refusing.requests) == requests


async def test_retry_off_means_one_try(server: ModelServer, chat: Chat) -> None:
    server.command(Fault("500"))
    with pytest.raises(openai.InternalServerError):
        await _ran(_system(chat(), retry="off"))
    assert len(server.requests) == 1


async def test_an_error_that_names_a_secret_is_redacted_on_the_ledger() -> None:
    tries: list[int] = []

    def telling(turn: Turn) -> list[Call]:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("no way with key AKIAIOSFODNN7EXAMPLE")
        return [submitting("ok")]

    system = _system(OfflineModel("telling", telling))
    run, _ = await _ran(system)
    [retried] = of_kind(system, run, ModelRetried)
    assert retried.fault == "connection"
    assert "AKIA" not in str(system.ledger.entries(run))


# -- time -------------------------------------------------------------------------------------------------------------


async def test_a_model_that_hangs_is_left_in_time_and_settled_as_reserved(server: ModelServer, chat: Chat) -> None:
    server.command(Fault("hang"))
    system = _system(chat(), timeouts=Timeouts(total=0.3))
    with pytest.raises(TimedOut):
        await _ran(system)
    run = only_run(system)
    [reserved], [failed] = of_kind(system, run, ModelReserved), of_kind(system, run, ModelFailed)
    assert failed.used == reserved.reserved
    assert failed.call == reserved.call


async def test_a_try_that_hangs_is_followed_by_one_that_answers(server: ModelServer, chat: Chat) -> None:
    server.command(Fault("hang", times=1))
    system = _system(chat(), timeouts=Timeouts(total=BOUND, each=0.3))
    run, output = await _ran(system)
    assert output == {"text": "fine"}
    assert [r.fault for r in of_kind(system, run, ModelRetried)] == ["timeout"]
    kinds = [e.kind for e in system.ledger.entries(run)]
    assert kinds.index("model.failed") < kinds.index(
        "model.retried"
    )  # what hung is settled before the next is reserved


async def test_a_stream_that_stalls_is_left_after_its_idle_time(server: ModelServer, chat: Chat) -> None:
    server.command(Fault("stalled_stream", times=1))
    system = _system(chat(streaming=True), timeouts=Timeouts(total=BOUND, idle=0.3))
    run, output = await _ran(system)
    assert output == {"text": "fine"}
    [retried] = of_kind(system, run, ModelRetried)
    assert (retried.fault, "idle" in retried.error) == ("timeout", True)


@pytest.mark.parametrize("streaming", [False, True])
async def test_waiting_for_the_first_piece_is_not_idle_time(streaming: bool, server: ModelServer, chat: Chat) -> None:
    server.command(Fault("slow", seconds=0.6))
    system = _system(chat(streaming=streaming), timeouts=Timeouts(total=BOUND, idle=0.2), retry="off")
    assert (await _ran(system))[1] == {"text": "fine"}


@pytest.mark.parametrize("kind", ["quiet_stream", "truncated_stream"])
async def test_half_a_stream_is_no_reply(kind: Any, server: ModelServer, chat: Chat) -> None:
    server.command(Fault(kind, times=1))
    system = _system(chat(streaming=True))
    run, output = await _ran(system)
    assert output == {"text": "fine"}
    assert [r.fault for r in of_kind(system, run, ModelRetried)] == ["connection"]
    assert len(of_kind(system, run, ReplyKept)) == 1


async def test_a_stream_that_always_breaks_off_names_its_model_and_another_is_asked(
    server: ModelServer, chat: Chat
) -> None:
    server.command(Fault("quiet_stream", model="dead"))
    with pytest.raises(StreamCut) as caught:
        await _ran(_system(chat("dead", streaming=True)))
    assert caught.value.model == "openai:dead"
    assert isinstance(caught.value, ConnectionError)
    system = _system(chat("dead", streaming=True), fallback=[chat("spare")])
    run, output = await _ran(system)
    assert output == {"text": "fine"}
    assert [fell.to for fell in of_kind(system, run, ModelFellBack)] == ["openai:spare"]


# -- breaker, bulkhead ------------------------------------------------------------------------------------------------


async def test_the_breaker_of_an_endpoint_opens_for_all_agents_that_ask_it(server: ModelServer, chat: Chat) -> None:
    server.command(Fault("500"))
    breaker = Breaker(failures=2, cooldown=60.0)
    first = _system(chat(), breaker=breaker)
    with pytest.raises(openai.InternalServerError):
        await _ran(first)
    sent = len(server.requests)
    assert sent == 2  # the third try was not let through
    [moved] = of_kind(first, only_run(first), CircuitMoved)
    assert (moved.before, moved.after, moved.last) == ("closed", "open", "unavailable")
    assert moved.of == f"model:openai:steady@{server.origin.removeprefix('http://')}"
    other = _system(chat(), breaker=breaker)
    with pytest.raises(CircuitOpen):
        await _ran(other)
    assert len(server.requests) == sent
    assert of_kind(other, only_run(other), ModelReserved) == []


async def test_an_agent_has_so_many_places_and_refuses_the_next(server: ModelServer, chat: Chat) -> None:
    server.command(Fault("held"))
    system = _system(chat(), bulkhead=Bulkhead(running=2, waiting=0))
    runs = [asyncio.create_task(system.arun({"text": "go"})) for _ in range(2)]
    await server.await_for(requests=2)
    with pytest.raises(Overloaded):
        await _ran(system)
    server.release()
    async with asyncio.timeout(BOUND):
        results = await asyncio.gather(*runs)
    assert [r.output for r in results] == [{"text": "fine"}] * 2
    assert len(server.requests) == 2


# -- another model ----------------------------------------------------------------------------------------------------


async def test_a_dead_endpoint_falls_back_and_the_answer_is_marked(
    server: ModelServer, chat: Chat, turns: list[AgentTurn]
) -> None:
    server.command(Fault("500", model="dead"))
    system = _system(chat("dead"), fallback=[chat("spare")])
    run, output = await _ran(system)
    assert output == {"text": "fine"}
    assert (len(server.requests_for("dead")), len(server.requests_for("spare"))) == (3, 1)
    [fell] = of_kind(system, run, ModelFellBack)
    assert (fell.model, fell.to) == ("openai:dead", "openai:spare")
    why = "openai:spare was asked because openai:dead could not be had (unavailable)"
    assert of_kind(system, run, ReplyKept)[0].marks == [["fallback", "worker", why]]
    assert turns[-1].marks == (Mark("fallback", "worker", why),)


async def test_an_open_circuit_falls_back_without_a_request(server: ModelServer, chat: Chat) -> None:
    server.command(Fault("500", model="dead"))
    system = _system(chat("dead"), fallback=[chat("spare")], breaker=Breaker(failures=3, cooldown=60.0))
    await _ran(system)
    await _ran(system)
    assert (len(server.requests_for("dead")), len(server.requests_for("spare"))) == (3, 2)


async def test_when_all_are_dead_the_last_error_is_told(server: ModelServer, chat: Chat) -> None:
    server.command(Fault("500"))
    system = _system(chat("a"), fallback=[chat("b"), chat("c")], retry="off")
    with pytest.raises(openai.InternalServerError):
        await _ran(system)
    assert [r["model"] for r in server.requests] == ["a", "b", "c"]


async def test_a_budget_never_falls_back(server: ModelServer, chat: Chat) -> None:
    system = _system(chat("a"), fallback=[chat("b")], budget=Budget(model_calls=0))
    with pytest.raises(BudgetExceeded):
        await _ran(system)
    assert server.requests == []


async def test_a_fault_of_code_never_falls_back(server: ModelServer, chat: Chat) -> None:
    def broken(turn: Turn) -> Say:
        raise LookupError("a bug")

    with pytest.raises(LookupError, match="a bug"):
        await _ran(_system(OfflineModel("buggy", broken), fallback=[chat("b")]))
    assert server.requests == []


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[AgentTurn]:
    """What each turn ends with."""
    found: list[AgentTurn] = []
    real = CompiledAgent.turn

    async def turn(self: CompiledAgent, *args: Any, **kwargs: Any) -> AgentTurn:
        found.append(await real(self, *args, **kwargs))
        return found[-1]

    monkeypatch.setattr(CompiledAgent, "turn", turn)
    return found


# -- a cheaper model --------------------------------------------------------------------------------------------------

DEAR, CHEAP = (Price(input_per_million=p, output_per_million=p) for p in ("100", "1"))


def _pair(name: str) -> tuple[OfflineModel, OfflineModel]:
    def rules(turn: Turn) -> list[Call]:
        return [submitting("done")] if turn.results else [Call("pay", {"cents": 5})]

    return OfflineModel(f"{name}-dear", rules, price=DEAR), OfflineModel(f"{name}-cheap", rules, price=CHEAP)


async def test_a_cheaper_model_answers_where_the_budget_asks_for_it_and_the_saving_is_on_record(
    turns: list[AgentTurn],
) -> None:
    dear, cheap = _pair("asked")
    system = _system(dear, pay, budget=Budget(usd="5", degrade_at=0.0001, to=cheap))
    run, output = await _ran(system)
    assert output == {"text": "done"}
    assert done == [5]
    first, second = of_kind(system, run, ModelSettled)
    assert (first.model, second.model) == ("offline:asked-dear", "offline:asked-cheap")
    [degraded] = of_kind(system, run, ModelDegraded)
    assert (degraded.model, degraded.to) == ("offline:asked-dear", "offline:asked-cheap")
    assert "the budget of run is used" in degraded.reason
    [saved] = [s for s in of_kind(system, run, ModelSaved) if s.how == "degrade"]
    assert Decimal(saved.usd) == Decimal(second.used["usd"]) * 99
    [mark] = turns[-1].marks
    assert (mark.kind, mark.agent) == ("degraded", "worker")
    assert "offline:asked-cheap was asked instead of offline:asked-dear" in mark.why


async def test_a_call_that_does_not_fit_is_tried_once_with_the_cheaper_model(turns: list[AgentTurn]) -> None:
    dear, cheap = _pair("refused")
    system = _system(dear, pay, budget=Budget(usd="0.02", to=cheap))
    run, _ = await _ran(system)
    assert {s.model for s in of_kind(system, run, ModelSettled)} == {"offline:refused-cheap"}
    assert {r.model for r in of_kind(system, run, ModelRefused)} == {"offline:refused-dear"}
    assert [m.kind for m in turns[-1].marks] == ["degraded"]


async def test_when_the_cheaper_model_does_not_fit_either_the_budget_says_so() -> None:
    dear, cheap = _pair("neither")
    system = _system(dear, pay, budget=Budget(usd="0.000001", to=cheap))
    with pytest.raises(BudgetExceeded):
        await _ran(system)
    refused = [r.model for r in of_kind(system, only_run(system), ModelRefused)]
    assert refused == ["offline:neither-dear", "offline:neither-cheap"]


async def test_a_model_that_is_cheap_already_is_not_made_dearer() -> None:
    dear, cheap = _pair("kept")
    system = _system(cheap, pay, budget=Budget(usd="5", degrade_at=0.0000001, to=dear))
    run, _ = await _ran(system)
    assert {s.model for s in of_kind(system, run, ModelSettled)} == {"offline:kept-cheap"}
    assert of_kind(system, run, ModelDegraded) == []


# -- what is sent -----------------------------------------------------------------------------------------------------


async def test_a_ready_model_without_a_cap_gets_one_on_the_wire_and_stays_as_it_was(
    server: ModelServer, chat: Chat
) -> None:
    model = chat()
    await _ran(_system(model))
    assert [r["max_completion_tokens"] for r in server.requests] == [DEFAULT_OUTPUT_CAP]
    assert model.max_tokens is None


async def test_a_named_model_tries_once_per_call(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    found = resolve_model("openai:steady", agent="worker")
    assert isinstance(found, ChatOpenAI)
    assert (found.max_retries, found.max_tokens) == (0, DEFAULT_OUTPUT_CAP)
    assert resolve_model("openai:steady", agent="worker", max_retries=4).max_retries == 4  # type: ignore[attr-defined]
    assert endpoint_of(found) == f"openai:steady@{server.origin.removeprefix('http://')}"


async def test_a_prompt_that_comes_again_is_said_to_and_what_the_provider_read_again_is_a_saving(
    server: ModelServer, chat: Chat
) -> None:
    system = _system(chat(), cache_prompt=True)
    await _ran(system)
    await _ran(system)
    keys = [r["prompt_cache_key"] for r in server.requests]
    assert len(set(keys)) == 1

    class Warm(OfflineModel):
        def __init__(self) -> None:
            price = Price(input_per_million="10", output_per_million="1", cache_read_per_million="1")
            super().__init__("warm", lambda turn: [submitting("ok")], price=price)

        def _reply(self, messages: Any, kwargs: Any) -> AIMessage:
            reply = super()._reply(messages, kwargs)
            assert reply.usage_metadata
            reply.usage_metadata["input_token_details"] = {"cache_read": 10}
            return reply

    warm = _system(Warm(), cache_prompt=True)
    run, _ = await _ran(warm)
    [saved] = [s for s in of_kind(warm, run, ModelSaved) if s.how == "prompt_cache"]
    assert Decimal(saved.usd) == Decimal("0.00009")
    assert saved.tokens == 10


async def test_a_long_talk_is_trimmed_on_its_way_to_the_model_and_kept_by_the_agent(turns: list[AgentTurn]) -> None:
    sizes: list[int] = []

    def rules(turn: Turn) -> list[Call]:
        sizes.append(sum(len(str(m.text)) for m in turn.messages))
        return [Call("look", {"n": len(sizes)})] if len(sizes) < 6 else [submitting("ok")]

    price = Price(input_per_million="1", output_per_million="1")
    system = _system(OfflineModel("long", rules, price=price), look, trim=Trim(tokens=9000, keep=1))
    run, _ = await _ran(system)
    assert max(sizes) < 9000
    kept = [m for m in turns[-1].talk if m.type == "tool" and m.name == "look"]
    assert len(kept) == 5
    assert all("x" * 2000 in str(m.text) for m in kept)
    saved = [s for s in of_kind(system, run, ModelSaved) if s.how == "trim"]
    assert saved
    assert all(Decimal(s.usd) == Decimal(s.tokens) / 1_000_000 for s in saved)


# -- after a crash ----------------------------------------------------------------------------------------------------


async def test_a_kept_reply_is_taken_whichever_model_gave_it_and_its_marks_with_it(
    server: ModelServer, chat: Chat, turns: list[AgentTurn], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.command(Fault("500", model="dead"))
    real, replied = Governance.awrap_model_call, asyncio.Event()

    async def stops_once(self: Governance, *args: Any) -> Any:
        found = await real(self, *args)
        if not replied.is_set():  # the reply is kept, and LangGraph does not have it yet
            replied.set()
            await asyncio.Event().wait()
        return found

    monkeypatch.setattr(Governance, "awrap_model_call", stops_once)
    system = _system(chat("dead"), fallback=[chat("spare")], retry="off")
    running = asyncio.create_task(system.arun({"text": "go"}, thread="t"))
    async with asyncio.timeout(BOUND):
        await replied.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    sent = len(server.requests)
    result = await system.aresume("t")
    assert result.output == {"text": "fine"}
    assert len(server.requests) == sent
    assert len(of_kind(system, result.run, ReplyReused)) == 1
    assert [m.kind for m in turns[-1].marks] == ["fallback"]
