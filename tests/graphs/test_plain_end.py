"""What leaves a hand-made graph at an edge to END: what crossed takes the place of what was there, side by side too."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any

import pytest
from edgewright import ALL, Contract, Never, contract_edge, last
from edgewright.contracts.errors import TopologyInvalid
from edgewright.graphs.plain_edge import ledger_of
from edgewright.graphs.plain_end import leaving, same
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.channels import Topic
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import InvalidUpdateError
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.types import Overwrite
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

Graph = StateGraph[Any, Any, Any, Any]
CARD, CUT = "4111 1111 1111 1111", "[card_number]"
CARDS = Never(detectors=["card_number"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


class State(TypedDict, total=False):
    x: str
    y: str
    notes: Annotated[list[str], operator.add]
    private: str
    messages: Annotated[list[AnyMessage], add_messages]


class Notes(TypedDict, total=False):
    notes: list[str]


class Both(TypedDict, total=False):
    x: str
    y: str


class Chat(TypedDict, total=False):
    x: str
    messages: list[AnyMessage]


class NotesOut(BaseModel):
    notes: list[str]


class BothOut(BaseModel):
    x: str = "none"
    y: str = "none"


class XOut(BaseModel):
    x: str


def ending(output: type[Any], **nodes: Any) -> Graph:
    graph: Graph = StateGraph(State, output_schema=output)
    for name, does in nodes.items():
        graph.add_node(name, does)
        graph.add_edge(START, name)
    return graph


def saying(**update: Any) -> Any:
    return lambda state: update


async def test_a_cleaned_value_takes_the_place_of_the_raw_one_under_a_reducer() -> None:
    graph = ending(Notes, a=saying(notes=[f"paid with {CARD}"]))
    contract_edge(graph, "a", END, Contract(NotesOut, version=1, never=CARDS))
    compiled = graph.compile(checkpointer=InMemorySaver())
    on: Any = {"configurable": {"thread_id": "t"}}
    assert await compiled.ainvoke({"notes": ["first"]}, on) == {"notes": ["first", f"paid with {CUT}"]}
    assert (await compiled.aget_state(on)).values["notes"] == ["first", f"paid with {CUT}"]
    # On the same thread the reducer goes on from what was cleaned.
    assert (await compiled.ainvoke({"notes": ["more"]}, on))["notes"][:3] == ["first", f"paid with {CUT}", "more"]


async def test_edges_side_by_side_that_change_nothing_or_the_same_do_not_get_into_each_others_way() -> None:
    for text, left in (("plain", "plain"), (CARD, CUT)):
        graph = ending(Both, a=saying(x=text), b=saying(y=text))
        for source in ("a", "b"):
            contract_edge(graph, source, END, Contract(BothOut, version=1, never=CARDS))
        assert await graph.compile().ainvoke({}) == {"x": left, "y": left}
        assert [r.status for r in ledger_of(graph).runs()] == ["completed"]


async def test_edges_side_by_side_clean_one_reduced_key_once() -> None:
    graph = ending(Notes, a=saying(notes=[f"a {CARD}"]), b=saying(notes=[f"b {CARD}"]))
    for source in ("a", "b"):
        contract_edge(graph, source, END, Contract(NotesOut, version=1, never=CARDS))
    assert await graph.compile().ainvoke({}) == {"notes": [f"a {CUT}", f"b {CUT}"]}


async def test_what_is_added_beside_a_cleaned_value_is_not_lost_and_is_cleaned_in_its_turn() -> None:
    graph: Graph = StateGraph(State, output_schema=Notes)
    for name, does in {"a": saying(notes=[f"a {CARD}"]), "b": saying(x="1"), "late": saying(notes=["late"])}.items():
        graph.add_node(name, does)
    graph.add_edge(START, "a")
    graph.add_edge(START, "b")
    graph.add_edge("b", "late")
    for source in ("a", "late"):
        contract_edge(graph, source, END, Contract(NotesOut, version=1, never=CARDS))
    assert await graph.compile().ainvoke({}) == {"notes": [f"a {CUT}", "late"]}


async def test_two_contracts_that_clean_one_key_differently_at_once_end_in_an_error() -> None:
    class Other(BaseModel):
        notes: list[str]

    graph = ending(Notes, a=saying(notes=[f"a {CARD} b@example.org"]), b=saying(x="1"))
    contract_edge(graph, "a", END, Contract(NotesOut, version=1, never=CARDS))
    contract_edge(graph, "b", END, Contract(Other, version=1, never=Never(detectors=["email"])))
    with pytest.raises(InvalidUpdateError, match="differently"):
        await graph.compile().ainvoke({})
    assert [r.status for r in ledger_of(graph).runs()] == ["failed"]


async def test_a_default_of_the_contract_is_shown_where_no_other_branch_may_still_write_the_key() -> None:
    graph = ending(Both, a=saying(x="1"))
    contract_edge(graph, "a", END, Contract(BothOut, version=1))
    assert await graph.compile().ainvoke({}) == {"x": "1", "y": "none"}


async def test_messages_leave_by_the_history_rule_and_take_the_place_of_those_that_were_there() -> None:
    talk = [HumanMessage(f"my card is {CARD}"), AIMessage("thanks")]
    for rule, texts in ((ALL, [f"my card is {CUT}", "thanks"]), (last(1), ["(earlier conversation)", "thanks"])):
        graph = ending(Chat, a=saying(x="1", messages=talk))
        contract_edge(graph, "a", END, Contract(XOut, version=1, never=CARDS), history=rule)
        found = await graph.compile().ainvoke({})
        assert [m.text for m in found["messages"]] == texts


async def test_a_model_in_the_state_leaves_as_what_it_shows() -> None:
    class Inner(BaseModel):
        shown: str
        kept: str = Field(default="secret", exclude=True)

    class Held(TypedDict, total=False):
        inner: Any

    class Out(BaseModel):
        inner: dict[str, str]

    graph: Graph = StateGraph(Held)
    graph.add_node("a", saying(inner=Inner(shown="1")))
    graph.add_edge(START, "a")
    contract_edge(graph, "a", END, Contract(Out, version=1))
    assert await graph.compile().ainvoke({}) == {"inner": {"shown": "1"}}


def test_messages_are_no_field_and_what_cannot_be_replaced_does_not_leave() -> None:
    class Talk(BaseModel):
        messages: list[dict[str, Any]]

    class Piled(TypedDict, total=False):
        notes: Annotated[list[str], Topic(str, accumulate=True)]

    graph = ending(Chat, a=saying(x="1"))
    with pytest.raises(TopologyInvalid, match="history="):
        contract_edge(graph, "a", END, Contract(Talk, version=1))
    with pytest.raises(TopologyInvalid, match="history="):
        contract_edge(graph, "a", END, Contract(Talk, version=1), messages="other")
    with pytest.raises(TopologyInvalid, match="output_schema"):
        contract_edge(graph, "a", END, Contract(XOut, version=1))
    piled: Graph = StateGraph(Piled)
    piled.add_node("a", saying(notes="n"))
    with pytest.raises(TopologyInvalid, match="Topic"):
        contract_edge(piled, "a", END, Contract(NotesOut, version=1))


def test_many_threads_end_one_graph_at_once() -> None:
    graph = ending(Both, a=lambda state: {"x": state["x"]})
    contract_edge(graph, "a", END, Contract(BothOut, version=1))
    compiled = graph.compile()

    async def every() -> list[Any]:
        found: list[Any] = await asyncio.gather(*(compiled.ainvoke({"x": str(n)}) for n in range(20)))
        return found

    assert [found["x"] for found in asyncio.run(every())] == [str(n) for n in range(20)]


@given(JSON, JSON)
def test_only_what_is_just_the_same_is_left_as_it_is(one: Any, other: Any) -> None:
    assert same(one, one)
    if same(one, other):
        assert one == other
        assert type(one) is type(other)
    update = leaving({"k": one}, {"k": other}, {"k": None}, alone=True)
    assert update == ({} if same(one, other) else {"k": other})


def test_what_equals_another_type_is_written_again() -> None:
    assert not same(True, 1)
    assert not same((1,), [1])
    assert not same({"a": 1.0}, {"a": 1})
    reduced = StateGraph(State).channels
    assert leaving({"notes": ["a"]}, {"notes": []}, reduced, alone=False) == {"notes": Overwrite([])}
