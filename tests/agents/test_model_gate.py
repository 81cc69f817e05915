"""The model gate: no call reaches a model without a reservation, whatever makes it (threats 53 and 54)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from decimal import Decimal
from typing import Any

import pytest
from edgewright import Budget, Call, OfflineModel, Price, Say, Turn, tool, ungoverned
from edgewright.agents import model_gate
from edgewright.contracts.errors import BudgetExceeded, CostUnknown, ModelOutsideRun, ToolFailed
from edgewright.ledger.records import ModelFailed, ModelRefused, ModelReserved, ModelSettled, RunEnded
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langgraph.graph import END, START, MessagesState, StateGraph
from support.systems import PERMIT_ALL, answers, asking, inside, of_kind, only_run, plays, with_code, with_model

reached: list[int] = []


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    reached.clear()
    yield
    reached.clear()


def _rules(turn: Turn) -> Say:
    reached.append(1)
    return Say("one two three")


MODEL = OfflineModel("counted", _rules, price=Price(input_per_million="3", output_per_million="15"))


class Bare(BaseChatModel):
    """A model of no known price, without output cap; tells the usage it is given."""

    usage: tuple[int, int] | None = None
    cap: int | None = None
    hold: Any = None

    @property
    def _llm_type(self) -> str:
        return "bare"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": "bare"} | ({"max_tokens": self.cap} if self.cap else {})

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        reached.append(1)
        message = AIMessage("x")
        if self.usage:
            counts = {"input_tokens": self.usage[0], "output_tokens": self.usage[1]}
            message.usage_metadata = UsageMetadata(total_tokens=sum(counts.values()), **counts)  # type: ignore[typeddict-item]
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if self.hold is not None:
            self.hold.set()
            await asyncio.Event().wait()
        return self._generate(messages)


@tool(effect="read")
def think(question: str) -> str:
    """Think about it, with a model."""
    return str(MODEL.invoke(question).text)


def _nested() -> Any:
    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await MODEL.ainvoke("x")]}

    graph = StateGraph(MessagesState)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    return graph.compile()


async def _stream() -> None:
    async for _ in MODEL.astream("x"):
        pass


def _pool_with_context() -> Any:
    context = copy_context()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(context.run, MODEL.invoke, "x").result(10)


def _own_loop_with_context() -> Any:
    context = copy_context()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(context.run, asyncio.run, MODEL.ainvoke("x")).result(10)


WAYS: dict[str, Callable[[], Awaitable[Any]]] = {
    "async": lambda: MODEL.ainvoke("x"),
    "sync in the loop": lambda: _later(lambda: MODEL.invoke("x")),
    "sync in a thread": lambda: asyncio.to_thread(MODEL.invoke, "x"),
    "sync in a tool": lambda: think.ainvoke({"question": "x"}),
    "sync in a tool in a thread": lambda: asyncio.to_thread(think.invoke, {"question": "x"}),
    "pool with context": lambda: _later(_pool_with_context),
    "loop of its own with context": lambda: _later(_own_loop_with_context),
    "empty callbacks": lambda: MODEL.ainvoke("x", config={"callbacks": []}),
    "empty callbacks, sync": lambda: _later(lambda: MODEL.invoke("x", config={"callbacks": []})),
    "nested graph": lambda: _nested().ainvoke({"messages": []}),
    "nested graph, empty callbacks": lambda: _nested().ainvoke({"messages": []}, {"callbacks": []}),
    "retry": lambda: MODEL.with_retry(stop_after_attempt=3, wait_exponential_jitter=False).ainvoke("x"),
    "fallback": lambda: MODEL.with_fallbacks([MODEL]).ainvoke("x"),
    "stream": _stream,
    "stream, sync": lambda: _later(lambda: list(MODEL.stream("x"))),
    "batch": lambda: MODEL.abatch(["x"]),
    "batch, sync": lambda: asyncio.to_thread(MODEL.batch, ["x"]),
    "generate": lambda: MODEL.agenerate([[AIMessage("x")]]),
    "chain": lambda: (ChatPromptTemplate.from_messages([("user", "{q}")]) | MODEL).ainvoke({"q": "x"}),
    "task": lambda: asyncio.create_task(MODEL.ainvoke("x")),
}


async def _later(work: Callable[[], Any]) -> Any:
    return work()


@pytest.mark.parametrize("way", WAYS)
async def test_a_budget_of_three_calls_lets_three_through_however_they_are_made(way: str) -> None:
    async def work() -> int:
        for done in range(5):
            try:
                await WAYS[way]()
            except (BudgetExceeded, ToolFailed) as error:
                if "budget of run allows 3 model calls" in str(error):
                    return done
                raise
        return 5

    ran = await inside(work, think, budget=Budget(model_calls=3))
    assert ran.error is None
    assert ran.value == 3
    assert len(reached) == 3
    assert len(ran.of(ModelReserved)) == len(ran.of(ModelSettled)) == 3
    assert ran.of(ModelRefused)


async def test_a_call_is_reserved_before_and_settled_after_with_the_usage_that_was_reported() -> None:
    ran = await inside(lambda: MODEL.ainvoke("hello"), budget=Budget(usd="1"))
    [reserved], [settled] = ran.of(ModelReserved), ran.of(ModelSettled)
    assert ran.records.index(reserved) < ran.records.index(settled)
    usage = ran.value.usage_metadata
    assert settled.used["input_tokens"] == usage["input_tokens"] < reserved.reserved["input_tokens"]
    assert settled.used["output_tokens"] == usage["output_tokens"] < reserved.reserved["output_tokens"] == 1024
    expected = (Decimal(3) * usage["input_tokens"] + Decimal(15) * usage["output_tokens"]) / 1_000_000
    assert Decimal(settled.used["usd"]) == expected
    [ended] = ran.of(RunEnded)
    assert Decimal(ended.spent["usd"]) == expected


async def test_of_fifty_parallel_calls_against_a_budget_of_ten_ten_reach_the_model_every_time() -> None:
    async def work() -> list[Any]:
        return list(await asyncio.gather(*(MODEL.ainvoke("x") for _ in range(50)), return_exceptions=True))

    for _ in range(20):
        reached.clear()
        ran = await inside(work, budget=Budget(model_calls=10))
        assert len(reached) == 10
        assert len([e for e in ran.value if isinstance(e, BudgetExceeded)]) == 40


async def test_of_fifty_threads_against_a_budget_of_ten_ten_reach_the_model() -> None:
    def work() -> list[bool]:
        contexts = [copy_context() for _ in range(50)]

        def attempt(context: Context) -> bool:
            try:
                context.run(MODEL.invoke, "x")
            except BudgetExceeded:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(attempt, contexts))

    for _ in range(5):
        reached.clear()
        ran = await inside(lambda: asyncio.to_thread(work), budget=Budget(model_calls=10))
        assert ran.error is None
        assert sum(ran.value) == len(reached) == 10


@pytest.mark.parametrize("limit", [0, None])
async def test_zero_is_none_and_none_is_any(limit: int | None) -> None:
    ran = await inside(lambda: MODEL.ainvoke("x"), budget=Budget(model_calls=limit))
    assert len(reached) == (0 if limit == 0 else 1)
    assert isinstance(ran.error, BudgetExceeded) == (limit == 0)


async def test_an_agents_own_limit_stops_it_inside_a_wider_budget() -> None:
    async def work(_: dict[str, Any]) -> dict[str, str]:
        await MODEL.ainvoke("x")
        with pytest.raises(BudgetExceeded, match="agent worker allows 1 model calls"):
            await MODEL.ainvoke("x")
        return {"text": ""}

    system = with_code(work, limits=Budget(model_calls=1), budget=Budget(model_calls=5))
    assert (await system.arun({"text": "go"})).status == "completed"
    assert len(reached) == 1


@pytest.mark.parametrize("unit", ["usd", "input_tokens", "output_tokens"])
async def test_a_call_that_could_pass_a_limit_is_not_made(unit: str) -> None:
    tight: Any = {"usd": "0.000001", "input_tokens": 1, "output_tokens": 1000}[unit]
    ran = await inside(lambda: MODEL.ainvoke("x"), budget=Budget(**{unit: tight}))
    assert isinstance(ran.error, BudgetExceeded)
    assert not reached


# -- bare threads --------------------------------------------------------------------------------------------------


def _bare_pool() -> BaseException | None:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(MODEL.invoke, "x").exception(10)


def _bare_pool_with_a_loop() -> BaseException | None:
    async def call() -> None:
        await MODEL.ainvoke("x")

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(call())).exception(10)


def _bare_pool_streaming() -> BaseException | None:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: list(MODEL.stream("x"))).exception(10)


def _bare_thread() -> BaseException | None:
    caught: list[BaseException] = []

    def attempt() -> None:
        try:
            MODEL.invoke("x")
        except ModelOutsideRun as error:
            caught.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join(10)
    return caught[0] if caught else None


@pytest.mark.parametrize("stray", [_bare_pool, _bare_pool_with_a_loop, _bare_pool_streaming, _bare_thread])
async def test_a_call_from_a_bare_thread_while_a_run_is_in_flight_is_refused(
    stray: Callable[[], BaseException | None],
) -> None:
    ran = await inside(lambda: _later(stray))
    assert isinstance(ran.value, ModelOutsideRun)
    assert "copy_context" in str(ran.value)
    assert not reached


async def test_a_bare_thread_can_say_that_its_call_belongs_to_no_run() -> None:
    def stray() -> Any:
        def call() -> Any:
            with ungoverned():
                return MODEL.invoke("x")

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(call).result(10)

    ran = await inside(lambda: _later(stray))
    assert ran.error is None
    assert len(reached) == 1
    assert not ran.of(ModelReserved)


def test_without_a_run_in_flight_a_bare_thread_is_nobodys_business() -> None:
    assert _bare_pool() is None
    assert len(reached) == 1


async def test_unrelated_calls_in_the_same_process_are_untouched_while_a_run_is_in_flight() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        entered.set()
        await asyncio.wait_for(leave.wait(), 10)

    running = asyncio.create_task(inside(work, budget=Budget(model_calls=0)))
    await asyncio.wait_for(entered.wait(), 10)
    other = FakeListChatModel(responses=["hi"])
    await MODEL.ainvoke("x")
    MODEL.invoke("x")
    await other.ainvoke("x")
    served: list[Any] = []
    server = threading.Thread(target=lambda: served.append(asyncio.run(_served())))  # a server's own loop and thread
    server.start()
    await asyncio.to_thread(server.join, 10)
    leave.set()
    ran = await asyncio.wait_for(running, 10)
    assert len(reached) == 3
    assert len(served) == 1
    assert not ran.of(ModelReserved)
    assert not ran.of(ModelRefused)


async def _served() -> Any:
    return await MODEL.ainvoke("x")


async def test_two_runs_at_once_pay_each_for_its_own() -> None:
    async def work(payload: dict[str, Any]) -> dict[str, str]:
        for _ in range(int(payload["text"])):
            await MODEL.ainvoke("x")
        return {"text": ""}

    system = with_code(work, budget=Budget(model_calls=3))
    found = await asyncio.gather(*(system.arun({"text": str(n)}) for n in (1, 2, 3, 4)), return_exceptions=True)
    assert [isinstance(r, BudgetExceeded) for r in found] == [False, False, False, True]
    calls = {len(of_kind(system, s.run, ModelSettled)) for s in system.ledger.runs()}
    assert calls == {1, 2, 3}


# -- calls that go wrong -------------------------------------------------------------------------------------------


def _failing(turn: Turn) -> Say:
    reached.append(1)
    raise ConnectionError("the provider is down")


async def test_a_failed_call_counts_and_so_does_each_retry() -> None:
    model = OfflineModel("failing", _failing, price=Price(input_per_million="3", output_per_million="15"))
    retrying = model.with_retry(stop_after_attempt=9, wait_exponential_jitter=False)
    ran = await inside(lambda: asyncio.wait_for(retrying.ainvoke("x"), 60), budget=Budget(model_calls=2))
    assert ran.error is not None
    assert len(reached) == 2
    failed = ran.of(ModelFailed)
    assert len(failed) == 2
    assert all(f.used["model_calls"] == 1 and f.used["input_tokens"] > 0 for f in failed)
    assert "the provider is down" in failed[0].error


async def test_a_cancelled_call_counts_and_is_on_the_ledger() -> None:
    hold = asyncio.Event()

    async def work() -> None:
        call = asyncio.create_task(Bare(hold=hold).ainvoke("x"))
        await asyncio.wait_for(hold.wait(), 10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        with pytest.raises(BudgetExceeded):
            await MODEL.ainvoke("x")

    ran = await inside(work, budget=Budget(model_calls=1))
    assert ran.error is None
    assert not reached
    assert len(ran.of(ModelReserved)) == 1
    assert ["cancelled" in f.error for f in ran.of(ModelFailed)] == [True]
    assert not model_gate._GATE._open
    assert ran.of(RunEnded)[0].spent["model_calls"] == 1


async def test_a_stream_that_is_given_up_counts() -> None:
    async def work() -> None:
        stream = MODEL.astream("x")
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]
        with pytest.raises(BudgetExceeded):
            await MODEL.ainvoke("x")

    ran = await inside(work, budget=Budget(model_calls=1))
    assert ran.error is None
    assert ran.of(RunEnded)[0].spent["model_calls"] == 1
    assert not model_gate._GATE._open


# -- what cannot be bounded ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "model", "unit"),
    [
        (Budget(usd="1"), Bare(cap=10), "usd"),
        (Budget(output_tokens=100), Bare(), "output_tokens"),
        (Budget(usd="1"), Bare(), "usd"),
    ],
)
async def test_an_unknown_cost_is_not_zero(budget: Budget, model: Bare, unit: str) -> None:
    ran = await inside(lambda: model.ainvoke("x"), budget=budget)
    assert isinstance(ran.error, CostUnknown)
    assert ran.error.unit == unit
    assert not reached
    assert len(ran.of(ModelRefused)) == 1


async def test_an_unknown_cost_under_a_limit_of_calls_is_fine() -> None:
    ran = await inside(lambda: Bare().ainvoke("x"), budget=Budget(model_calls=1))
    assert ran.error is None
    assert len(reached) == 1


@pytest.mark.parametrize("usage", [None, (-1_000_000, 5), (5, -1_000_000)])
async def test_no_usage_or_nonsense_for_usage_is_settled_as_what_was_reserved(usage: tuple[int, int] | None) -> None:
    async def work() -> None:
        await Bare(usage=usage, cap=10).ainvoke("x")

    ran = await inside(work, budget=Budget(output_tokens=100))
    [reserved], [settled] = ran.of(ModelReserved), ran.of(ModelSettled)
    assert settled.used == reserved.reserved
    assert settled.used["output_tokens"] == 10


async def test_usage_beyond_what_was_reserved_is_on_the_ledger_and_stops_the_next_call() -> None:
    model = Bare(usage=(5, 500), cap=10)

    async def work() -> None:
        await model.ainvoke("x")
        with pytest.raises(BudgetExceeded):
            await model.ainvoke("x")

    ran = await inside(work, budget=Budget(output_tokens=100))
    assert ran.error is None
    assert ran.of(RunEnded)[0].spent["output_tokens"] == 500


# -- across reviews and restarts -----------------------------------------------------------------------------------


@tool(effect="write", idempotency="key")
def pay(cents: int) -> str:
    """Pay."""
    return "paid"


async def test_a_run_that_waited_for_a_person_has_no_fresh_budget() -> None:
    replies: Sequence[Sequence[Call]] = [[Call("pay", {"cents": 1})], [Call("pay", {"cents": 500})]]
    policy = PERMIT_ALL + asking("pay", "context.args.cents > 100")
    system = with_model(plays(*replies), pay, policy=policy, budget=Budget(model_calls=2))
    waiting = await system.arun({"text": "go"})
    assert waiting.status == "waiting"
    with pytest.raises(BudgetExceeded, match="allows 2 model calls; this call would bring it to 3"):
        await system.aresume(waiting.thread, answers(waiting, "approve"))
    [ended] = of_kind(system, only_run(system), RunEnded)
    assert (ended.status, ended.spent["model_calls"]) == ("out_of_budget", 2)


async def test_a_run_that_ran_out_stays_out_when_it_is_resumed() -> None:
    system = with_model(plays(*[[Call("pay", {"cents": n})] for n in range(9)]), pay, budget=Budget(model_calls=3))
    for _ in range(3):
        with pytest.raises(BudgetExceeded):
            await (system.aresume("t") if system.ledger.runs() else system.arun({"text": "go"}, thread="t"))
    assert len(of_kind(system, only_run(system), ModelReserved)) == 3


async def test_a_call_that_was_out_when_the_process_died_counts_as_spent() -> None:
    from edgewright.ledger.entry import Draft
    from edgewright.tools.run import Grounds, Run

    system = with_model(plays([Call("pay", {"cents": 1})]), pay)
    run = (await system.arun({"text": "go"})).run
    record = ModelReserved(
        at="x", call="never-settled", agent="worker", model="m", reserved={"usd": "0.5", "model_calls": 1}
    )
    system.ledger.append(run, [Draft(record=record)]).result(10)
    entries = system.ledger.entries(run)
    grounds = Grounds(
        run=run, thread="t", system="s", environment="e", policy=None, tools={}, request={}, budget=Budget(usd="0.6")
    )
    restored = Run.over(grounds, system.ledger, entries)
    assert restored.spent.usd == Decimal("0.5")
    assert restored.spent.model_calls == 3
    assert restored.spent.handoffs == 1
    assert restored.spent.tool_calls == 1
