"""LangChain tools behind the gate: as strict as our own, out of reach of the graph's state, and never coerced."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from edgewright import Agent, Call
from edgewright.contracts.errors import AgentInvalid, CallDenied, ToolFailed, ToolInvalid
from edgewright.ledger.records import CallJudged, EffectDone, EffectFailed
from edgewright.tools.foreign.declarations import Declaration
from edgewright.tools.foreign.langchain import governed
from edgewright.tools.sealed import SealedTool
from langchain.tools import ToolRuntime
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import (
    BaseTool,
    InjectedToolArg,
    InjectedToolCallId,
    StructuredTool,
    Tool,
    ToolException,
    tool,
)
from langgraph.config import get_config, get_store, get_stream_writer
from langgraph.prebuilt import InjectedState, InjectedStore
from langgraph.types import Command, interrupt
from pydantic import BaseModel, Field, SecretStr, field_validator
from support.systems import PERMIT_ALL, inside, of_kind, plays, with_model

got: list[Any] = []
READ = Declaration(effect="read", sensitivity="internal")


@pytest.fixture(autouse=True)
def _nothing_got() -> None:
    got.clear()


@tool
def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    got.append((a, b))
    return a + b


@tool
async def look(word: str, kind: Literal["noun", "verb"] = "noun") -> dict[str, Any]:
    """Look a word up."""
    got.append((word, kind))
    return {"word": word, "kind": kind}


class Search(BaseTool):
    """A tool as a class."""

    name: str = "search"
    description: str = "Search."
    most: int = 3

    def _run(self, query: str, page: int = 1) -> list[str]:
        got.append((query, page))
        return [f"{query} {n}" for n in range(self.most)]


async def called(raw: BaseTool, arguments: dict[str, Any], declaration: Declaration = READ, **named: Any) -> Any:
    made = governed(raw, declaration, **named)
    return await inside(lambda: made.call(arguments), made)


# -- what they do ----------------------------------------------------------------------------------------------------


async def test_a_tool_does_what_it_did_and_its_defaults_are_judged() -> None:
    ran = await called(add, {"a": 1})
    assert (ran.value, ran.error, got) == (3, None, [(1, 2)])
    [judged] = ran.of(CallJudged)
    assert ran.system.ledger.payload(ran.result.run, judged.arguments) == b'{"a":1,"b":2}'


async def test_async_tools_classes_and_single_inputs_are_called() -> None:
    assert (await called(look, {"word": "tree", "kind": "verb"})).value == {"word": "tree", "kind": "verb"}
    assert (await called(Search(most=1), {"query": "q"})).value == ["q 0"]
    single = Tool(name="upper", description="Make it upper case.", func=str.upper)
    assert (await called(single, {"tool_input": "a"})).value == "A"
    assert got == [("tree", "verb"), ("q", 1)]


async def test_a_schema_as_a_document_is_enforced_too() -> None:
    async def take(**given: Any) -> Any:
        got.append(given)
        return given

    schema = {"type": "object", "properties": {"from": {"type": "integer"}}, "required": ["from"]}
    raw = StructuredTool(name="take", description="Take.", args_schema=schema, coroutine=take)
    assert (await called(raw, {"from": 1})).value == {"from": 1}
    for wrong in ({"from": "1"}, {"from": 1.0}, {"from": 1, "to": 2}, {}):
        assert isinstance((await called(raw, wrong)).error, CallDenied)
    assert got == [{"from": 1}]


async def test_a_blocking_call_does_the_same() -> None:
    made = governed(add, READ)
    ran = await inside(lambda: asyncio.to_thread(lambda: made.invoke({"a": 1})), made)
    assert (ran.value, ran.error, got) == ("3", None, [(1, 2)])


async def test_a_model_calls_it_by_its_name() -> None:
    system = with_model(plays([Call("add", {"a": 4})]), governed(add, READ))
    assert (await system.arun({"text": "go"})).output == {"text": "6"}


# -- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [{"a": "1"}, {"a": 1.0}, {"a": True}, {"a": None}, {"a": 1, "c": 1}, {"a": 1, "b": None}, {}, {"A": 1}],
    ids=repr,
)
async def test_what_langchain_would_coerce_or_drop_is_denied(arguments: dict[str, Any]) -> None:
    ran = await called(add, arguments)
    assert isinstance(ran.error, CallDenied)
    assert got == []


async def test_arguments_that_look_like_a_tool_call_are_arguments() -> None:
    def take(**given: Any) -> str:
        got.append(given)
        return "taken"

    free = {"type": "object", "additionalProperties": True}
    schema = {"type": "object", "properties": {"type": {"type": "string"}, "args": free, "id": {"type": "string"}}}
    raw = StructuredTool(name="take", description="Take.", args_schema=schema, func=take)
    ran = await called(raw, {"type": "tool_call", "args": {"type": "x", "args": {}, "id": "y"}, "id": "z"})
    assert ran.error is None
    assert got == [{"type": "tool_call", "args": {"type": "x", "args": {}, "id": "y"}, "id": "z"}]


async def test_a_value_gets_the_type_that_the_function_names() -> None:
    @tool
    def plan(day: date) -> str:
        """Plan a day."""
        got.append(day)
        return day.isoformat()

    assert (await called(plan, {"day": "2026-05-01"})).value == "2026-05-01"
    assert got == [date(2026, 5, 1)]
    assert isinstance((await called(plan, {"day": 1777777777})).error, CallDenied)


class Transfer(BaseModel):
    account: str
    cents: int = Field(ge=0)

    @field_validator("account")
    @classmethod
    def _plain(cls, value: str) -> str:
        return value.replace(" ", "").upper()


async def test_what_a_validator_makes_of_an_argument_is_what_is_judged() -> None:
    def pay(account: str, cents: int) -> str:
        got.append((account, cents))
        return account

    raw = StructuredTool.from_function(pay, name="pay", description="Pay.", args_schema=Transfer)
    deny = PERMIT_ALL + (
        '@id("evil") forbid(principal, action == Action::"call:pay", resource) when { context.args.account == "EVIL" };'
    )
    made = governed(raw, READ)
    ran = await inside(lambda: made.call({"account": "ev il", "cents": 1}), made, policy=deny)
    assert [j.rules for j in ran.of(CallJudged)] == [["evil"]]
    ran = await inside(lambda: made.call({"account": "go od", "cents": 1}), made, policy=deny)
    assert (ran.value, got) == ("GOOD", [("GOOD", 1)])


async def test_a_validator_that_changes_what_it_changed_is_denied() -> None:
    class Growing(BaseModel):
        word: str

        @field_validator("word")
        @classmethod
        def _longer(cls, value: str) -> str:
            return value + "!"

    def say(word: str) -> str:
        got.append(word)
        return word

    raw = StructuredTool.from_function(say, name="say", description="Say.", args_schema=Growing)
    assert isinstance((await called(raw, {"word": "a"})).error, CallDenied)
    assert got == []


async def test_a_validator_that_fails_denies() -> None:
    class Failing(BaseModel):
        word: str

        @field_validator("word")
        @classmethod
        def _fails(cls, value: str) -> str:
            raise {"value": ValueError("no"), "other": OSError("no disk")}[value]

    raw = StructuredTool.from_function(lambda word: word, name="say", description="Say.", args_schema=Failing)
    assert isinstance((await called(raw, {"word": "value"})).error, CallDenied)
    assert isinstance((await called(raw, {"word": "other"})).error, CallDenied)


async def test_a_default_that_does_not_fit_comes_by_itself() -> None:
    class Loose(BaseModel):
        a: int = Field(default=None)  # type: ignore[assignment]

    def take(a: int) -> str:
        got.append(a)
        return "taken"

    loose = StructuredTool.from_function(take, name="loose", description="Take it.", args_schema=Loose)
    assert (await called(loose, {})).value == "taken"
    assert isinstance((await called(loose, {"a": None})).error, CallDenied)
    assert got == [None]


# -- out of reach ----------------------------------------------------------------------------------------------------


def _state(word: str, state: Annotated[dict[str, Any], InjectedState]) -> str:
    """Read state."""
    return str(state)


def _key(word: str, messages: Annotated[list[Any], InjectedState("messages")]) -> str:
    """Read a key of the state."""
    return str(messages)


def _store(word: str, store: Annotated[Any, InjectedStore()]) -> str:
    """Read the store."""
    return str(store)


def _call_id(word: str, call: Annotated[str, InjectedToolCallId]) -> str:
    """Read the call's id."""
    return call


