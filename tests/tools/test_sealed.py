"""The handle: whatever calls it, and however it is copied or bent, its function is reached through the gate only."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import pytest
from edgewright import Agent, Call, OfflineModel, ToolContext, tool
from edgewright.contracts.errors import AgentInvalid, CallDenied, EffectConflict, ToolInvalid, ToolOutsideRun
from edgewright.ledger.records import CallJudged, EffectDone, EffectIntended
from edgewright.tools.sealed import SealedTool
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from pydantic import create_model
from support.systems import inside, of_kind, only_run, plays, solo, with_code, with_model

done: list[int] = []

DENY_ALL = '@id("never") permit(principal, action, resource) when { false };'


@tool(effect="write", idempotency="key")
def pay(cents: int) -> dict[str, int]:
    """Pay somebody."""
    done.append(cents)
    return {"paid": cents}


@tool(effect="read")
async def balance(account: str) -> str:
    """Read a balance."""
    return f"{account}: 12"


@pytest.fixture(autouse=True)
def _nothing_done() -> Iterator[None]:
    done.clear()
    yield
    done.clear()


A = {"cents": 5}
CALL = {"name": "pay", "args": A, "id": "call_1", "type": "tool_call"}

WAYS: dict[str, Callable[[BaseTool], Any]] = {
    "invoke": lambda t: t.invoke(A),
    "invoke with a tool call": lambda t: t.invoke(CALL),
    "ainvoke": lambda t: t.ainvoke(A),
    "run": lambda t: t.run(A),
    "arun": lambda t: t.arun(A),
    "_run": lambda t: t._run(**A),
    "_arun": lambda t: t._arun(**A),
    "batch": lambda t: t.batch([A]),
    "abatch": lambda t: t.abatch([A]),
    "stream": lambda t: list(t.stream(A)),
    "astream": lambda t: _all(t.astream(A)),
    "with_config": lambda t: t.with_config(tags=["x"]).invoke(A),
    "call": lambda t: t.call(A),  # type: ignore[attr-defined]
    "with_retry": lambda t: t.with_retry(stop_after_attempt=2, wait_exponential_jitter=False).invoke(A),
    "pipe": lambda t: (t | str).invoke(A),
    "as_tool bound": lambda t: t.bind().invoke(A),
    "partial": lambda t: partial(t.invoke, A)(),
    "unbound _run": lambda t: SealedTool._run(t, **A),  # type: ignore[arg-type]
    "unbound invoke": lambda t: BaseTool.invoke(t, A),
}


async def _all(stream: Any) -> list[Any]:
    return [part async for part in stream]


async def _through(way: str, handle: BaseTool) -> Any:
    found = WAYS[way](handle)
    return await found if asyncio.iscoroutine(found) else found


@pytest.mark.parametrize("way", WAYS)
async def test_outside_a_run_every_way_in_is_refused(way: str) -> None:
    with pytest.raises(ToolOutsideRun, match="pay"):
        await _through(way, pay)
    assert not done


@pytest.mark.parametrize("way", WAYS)
async def test_inside_a_run_every_way_in_is_judged_once(way: str) -> None:
    ran = await inside(lambda: _through(way, pay), pay)
    assert done == [5]
    assert [(j.tool, j.verdict) for j in ran.of(CallJudged)] == [("pay", "allow")]
    assert len(ran.of(EffectIntended)) == len(ran.of(EffectDone)) == 1


@pytest.mark.parametrize("way", WAYS)
async def test_inside_a_run_every_way_in_can_be_denied(way: str) -> None:
    ran = await inside(lambda: _through(way, pay), pay, policy=DENY_ALL)
    assert not done
    # A call with an id has a model behind it, which is told; code gets the error.
    if way == "invoke with a tool call":
        assert isinstance(ran.value, ToolMessage)
        assert ran.value.status == "error"
    else:
        assert isinstance(ran.error, CallDenied)
    assert {j.verdict for j in ran.of(CallJudged)} == {"deny"}


@pytest.mark.parametrize("name", ["func", "coroutine", "function", "main", "functions", "__wrapped__"])
def test_the_handle_has_no_attribute_for_the_function(name: str) -> None:
    assert not hasattr(pay, name)


def _reached(value: Any) -> bool:
    """Whether a value is the function itself, or something of Python's own that holds it directly."""
    if isinstance(value, MethodType):
        value = value.__func__
    if not isinstance(value, FunctionType):
        return False
    held = [c.cell_contents for c in value.__closure__ or () if c.cell_contents is not c]
    named = [value, *held]
    return any(isinstance(f, FunctionType) and f.__name__ == "pay" and f.__module__ == __name__ for f in named)


