"""A model server that misbehaves on command does what it says, is counted, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from bench.faults import Fault, ModelServer, Reply, offered
from bench.faults.fault import Faults
from bench.faults.models import REFUSAL

BOUND = 10.0
SAID = "one two three four"


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [t.name for t in threading.enumerate() if t not in before and t.name == "loopback"]
    assert left == []


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(lambda _: Reply(text=SAID, usage=(7, 3))) as found:
        yield found


_OPEN: list[tuple[openai.DefaultHttpxClient, openai.DefaultAsyncHttpxClient]] = []


@pytest.fixture(autouse=True)
async def _clients_are_closed() -> AsyncIterator[None]:
    yield
    while _OPEN:
        blocking, other = _OPEN.pop()
        blocking.close()
        await other.aclose()


def chat(server: ModelServer, **options: Any) -> ChatOpenAI:
    """A client of its own: LangChain's would be shared with later tests, and with their event loops."""
    given = {"model": "steady", "timeout": BOUND, "max_retries": 0, "stream_usage": True, **options}
    _OPEN.append((openai.DefaultHttpxClient(), openai.DefaultAsyncHttpxClient()))
    own = {"http_client": _OPEN[-1][0], "http_async_client": _OPEN[-1][1]}
    return ChatOpenAI(base_url=server.url, api_key=SecretStr("sk-test"), **own, **given)


Way = Callable[[ChatOpenAI], Any]


async def _streamed(model: ChatOpenAI) -> AIMessage:
    whole: Any = None
    async for chunk in model.astream("hello"):
        whole = chunk if whole is None else whole + chunk
    assert isinstance(whole, AIMessage)
    return whole


def _streamed_blocking(model: ChatOpenAI) -> AIMessage:
    whole: Any = None
    for chunk in model.stream("hello"):
        whole = chunk if whole is None else whole + chunk
    assert isinstance(whole, AIMessage)
    return whole


def _blocking(call: Callable[[ChatOpenAI], AIMessage]) -> Way:
    return lambda model: asyncio.to_thread(call, model)


WHOLE: dict[str, Way] = {
    "async": lambda model: model.ainvoke("hello"),
    "sync": _blocking(lambda model: model.invoke("hello")),
}
STREAMS: dict[str, Way] = {"async stream": _streamed, "sync stream": _blocking(_streamed_blocking)}
WAYS = {**WHOLE, **STREAMS}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
every_stream = pytest.mark.parametrize("way", STREAMS.values(), ids=STREAMS)


# -- what a model server does ------------------------------------------------------------------------------------------


@every_way
async def test_without_a_fault_a_model_answers_and_tells_its_usage(way: Way, server: ModelServer) -> None:
    said = await way(chat(server))
    assert said.text.strip() == SAID
    assert (said.usage_metadata["input_tokens"], said.usage_metadata["output_tokens"]) == (7, 3)
    assert (len(server.requests), server.usage) == (1, (7, 3))


@every_way
@pytest.mark.parametrize(("kind", "error"), [("500", openai.InternalServerError), ("503", openai.InternalServerError)])
async def test_a_failing_server_fails_as_often_as_it_is_told(
    kind: Any, error: type[Exception], way: Way, server: ModelServer
) -> None:
    server.fault = Fault(kind, times=2)
    for _ in range(2):
        with pytest.raises(error, match=kind):
            await way(chat(server))
    assert (await way(chat(server))).text.strip() == SAID
    assert len(server.requests) == 3
    assert len(server.replies) == 1


@every_way
async def test_too_many_requests_say_when_to_come_back(way: Way, server: ModelServer) -> None:
    server.fault = Fault("429", retry_after=0.25)
    with pytest.raises(openai.RateLimitError) as caught:
        await way(chat(server))
    assert caught.value.response.headers["Retry-After"] == "0.25"
    assert caught.value.code == "rate_limit_exceeded"


async def test_a_client_that_retries_by_itself_is_counted_with_each_request(server: ModelServer) -> None:
    server.fault = Fault("429", times=2, retry_after=0.01)
    assert (await chat(server, max_retries=2).ainvoke("hello")).text == SAID
    assert len(server.requests) == 3


@every_way
async def test_what_hangs_is_in_flight_until_its_client_leaves(way: Way, server: ModelServer) -> None:
    server.fault = Fault("hang")
    with pytest.raises(openai.APITimeoutError):
        await way(chat(server, timeout=0.2))
    await server.await_for(requests=1, in_flight=0)
    assert server.replies == []


async def test_what_hangs_ends_for_its_client_when_the_server_closes() -> None:
    with ModelServer(lambda _: Reply()) as server:
        server.fault = Fault("hang")
        calls = [asyncio.create_task(chat(server).ainvoke("hello")) for _ in range(3)]
        await server.await_for(requests=3, in_flight=3)
    async with asyncio.timeout(BOUND):
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(e, openai.APIConnectionError) for e in ends] == [True] * 3