def _own(word: str, user: Annotated[str, InjectedToolArg]) -> str:
    """Read what the application injects."""
    return user


def _runtime(word: str, runtime: ToolRuntime) -> str:
    """Read everything."""
    return str(runtime)


def _config(word: str, config: RunnableConfig) -> str:
    """Read the config."""
    return str(config)


def _maybe_config(word: str, settings: RunnableConfig | None = None) -> str:
    """Read the config, perhaps."""
    return str(settings)


@pytest.mark.parametrize("function", [_state, _key, _store, _call_id, _own, _runtime, _config, _maybe_config])
def test_an_argument_that_is_injected_is_refused(function: Any) -> None:
    with pytest.raises(ToolInvalid, match="injected by the runtime"):
        governed(tool(function), READ)


def test_an_injected_argument_behind_a_schema_of_its_own_is_refused() -> None:
    schema = {"type": "object", "properties": {"word": {"type": "string"}}}
    raw = StructuredTool(name="sly", description="Sly.", args_schema=schema, func=_runtime)
    with pytest.raises(ToolInvalid, match="injected by the runtime"):
        governed(raw, READ)


def test_a_class_that_takes_the_config_is_refused() -> None:
    class Sly(Search):
        def _run(self, query: str, config: RunnableConfig) -> list[str]:  # type: ignore[override]
            return [str(config)]

    with pytest.raises(ToolInvalid, match="'config' is injected"):
        governed(Sly(), READ)


