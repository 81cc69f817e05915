"""Ways in which code asks a model: those that carry the run they are made in, and those that carry nothing of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableGenerator, RunnableLambda, RunnableParallel
from langchain_core.runnables.config import run_in_executor
from langchain_openai import OpenAI
from langgraph.config import get_config
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel

BOUND = 10.0


class Form(BaseModel):
    """What a model is made to fill in."""

    text: str


@dataclass(frozen=True)
class Models:
    """The models behind the server."""

    url: str
    chat: BaseChatModel
    other: BaseChatModel
    text: OpenAI


async def _drained(parts: AsyncIterator[Any]) -> None:
    async for _ in parts:
        pass


def _in_pool(*call: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(*call).result(BOUND)


def _in_thread(*call: Any) -> None:
    told: Future[Any] = Future()

    def attempt() -> None:
        try:
            told.set_result(call[0](*call[1:]))
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            told.set_exception(error)

    threading.Thread(target=attempt, daemon=True).start()
    told.result(BOUND)


async def _task_group(m: Models) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(m.chat.ainvoke("x"))


def _own_loop(m: Models, config: RunnableConfig | None = None) -> Any:
    async def asked() -> Any:
        return await m.chat.ainvoke("x", config)

    return asyncio.run(asked())


def _alone(m: Models) -> Any:
    return m.chat.invoke("x", config={"callbacks": []})


def _function(m: Models) -> RunnableLambda[str, Any]:
    return RunnableLambda(lambda _: m.chat.invoke("x"))


def _agent(m: Models) -> Any:
    return create_agent(m.chat, tools=[])


def _generator(m: Models) -> Iterator[Any]:
    yield m.chat.invoke("x")


async def _async_generator(m: Models) -> AsyncIterator[Any]:
    yield await m.chat.ainvoke("x")


def _generating(m: Models) -> Any:
    def parts(_: Iterator[Any]) -> Iterator[str]:
        for part in m.chat.stream("x"):
            yield str(part.text)

    async def aparts(_: AsyncIterator[Any]) -> AsyncIterator[str]:
        async for part in m.chat.astream("x"):
            yield str(part.text)

    return RunnableGenerator(parts, aparts)


def _graph(m: Models) -> Any:
    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await m.chat.ainvoke(state["messages"])]}

    return _compiled(node)


def _sync_graph(m: Models) -> Any:
    return _compiled(lambda state: {"messages": [m.chat.invoke(state["messages"])]})


def _compiled(node: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    return graph.compile()


def _functional(m: Models) -> Any:
    @task
    def step(text: str) -> str:
        return str(m.chat.invoke(text).text)

    @entrypoint()
    def flow(text: str) -> str:
        return step(text).result()

    return flow


SAID = {"messages": [HumanMessage("x")]}
PROMPT = ChatPromptTemplate.from_messages([("user", "{q}")])

WAYS: dict[str, Callable[[Models], Any]] = {
    "ainvoke": lambda m: m.chat.ainvoke("x"),
    "invoke": lambda m: m.chat.invoke("x"),
    "astream": lambda m: _drained(m.chat.astream("x")),
    "stream": lambda m: list(m.chat.stream("x")),
    "events": lambda m: _drained(m.chat.astream_events("x", version="v2")),
    "abatch": lambda m: m.chat.abatch(["x", "y"]),
    "batch": lambda m: m.chat.batch(["x", "y"]),
    "batch, as completed": lambda m: list(m.chat.batch_as_completed(["x", "y"])),
    "agenerate": lambda m: m.chat.agenerate([[HumanMessage("x")]]),
    "generate": lambda m: m.chat.generate([[HumanMessage("x")]]),
    # Callbacks of the caller's own
    "no callbacks": lambda m: m.chat.ainvoke("x", config={"callbacks": []}),
    "no callbacks, sync": lambda m: m.chat.invoke("x", config={"callbacks": []}),
    "no callbacks, bound": lambda m: m.chat.with_config(callbacks=[]).ainvoke("x"),
    "a fresh manager": lambda m: m.chat.ainvoke("x", config={"callbacks": AsyncCallbackManager(handlers=[])}),
    "a fresh manager, sync": lambda m: m.chat.invoke("x", config={"callbacks": CallbackManager(handlers=[])}),
    # Wrapped models
    "retry": lambda m: m.chat.with_retry(stop_after_attempt=3, wait_exponential_jitter=False).ainvoke("x"),
    "fallbacks": lambda m: m.chat.with_fallbacks([m.other]).ainvoke("x"),
    "fallbacks, sync": lambda m: m.chat.with_fallbacks([m.other]).invoke("x"),
    "structured output": lambda m: m.chat.with_structured_output(Form, method="json_mode").ainvoke("x, as json"),
    "tools bound": lambda m: m.chat.bind_tools([Form]).ainvoke("x"),
    "made by name": lambda m: init_chat_model("openai:gpt-4o-mini", base_url=m.url, api_key="sk-test").ainvoke("x"),
    "configurable": lambda m: init_chat_model(base_url=m.url, api_key="sk-test").ainvoke(
        "x", config={"configurable": {"model": "openai:gpt-4o-mini"}}
    ),
    "text model": lambda m: m.text.ainvoke("x"),
    "text model, sync": lambda m: m.text.invoke("x"),
    "text model, stream": lambda m: _drained(m.text.astream("x")),
    # Chains and generators
    "chain": lambda m: (PROMPT | m.chat | StrOutputParser()).ainvoke({"q": "x"}),
    "chain, sync": lambda m: (PROMPT | m.chat | StrOutputParser()).invoke({"q": "x"}),
    "chain, no callbacks": lambda m: (PROMPT | m.chat).ainvoke({"q": "x"}, config={"callbacks": []}),
    "side by side": lambda m: RunnableParallel(a=m.chat, b=m.other).ainvoke("x"),
    "side by side, sync": lambda m: RunnableParallel(a=m.chat, b=m.other).invoke("x"),
    "a function in a chain": lambda m: _function(m).ainvoke("x"),
    "generator": lambda m: list(_generator(m)),
    "async generator": lambda m: _drained(_async_generator(m)),
    "a generator in a chain": lambda m: _generating(m).ainvoke("x"),
    "a generator in a chain, sync": lambda m: _generating(m).invoke("x"),
    # Tasks, loops and threads that carry the context
    "task": lambda m: asyncio.create_task(m.chat.ainvoke("x")),
    "task group": _task_group,
    "a thread of asyncio's": lambda m: asyncio.to_thread(m.chat.invoke, "x"),
    "an executor of LangChain's": lambda m: run_in_executor(None, m.chat.invoke, "x"),
    "the loop's executor": lambda m: asyncio.get_running_loop().run_in_executor(
        None, copy_context().run, m.chat.invoke, "x"
    ),
    "pool": lambda m: _in_pool(copy_context().run, m.chat.invoke, "x"),
    "thread": lambda m: _in_thread(copy_context().run, m.chat.invoke, "x"),
    "a loop in a pool": lambda m: _in_pool(copy_context().run, _own_loop, m),
    "a loop in a thread": lambda m: _in_thread(copy_context().run, _own_loop, m),
    # Graphs and agents
    "graph": lambda m: _graph(m).ainvoke(SAID),
    "graph, no callbacks": lambda m: _graph(m).ainvoke(SAID, {"callbacks": []}),
    "graph, streamed": lambda m: _drained(_graph(m).astream(SAID, stream_mode="messages")),
    "graph, sync": lambda m: asyncio.to_thread(_sync_graph(m).invoke, SAID),
    "graph of functions": lambda m: asyncio.to_thread(_functional(m).invoke, "x"),
    "agent": lambda m: _agent(m).ainvoke(SAID),
    "agent, sync": lambda m: asyncio.to_thread(_agent(m).invoke, SAID),
}
STRAYS: dict[str, Callable[[Models], Any]] = {
    "pool": lambda m: _in_pool(m.chat.invoke, "x"),
    "pool, streaming": lambda m: _in_pool(lambda: list(m.chat.stream("x"))),
    "pool, no callbacks": lambda m: _in_pool(lambda: m.chat.invoke("x", config={"callbacks": []})),
    "pool, text model": lambda m: _in_pool(m.text.invoke, "x"),
    "pool, chain": lambda m: _in_pool((PROMPT | m.chat).invoke, {"q": "x"}),
    "pool, graph": lambda m: _in_pool(_sync_graph(m).invoke, SAID),
    "the loop's executor": lambda m: asyncio.get_running_loop().run_in_executor(None, m.chat.invoke, "x"),
    "thread": lambda m: _in_thread(m.chat.invoke, "x"),
    "thread, chain": lambda m: _in_thread((PROMPT | m.chat).invoke, {"q": "x"}),
    "a chain that drops callbacks": lambda m: _in_pool(RunnableLambda[str, Any](lambda _: _alone(m)).invoke, "x"),
    "a chain that begins threads": lambda m: _in_pool((PROMPT | m.chat).batch, [{"q": "x"}, {"q": "y"}]),
    "agent": lambda m: _in_pool(_agent(m).invoke, SAID),
    "a chain with the run's configuration": lambda m: _in_pool((PROMPT | m.chat).invoke, {"q": "x"}, get_config()),
    "a loop with the run's configuration": lambda m: _in_thread(_own_loop, m, get_config()),
    "a loop in a pool": lambda m: _in_pool(_own_loop, m),
}
"""From threads that carry nothing of a run: nobody knows whose budget it is, so that is all that can be said."""