async def test_four_hundred_requests_hang_at_once_and_one_that_does_not_is_answered(server: ModelServer) -> None:
    server.fault = Fault("hang", model="dead")
    limits = httpx.Limits(max_connections=None)
    body = {"messages": [{"role": "user", "content": "hello"}]}
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        to = f"{server.url}/chat/completions"
        calls = [asyncio.create_task(client.post(to, json={"model": "dead", **body})) for _ in range(400)]
        await server.await_for(requests=400, in_flight=400, seconds=60)
        assert (await chat(server, model="well").ainvoke("hello")).text == SAID
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await server.await_for(in_flight=0, seconds=60)
    assert len(server.requests_for("dead")) == 400


async def test_what_is_held_is_answered_when_it_is_released_and_not_before(server: ModelServer) -> None:
    server.fault = Fault("held", times=1)
    call = asyncio.create_task(chat(server).ainvoke("hello"))
    await server.await_for(requests=1, in_flight=1)
    assert (await chat(server).ainvoke("hello")).text == SAID
    assert not call.done()
    server.release()
    assert (await asyncio.wait_for(call, BOUND)).text == SAID


@every_way
async def test_a_slow_server_takes_its_time(way: Way, server: ModelServer) -> None:
    server.fault = Fault("slow", seconds=0.3)
    began = time.monotonic()
    assert (await way(chat(server))).text.strip() == SAID
    assert time.monotonic() - began >= 0.3
    with pytest.raises(openai.APITimeoutError):
        await way(chat(server, timeout=0.05))


@every_way
async def test_a_server_that_disconnects_says_nothing_at_all(way: Way, server: ModelServer) -> None:
    server.fault = Fault("disconnect")
    with pytest.raises(openai.APIConnectionError):
        await way(chat(server))
    assert (len(server.requests), server.replies) == (1, [])


@pytest.mark.parametrize("way", WHOLE.values(), ids=WHOLE)
@pytest.mark.parametrize("kind", ["truncated_stream", "quiet_stream"])
async def test_half_of_an_answer_that_is_not_streamed_is_a_broken_connection(
    kind: Any, way: Way, server: ModelServer
) -> None:
    server.fault = Fault(kind)
    with pytest.raises(openai.APIConnectionError):
        await way(chat(server))
    assert server.replies == []


@every_stream
async def test_a_truncated_stream_breaks_off_in_the_middle(way: Way, server: ModelServer) -> None:
    server.fault = Fault("truncated_stream")
    with pytest.raises(openai.APIConnectionError) as caught:
        await way(chat(server))
    assert "incomplete chunked read" in str(caught.value.__cause__.__cause__ if caught.value.__cause__ else "")
    assert server.replies == []


@every_stream
async def test_a_stream_that_ends_too_soon_looks_whole_but_for_its_usage_and_reason(
    way: Way, server: ModelServer
) -> None:
    server.fault = Fault("quiet_stream")
    said = await way(chat(server))
    assert SAID.startswith(said.text.strip())
    assert said.text.strip() != SAID
    assert said.usage_metadata is None
    assert "finish_reason" not in said.response_metadata


@every_stream
async def test_a_call_in_a_stream_that_ends_too_soon_is_mended_by_langchain_to_one_that_nobody_made(way: Way) -> None:
    call = ("pay", '{"to": "C-1", "cents": 5}')
    with ModelServer(lambda _: Reply(calls=[call])) as server:
        server.fault = Fault("quiet_stream")
        said = await way(chat(server))
    assert [c["name"] for c in said.tool_calls] == ["pay"]
    assert said.tool_calls[0]["args"] != json.loads(call[1])


@every_way
async def test_a_stalled_answer_stays_open_until_its_reader_gives_up(way: Way, server: ModelServer) -> None:
    server.fault = Fault("stalled_stream")
    with pytest.raises(openai.APITimeoutError):
        await way(chat(server, timeout=0.2))
    await server.await_for(requests=1, in_flight=0)


@every_way
async def test_a_malformed_call_is_one_of_an_offered_tool_with_arguments_that_are_no_json(
    way: Way, server: ModelServer
) -> None:
    def book(seats: int) -> str:
        """Book seats."""
        return str(seats)

    server.fault = Fault("malformed_call", times=1)
    bound: Any = chat(server).bind_tools([book])
    said = await way(bound)
    assert offered(server.requests[0]) == {"book"}
    assert said.tool_calls == []
    [call] = said.invalid_tool_calls
    assert call["name"] == "book"
    with pytest.raises(json.JSONDecodeError):
        json.loads(call["args"])


@every_way
async def test_an_unknown_tool_is_one_that_nobody_offered(way: Way, server: ModelServer) -> None:
    server.fault = Fault("unknown_tool")
    said = await way(chat(server))
    assert [c["name"] for c in said.tool_calls] == ["no_such_tool"]


