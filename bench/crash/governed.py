"""One process's part in a governed run: it begins it or goes on with it, and a person's part in it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from edgewright import ReviewAnswer, ReviewRequest, System
from edgewright.contracts.errors import NotFound
from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, StateSnapshot

from bench.crash.systems import Play, graph_around, system_of_play
from bench.crash.world import World

THREAD = "11111111-2222-4333-8444-555555555555"
ON = RunnableConfig(configurable={"thread_id": THREAD})


def answers_to(requests: Sequence[ReviewRequest], play: Play) -> dict[str, ReviewAnswer]:
    """What a person says to some of the questions, at least one: no to what is marked so; else yes, once looked."""
    world, given = World(play.folder), {}
    for request in random.sample(requests, random.randint(1, len(requests))):
        slot = str(request.arguments["slot"])
        if request.kind == "outcome_unknown":
            no, why = world.happened(slot), "looked into the world"
        else:
            no, why = slot.endswith("_no"), "as it is marked"
        given[request.id] = ReviewAnswer(decision="reject" if no else "approve", reason=why)
    return given


async def life_of(play: Play, *, answers: bool) -> dict[str, Any]:
    """Begin the run of a play or go on with it; how it stands then."""
    system = system_of_play(play)
    around = graph_around(play, system)
    if around is not None:
        return await _life_around(play, system, around, answers=answers)
    try:
        result = await system.aresume(THREAD, durability=play.durability)
    except NotFound:
        if ended := _ended(system):
            return {"status": ended}
        result = await system.arun({"work": play.work}, thread=THREAD, durability=play.durability)
    if answers and result.reviews:
        given = answers_to(result.reviews, play)
        result = await system.aresume(THREAD, given, durability=play.durability)
    system.close()
    return {"status": result.status}


def _ended(system: System) -> str:
    """How the ledger says the run ended, of which `exit` left no checkpoint; empty where it did not."""
    return next((r.status for r in system.ledger.runs(thread=THREAD) if r.status not in ("running", "waiting")), "")


async def _life_around(
    play: Play, system: System, graph: CompiledStateGraph[Any, Any, Any, Any], *, answers: bool
) -> dict[str, Any]:
    state = await graph.aget_state(ON)
    if has_ended(state):
        return {"status": "completed"}
    given: Any = {"work": play.work} if state.created_at is None else None
    await graph.ainvoke(given, ON, durability=play.durability)
    asked = await _asked(graph)
    if answers and asked:
        said = answers_to([r for r, _ in asked.values()], play)
        signed = await system.answering(THREAD, [r for r, _ in asked.values()], said)
        resume = {asked[review][1]: answer.model_dump(mode="json") for review, answer in signed.items()}
        await graph.ainvoke(Command(resume=resume), ON, durability=play.durability)
        asked = await _asked(graph)
    system.close()
    return {"status": "waiting" if asked else "completed"}


def has_ended(state: StateSnapshot) -> bool:
    """Whether a thread has nothing left to do. Not `next`: it lacks what only has to be checkpointed."""
    return state.created_at is not None and not state.tasks and (state.metadata or {}).get("source") != "input"


async def _asked(graph: CompiledStateGraph[Any, Any, Any, Any]) -> Mapping[str, tuple[ReviewRequest, str]]:
    found = {}
    for interrupt in (await graph.aget_state(ON)).interrupts:
        request = ReviewRequest.model_validate(interrupt.value, strict=False)
        found[request.id] = request, interrupt.id
    return found