async def test_the_graphs_config_is_not_in_the_context_of_the_tool() -> None:
    @tool
    async def peep(word: str) -> list[Any]:
        """Read the config of the context."""
        return [get_config()["configurable"], get_config().get("metadata")]

    @tool
    def peep_blocking(word: str) -> list[Any]:
        """Read the config of the context."""
        return [get_config()["configurable"], get_config().get("metadata")]

    for raw in (peep, peep_blocking):
        assert (await called(raw, {"word": "a"})).value in ([{}, {}], [{}, None])


async def test_the_tool_reaches_nothing_of_the_graph() -> None:
    for reach in (get_store, get_stream_writer, lambda: interrupt("who are you?")):

        def ask(word: str, reach: Any = reach) -> str:
            return str(reach())

        raw = StructuredTool.from_function(ask, name="ask", description="Ask.", args_schema=_Word)
        ran = await called(raw, {"word": "a"})
        assert isinstance(ran.error, ToolFailed)
        assert ran.result.status == "completed"


class _Word(BaseModel):
    word: str


async def test_a_command_to_the_graph_is_an_error_and_changes_nothing() -> None:
    @tool
    def command(word: str) -> Any:
        """Write state."""
        return Command(update={"text": word}, goto="nowhere")

    @tool
    def commands(word: str) -> Any:
        """Write state."""
        return [Command(update={"text": word})]

    for raw in (command, commands):
        ran = await called(raw, {"word": "a"}, Declaration(effect="write"))
        assert isinstance(ran.error, ToolFailed)
        assert ran.error.unknown
        assert "command to the graph" in str(ran.error)


# -- results and errors ----------------------------------------------------------------------------------------------


async def test_an_error_is_no_result_whatever_the_tool_makes_of_it() -> None:
    def fail(word: str) -> str:
        raise ToolException("the line is dead")

    for handle in (False, True, "all is well", lambda error: "all is well"):
        raw = StructuredTool.from_function(fail, name="fail", description="Fail.", handle_tool_error=handle)
        ran = await called(raw, {"word": "a"}, Declaration(effect="write"))
        assert isinstance(ran.error, ToolFailed)
        assert ran.error.unknown
        assert "the line is dead" in str(ran.error)
        assert not ran.of(EffectDone)
        assert len(ran.of(EffectFailed)) == 1


async def test_a_message_is_taken_for_what_it_says() -> None:
    @tool
    def says(status: Literal["success", "error"]) -> ToolMessage:
        """Say how it went."""
        return ToolMessage("it went so", tool_call_id="x", status=status)

    assert (await called(says, {"status": "success"})).value == "it went so"
    ran = await called(says, {"status": "error"})
    assert isinstance(ran.error, ToolFailed)
    assert "it went so" in str(ran.error)


async def test_the_artifact_of_a_result_is_not_told() -> None:
    @tool(response_format="content_and_artifact")
    def find(word: str) -> tuple[str, Any]:
        """Find."""
        return f"found {word}", object()

    assert (await called(find, {"word": "a"})).value == "found a"


