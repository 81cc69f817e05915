"""Under an exhausted budget no request reaches the model's server, however a tool asks (threats 53 and 54).

The agent's own model (offline) uses up the one call there is by asking for the tool. The tool then asks another model,
behind a server that counts. That each way does ask is shown under a budget with room.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from edgewright import Agent, Budget, Call, Pipeline, System, tool
from edgewright.contracts.edge import summary
from edgewright.contracts.errors import BudgetExceeded, ModelOutsideRun
from edgewright.ledger.records import ModelRefused
from langchain_openai import ChatOpenAI, OpenAI
from openai import NotFoundError
from pydantic import SecretStr
from support.openai_wire import Reply, Wire, openai_wire
from support.systems import ANSWER, QUESTION, of_kind, only_run, plays, solo, with_code, with_model
from support.ways import BOUND, STRAYS, WAYS, Models

KEY = SecretStr("sk-test")


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with openai_wire(_replying) as found:
        yield found


def _replying(request: dict[str, Any]) -> Reply:
    """Hands over what it is asked for, where it is offered that, and says a form otherwise."""
    for offer in (t["function"] for t in request.get("tools", ())):
        if offer["name"] == "submit":
            return Reply(calls=[("submit", json.dumps(dict.fromkeys(offer["parameters"]["properties"], "yes")))])
    return Reply(text='{"text": "yes"}')


@pytest.fixture(scope="module")
def models(wire: Wire) -> Models:
    def chat(name: str) -> ChatOpenAI:
        return ChatOpenAI(model=name, base_url=wire.url, api_key=KEY, max_retries=0, max_completion_tokens=50)

    text = OpenAI(model="gpt-3.5-turbo-instruct", base_url=wire.url, api_key=KEY, max_retries=0, max_tokens=50)
    return Models(url=wire.url, chat=chat("gpt-4o-mini"), other=chat("gpt-4o"), text=text)


def _asks(m: Models, home: Path) -> System:
    async def ask(_: dict[str, Any]) -> dict[str, str]:
        return {"text": str((await m.chat.ainvoke("x")).text)}

    return with_code(ask, name="inner", home=home)


def _has_a_model(m: Models, home: Path) -> System:
    return with_model(m.chat, name="inner", home=home)


SYSTEMS: dict[str, Callable[[Models, Path], System]] = {"of code": _asks, "with a model": _has_a_model}

BUDGETS: dict[str, dict[str, Any]] = {
    "run": {"budget": Budget(model_calls=1)},
    "tenant in a day": {"budget": Budget(of="tenant", per="day", model_calls=1)},
    "agent worker": {"limits": Budget(model_calls=1)},
}


# -- the tool that asks ----------------------------------------------------------------------------------------------


async def _asking(way: Callable[[Models], Any], models: Models, **options: Any) -> tuple[System, list[Exception]]:
    """Have a governed agent call a tool that asks in this way; what the tool caught."""
    caught: list[Exception] = []

    @tool(effect="read")
    async def consult() -> str:
        """Ask another model."""
        try:
            found = way(models)
            if inspect.isawaitable(found):
                await asyncio.wait_for(found, BOUND)
        except Exception as error:  # noqa: BLE001 - the test judges it
            caught.append(error)
        return "asked"

    limits = options.pop("limits", Budget())
    worker = Agent("worker", version=1, prompt="Ask.", model=plays([Call("consult")]), tools=[consult], limits=limits)
    system = solo(worker, **options)
    if "budget" in options or limits != Budget():  # the agent's next turn does not fit either
        with pytest.raises(BudgetExceeded, match="allows 1 model calls"):
            await system.arun({"text": "go"})
    else:
        assert (await system.arun({"text": "go"})).status == "completed"
    return system, caught


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("way", WAYS)
async def test_under_an_exhausted_budget_no_request_reaches_the_server(
    way: str, budget: str, models: Models, wire: Wire
) -> None:
    before = wire.reached()
    _, [error] = await _asking(WAYS[way], models, **BUDGETS[budget])
    assert wire.reached() == before
    [refused] = _leaves(error)
    assert isinstance(refused, BudgetExceeded)
    assert refused.scope.partition(" of solo")[0] == budget
    assert refused.unit == "model calls"


@pytest.mark.parametrize("way", WAYS)
async def test_under_a_budget_with_room_each_way_does_reach_the_server(way: str, models: Models, wire: Wire) -> None:
    before = wire.reached()
    _, caught = await _asking(WAYS[way], models)
    assert wire.reached() > before
    # The server knows chats only.
    assert all(isinstance(error, NotFoundError) and way.startswith("text model") for error in caught)


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("way", STRAYS)
async def test_a_thread_that_carries_nothing_of_the_run_reaches_no_server(
    way: str, budget: str, models: Models, wire: Wire
) -> None:
    before = wire.reached()
    _, [error] = await _asking(STRAYS[way], models, **BUDGETS[budget])
    assert wire.reached() == before
    assert isinstance(error, ModelOutsideRun)


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("kind", SYSTEMS)
async def test_a_governed_system_inside_spends_what_is_left_around_it(
    kind: str, budget: str, models: Models, wire: Wire, tmp_path: Path
) -> None:
    before, inner = wire.reached(), SYSTEMS[kind](models, tmp_path)
    system, [error] = await _asking(lambda _: inner.arun({"text": "x"}), models, home=tmp_path, **BUDGETS[budget])
    assert wire.reached() == before
    assert isinstance(error, BudgetExceeded)
    assert error.scope.partition(" of solo")[0] == budget
    inner.close()
    system.close()


@pytest.mark.parametrize("kind", SYSTEMS)
async def test_a_governed_system_inside_does_reach_the_server_where_there_is_room(
    kind: str, models: Models, wire: Wire, tmp_path: Path
) -> None:
    before, inner = wire.reached(), SYSTEMS[kind](models, tmp_path)
    system, caught = await _asking(lambda _: inner.arun({"text": "x"}), models, home=tmp_path)
    assert (wire.reached(), caught) == (before + 1, [])
    inner.close()
    system.close()


def _leaves(error: BaseException) -> list[BaseException]:
    """An error, or those that a task group put together."""
    return (
        [e for inner in error.exceptions for e in _leaves(inner)] if isinstance(error, BaseExceptionGroup) else [error]
    )


# -- a summariser ----------------------------------------------------------------------------------------------------


def _summing_up(models: Models, limits: Budget, budget: Budget | None) -> System:
    """What the first agent says (one call) is summed up for the second by a model behind the server."""
    summariser = Agent("summariser", version=1, prompt="Sum up.", model=models.chat, limits=limits)
    stages = [
        Agent(
            "first",
            version=1,
            prompt="Say it.",
            model=plays([Call("handoff_to_second", {"text": "first"})]),
            limits=Budget(),
        ),
        Agent("second", version=1, function=lambda payload: {"text": "second"}),
    ]
    line = Pipeline(stages=stages, contracts=[QUESTION, ANSWER, ANSWER], history=summary(by=summariser))
    return System("line", version=1, topology=line, budget=budget)


SUMMARIES: dict[str, tuple[Budget, Budget | None]] = {
    "run": (Budget(), Budget(model_calls=1)),
    "tenant in a day": (Budget(), Budget(of="tenant", per="day", model_calls=1)),
    "agent summariser": (Budget(model_calls=0), None),
}


@pytest.mark.parametrize("budget", SUMMARIES)
async def test_a_summariser_without_budget_reaches_no_server(budget: str, models: Models, wire: Wire) -> None:
    system, before = _summing_up(models, *SUMMARIES[budget]), wire.reached()
    with pytest.raises(BudgetExceeded) as refused:
        await system.arun({"text": "go"})
    assert wire.reached() == before
    assert refused.value.scope == budget
    assert of_kind(system, only_run(system), ModelRefused)


async def test_a_summariser_with_budget_reaches_the_server(models: Models, wire: Wire) -> None:
    before = wire.reached()
    assert (await _summing_up(models, Budget(), None).arun({"text": "go"})).status == "completed"
    assert wire.reached() == before + 1
