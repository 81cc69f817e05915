"""The processes of the crash tests.

Started as a script, this is a small server on its standard input: each line names a scenario, for which it forks a
child that runs (and may be killed in the middle of) it. The imports are paid for once.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict
from uuid import uuid4

from edgewright import Agent, Budget, Contract, Pipeline, Policy, ReviewAnswer, Supervisor, System, ToolContext, tool
from edgewright.tools.sealed import SealedTool
from langchain.agents.middleware import AgentMiddleware
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel

Point = Literal["never", "asked", "approved", "before", "after", "recorded", "hang"]
Way = Literal["key", "none", "probe"]
Shape = Literal["supervisor", "function"]
THREAD = "11111111-2222-4333-8444-555555555555"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One process's part.

    Attributes:
        kill: where the process kills itself: after the model's reply and before the tool; when a person's yes is on
            record; in the tool, before or just after its effect; when the tool's outcome is on record. `hang` waits
            in the tool for the parent to do it.
        ask: whether the policy asks a person about the credit.
        way: how the tool is made safe: by the effect's key, by nothing, by a probe.
        do: what it does with the thread.
    """

    folder: str
    kill: Point = "never"
    way: Way = "key"
    shape: Shape = "supervisor"
    durability: Literal["sync", "async", "exit"] = "sync"
    do: Literal["run", "resume", "approve", "reject"] = "run"
    text: str = "I want my money back"
    ask: bool = False


class Request(BaseModel):
    text: str


class Brief(BaseModel):
    text: str


class Answer(BaseModel):
    text: str


class Facts(TypedDict):
    open: bool


PERMIT = '@id("all") permit(principal, action, resource);'
ASK = """
@id("ask") @obligation("ask") @approver("finance") @reason("money")
forbid(principal, action, resource) unless { context.approvals.contains("ask") };
"""


def die() -> None:
    """kill -9, by ourselves: nothing is flushed, no handler runs."""
    os.kill(os.getpid(), signal.SIGKILL)


class Moody(BaseChatModel):
    """Asked again it answers differently: other call ids, other words, another amount."""

    folder: str
    kill: str

    @property
    def _llm_type(self) -> str:
        return "moody"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        return self.bind(tools=[convert_to_openai_tool(t) for t in tools])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        offered = {t["function"]["name"] for t in kwargs.get("tools", ())}
        results = [m for m in messages if isinstance(m, ToolMessage)]
        with (Path(self.folder) / "asked.txt").open("a") as file:
            file.write(".\n")
        if results and self.kill == "recorded":
            die()
        word = uuid4().hex
        if "handoff_to_billing" in offered:
            call = {"name": "handoff_to_billing", "args": {"text": word}}
        elif not results:
            call = {"name": "credit", "args": {"cents": random.randint(1, 999), "note": word}}
        else:
            call = {"name": "submit", "args": {"text": str(results[-1].text)}}
        reply = AIMessage(
            content=f"I will, {word}.",
            tool_calls=[{**call, "id": f"call_{word}", "type": "tool_call"}],
            usage_metadata=UsageMetadata(input_tokens=10, output_tokens=5, total_tokens=15),
        )
        return ChatResult(generations=[ChatGeneration(message=reply)])


class Killer(AgentMiddleware[Any, Any, Any]):
    """Kills after the model's reply, in the very node that is about to call the tool."""

    def __init__(self, kill: str) -> None:
        super().__init__()
        self._kill = kill

    async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        if self._kill == "asked":
            die()
        return await handler(request)


def books(folder: Path) -> sqlite3.Connection:
    """The world: who was credited, one row per effect key."""
    conn = sqlite3.connect(folder / "world.db", isolation_level=None)
    conn.execute("CREATE TABLE IF NOT EXISTS credits (key TEXT UNIQUE NOT NULL, cents INTEGER, note TEXT)")
    return conn


def credited(folder: Path) -> int:
    """How many credits the world has seen, in both books."""
    conn = books(folder)
    try:
        rows = int(conn.execute("SELECT count(*) FROM credits").fetchone()[0])
    finally:
        conn.close()
    lines = folder / "credits.txt"
    return rows + (len(lines.read_text().splitlines()) if lines.exists() else 0)


