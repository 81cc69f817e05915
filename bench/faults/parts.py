"""What the systems on trial are made of: contracts, models, tools, agents, and what is declared for them.

In each of them a *worker* does what the faults meet: its model is the faulty one, and its tool books. A *clerk* has the
steady model, and files. A run for the neighbour is of the same system. Where the worker takes a turn in it,
too, there is nothing for it to book.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, assert_never

import httpx
from edgewright import (
    Agent,
    Ask,
    Budget,
    Contract,
    FallBack,
    OnViolation,
    Policy,
    Skip,
    Stop,
    System,
    ToolContext,
    tool,
)
from edgewright.agents.prices import declare_price
from edgewright.contracts.budget import Price
from edgewright.contracts.containment import Retry, Timeouts
from edgewright.contracts.failure import OnFailure
from edgewright.graphs.topology import Topology
from edgewright.tools.sealed import SealedTool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field, SecretStr
from typing_extensions import TypedDict

from bench.faults.cases import BOOK, FAULTY, FILE, STEADY, TOTAL, Reaction
from bench.faults.scenes import GovernedScene, Site

DONE = ("book: done", "file: done")
"""What a whole answer tells, and in part that of a neighbour."""
INSTEAD = "booking is not possible now"
"""The constant answer."""
CAP = 200
"""Tokens that a call may be answered with."""
DEAR = Price(input_per_million="0", output_per_million="5000")
"""A dollar is reserved for a call, which then costs ten cents, or four where nothing is to be booked."""
CHEAP = Price(input_per_million="0", output_per_million="0.01")
_PERMIT = '@id("all") permit(principal, action, resource);'


class Request(BaseModel):
    """What is to be done."""

    text: str


class Answer(BaseModel):
    """What was done."""

    text: Annotated[str, Field(min_length=1)]


class Vote(Answer):
    """What was done, and whether it was: that is what a quorum agrees on."""

    done: bool


class Receipt(TypedDict):
    """What the integration says that it did."""

    text: str


TAKES, BRIEF = Contract(Request, version=1), Contract(Request, version=2)
FINDING, GIVES, VOTE = Contract(Answer, version=1), Contract(Answer, version=2), Contract(Vote, version=1)


@cache
def _clients() -> tuple[httpx.Client, httpx.AsyncClient]:
    """Without certificates, which take longer to load than many a cell to run: all that is called is on loopback."""
    return httpx.Client(timeout=None, verify=False), httpx.AsyncClient(timeout=None, verify=False)


def model(site: Site, name: str, *, streams: bool = False) -> ChatOpenAI:
    """A model without retries and timeouts of its client's: what is on trial are ours."""
    blocking, other = _clients()
    return ChatOpenAI(
        model=name,
        base_url=site.model_url,
        api_key=SecretStr("sk-none"),
        max_retries=0,
        timeout=None,
        max_completion_tokens=CAP,
        streaming=streams,
        stream_usage=True,
        http_client=blocking,
        http_async_client=other,
    )


async def reach(site: Site, path: str, what: str, key: str) -> Any:
    """Have the integration do something, once under this key; what it says of it."""
    async with httpx.AsyncClient(timeout=None, verify=False) as client:
        reply = await client.post(site.tool_url + path, json={"what": what}, headers={"Idempotency-Key": key})
        reply.raise_for_status()
        return reply.json()


def tools(site: Site) -> tuple[SealedTool, SealedTool]:
    """The worker's and the clerk's, governed."""

    @tool(effect="write", idempotency="key", output="trusted", sensitivity="internal", sink=False, timeout=TOTAL)
    async def book(what: str, *, ctx: ToolContext) -> Receipt:
        """Book something."""
        found: Receipt = await reach(site, BOOK, what, ctx.key)
        return found

    @tool(effect="write", idempotency="key", output="trusted", sensitivity="internal", sink=False)
    async def file(what: str, *, ctx: ToolContext) -> Receipt:
        """File something."""
        found: Receipt = await reach(site, FILE, what, ctx.key)
        return found

    return book, file


class Staff:
    """The agents on a site, each by what it does in any of the systems."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.book, self.file = tools(site)

    def steady(self, name: str, *given: SealedTool, prompt: str = "Do it.") -> Agent:
        """Whoever has the steady model."""
        return Agent(name, version=1, prompt=prompt, tools=given, model=model(self._site, STEADY))

    def worker(self, *more: SealedTool) -> Agent:
        """Whom the faults meet."""
        return Agent(
            "worker",
            version=1,
            prompt="Do it.",
            tools=[self.book, *more],
            model=model(self._site, FAULTY, streams=True),
            timeouts=Timeouts(total=TOTAL),
            retry=Retry(attempts=2, first=0.05),
        )

    def clerk(self, name: str = "clerk") -> Agent:
        """Who files."""
        return self.steady(name, self.file)

    def deputy(self, *more: SealedTool) -> Agent:
        """Who can stand in for the worker."""
        return self.steady("deputy", self.book, *more)

    def router(self) -> Agent:
        """Who hands each part to whoever does it."""
        return self.steady("router", prompt="Hand it over.")


def declared(reaction: Reaction, deputy: Agent, *, of: str = "worker", **more: Any) -> dict[str, OnFailure]:
    """What is declared for the worker, or whom else it is of; the others stop the run.

    Args:
        more: fields of the constant answer beside its text.
    """
    match reaction:
        case "stop" | "fail" | "drain" | "degrade":
            return {of: Stop()}
        case "skip":
            return {of: Skip()}
        case "answer":
            return {of: FallBack(answer={"text": INSTEAD, **more})}
        case "stand in":
            return {of: FallBack(agent=deputy)}
        case "ask":
            return {of: Ask()}
        case other:
            assert_never(other)


def violated(reaction: Reaction) -> OnViolation:
    """Only where a person is to be asked does a broken contract wait for one; else it is the worker's failure."""
    return OnViolation(then="review" if reaction == "ask" else "fail")


def _budget(site: Site, reaction: Reaction) -> Budget:
    """What a run may spend, where that is limited, and what happens when it is spent."""
    if site.usd is None:
        return Budget()
    declare_price(f"openai:{FAULTY}", DEAR)
    declare_price(f"openai:{STEADY}", CHEAP)
    match reaction:
        case "drain" | "ask":
            return Budget(usd=site.usd, then=reaction)
        case "degrade":
            return Budget(usd=site.usd, to=model(site, STEADY))
        case _:
            return Budget(usd=site.usd)


def system(name: str, site: Site, topology: Topology, reaction: Reaction) -> System:
    """The system, which permits every tool."""
    budget = _budget(site, reaction)
    return System(name, version=1, topology=topology, policy=Policy(text=_PERMIT), budget=budget, home=site.home)


def scene(name: str, site: Site, topology: Topology, reaction: Reaction) -> GovernedScene:
    """The system by itself, on its site."""
    return GovernedScene(system(name, site, topology, reaction))


def head(found: dict[str, Any]) -> dict[str, Any]:
    """Puts together what met behind several agents."""
    return {"text": " ".join(r["answer"]["text"] for r in found["results"])}


def onward(found: dict[str, Any]) -> dict[str, Any]:
    """Hands on what it was handed."""
    return found