def test_walking_public_attributes_finds_no_path_to_the_function() -> None:
    seen: set[int] = set()
    todo: list[tuple[Any, int]] = [(pay, 0)]
    while todo:
        value, depth = todo.pop()
        if id(value) in seen or depth > 3:
            continue
        seen.add(id(value))
        assert not _reached(value), value
        if isinstance(value, dict):
            todo += [(v, depth + 1) for v in value.values()]
        if isinstance(value, list | tuple | set | frozenset):
            todo += [(v, depth + 1) for v in value]
        if isinstance(value, type) or type(value).__module__.split(".")[0] not in ("edgewright", "langchain_core"):
            continue
        todo.append((vars(value) if hasattr(value, "__dict__") else {}, depth + 1))
        for name in dir(value):
            if not name.startswith("_") and name not in ("model_fields", "model_computed_fields"):
                try:
                    todo.append((getattr(value, name), depth + 1))
                except Exception:  # noqa: BLE001 - an attribute that cannot be read leads nowhere
                    continue


COPIES: dict[str, Callable[[SealedTool], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda t: pickle.loads(pickle.dumps(t)),
    "pickle, oldest protocol": lambda t: pickle.loads(pickle.dumps(t, protocol=0)),
    "model_copy": lambda t: t.model_copy(update={"name": "other"}),
    "model_copy deep": lambda t: t.model_copy(deep=True),
    "deepcopy in a list": lambda t: copy.deepcopy([t])[0],
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_is_the_handle_itself(how: str) -> None:
    assert COPIES[how](pay) is pay


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "forge",
    [
        lambda: SealedTool.model_construct(name="pay", description="d", args_schema={}),
        lambda: SealedTool(name="pay", description="d", args_schema=pay.args_schema),
        lambda: SealedTool.model_validate({"name": "pay", "description": "d"}),
        lambda: object.__new__(SealedTool),
    ],
)
async def test_a_forged_handle_has_nothing_behind_it(forge: Callable[[], SealedTool]) -> None:
    forged = forge()
    ran = await inside(lambda: forged._arun(cents=5), pay)
    assert not done
    assert isinstance(ran.error, ToolOutsideRun | AttributeError)


def test_a_forged_handle_cannot_be_given_to_an_agent() -> None:
    forged = SealedTool(name="pay", description="d", args_schema={})
    with pytest.raises(ToolInvalid, match="not made by @tool"):
        with_code(lambda p: p, forged)


def test_a_local_tool_cannot_be_pickled() -> None:
    @tool
    def local() -> str:
        """Do it."""
        return ""

    with pytest.raises(ToolInvalid, match="no import path"):
        pickle.dumps(local)


@pytest.mark.parametrize(
    "subclass",
    [
        lambda: type("Sub", (SealedTool,), {"_run": lambda self, **k: "x"}),
        lambda: create_model("Sub", __base__=SealedTool),
    ],
)
def test_subclassing_is_refused(subclass: Callable[[], Any]) -> None:
    with pytest.raises((ToolInvalid, RuntimeError)) as caught:
        subclass()
    assert isinstance(caught.value, ToolInvalid) or isinstance(caught.value.__cause__, ToolInvalid)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "harmless"),
        ("description", "Reads."),
        ("args_schema", {"type": "object"}),
        ("handle_tool_error", True),
        ("handle_validation_error", True),
        ("response_format", "content_and_artifact"),
        ("return_direct", True),
        ("callbacks", []),
        ("metadata", {"a": 1}),
    ],
)
def test_what_a_model_or_the_gate_reads_cannot_be_changed(name: str, value: Any) -> None:
    with pytest.raises(ToolInvalid, match="cannot be changed"):
        setattr(pay, name, value)


