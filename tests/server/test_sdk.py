"""What `langgraph_sdk` needs, asked by `langgraph_sdk`."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from edgewright.graphs.system import System
from edgewright.ledger.records import ReviewAnswered
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError, UnprocessableEntityError

from .house import PLAIN, REVIEWED, SECRET, Till

APPROVE = {"decision": "approve", "reason": "agreed by phone"}


def facts_of(error: Any) -> Any:
    """The body of a refusal."""
    return error.body


def numbered(thread: Any) -> Any:
    """The number a thread was made with."""
    return thread["metadata"]["n"]


async def test_a_client_finds_the_assistants_with_graph_and_schemas(client: LangGraphClient) -> None:
    found = await client.assistants.search()
    assert [a["graph_id"] for a in found] == ["desk", "plain"]
    assert [a["graph_id"] for a in await client.assistants.search(metadata={"governed": True})] == ["desk"]
    one = await client.assistants.get(found[0]["assistant_id"])
    assert one == found[0]
    assert await client.assistants.get("desk") == one

    graph = await client.assistants.get_graph(one["assistant_id"])
    assert {"id": "triage", "type": "runnable"}.items() <= graph["nodes"][1].items()
    assert {"source": "Ticket@1 start→triage", "target": "triage"} in graph["edges"]

    schemas: Any = await client.assistants.get_schemas(one["assistant_id"])
    assert schemas["input_schema"]["properties"]["request"]["required"] == ["text"]
    assert schemas["state_schema"] == schemas["output_schema"]
    assert set(schemas["output_schema"]["properties"]) == {"run", "response"}


async def test_a_run_is_waited_for_and_leaves_its_output_only(client: LangGraphClient, system: System) -> None:
    thread = await client.threads.create(metadata={"channel": "mail"})
    assert (thread["status"], thread["metadata"], thread["values"]) == ("idle", {"channel": "mail"}, None)
    created: list[Any] = []
    out: Any = await client.runs.wait(thread["thread_id"], "desk", input=PLAIN, on_run_created=created.append)
    assert set(out) == {"run", "response"}
    assert '"paid": 100' in out["response"]["text"]
    assert [e.kind for e in system.ledger.entries(out["run"])][-1] == "run.ended"
    run = await client.runs.get(thread["thread_id"], created[0]["run_id"])
    assert run["status"] == "success"
    assert await client.runs.join(thread["thread_id"], run["run_id"]) == out
    assert [r["run_id"] for r in await client.runs.list(thread["thread_id"])] == [run["run_id"]]


async def test_a_review_interrupts_and_an_answer_resumes(client: LangGraphClient, system: System, till: Till) -> None:
    thread = (await client.threads.create())["thread_id"]
    out: Any = await client.runs.wait(thread, "desk", input=REVIEWED)
    (asked,) = out["__interrupt__"]
    assert asked["value"]["arguments"] == {"invoice": "INV-1", "cents": 3000}
    assert asked["response_schema"]["title"] == "ReviewAnswer"

    standing = await client.threads.get(thread)
    assert standing["status"] == "interrupted"
    assert [i["id"] for found in standing["interrupts"].values() for i in found] == [asked["id"]]
    state = await client.threads.get_state(thread)
    assert (state["next"], state["interrupts"][0]["id"]) == (["billing"], asked["id"])
    assert set(state["values"]) == {"run", "response"}
    assert [t["thread_id"] for t in await client.threads.search(status="interrupted")] == [thread]
    assert till.paid == []

    # A claim to be somebody is not believed.
    answer = {**APPROVE, "reviewer": "the finance director"}
    out = await client.runs.wait(thread, "desk", command={"resume": {asked["id"]: answer}})
    assert set(out) == {"run", "response"}
    assert till.paid == [3000]
    (answered,) = [e.record for e in system.ledger.entries(out["run"]) if isinstance(e.record, ReviewAnswered)]
    assert (answered.reviewer, answered.reason) == ("local operator", "agreed by phone")

    state = await client.threads.get_state(thread)
    assert (state["values"], state["next"], state["interrupts"]) == (out, [], [])
    history = await client.threads.get_history(thread, limit=100)
    assert history[0]["values"] == out
    assert history[0]["parent_checkpoint"] == history[1]["checkpoint"]
    assert all(set(past["values"]) <= {"run", "response"} for past in history)
    assert all(set(task["result"] or {}) <= {"run", "response"} for past in history for task in past["tasks"])
    assert (await client.threads.get(thread))["status"] == "idle"


@pytest.mark.parametrize("form", ["interrupt id", "review id", "single"])
async def test_an_answer_may_be_addressed_in_three_ways(client: LangGraphClient, till: Till, form: str) -> None:
    thread = (await client.threads.create())["thread_id"]
    out: Any = await client.runs.wait(thread, "desk", input=REVIEWED)
    (asked,) = out["__interrupt__"]
    edit = {"decision": "edit", "reason": "less", "arguments": {"invoice": "INV-1", "cents": 500}}
    resume = {"interrupt id": {asked["id"]: edit}, "review id": {asked["value"]["id"]: edit}, "single": edit}[form]
    await client.runs.wait(thread, "desk", command={"resume": resume})
    assert till.paid == [500]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ({"decision": "approve"}, "reason"),
        ({"decision": "maybe", "reason": "x"}, "decision"),
        ({"decision": "edit", "reason": "x"}, "arguments"),
        ({"decision": "approve", "reason": "x", "arguments": {"cents": 1}}, "arguments"),
        ({"decision": "approve", "reason": " "}, "reason"),
        ({"decision": "approve", "reason": "x", "role": "finance"}, "role"),
        ({**APPROVE, "review": "0" * 24}, "another question"),
        ({"0" * 32: APPROVE}, "is not open"),
        (True, "an answer is an object"),
        ({}, "decision"),
        ([APPROVE], "an answer is an object"),
    ],
)
async def test_an_invalid_answer_is_refused_and_the_question_stays_open(
    client: LangGraphClient, till: Till, answer: Any, fault: str
) -> None:
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "desk", input=REVIEWED)
    with pytest.raises(UnprocessableEntityError, match=fault) as refused:
        await client.threads.http.post(
            f"/threads/{thread}/runs/wait", json={"assistant_id": "desk", "command": {"resume": answer}}
        )
    assert facts_of(refused.value)["error"] == "ReviewInvalid"
    assert len(await client.runs.list(thread)) == 1
    await client.runs.wait(thread, "desk", command={"resume": APPROVE})
    assert till.paid == [3000]
    with pytest.raises(UnprocessableEntityError, match="waits for nothing"):
        await client.threads.http.post(
            f"/threads/{thread}/runs/wait", json={"assistant_id": "desk", "command": {"resume": APPROVE}}
        )
    assert till.paid == [3000]


async def test_of_two_open_reviews_each_is_answered_by_its_id(client: LangGraphClient, till: Till) -> None:
    thread = (await client.threads.create())["thread_id"]
    out: Any = await client.runs.wait(thread, "desk", input={"request": {"text": "two refunds"}})
    first, second = sorted(out["__interrupt__"], key=lambda i: str(i["value"]["arguments"]))
    for resume in (APPROVE, {first["id"]: APPROVE, first["value"]["id"]: APPROVE}):
        with pytest.raises(httpx.HTTPStatusError, match="422"):
            await client.runs.wait(thread, "desk", command={"resume": resume})
    reject = {"decision": "reject", "reason": "not owed"}
    out = await client.runs.wait(thread, "desk", command={"resume": {second["id"]: reject}})
    assert [i["id"] for i in out["__interrupt__"]] == [first["id"]]
    assert till.paid == []
    out = await client.runs.wait(thread, "desk", command={"resume": {first["value"]["id"]: APPROVE}})
    assert "__interrupt__" not in out
    assert till.paid == [3001]


async def test_a_stream_begins_with_its_run_and_shows_nodes_and_output(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    parts = [p async for p in client.runs.stream(thread, "desk", input=PLAIN, stream_mode=["updates", "values"])]
    assert parts[0].event == "metadata"
    assert (await client.runs.get(thread, parts[0].data["run_id"]))["status"] == "success"
    updates = {node: update for p in parts if p.event == "updates" for node, update in p.data.items()}
    assert list(updates) == [
        "Ticket@1 start→triage",
        "triage",
        "Brief@1 triage→billing",
        "billing",
        "Answer@1 billing→end",
    ]
    assert (updates["triage"], updates["billing"]) == (None, None)
    assert parts[-1].data == (await client.threads.get_state(thread))["values"]
    assert all(set(p.data) <= {"run", "response"} for p in parts if p.event == "values")


@pytest.mark.parametrize("mode", ["values", "updates"])
async def test_a_stream_shows_the_interrupt_and_resumes(client: LangGraphClient, till: Till, mode: Any) -> None:
    thread = (await client.threads.create())["thread_id"]
    parts = [p async for p in client.runs.stream(thread, "desk", input=REVIEWED, stream_mode=mode)]
    (asked,) = parts[-1].data["__interrupt__"]
    resume: Any = {"resume": {asked["id"]: APPROVE}}
    parts = [p async for p in client.runs.stream(thread, "desk", command=resume, stream_mode=mode)]
    assert parts[-1].event == mode
    assert till.paid == [3000]


async def test_a_failing_run_tells_its_kind_and_no_secret(client: LangGraphClient, system: System) -> None:
    thread = (await client.threads.create())["thread_id"]
    broken = {"request": {"text": "break"}}
    told: Any = await client.runs.wait(thread, "desk", input=broken, raise_error=False)
    assert told["__error__"]["error"] == "RuntimeError"
    assert [e.kind for e in system.ledger.entries(told["__error__"]["run"])][-1] == "run.ended"
    with pytest.raises(Exception, match="RuntimeError: An internal error occurred"):
        await client.runs.wait(thread, "desk", input=broken)
    parts = [p async for p in client.runs.stream(thread, "desk", input=broken)]
    assert parts[-1].event == "error"
    standing, state = await client.threads.get(thread), await client.threads.get_state(thread)
    runs = await client.runs.list(thread)
    assert standing["status"] == "error"
    assert {r["status"] for r in runs} == {"error"}
    joined = await client.runs.join(thread, runs[0]["run_id"])
    assert SECRET not in repr([told, parts, standing, state, runs, joined])


async def test_a_request_that_breaks_the_entry_contract_begins_nothing(client: LangGraphClient, system: System) -> None:
    thread = (await client.threads.create())["thread_id"]
    with pytest.raises(UnprocessableEntityError) as refused:
        async for _ in client.runs.stream(thread, "desk", input={"request": {"text": 7, "admin": True}}):
            pass
    assert facts_of(refused.value)["error"] == "ContractViolation"
    assert len(facts_of(refused.value)["facts"]["faults"]) == 2
    assert await client.runs.list(thread) == []
    assert (await client.threads.get_state(thread))["checkpoint"] is None
    assert system.ledger.runs(thread=thread) == []


async def test_a_thread_runs_one_run_at_a_time(client: LangGraphClient, till: Till) -> None:
    thread = (await client.threads.create())["thread_id"]
    till.door.clear()
    first = asyncio.create_task(client.runs.wait(thread, "desk", input=PLAIN))
    try:
        assert await asyncio.to_thread(till.inside.wait, 30)
        assert (await client.threads.get(thread))["status"] == "busy"
        with pytest.raises(ConflictError) as refused:
            async for _ in client.runs.stream(thread, "desk", input=PLAIN, multitask_strategy="reject"):
                pass
        assert facts_of(refused.value)["error"] == "ThreadBusy"
        run = (await client.runs.list(thread))[0]
        assert run["status"] == "running"
        joined = asyncio.create_task(client.runs.join(thread, run["run_id"]))
    finally:
        till.door.set()
    async with asyncio.timeout(30):
        assert await joined == await first
    assert till.paid == [100]


async def test_threads_are_found_by_metadata_and_unknown_ones_are_not(client: LangGraphClient) -> None:
    made = [await client.threads.create(metadata={"n": n, "who": "a"}) for n in range(3)]
    assert [numbered(t) for t in await client.threads.search(metadata={"who": "a"})] == [2, 1, 0]
    assert [numbered(t) for t in await client.threads.search(metadata={"n": 1})] == [1]
    assert await client.threads.search(metadata={"who') OR 1=1 --": "a"}) == []
    assert len(await client.threads.search(limit=2, offset=2)) == 1
    with pytest.raises(ConflictError):
        await client.threads.create(thread_id=made[0]["thread_id"])
    again = await client.threads.create(thread_id=made[0]["thread_id"], if_exists="do_nothing")
    assert again["metadata"] == {"n": 0, "who": "a"}
    unknown = "00000000-0000-4000-8000-000000000000"
    for call in (client.threads.get, client.threads.get_state, client.threads.get_history, client.runs.list):
        with pytest.raises(NotFoundError):
            await call(unknown)
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        await client.runs.wait(unknown, "desk", input=PLAIN)
    out: Any = await client.runs.wait(unknown, "desk", input=PLAIN, if_not_exists="create")
    assert out["response"]


async def test_a_thread_belongs_to_the_graph_of_its_first_run(client: LangGraphClient) -> None:
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "desk", input=PLAIN)
    with pytest.raises(httpx.HTTPStatusError, match="422"):
        await client.runs.wait(thread, "plain", input={"text": "hello"})