@every_way
async def test_a_refusal_has_no_content_and_says_so(way: Way, server: ModelServer) -> None:
    server.fault = Fault("refusal")
    said = await way(chat(server))
    assert (said.text, said.tool_calls) == ("", [])
    assert said.response_metadata["finish_reason"] == "content_filter"
    if way in WHOLE.values():  # of a stream, LangChain drops the words
        assert said.additional_kwargs["refusal"] == REFUSAL


@every_way
async def test_an_answer_that_is_no_json_is_none(way: Way, server: ModelServer) -> None:
    server.fault = Fault("garbage")
    with pytest.raises(Exception):  # noqa: B017, PT011 - each way of calling has an error of its own
        await way(chat(server))
    assert len(server.requests) == 1


@pytest.mark.parametrize("way", WHOLE.values(), ids=WHOLE)
async def test_an_answer_of_another_shape_is_none(way: Way, server: ModelServer) -> None:
    server.fault = Fault("wrong_shape")
    with pytest.raises(TypeError, match="null value for 'choices'"):
        await way(chat(server))


@every_stream
async def test_a_stream_of_another_shape_is_an_empty_answer_to_langchain(way: Way, server: ModelServer) -> None:
    server.fault = Fault("wrong_shape")
    said = await way(chat(server))
    assert (said.text, said.tool_calls, said.usage_metadata) == ("", [], None)
    assert "finish_reason" not in said.response_metadata


async def test_a_fault_of_one_model_leaves_the_others_alone(server: ModelServer) -> None:
    server.fault = Fault("500", model="dead")
    assert (await chat(server, model="well").ainvoke("hello")).text == SAID
    with pytest.raises(openai.InternalServerError):
        await chat(server, model="dead").ainvoke("hello")
    assert [len(server.requests_for(m)) for m in ("dead", "well")] == [1, 1]


async def test_a_fault_of_some_words_leaves_other_requests_alone(server: ModelServer) -> None:
    server.fault = Fault("500", says="C-13")
    assert (await chat(server).ainvoke("customer C-12")).text == SAID
    with pytest.raises(openai.InternalServerError):
        await chat(server).ainvoke("customer C-13")


async def test_what_the_real_server_refuses_is_refused(server: ModelServer) -> None:
    dangling = AIMessage("", tool_calls=[{"name": "book", "args": {}, "id": "call_1"}])
    with pytest.raises(openai.BadRequestError, match="without an answer"):
        await chat(server).ainvoke([dangling])
    async with openai.AsyncOpenAI(base_url=server.url, api_key="sk-test") as client:
        with pytest.raises(openai.NotFoundError):
            await client.embeddings.create(input="x", model="m")


async def test_a_rule_that_raises_is_no_quiet_disconnect() -> None:
    def rule(_: dict[str, Any]) -> Reply:
        raise KeyError("no such case")

    server = ModelServer(rule)
    server.__enter__()
    with pytest.raises(openai.APIConnectionError):
        await chat(server).ainvoke("hello")
    with pytest.raises(RuntimeError, match="what answers for this server raised") as caught:
        server.__exit__(None, None, None)
    assert isinstance(caught.value.__cause__, KeyError)


async def test_a_wait_for_what_does_not_come_is_bounded_and_says_what_there_was(server: ModelServer) -> None:
    await chat(server).ainvoke("hello")
    said = r"not 2 requests of steady and 0 in flight within 0\.05 s: there were 1"
    with pytest.raises(TimeoutError, match=said):
        await server.await_for(requests=2, of="steady", in_flight=0, seconds=0.05)
    with pytest.raises(TimeoutError, match=said):
        server.wait_for(requests=2, of="steady", in_flight=0, seconds=0.05)


async def test_a_wait_for_some_words_is_not_ended_by_other_requests(server: ModelServer) -> None:
    await chat(server).ainvoke("customer C-12")
    with pytest.raises(TimeoutError, match=r"not 1 requests of steady that say 'C-13' within 0\.05 s: there were 0"):
        server.wait_for(requests=1, of="steady", says="C-13", seconds=0.05)
    server.wait_for(requests=1, of="steady", says="C-12", seconds=BOUND)


@given(
    after=st.integers(0, 5),
    times=st.none() | st.integers(0, 5),
    requests=st.lists(st.sampled_from(["dead", "well"]), max_size=20),
)
def test_a_fault_meets_exactly_the_requests_it_is_told_to(after: int, times: int | None, requests: list[str]) -> None:
    faults, fault = Faults(), Fault("500", model="dead", after=after, times=times)
    faults.command([fault, Fault("503", model="well")])
    met = [faults.taken(model=m) for m in requests]
    dead = [f for f, m in zip(met, requests, strict=True) if m == "dead"]
    until = len(dead) if times is None else after + times
    assert dead == [fault if after <= n < until else None for n in range(len(dead))]
    assert all(f is not None and f.kind == "503" for f, m in zip(met, requests, strict=True) if m == "well")