async def test_a_handle_renamed_by_force_is_judged_under_its_declared_name() -> None:
    @tool(effect="write")
    def wire(cents: int) -> str:
        """Wire money."""
        done.append(cents)
        return "ok"

    object.__setattr__(wire, "name", "read_only")
    policy = '@id("r") permit(principal, action == Action::"call:wire", resource) when { context.args.cents < 3 };'
    ran = await inside(lambda: wire.ainvoke(A), wire, policy=policy)
    assert not done
    [judged] = ran.of(CallJudged)
    assert (judged.tool, judged.verdict) == ("wire", "deny")


async def test_a_tool_node_in_a_hand_made_graph_is_refused_outside_a_run() -> None:
    with pytest.raises(ToolOutsideRun):
        await _hand_made().ainvoke({"messages": [AIMessage("", tool_calls=[CALL])]})
    assert not done


async def test_a_tool_node_in_a_hand_made_graph_is_judged_inside_a_run() -> None:
    asked = AIMessage("", tool_calls=[CALL, {**CALL, "id": "call_2", "args": {"cents": 9}}])
    policy = '@id("r") permit(principal, action, resource) when { context.args.cents < 7 };'
    ran = await inside(lambda: _hand_made().ainvoke({"messages": [asked]}), pay, policy=policy)
    assert done == [5]
    assert [m.status for m in ran.value["messages"][1:]] == ["success", "error"]
    assert sorted(j.verdict for j in ran.of(CallJudged)) == ["allow", "deny"]


def _hand_made() -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([pay]))
    graph.add_edge(START, "tools")
    graph.add_edge("tools", END)
    return graph.compile()


async def test_binding_to_a_model_shows_the_declared_schema_and_nothing_else() -> None:
    model = OfflineModel("seen", lambda turn: [Call("pay", {"cents": 1})])
    bound: Any = model.bind_tools([pay])
    [schema] = bound.kwargs["tools"]
    assert schema["function"]["name"] == "pay"
    assert schema["function"]["parameters"]["properties"] == {"cents": {"type": "integer"}}


async def test_a_thread_with_the_runs_context_is_judged_and_a_bare_one_refused() -> None:
    def in_threads() -> tuple[Any, Any]:
        with ThreadPoolExecutor(1) as pool:
            carried = pool.submit(copy_context().run, pay.invoke, A).result(10)
            bare = pool.submit(pay.invoke, A).exception(10)
        return carried, bare

    ran = await inside(lambda: asyncio.to_thread(in_threads), pay)
    assert ran.error is None
    carried, bare = ran.value
    assert isinstance(bare, ToolOutsideRun)
    assert "paid" in carried
    assert done == [5]
    assert len(ran.of(CallJudged)) == 1


async def test_a_bare_thread_or_an_empty_context_is_refused_while_a_run_is_in_flight() -> None:
    caught: list[BaseException] = []

    def attempt() -> None:
        try:
            pay.invoke(A)
        except ToolOutsideRun as error:
            caught.append(error)

    async def work() -> None:
        thread = threading.Thread(target=attempt)
        thread.start()
        await asyncio.to_thread(thread.join, 10)
        Context().run(attempt)

    await inside(work, pay)
    assert len(caught) == 2
    assert not done


async def test_a_background_task_of_the_run_is_judged() -> None:
    async def work() -> list[Any]:
        return list(await asyncio.gather(*(asyncio.create_task(pay.ainvoke({"cents": n})) for n in range(4))))

    ran = await inside(work, pay)
    assert sorted(done) == [0, 1, 2, 3]
    assert len(ran.of(CallJudged)) == 4
    assert len({i.effect for i in ran.of(EffectIntended)}) == 4