def crediting(scenario: Scenario) -> SealedTool:
    """The tool, in the way that the scenario names."""
    folder = Path(scenario.folder)

    def around(effect: Callable[[], None]) -> dict[str, Any]:
        if scenario.kill == "before":
            die()
        if scenario.kill == "hang":
            (folder / "hanging").touch()
            signal.pause()
        effect()
        if scenario.kill == "after":
            die()
        return {"credited": True}

    def by_key(cents: int, note: str, *, ctx: ToolContext) -> dict[str, Any]:
        """Credit the customer."""

        def effect() -> None:
            conn = books(folder)
            conn.execute("INSERT INTO credits VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (ctx.key, cents, note))
            conn.close()

        return around(effect)

    def by_line(cents: int, note: str, *, ctx: ToolContext) -> dict[str, Any]:
        """Credit the customer."""

        def effect() -> None:
            with (folder / "credits.txt").open("a") as file:
                file.write(f"{ctx.key} {cents} {note}\n")
                file.flush()
                os.fsync(file.fileno())

        return around(effect)

    def happened(*, ctx: ToolContext) -> dict[str, Any] | None:
        lines = folder / "credits.txt"
        keys = [line.split(" ")[0] for line in lines.read_text().splitlines()] if lines.exists() else []
        return {"credited": True} if ctx.key in keys else None

    looked: list[int] = []

    def facts() -> Facts:
        looked.append(1)
        if scenario.kill == "approved" and len(looked) == 2:  # the second look is the one after the person's yes
            die()
        return {"open": True}

    if scenario.way == "key":
        return tool(name="credit", effect="write", idempotency="key", facts=facts)(by_key)
    probe = happened if scenario.way == "probe" else None
    return tool(name="credit", effect="irreversible", probe=probe, facts=facts)(by_line)


def build(scenario: Scenario) -> System:
    """The scenario's system, on its folder."""
    credit = crediting(scenario)
    model = Moody(folder=scenario.folder, kill=scenario.kill)
    takes, gives = Contract(Request, version=1), Contract(Answer, version=1)
    if scenario.shape == "supervisor":
        billing = Agent("billing", version=1, prompt="Credit.", tools=[credit], middleware=[Killer(scenario.kill)])
        topology: Any = Supervisor(
            router=Agent("triage", version=1, prompt="Route."),
            specialists=[billing],
            takes=takes,
            brief=Contract(Brief, version=1),
            answer=gives,
        )
    else:

        async def work(_: dict[str, Any]) -> dict[str, Any]:
            reply = await model.bind_tools([credit]).ainvoke("please")
            if scenario.kill == "asked":
                die()
            result = await credit.ainvoke(reply.tool_calls[0])
            if scenario.kill == "recorded":
                die()
            return {"text": result.text}

        topology = Pipeline(
            stages=[Agent("billing", version=1, function=work, tools=[credit])], contracts=[takes, gives]
        )
    return System(
        "crash",
        version=1,
        topology=topology,
        policy=Policy(text=PERMIT + ASK if scenario.ask else PERMIT),
        budget=Budget(model_calls=12),
        model=model,
        home=Path(scenario.folder) / "home",
    )


async def play(scenario: Scenario) -> dict[str, Any]:
    """What a process of the scenario does, told as JSON."""
    system = build(scenario)
    if scenario.do == "run":
        result = await system.arun({"text": scenario.text}, thread=THREAD, durability=scenario.durability)
    else:
        result = await system.aresume(THREAD, durability=scenario.durability)
        if scenario.do != "resume":
            answer = ReviewAnswer(decision=scenario.do, reason="looked into the books")
            result = await system.aresume(THREAD, {result.reviews[0].id: answer}, durability=scenario.durability)
    entries = system.ledger.entries(result.run)
    system.close()
    return {
        "status": result.status,
        "reviews": [r.kind for r in result.reviews],
        "output": result.output,
        "kinds": [e.kind for e in entries],
    }


def child(scenario: Scenario) -> None:
    """Play a scenario in this process and leave what became of it in the folder."""
    try:
        told = asyncio.run(play(scenario))
    except Exception:  # noqa: BLE001 - the test reads it
        told = {"error": traceback.format_exc()}
    (Path(scenario.folder) / "told.json").write_text(json.dumps(told))


def serve() -> None:
    """Fork a child per line of input; answer with its process id, then with how it ended."""
    for line in sys.stdin:
        scenario = Scenario(**json.loads(line))
        pid = os.fork()
        if not pid:
            child(scenario)
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def as_line(scenario: Scenario) -> str:
    """A scenario as the server reads it."""
    return json.dumps(asdict(scenario)) + "\n"


if __name__ == "__main__":
    serve()
