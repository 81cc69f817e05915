"""A whole system against a model server that speaks OpenAI's wire format: what the wire says is what is accounted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from edgewright import Agent, Budget, Contract, Policy, Supervisor, System, tool
from edgewright.agents.models import DEFAULT_OUTPUT_CAP, resolve_model
from edgewright.agents.prices import price_of
from edgewright.contracts.errors import AgentInvalid, BudgetExceeded
from edgewright.ledger.records import CallJudged, ModelFailed, ModelSettled, RunEnded
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr
from support.openai_wire import Reply, Wire, offered, openai_wire, said
from support.systems import PERMIT_ALL, Answer, Question, of_kind, only_run

NAME = "openai:gpt-4o-mini"
done: list[int] = []


class Brief(BaseModel):
    """What the specialist needs."""

    text: str


@tool(effect="write", idempotency="key")
def credit(cents: int) -> dict[str, int]:
    """Credit the customer."""
    done.append(cents)
    return {"credited": cents}


def desk(request: dict[str, Any]) -> Reply:
    """Route, credit, answer; a usage of its own for each."""
    tools = offered(request)
    if "handoff_to_billing" in tools:
        return Reply(calls=[("handoff_to_billing", '{"text": "credit them"}')], usage=(111, 11))
    if not said(request, "tool"):
        return Reply(text="Let me see.", calls=[("credit", '{"cents": 5}')], usage=(222, 22))
    return Reply(calls=[("submit", json.dumps({"text": said(request, "tool")[-1]}))], usage=(333, 33))


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    done.clear()
    yield
    done.clear()


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    with openai_wire(desk) as found:
        monkeypatch.setenv("OPENAI_BASE_URL", found.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        yield found


def _system(model: Any = NAME, **options: Any) -> System:
    return System(
        "desk",
        version=1,
        topology=Supervisor(
            router=Agent("triage", version=1, prompt="Route."),
            specialists=[Agent("billing", version=1, prompt="Credit.", tools=[credit])],
            takes=Contract(Question, version=1),
            brief=Contract(Brief, version=1),
            answer=Contract(Answer, version=1),
        ),
        policy=Policy(text=PERMIT_ALL),
        model=model,
        budget=options.pop("budget", Budget(usd="1", output_tokens=50_000)),
        **options,
    )


def _accounts_equal_the_wire(system: System, wire: Wire) -> None:
    run = only_run(system)
    settled = of_kind(system, run, ModelSettled)
    assert [(s.used["input_tokens"], s.used["output_tokens"]) for s in settled] == [r.usage for r in wire.replies]
    price = price_of(NAME)
    assert price is not None
    [ended] = of_kind(system, run, RunEnded)
    assert (ended.spent["input_tokens"], ended.spent["output_tokens"]) == wire.usage
    assert Decimal(ended.spent["usd"]) == price.of(*wire.usage) > 0
    assert {s.model for s in settled} == {NAME}
    assert ended.spent["model_calls"] == len(wire.requests)


async def test_tokens_and_dollars_on_the_ledger_are_those_of_the_wire(wire: Wire) -> None:
    system = _system()
    result = await system.arun({"text": "five cents please"})
    assert result.output == {"text": '{\n  "credited": 5\n}'}
    assert done == [5]
    assert len(wire.requests) == 3
    _accounts_equal_the_wire(system, wire)


async def _streamed(system: System) -> list[Any]:
    return [part async for part in system.astream({"text": "please"}, stream_mode="messages", subgraphs=True)]


@pytest.mark.parametrize("ready", [False, True])
async def test_streaming_accounts_for_the_same(ready: bool, wire: Wire) -> None:
    key = SecretStr("sk-test")
    model = ChatOpenAI(model="gpt-4o-mini", base_url=wire.url, api_key=key, max_completion_tokens=100)
    system = _system(model if ready else NAME)
    parts = await _streamed(system)
    assert any(getattr(message, "text", "") for _, (message, _) in parts)
    # Triage cannot answer the caller, so nothing of it is streamed.
    assert [r.get("stream") for r in wire.requests] == [False, True, True]
    assert done == [5]
    _accounts_equal_the_wire(system, wire)


async def test_a_ready_model_does_as_well_as_a_name(wire: Wire) -> None:
    key = SecretStr("sk-test")
    model = ChatOpenAI(model="gpt-4o-mini", base_url=wire.url, api_key=key, max_completion_tokens=100)
    system = _system(model)
    assert (await system.arun({"text": "please"})).status == "completed"
    assert {r["max_completion_tokens"] for r in wire.requests} == {100}
    _accounts_equal_the_wire(system, wire)


async def test_every_request_on_the_wire_carries_an_output_cap(wire: Wire) -> None:
    await _system().arun({"text": "please"})
    caps = [r.get("max_completion_tokens") or r.get("max_tokens") for r in wire.requests]
    assert caps == [DEFAULT_OUTPUT_CAP] * 3


async def test_only_what_the_contract_lets_cross_is_on_the_wire(wire: Wire) -> None:
    await _system().arun({"text": "five cents please", "sender": "C-4711"})
    first, second, _ = wire.requests
    assert "C-4711" in str(first["messages"])
    assert "C-4711" not in str(second["messages"])
    assert "five cents" not in str(second["messages"])


@pytest.mark.parametrize("limit", [0, 1, 2])
@pytest.mark.parametrize("streaming", [False, True])
async def test_a_budget_of_n_calls_lets_n_requests_onto_the_wire(limit: int, streaming: bool, wire: Wire) -> None:
    system = _system(budget=Budget(model_calls=limit))
    with pytest.raises(BudgetExceeded, match=f"allows {limit} model calls"):
        await (_streamed(system) if streaming else system.arun({"text": "please"}))
    assert len(wire.requests) == limit
    [ended] = of_kind(system, only_run(system), RunEnded)
    assert ended.status == "out_of_budget"
    assert (ended.spent.get("input_tokens", 0), ended.spent.get("output_tokens", 0)) == wire.usage
    assert ended.spent.get("model_calls", 0) == limit


async def test_a_budget_in_dollars_stops_before_the_request(wire: Wire) -> None:
    system = _system(budget=Budget(usd="0.000001"))
    with pytest.raises(BudgetExceeded, match="usd"):
        await system.arun({"text": "please"})
    assert not wire.requests


async def test_a_failing_server_is_on_the_ledger_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    with openai_wire(lambda _: Reply(status=401)) as wire:
        monkeypatch.setenv("OPENAI_BASE_URL", wire.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        system = _system()
        with pytest.raises(Exception, match="401"):
            await system.arun({"text": "please"})
    [failed] = of_kind(system, only_run(system), ModelFailed)
    assert failed.used["model_calls"] == 1
    assert "usd" not in failed.used, "it said no, so it billed nothing"
    assert "sk-secret" not in str(system.ledger.entries(only_run(system)))


async def test_arguments_that_are_no_json_are_denied_on_record_and_the_conversation_stays_valid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def garbled(request: dict[str, Any]) -> Reply:
        if "credit" in offered(request) and not said(request, "tool"):
            return Reply(calls=[("credit", '{"cents": 5'), ("credit", '{"cents": 7}')])
        return desk(request)

    with openai_wire(garbled) as wire:
        monkeypatch.setenv("OPENAI_BASE_URL", wire.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        system = _system()
        assert (await system.arun({"text": "please"})).status == "completed"
    assert done == [7]
    judged = of_kind(system, only_run(system), CallJudged)
    assert sorted((j.verdict, j.rules[0]) for j in judged) == [("allow", "all"), ("deny", "arguments.unreadable")]


@pytest.mark.parametrize("ids", [("same", "same"), ("", ""), ("call_0", "call_1")])
async def test_a_provider_that_repeats_or_forgets_call_ids_gets_each_call_done_once(
    ids: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def sloppy(request: dict[str, Any]) -> Reply:
        if "credit" not in offered(request):
            return desk(request)
        turns = len([m for m in request["messages"] if m["role"] == "assistant"])
        if turns < 2:  # the same ids again in the second reply
            return Reply(calls=[("credit", f'{{"cents": {10 * turns + n}}}') for n in (1, 2)], ids=ids)
        return desk(request)

    with openai_wire(sloppy) as wire:
        monkeypatch.setenv("OPENAI_BASE_URL", wire.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        system = _system()
        assert (await system.arun({"text": "please"})).status == "completed"
    assert sorted(done) == [1, 2, 11, 12]


@pytest.mark.parametrize("model", ["gpt-4o-mini", "nowhere:model", ""])
def test_a_model_that_cannot_be_had_is_found_when_the_system_is_built(model: str) -> None:
    with pytest.raises(AgentInvalid):
        _system(model)


def test_a_missing_key_is_found_when_the_system_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(AgentInvalid, match="OPENAI_API_KEY"):
        resolve_model(NAME, agent="triage")
