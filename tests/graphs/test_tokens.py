"""Token streams: what a reader gets piece by piece is what the exit contract lets pass as a whole, and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Any
from uuid import uuid4

import pytest
from edgewright import Agent, Call, Contract, Never, OfflineModel, Pipeline, Sensitive, Supervisor, System, Turn
from edgewright.graphs.tokens import Token, Tokens
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, LLMResult
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field, SecretStr
from support.openai_wire import Reply, openai_wire
from support.systems import QUESTION

KEY = "AKIA" + "IOSFODNN7EXAMPLE"
PHONE = "+41 44 668 18 00"
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


class Answer(BaseModel):
    """An answer of several fields."""

    text: str
    detail: str = ""
    count: int = 0


class Brief(BaseModel):
    text: str


class Asked(BaseModel):
    text: str
    phone: Annotated[str | None, Sensitive("personal")] = None


ANSWER = Contract(Answer, version=1)
GUARDED = Contract(Answer, version=2, never=Never(detectors=("secret", "card_number"), sensitivities=("personal",)))
BRIEF, ASKED = Contract(Brief, version=1), Contract(Asked, version=1)


def listened(contract: Contract, pieces: Sequence[str], *, tool: str = "submit") -> dict[str, str]:
    """What leaves, by field, where a model writes the arguments of its call in these pieces."""
    found: dict[str, str] = {}

    def write(token: Token) -> None:
        chunk, metadata = token.part
        name = metadata["edgewright_field"]
        found[name] = found.get(name, "") + str(chunk.text)

    tokens = Tokens(agent="worker", tool="submit", contract=contract, redactor=contract.redactor(), write=write)
    run = uuid4()
    for index, piece in enumerate(pieces):
        call = tool_call_chunk(name=None if index else tool, args=piece, id=None if index else "call_1", index=0)
        message = AIMessageChunk(content="", tool_call_chunks=[call])
        tokens.on_llm_new_token("", chunk=ChatGenerationChunk(message=message), run_id=run)
    tokens.on_llm_end(LLMResult(generations=[]), run_id=run)
    return found


def cut(text: str, at: Sequence[int]) -> Iterator[str]:
    """A text in pieces."""
    places = sorted({0, *(a % (len(text) + 1) for a in at), len(text)})
    yield from (text[a:b] for a, b in pairwise(places))


# -- pieces -----------------------------------------------------------------------------------------------------------


@given(texts, texts, st.lists(st.integers(0, 400), max_size=12), st.booleans())
def test_however_an_answer_is_cut_into_pieces_its_tokens_are_its_text(
    text: str, detail: str, at: list[int], ascii_only: bool
) -> None:
    told = json.dumps({"text": text, "count": 3, "detail": detail}, ensure_ascii=ascii_only)
    found = listened(ANSWER, list(cut(told, at)))
    assert (found.get("text", ""), found.get("detail", "")) == (text, detail)
    assert set(found) <= {"text", "detail"}


@given(st.text("ab \n", max_size=80), st.text("ab \n", max_size=80), st.lists(st.integers(0, 400), max_size=20))
def test_however_a_secret_is_cut_into_pieces_no_part_of_it_leaves(before: str, after: str, at: list[int]) -> None:
    whole = f"{before} {KEY} {after}"
    found = listened(GUARDED, list(cut(json.dumps({"text": whole}), at)))
    assert found["text"] == GUARDED.redactor().text(whole)[0]
    assert KEY[:8] not in found["text"]
    assert found["text"].startswith(before)


def test_a_call_of_another_tool_is_not_the_answer() -> None:
    assert listened(ANSWER, ['{"text": "to the other agent"}'], tool="handoff_to_other") == {}


@pytest.mark.parametrize("told", ["", "{", '{"text"', "[1, 2]", '"text"', "nonsense", '{"text": 7}', '{"stray": "x"}'])
def test_what_is_no_answer_yet_and_what_is_not_declared_does_not_leave(told: str) -> None:
    assert listened(ANSWER, [told]) == {}


# -- whole runs -------------------------------------------------------------------------------------------------------


async def streamed(system: System, request: dict[str, Any]) -> tuple[dict[str, str], list[str], dict[str, Any]]:
    """Tokens by field, who said them, and the response that they were of."""
    found: dict[str, str] = {}
    who: list[str] = []
    response: dict[str, Any] = {}
    async for mode, part in system.astream(request, stream_mode=["messages", "values"]):
        if mode == "messages":
            chunk, metadata = part
            found[metadata["edgewright_field"]] = found.get(metadata["edgewright_field"], "") + chunk.text
            who.append(metadata["langgraph_node"])
        else:
            response = part.get("response") or response
    return found, who, response


def solo(model: Any, *, gives: Contract = ANSWER, takes: Contract = QUESTION) -> System:
    agent = Agent("worker", version=1, prompt="Answer.", model=model)
    return System("solo", version=1, topology=Pipeline(stages=[agent], contracts=[takes, gives]))


def submits(**fields: Any) -> OfflineModel:
    return OfflineModel("answers", lambda _: [Call("submit", fields)])


async def test_the_tokens_of_an_offline_model_are_its_response() -> None:
    found, who, response = await streamed(solo(submits(text="all of it", detail="and more", count=2)), {"text": "go"})
    assert found == {"text": "all of it", "detail": "and more"}
    assert response == {**found, "count": 2}
    assert set(who) == {"worker"}


async def test_the_tokens_of_a_provider_that_streams_are_its_response() -> None:
    told = {"text": "Ünïcode ✓ and 😀, “quoted” \\ and\nlines", "detail": "d"}
    with openai_wire(lambda _: Reply(calls=[("submit", json.dumps(told))])) as wire:
        key = SecretStr("sk-test")
        model = ChatOpenAI(model="gpt-4o-mini", base_url=wire.url, api_key=key, max_completion_tokens=100)
        found, who, response = await streamed(solo(model), {"text": "go"})
        assert [r["stream"] for r in wire.requests] == [True]
    assert found == told
    assert response == {**told, "count": 0}
    assert set(who) == {"worker"}


async def test_what_a_contract_cuts_out_of_the_response_is_cut_out_of_its_tokens() -> None:
    model = submits(text=f"the key is {KEY} and the card 4111 1111 1111 1111.", detail=f"call {PHONE} now")
    system = solo(model, gives=GUARDED, takes=ASKED)
    found, _, response = await streamed(system, {"text": "go", "phone": PHONE})
    assert found == {"text": response["text"], "detail": response["detail"]}
    for planted in (KEY, "4111", PHONE):
        assert planted not in str(found)
    assert found["text"].startswith("the key is ")


async def test_nobody_but_who_answers_the_caller_is_heard() -> None:
    def routing(turn: Turn) -> Sequence[Call]:
        return [Call("handoff_to_clerk", {"text": "between ourselves"})]

    system = System(
        "desk",
        version=1,
        topology=Supervisor(
            router=Agent("router", version=1, prompt="Route.", model=OfflineModel("routing", routing)),
            specialists=[Agent("clerk", version=1, prompt="Answer.", model=submits(text="to you"))],
            takes=QUESTION,
            brief=BRIEF,
            answer=ANSWER,
        ),
    )
    found, who, _ = await streamed(system, {"text": "go"})
    assert found == {"text": "to you"}
    assert set(who) == {"clerk"}


async def test_a_reader_who_asks_for_no_tokens_gets_none_and_the_model_is_not_made_to_stream() -> None:
    with openai_wire(lambda _: Reply(calls=[("submit", '{"text": "done"}')])) as wire:
        key = SecretStr("sk-test")
        model = ChatOpenAI(model="gpt-4o-mini", base_url=wire.url, api_key=key, max_completion_tokens=100)
        system = solo(model)
        parts = [part async for part in system.astream({"text": "go"}, stream_mode=["updates", "custom"])]
        assert [bool(r.get("stream")) for r in wire.requests] == [False]
    assert {mode for mode, _ in parts} == {"updates"}


async def test_tokens_of_a_try_that_broke_its_contract_are_followed_by_those_of_the_next() -> None:
    class Short(BaseModel):
        text: Annotated[str, Field(max_length=8)]

    def rules(turn: Turn) -> Sequence[Call]:
        return [Call("submit", {"text": "short" if turn.results else "much too long"})]

    found, _, response = await streamed(
        solo(OfflineModel("r", rules), gives=Contract(Short, version=1)), {"text": "go"}
    )
    assert response == {"text": "short"}
    assert found["text"] == "much too longshort"
