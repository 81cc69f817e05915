"""What asks the model, and knows of each call whether it went out or was refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import httpx
from edgewright import Agent, Budget, Contract, Handoff, Pipeline, Supervisor, System
from edgewright.contracts.budget import Amounts
from edgewright.contracts.edge import FanOut
from edgewright.contracts.errors import BudgetExceeded
from edgewright.ledger.records import ModelReserved
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from bench.faults import ModelServer, Reply

CALLS, ASKING = 50, 200
"""How many calls a budget covers, and how many are asked for."""
BOUND = 60.0
"""Seconds that anything here waits for."""
CAP = 64
MODEL = "gpt-4o-mini"
PRICED = f"openai:{MODEL}"
REQUEST = {"text": "How much is left?"}
Told = Literal["sent", "answered", "refused"]


class Text(BaseModel):
    """What crosses."""

    text: str


TEXT = Contract(Text, version=1)


def answering(rng: random.Random, most: Amounts) -> Callable[[dict[str, Any]], Reply]:
    """What the server answers: any usage that a call may have."""

    def reply(_: dict[str, Any]) -> Reply:
        return Reply(text="Enough.", usage=(rng.randint(1, most.input_tokens), rng.randint(1, most.output_tokens)))

    return reply


class Asking:
    """A model behind a server's address. `told` hears what becomes of each call."""

    def __init__(self, url: str, told: Callable[[Told], None]) -> None:
        self._told = told

        async def sent(_: httpx.Request) -> None:
            told("sent")

        async def answered(_: httpx.Response) -> None:
            told("answered")

        # No limit but the budget's. Without certificates, which take longest to load and prove nothing on loopback.
        limits = httpx.Limits(max_connections=None)
        hooks: dict[str, list[Any]] = {"request": [sent], "response": [answered]}
        self._client = httpx.AsyncClient(event_hooks=hooks, limits=limits, timeout=BOUND, verify=False)
        self.model = ChatOpenAI(
            model=MODEL,
            base_url=url,
            api_key=SecretStr("offline"),
            max_retries=0,
            max_completion_tokens=CAP,
            http_async_client=self._client,
        )

    async def ask(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Ask the model once. Raises BudgetExceeded."""
        try:
            reply = await self.model.ainvoke("How much is left?")
        except BudgetExceeded:
            self._told("refused")
            raise
        return {"text": str(reply.text)}

    async def ask_or_tell(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Ask, and give a refusal back as an answer: a branch that fails would end those beside it."""
        try:
            return await self.ask(payload)
        except BudgetExceeded as error:
            return {"text": str(error)}

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()


def caller(asking: Asking, budget: Budget, home: Path) -> System:
    """A system whose every run asks once."""
    agent = Agent("caller", version=1, function=asking.ask, limits=Budget())
    line = Pipeline(stages=[agent], contracts=[TEXT, TEXT])
    return System("caller", version=1, topology=line, budget=budget, home=home)


class Wide(Supervisor):
    """A supervisor that may hand over to as many branches as ask here."""

    @cached_property
    def fan_outs(self) -> tuple[FanOut, ...]:
        """The one fan-out, wider."""
        return tuple(replace(fan, limit=ASKING) for fan in super().fan_outs)


def callers(asking: Asking, budget: Budget, home: Path) -> System:
    """A system whose every run asks in as many branches at once."""

    def hand_over(payload: dict[str, Any]) -> list[Handoff]:
        return [Handoff(target="caller", payload=payload) for _ in range(ASKING)]

    def tell(gathered: dict[str, Any]) -> dict[str, Any]:
        return {"text": f"{len(gathered['results'])} answers"}

    topology = Wide(
        router=Agent("router", version=1, function=hand_over),
        specialists=[Agent("caller", version=1, function=asking.ask_or_tell, limits=Budget())],
        aggregator=Agent("head", version=1, function=tell),
        takes=TEXT,
        brief=TEXT,
        finding=TEXT,
        answer=TEXT,
    )
    return System("callers", version=1, topology=topology, budget=budget, home=home)


async def reserved_by_one(home: Path) -> Amounts:
    """What one of these calls reserves: found by making one."""
    with ModelServer(lambda _: Reply(text="Enough.")) as server:
        asking = Asking(server.url, lambda _: None)
        system = caller(asking, Budget(), home)
        result = await system.arun(REQUEST)
        await asking.close()
        [found] = [e.record for e in system.ledger.entries(result.run) if isinstance(e.record, ModelReserved)]
        system.close()
    return Amounts.from_json(found.reserved)