async def test_a_tool_that_takes_too_long_is_ended() -> None:
    ended = asyncio.Event()

    @tool
    async def wait(word: str) -> str:
        """Wait."""
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return word

    ran = await called(wait, {"word": "a"}, Declaration(effect="read", timeout=0.05))
    assert isinstance(ran.error, ToolFailed)
    async with asyncio.timeout(5):
        await ended.wait()


# -- the handle ------------------------------------------------------------------------------------------------------


def test_undeclared_is_the_most_dangerous_whatever_the_tool_says() -> None:
    raw = Search(metadata={"readOnlyHint": True, "effect": "read"}, tags=["read-only"], extras={"effect": "read"})
    spec = governed(raw).spec
    assert (spec.effect, spec.output, spec.sensitivity, spec.sink) == ("irreversible", "untrusted", "secret", True)
    assert (spec.idempotency, dict(spec.roles)) == ("none", {"query": "target", "page": "target"})


def test_a_governed_tool_given_again_is_given_back() -> None:
    made = governed(add, READ)
    assert governed(made) is made
    with pytest.raises(ToolInvalid, match="governed already"):
        governed(made, READ)
    with pytest.raises(ToolInvalid, match="governed already"):
        governed(made, name="other")


def test_an_agent_takes_the_handle_and_not_the_tool() -> None:
    with pytest.raises(AgentInvalid, match="'add' is not governed"):
        Agent("worker", version=1, prompt="Do.", tools=[add])  # type: ignore[list-item]
    assert Agent("worker", version=1, prompt="Do.", tools=[governed(add, READ)]).tools[0].name == "add"


async def test_what_is_changed_on_the_tool_later_does_not_reach_the_handle() -> None:
    raw = StructuredTool.from_function(lambda word: f"first {word}", name="say", description="Say.")
    made = governed(raw, READ)
    raw.func = lambda word: f"second {word}"
    assert (await inside(lambda: made.call({"word": "a"}), made)).value == "first a"


def test_a_name_that_is_none_can_be_replaced() -> None:
    raw = Search(name="Web Search")
    with pytest.raises(ToolInvalid, match="lower case"):
        governed(raw, READ)
    assert governed(raw, READ, name="web_search").name == "web_search"


def test_the_digest_follows_the_code_and_the_schema_and_stays_otherwise() -> None:
    def one(word: str) -> str:
        return word

    def other(word: str) -> str:
        return word + "!"

    def digest(function: Any, **more: Any) -> str:
        raw = StructuredTool.from_function(function, name="say", description="Say.", **more)
        return governed(raw, READ).spec.digest

    assert digest(one) == digest(one)
    assert len({digest(one), digest(other), digest(one, args_schema=Transfer)}) == 3
    assert governed(Search(), READ).spec.digest == governed(Search(), READ).spec.digest


class _Aliased(BaseModel):
    word: str = Field(alias="Word")


class _Hidden(BaseModel):
    word: SecretStr


def test_what_cannot_be_checked_is_refused() -> None:
    def say(word: str) -> str:
        return word

    class Bare(BaseTool):
        name: str = "bare"
        description: str = "Bare."

        def _run(self, *args: Any, **kwargs: Any) -> str:
            return ""

    def raw(**given: Any) -> BaseTool:
        return StructuredTool.from_function(say, **{"name": "say", "description": "Say.", **given})

    wrong: list[tuple[Any, str]] = [
        (raw(args_schema=_Aliased), "alias"),
        (raw(args_schema=_Hidden), "hides its value"),
        (Bare(), "which arguments"),
        (StructuredTool(name="say", description=" ", args_schema=Transfer, func=say), "no description"),
        (say, "no LangChain tool"),
        (StructuredTool(name="say", description="Say.", args_schema={"type": "object", "not": {}}, func=say), "'not'"),
    ]
    for given, fault in wrong:
        with pytest.raises(ToolInvalid, match=fault):
            governed(given, READ)
    with pytest.raises(ToolInvalid, match="role for 'sentence'"):
        governed(raw(), Declaration(effect="read", roles={"sentence": "content"}))


async def test_policy_judges_it_as_any_other_and_default_is_deny() -> None:
    made = governed(add, READ)
    assert isinstance(made, SealedTool)
    ran = await inside(
        lambda: made.ainvoke({"a": 1}), made, policy='@id("no") permit(principal, action, resource) when { false };'
    )
    assert isinstance(ran.error, CallDenied)
    assert got == []
    assert len(of_kind(ran.system, ran.result.run, CallJudged)) == 1