async def test_a_retry_of_a_call_by_code_is_a_call_of_its_own() -> None:
    @tool(effect="read", retry="off")
    def flaky() -> str:
        """Fail at first."""
        done.append(1)
        if len(done) < 3:
            raise ConnectionError("gone")
        return "there"

    retried = flaky.with_retry(stop_after_attempt=3, wait_exponential_jitter=False)
    ran = await inside(lambda: asyncio.to_thread(retried.invoke, {}), flaky)
    assert ran.value == "there"
    assert len(ran.of(CallJudged)) == len(done) == 3


async def test_a_tool_that_calls_another_one_by_the_back_door_is_judged_for_both() -> None:
    @tool(effect="read")
    def outer(cents: int) -> str:
        """Look, and pay on the side."""
        return str(pay._run(cents=cents))

    model = plays([Call("outer", A)])
    system = with_model(model, outer, pay)
    await system.arun({"text": "go"})
    judged = of_kind(system, only_run(system), CallJudged)
    assert sorted(j.tool for j in judged) == ["outer", "pay"]
    assert len({j.at for j in judged}) == 2  # not under the outer call's position, budget and record


async def test_a_tool_called_by_the_back_door_keeps_the_outer_calls_key_free() -> None:
    @tool(effect="write", idempotency="key")
    def outer(cents: int, *, ctx: ToolContext) -> str:
        """Write, and pay on the side."""
        return str(pay._run(cents=cents)) + ctx.key

    ran = await inside(lambda: outer.ainvoke(CALL | {"name": "outer"}), outer, pay)
    assert not isinstance(ran.error, EffectConflict)
    assert ran.value.status == "success"
    assert len({i.effect for i in ran.of(EffectIntended)}) == 2


@pytest.mark.parametrize("name", ["run_manager", "self", "config", "callbacks", "args", "kwargs", "tool_call_id"])
async def test_an_argument_named_like_pythons_or_langchains_own_is_seen_and_denied(name: str) -> None:
    model = plays([Call("pay", {**A, name: "x"})])
    system = with_model(model, pay)
    await system.arun({"text": "go"})
    [judged] = of_kind(system, only_run(system), CallJudged)
    assert (judged.verdict, judged.rules) == ("deny", ["arguments.schema"])
    assert not done


async def test_code_that_calls_gets_the_value_and_the_error_not_their_text() -> None:
    ran = await inside(lambda: pay.call(A), pay)
    assert ran.value == {"paid": 5}
    refused = await inside(lambda: pay.call({"cents": "5"}), pay)
    assert isinstance(refused.error, CallDenied)


async def test_positional_arguments_are_refused() -> None:
    ran = await inside(lambda: pay._arun(5), pay)
    assert isinstance(ran.error, ToolInvalid)
    assert not done


def test_an_ungoverned_tool_cannot_be_given_to_an_agent() -> None:
    from langchain_core.tools import tool as langchain_tool

    @langchain_tool
    def raw(x: int) -> int:
        """Do it."""
        return x

    given: Any = raw
    with pytest.raises(AgentInvalid, match="'raw' is not governed"):
        solo(Agent("worker", version=1, prompt="x", tools=[given]))


@pytest.mark.parametrize(
    "name", ["Pay", "pay ", "pay\u200b", "рay", "ns__p\u00e4y", "", "1pay", "p" * 64, "__pay", "pay-out", "pay\n"]
)
def test_a_name_that_could_pass_for_another_is_refused(name: str) -> None:
    with pytest.raises(ToolInvalid):

        @tool(name=name or " ")
        def something() -> str:
            """Do it."""
            return ""


def test_two_tools_of_one_name_are_refused() -> None:
    @tool(name="pay", effect="read")
    def other(cents: int) -> str:
        """Look like the other one."""
        return ""

    with pytest.raises(AgentInvalid, match="two tools are named 'pay'"):
        solo(Agent("worker", version=1, prompt="x", tools=[pay, other]))
