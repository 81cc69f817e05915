"""Stages of several agents at once, and of one agent on each item of a list."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from edgewright import Agent, Contract, OnViolation, Pipeline, Skip, System
from edgewright.contracts.errors import ContractViolation, TopologyInvalid
from edgewright.contracts.join import any_of, first
from edgewright.graphs.stages import AnyStage, Map, Parallel
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from support.rounds import FAIL

BOUND = 20.0


class Book(BaseModel):
    """What comes in."""

    title: str
    pages: list[str]


class Brief(BaseModel):
    """What one of several gets of it."""

    title: str


class Page(BaseModel):
    """One page, and which book it is of."""

    item: str
    title: str


class Note(BaseModel):
    """What is made of it."""

    note: str


class Text(BaseModel):
    """The answer."""

    text: str


BOOK, BRIEF, NOTE, TEXT = (Contract(model, version=1) for model in (Book, Brief, Note, Text))
PAGE = Contract(Page, version=1, carried=["title"])
GO = {"title": "T", "pages": ["a", "b", "c"]}


def says(word: str) -> Any:
    return lambda payload: {"note": f"{word} of {payload['title']}"}


def tells(met: Mapping[str, Any]) -> dict[str, str]:
    """Tells who noted what, and who did not."""
    each = [f"{r['agent']}: {r['answer']['note']}" for r in met["results"]]
    gone = [f"{g['agent']} is missing" for g in met.get("gaps", ())]
    return {"text": "; ".join([*each, *gone])}


def agent(name: str, function: Any) -> Agent:
    return Agent(name, version=1, function=function)


def system(stages: Sequence[AnyStage], contracts: Sequence[Contract | None], **options: Any) -> System:
    line = Pipeline(stages=stages, contracts=contracts, on_violation=FAIL, **options)
    return System("several", version=1, topology=line)


def both(**options: Any) -> Parallel:
    return Parallel([agent("law", says("law")), agent("cost", says("cost"))], findings=NOTE, **options)


def reading(function: Any = None, **options: Any) -> Map:
    return Map(
        agent("reader", function or (lambda page: {"note": f"{page['item']} of {page['title']}"})),
        over="pages",
        item=PAGE,
        gives=NOTE,
        **options,
    )


# -- several agents ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("briefs", [None, BRIEF, {"law": BRIEF, "cost": BOOK}])
async def test_several_agents_work_on_one_stage_and_the_next_gets_all_they_found(briefs: Any) -> None:
    built = system([both(briefs=briefs), agent("writer", tells)], [BOOK, None, TEXT])
    result = await built.arun(GO)
    assert result.output == {"text": "law: law of T; cost: cost of T"}


async def test_as_the_last_stage_what_they_found_is_the_answer() -> None:
    result = await system([both(carried=["title"])], [BOOK, None]).arun(GO)
    assert result.output == {
        "title": "T",
        "results": [
            {"agent": "law", "answer": {"note": "law of T"}},
            {"agent": "cost", "answer": {"note": "cost of T"}},
        ],
    }


async def test_a_merge_makes_what_the_next_stage_takes() -> None:
    shout = agent("shout", lambda payload: {"text": payload["text"].upper()})
    result = await system([both(merge=tells), shout], [BOOK, TEXT, TEXT]).arun(GO)
    assert result.output == {"text": "LAW: LAW OF T; COST: COST OF T"}
    last = await system([both(merge=tells)], [BOOK, TEXT]).arun(GO)
    assert last.output == {"text": "law: law of T; cost: cost of T"}


async def test_two_such_stages_may_follow_on_each_other() -> None:
    again = Parallel([agent("one", lambda met: {"note": tells(met)["text"]})], findings=NOTE, name="second")
    result = await system([both(), again, agent("writer", tells)], [BOOK, None, None, TEXT]).arun(GO)
    assert result.output == {"text": "one: law: law of T; cost: cost of T"}


async def test_a_join_and_a_declared_skip_leave_gaps_that_the_next_stage_is_told_of() -> None:
    def fails(_: Any) -> Any:
        raise RuntimeError("out")

    stage = Parallel([agent("law", says("law")), agent("cost", fails)], findings=NOTE)
    skips = system([stage, agent("writer", tells)], [BOOK, None, TEXT], on_failure={"cost": Skip()})
    result = await skips.arun(GO)
    assert (result.output, result.partial) == ({"text": "law: law of T; cost is missing"}, True)
    stage = Parallel([agent("law", says("law")), agent("cost", fails)], findings=NOTE, join=first(1))
    result = await system([stage, agent("writer", tells)], [BOOK, None, TEXT]).arun(GO)
    assert result.output is not None
    assert result.output["text"].startswith("law: law of T")


async def test_any_of_several_that_answers_is_enough() -> None:
    never = asyncio.Event()

    async def hangs(_: Any) -> Any:
        await never.wait()

    stage = Parallel([agent("law", says("law")), agent("cost", hangs)], findings=NOTE, join=any_of())
    async with asyncio.timeout(BOUND):
        result = await system([stage, agent("writer", tells)], [BOOK, None, TEXT]).arun(GO)
    assert result.output == {"text": "law: law of T; cost is missing"}


# -- each item of a list -----------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(pages=st.lists(st.text("abc", max_size=3), max_size=12))
async def test_each_item_is_worked_on_once_and_what_is_made_of_them_meets_in_their_order(pages: list[str]) -> None:
    built = system([reading(carried=["title"]), agent("writer", tells)], [BOOK, None, TEXT])
    result = await built.arun({"title": "T", "pages": pages})
    assert result.output == {"text": "; ".join(f"reader: {page} of T" for page in pages)}


async def test_items_that_are_objects_are_the_payloads() -> None:
    class Shelf(BaseModel):
        """Several."""

        briefs: list[Brief]

    stage = Map(agent("reader", says("a note")), over="briefs", item=BRIEF, gives=NOTE)
    built = system([stage, agent("writer", tells)], [Contract(Shelf, version=1), None, TEXT])
    result = await built.arun({"briefs": [{"title": "A"}, {"title": "B"}]})
    assert result.output == {"text": "reader: a note of A; reader: a note of B"}


@pytest.mark.parametrize("concurrency", [1, 3, 8])
async def test_no_more_turns_than_declared_are_under_way_at_once_and_as_many(concurrency: int) -> None:
    under_way, most, full = 0, 0, asyncio.Event()

    async def reads(page: Mapping[str, Any]) -> dict[str, str]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == concurrency:
            full.set()
        await full.wait()  # nobody is done before as many as may be are at work
        await asyncio.sleep(0.05)  # one too many would come in meanwhile
        under_way -= 1
        return {"note": str(page["item"])}

    built = system([reading(reads, concurrency=concurrency), agent("writer", tells)], [BOOK, None, TEXT])
    async with asyncio.timeout(BOUND):
        result = await built.arun({"title": "T", "pages": list("abcdefghij")})
    assert most == concurrency
    assert result.output == {"text": "; ".join(f"reader: {page}" for page in "abcdefghij")}


async def test_a_failed_turn_lets_the_next_one_have_its_place() -> None:
    def reads(page: Mapping[str, Any]) -> dict[str, str]:
        if page["item"] in "ac":
            raise RuntimeError("out")
        return {"note": str(page["item"])}

    built = system(
        [reading(reads, concurrency=1), agent("writer", tells)], [BOOK, None, TEXT], on_failure={"reader": Skip()}
    )
    async with asyncio.timeout(BOUND):
        result = await built.arun({"title": "T", "pages": list("abcd")})
    assert result.output == {"text": "reader: b; reader: d; reader is missing; reader is missing"}


async def test_more_items_than_declared_end_the_run_and_none_is_worked_on() -> None:
    taken = []
    built = system([reading(lambda page: taken.append(page), most=2), agent("writer", tells)], [BOOK, None, TEXT])
    with pytest.raises(ContractViolation, match="pages: holds 3 items, and at most 2 are handed out"):
        await built.arun(GO)
    assert not taken


async def test_a_hundred_items_are_more_than_a_plain_fan_out_takes_and_fewer_than_a_map_does() -> None:
    pages = [str(n) for n in range(100)]
    result = await system([reading(), agent("writer", tells)], [BOOK, None, TEXT]).arun({"title": "T", "pages": pages})
    assert result.output is not None
    assert result.output["text"].count("reader: ") == 100


async def test_an_empty_list_meets_at_once_but_not_under_a_join_that_needs_answers() -> None:
    empty = {"title": "T", "pages": []}
    assert (await system([reading()], [BOOK, None]).arun(empty)).output == {"results": []}
    with pytest.raises(ContractViolation, match="pages: holds nothing, and its join needs 1"):
        await system([reading(join=any_of())], [BOOK, None]).arun(empty)


# -- declared ----------------------------------------------------------------------------------------------------------


def test_everything_wrong_with_such_stages_is_found_at_once() -> None:
    class Needy(BaseModel):
        """Needs what is not there."""

        missing: str

    needy = Contract(Needy, version=1)
    with pytest.raises(TopologyInvalid) as caught:
        Pipeline(
            stages=[
                Parallel([agent("law", tells)], findings={"cost": NOTE}, briefs=needy, carried=["nothing"]),
                Map(agent("reader", tells), over="title", item=PAGE, gives=NOTE, concurrency=1),
            ],
            contracts=[BOOK, BOOK, TEXT],
        )
    for part in (
        "'cost' has none of findings, or is none of its agents",
        "brief Needy@1 needs 'missing'",
        "carried field 'nothing' is not in Book@1",
        "field 'title' of Book@1 is no list",
    ):
        assert part in str(caught.value)
    wrong: Any = 0
    with pytest.raises(TopologyInvalid) as caught:
        Pipeline(
            stages=[agent("one", tells), reading(concurrency=wrong, most=wrong), agent("two", tells)],
            contracts=[BOOK, None, None, TEXT],
        )
    for part in ("contract 1 is None", "concurrency=0", "most=0"):
        assert part in str(caught.value)


def test_what_is_generated_is_part_of_what_a_system_is() -> None:
    stages: list[Sequence[AnyStage]] = [[reading()], [reading(most=9)], [both()], [both(briefs=BRIEF)]]
    assert len({system(stage, [BOOK, None]).digest for stage in stages}) == 4
    assert system([reading()], [BOOK, None]).digest == system([reading()], [BOOK, None]).digest


def test_an_ordinary_rule_for_violations_holds_for_all_of_them() -> None:
    rule = OnViolation(repair=1, then="review", role="editor")
    line = Pipeline(stages=[both(), agent("writer", tells)], contracts=[BOOK, None, TEXT], on_violation=rule)
    assert {edge.on_violation for fan in line.fan_outs for edge in fan.edges} == {rule}
    assert {edge.on_violation for edge in line.edges} == {rule}
