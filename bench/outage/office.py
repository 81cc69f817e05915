"""Two integrations and the office that works with them: every run needs one or the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args

import httpx
from edgewright import (
    Agent,
    Breaker,
    Bulkhead,
    Contract,
    FallBack,
    Handoff,
    OnViolation,
    Policy,
    Skip,
    Supervisor,
    System,
    ToolContext,
    tool,
)
from edgewright.contracts.failure import OnFailure
from edgewright.tools.containing import key_of
from edgewright.tools.sealed import SealedTool
from pydantic import BaseModel
from typing_extensions import TypedDict

from bench.faults import Fault, ToolServer

Desk = Literal["biller", "shipper", "courier", "notifier"]
"""Who does the work of a run. The biller needs the billing service, the others the warehouse, which dies. Where that
cannot be had, the shipper's run stops, the courier gives a constant answer, and the notifier's part is skipped."""
NEEDING: tuple[Desk, ...] = ("shipper", "courier", "shipper", "notifier")
"""Who has the runs that need the warehouse, in turn."""
Dead = Literal["hangs", "refuses"]
DEATHS: tuple[Dead, ...] = get_args(Dead)
SHIP, BILL = "/ship", "/bill"
TIMEOUT, FAILURES, COOLDOWN = 0.5, 3, 1.0
"""What is declared of the tool that reaches the warehouse: seconds for a call, failures in a row that open its breaker,
seconds until it lets one through again."""
TAKES = 2.0
"""Seconds that the billing service takes, outage or not."""
PLACES = 128
"""How many calls of the billing service may be under way at once: no run waits for another's."""
LATER = "it is shipped as soon as the warehouse answers"


class Order(BaseModel):
    """What is to be done, and by whom."""

    order: str
    desk: Desk


class Brief(BaseModel):
    """What a desk is handed."""

    order: str


class Answer(BaseModel):
    """What was done."""

    order: str = ""
    told: str = ""


class Receipt(TypedDict):
    """What an integration says that it did."""

    text: str


class Services:
    """The two integrations. Entered, they serve; each is reached by a client as people write it, without a time-out.

    Args:
        takes: seconds that the billing service takes.
    """

    def __init__(self, takes: float = TAKES) -> None:
        self.warehouse, self.billing, self._takes = ToolServer(), ToolServer(), takes
        limits = httpx.Limits(max_connections=None)
        self._client = httpx.Client(timeout=None, limits=limits)
        self._dead: Dead | None = None

    def __enter__(self) -> Self:
        self.warehouse.__enter__()
        self.billing.__enter__()
        self.billing.fault = Fault("slow", path=BILL, seconds=self._takes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.warehouse.__exit__(kind, error, trace)
        self.billing.__exit__(kind, error, trace)
        self._client.close()

    def dies(self, how: Dead) -> None:
        """The warehouse takes requests, does what they ask, and never answers; or nobody is there any more."""
        self._dead = how
        if how == "hangs":
            self.warehouse.fault = Fault("hang", effect=True)
        else:
            self.warehouse.down()

    def returns(self) -> None:
        """The warehouse is started again. What hung in it finds its connection closed."""
        if self._dead == "hangs":
            self.warehouse.down()
        self.warehouse.fault, self._dead = None, None
        self.warehouse.up()

    def ship(self, order: str, key: str) -> Receipt:
        """Ask the warehouse. Blocks."""
        return self._post(self.warehouse.url + SHIP, order, key)

    def bill(self, order: str, key: str) -> Receipt:
        """Ask the billing service. Blocks."""
        return self._post(self.billing.url + BILL, order, key)

    def _post(self, url: str, order: str, key: str) -> Receipt:
        reply = self._client.post(url, json={"order": order}, headers={"Idempotency-Key": key})
        reply.raise_for_status()
        found: Receipt = reply.json()
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """The governed office.

    Attributes:
        breaker: what the breaker of the tool that reaches the warehouse is known by.
    """

    system: System
    breaker: str


def office(services: Services, home: Path) -> Office:
    """The office. Its tools block, as most do: each call takes a thread, and one that hangs keeps it."""

    @tool(
        effect="write",
        idempotency="key",
        output="trusted",
        sensitivity="internal",
        sink=False,
        timeout=TIMEOUT,
        breaker=Breaker(failures=FAILURES, cooldown=COOLDOWN),
    )
    def ship(order: str, *, ctx: ToolContext) -> Receipt:
        """Have an order shipped."""
        return services.ship(order, ctx.key)

    @tool(
        effect="write",
        idempotency="key",
        output="trusted",
        sensitivity="internal",
        sink=False,
        bulkhead=Bulkhead(running=PLACES, waiting=PLACES),
    )
    def bill(order: str, *, ctx: ToolContext) -> Receipt:
        """Bill an order."""
        return services.bill(order, ctx.key)

    def asking(handle: SealedTool) -> Callable[..., Any]:
        async def function(brief: dict[str, Any]) -> dict[str, Any]:
            found = await handle.call({"order": brief["order"]})
            return {"order": brief["order"], "told": found["text"]}

        return function

    def agent(name: Desk, handle: SealedTool) -> Agent:
        return Agent(name, version=1, function=asking(handle), tools=[handle])

    on_failure: dict[str, OnFailure] = {"courier": FallBack(answer={"told": LATER}), "notifier": Skip()}
    topology = Supervisor(
        router=Agent("router", version=1, function=_routed),
        specialists=[agent("biller", bill), *(agent(name, ship) for name in dict.fromkeys(NEEDING))],
        takes=Contract(Order, version=1),
        brief=Contract(Brief, version=1),
        answer=Contract(Answer, version=1),
        on_violation=OnViolation(repair=0, then="fail"),
        on_failure=on_failure,
    )
    policy = Policy(text='@id("all") permit(principal, action, resource);')
    system = System("office", version=1, topology=topology, policy=policy, home=home)
    return Office(system=system, breaker=key_of(ship.spec))


def _routed(request: dict[str, Any]) -> Handoff:
    return Handoff(target=request["desk"], payload={"order": request["order"]})
