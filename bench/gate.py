"""What the gate costs: a call's decision with a megabyte of context and 100 rules, beside the same call ungated.

A decision is all that happens before the tool's function begins: arguments validated, their provenance looked up, the
policy judged, the verdict recorded, and for a tool that changes something its intent made durable (SQLite, full fsync).
The judgement alone is one evaluation by Cedar, and what leads to it and from it in Python. Variants take turns.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from edgewright import Agent, Budget, Contract, Origin, Pipeline, Policy, System, starter, tool
from edgewright.contracts.policy import CompiledPolicy, PolicyCall
from edgewright.tools.sealed import SealedTool
from langchain_core.tools import StructuredTool
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from typing_extensions import TypedDict

CALLS, RULES, RECORDS = 400, 100, 2_000
began: list[float] = []


class Mail(TypedDict):
    """One of the mails that make up the context."""

    id: Annotated[str, Origin("trusted")]
    sender: str
    subject: str
    body: str


class Text(BaseModel):
    """What crosses."""

    text: str


TEXT = Contract(Text, version=1)


@tool(effect="read", output="untrusted", sensitivity="internal", sink=False)
def read_all() -> list[Mail]:
    """Read all mails: a megabyte."""
    body = "The quick brown fox jumps over the lazy dog. " * 10
    return [
        {"id": f"M-{n:05}", "sender": f"person{n}@corp.com", "subject": f"About matter {n}", "body": body}
        for n in range(RECORDS)
    ]


def _noted(mail: str, cents: int, note: str) -> str:
    began.append(time.perf_counter())
    return "done"


@tool(
    effect="write",
    output="trusted",
    sensitivity="internal",
    idempotency="key",
    sink=False,
    roles={"mail": "ref", "cents": "scalar", "note": "content"},
)
async def file_mail(mail: str, cents: int, note: str) -> str:
    """File a mail."""
    return _noted(mail, cents, note)


@tool(effect="read", output="trusted", sensitivity="internal", sink=False, roles={"mail": "ref", "note": "content"})
async def look_up(mail: str, cents: int, note: str) -> str:
    """Look a mail up."""
    return _noted(mail, cents, note)


def others() -> list[SealedTool]:
    """Tools that the rules speak of, and nobody calls: a house has more than one."""

    def made(name: str) -> SealedTool:
        def other(mail: str, cents: int) -> str:
            """Do something else."""
            return "done"

        return tool(name=name, effect="write", idempotency="key", sink=False)(other)

    return [made(f"other_{n}") for n in range(9)]


OTHERS = others()


def policy(rules: int = RULES, *, spread: bool = True) -> Policy:
    """The starter rules, and as many more as make up the number: over ten tools, or all of them about one."""
    flow = starter("permit", "flow")
    names = ["file_mail", *(t.name for t in OTHERS)] if spread else ["file_mail"]
    more = [
        f'@id("rule-{n}") forbid (principal, action == Action::"call:{names[n % len(names)]}", resource) '
        f'when {{ context.args.cents > {100_000 + n} && context.args.mail != "M-{n:05}" }};'
        for n in range(rules - flow.text.count("@id("))
    ]
    return flow + Policy(text="\n".join(more))


def arguments(n: int) -> dict[str, Any]:
    """The arguments of the n-th call: a mail that was read, an amount, and a text."""
    return {"mail": f"M-{n % RECORDS:05}", "cents": 100 + n, "note": "Filed under the matter that it belongs to."}


async def ungated(calls: int) -> list[float]:
    """Microseconds of the same function as a plain LangChain tool."""

    async def plain(mail: str, cents: int, note: str) -> str:
        """File a mail."""
        return _noted(mail, cents, note)

    raw = StructuredTool.from_function(coroutine=plain, name="file_mail")
    return [await _one(raw.ainvoke, n) for n in range(calls)]


async def _one(call: Callable[[dict[str, Any]], Any], n: int) -> float:
    began.clear()
    at = time.perf_counter()
    await call(arguments(n))
    return (began[0] - at) * 1e6


async def gated(handle: SealedTool, calls: int, *, context: bool, home: Path) -> list[float]:
    """Microseconds until a governed tool's function begins, with or without the megabyte."""
    taken: list[float] = []

    async def work(_: dict[str, Any]) -> dict[str, str]:
        if context:
            await read_all.call({})
        for n in range(calls):
            taken.append(await _one(handle.call, n))
        return {"text": "done"}

    worker = Agent("worker", version=1, function=work, tools=[read_all, file_mail, look_up, *OTHERS], limits=Budget())
    system = System(
        "desk",
        version=1,
        topology=Pipeline(stages=[worker], contracts=[TEXT, TEXT]),
        policy=policy(),
        home=home,
    )
    result = await system.arun({"text": "File what is there."})
    assert result.status == "completed"
    system.close()
    assert len(taken) == calls
    return taken


def judged(calls: int, rules: int, *, spread: bool = True) -> list[float]:
    """Microseconds of one judgement that permits."""
    known = [t.spec for t in (read_all, file_mail, look_up, *OTHERS)]
    compiled = CompiledPolicy(policy(rules, spread=spread), agents=["worker"], tools=known)
    taken = []
    for n in range(calls):
        call = PolicyCall(
            agent="worker",
            tool="file_mail",
            args=arguments(n),
            facts=None,
            request={},
            env="development",
            calls=n,
            done=frozenset({"read_all"}),
            exposed=True,
            tainted=frozenset({"note"}),
        )
        at = time.perf_counter()
        verdict = compiled.judge(call)
        taken.append((time.perf_counter() - at) * 1e6)
        assert type(verdict).__name__ == "Allow"
    return taken


async def measure(calls: int = CALLS) -> dict[str, list[float]]:
    """Microseconds by variant."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(3):
            part = calls // 3
            for name, made in (
                ("ungated call", ungated(part)),
                ("read, no context", gated(look_up, part, context=False, home=Path(folder) / f"a{turn}")),
                ("read, 1 MB of context", gated(look_up, part, context=True, home=Path(folder) / f"b{turn}")),
                ("write, no context", gated(file_mail, part, context=False, home=Path(folder) / f"c{turn}")),
                ("write, 1 MB of context", gated(file_mail, part, context=True, home=Path(folder) / f"d{turn}")),
            ):
                found.setdefault(name, []).extend(await made)
            found.setdefault("judgement alone, 10 rules", []).extend(judged(part, 10))
            found.setdefault(f"judgement alone, {RULES} rules", []).extend(judged(part, RULES))
            one_tool = f"judgement alone, {RULES} rules on one tool"
            found.setdefault(one_tool, []).extend(judged(part, RULES, spread=False))
    return found


def show(calls: int = CALLS) -> None:
    """Print the figures."""
    found = asyncio.run(measure(calls))
    table = Table(
        "until the function begins", "p50 µs", "p99 µs", "first µs", title=f"The gate, {RULES} rules, {calls} calls"
    )
    for name, taken in found.items():
        ranked = sorted(taken)
        p99 = ranked[min(len(ranked) - 1, int(len(ranked) * 0.99))]
        table.add_row(name, f"{statistics.median(taken):,.0f}", f"{p99:,.0f}", f"{taken[0]:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    show()
