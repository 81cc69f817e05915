"""A contract on an edge of any hand-made LangGraph graph: `contract_edge(graph, "research", "write", Contract(Brief))`.

The node behind the edge gets what the contract lets pass, and nothing else of the state. The graph stays the user's:
its streams and its state show what it writes there; only what crosses such an edge is checked and recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NotRequired, get_type_hints

from langchain_core.messages import AnyMessage
from langgraph.config import get_config
from langgraph.graph import END as LG_END
from langgraph.graph import START as LG_START
from langgraph.graph import StateGraph
from langgraph.types import Command, Send
from pydantic import BaseModel
from typing_extensions import TypedDict  # Pydantic takes typing's from Python 3.12 only

from ..contracts.contract import Contract, Crossing
from ..contracts.edge import END, NO_HISTORY, START, Edge, History, OnViolation
from ..contracts.errors import ContractViolation, TopologyInvalid
from ..contracts.flow import label_fields, label_request
from ..contracts.labels import Label
from ..contracts.review import DEVELOPMENT
from ..contracts.sources import Sources
from ..ledger.store import Ledger
from ..tools.knowing import HISTORY
from ..tools.run import active
from .crossing import checked, recorded, refuse_partial, refused
from .history import crossing as crossing_talk
from .history import without
from .home import Home
from .nodes import entered, readable
from .plain_end import leaving, made_agreeing
from .plain_faults import faults_of_edge, faults_of_graph
from .plain_runs import BOOKS, DESKS, RUN, SENT, AnyGraph, Desk, compile_contracted, invocation_of, merged
from .registries import Registry
from .reviews import mended_by_person, place_of
from .state import MARKS

FAULTS = "contract_faults"
"""What the source finds in its input when it is to mend what it offered."""
FAIL = OnViolation(repair=0, then="fail")


def contract_edge(
    graph: AnyGraph,
    source: str,
    target: str,
    contract: Contract,
    *,
    payload: str | None = None,
    history: History = NO_HISTORY,
    messages: str = "messages",
    on_violation: OnViolation = FAIL,
    registries: Mapping[str, Registry] | None = None,
    home: Path | str | None = None,
    environment: str = DEVELOPMENT,
) -> str:
    """Put a contract node between two nodes of a graph. Add no edge of your own between the two.

    The graph then compiles to one whose runs end with its invocations. Where several nodes lead to one at once, let a
    node join them and put one contract behind it.

    Args:
        source, target: names of nodes, or LangGraph's START and END.
        contract: its fields are keys of the state; with `payload`, the fields of the mapping under that key.
        history: which messages cross; `summary` is for systems only. To END, they take the place of those in the state.
        messages: the key of the state that holds messages.
        on_violation: `repair` runs the source again, with the faults under `contract_faults` in its input; for a source
            that leads nowhere else.
        registries: look-ups for `Id(...)` fields.
        home: folder of the ledger; None keeps it in memory. One for all edges of a graph.
        environment: outside `development` a review takes only answers that the graph's own `answering` has signed. One
            for all edges of a graph.

    Returns:
        The name of the contract node.

    Raises:
        TopologyInvalid: a field is no key of the state, a registry is missing, or the output of the graph has keys
            that the contract of an edge to END does not let pass. Also by `graph.compile()`: an edge leads past a
            contract, two lead to one node at once, or mending would run more than what is mended.
    """
    _refuse_other_types(graph, contract, on_violation)
    ends = {LG_START: START, LG_END: END}
    edge = Edge(
        source=ends.get(source, source),
        target=ends.get(target, target),
        contract=contract,
        history=history,
        on_violation=on_violation,
    )
    known = DESKS.get(graph)
    name = getattr(graph.state_schema, "__name__", "graph")
    desk = known or Desk(name=name, home=Home(home), environment=environment)
    keys = set(graph.schemas[graph.state_schema])
    faults = faults_of_edge(graph, desk, edge, payload=payload, messages=messages, registries=dict(registries or {}))
    if home is not None and desk.home.path != Path(home):
        faults.append(f"its ledger is in {desk.home.path or 'memory'} already; one folder for all edges of a graph")
    if contract.partial == "refuse" and MARKS not in keys:
        faults.append(f"{contract.id} refuses what is partial, and the state has no key {MARKS!r} that would say so")
    if environment != desk.environment:
        faults.append(f"it is in {desk.environment!r} already, not in {environment!r}; one environment for all edges")
    if faults:
        raise TopologyInvalid(name=desk.name, faults=faults)
    desk.edges.append(edge)
    desk.registries |= dict(registries or {})
    DESKS[graph] = desk
    label = {"kind": "contract", "label": contract.id, "detail": edge.name.replace("→", " → ")}
    shape = _Shape(edge=edge, payload=payload, messages=messages if messages in keys else "", keys=frozenset(keys))
    drawn = {target: "passed"}
    if on_violation.repair and source != LG_START:
        drawn[source] = "repair"
    if target == LG_END:
        made_agreeing(graph, [*shape.fields, *([shape.messages] if shape.messages else ())])
    node: Any = _node(desk, shape, source, target, dict(graph.channels))
    graph.add_node(edge.node, node, input_schema=_with_books(graph), destinations=drawn, metadata={"edgewright": label})
    graph.add_edge(source, edge.node)
    if known is None:
        compile_contracted(graph, desk, faults_of_graph)
    return edge.node


def ledger_of(graph: AnyGraph) -> Ledger:
    """The ledger that the contracts of a hand-made graph write. Its reads block. Raises KeyError: it has none."""
    return DESKS[graph].home.open()[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    edge: Edge
    payload: str | None
    messages: str
    keys: frozenset[str]

    @property
    def fields(self) -> tuple[str, ...]:
        """The keys of the state that are offered."""
        return (self.payload,) if self.payload else tuple(self.edge.contract.model.model_fields)

    @property
    def hidden(self) -> list[str]:
        """The keys of the state that are not."""
        return sorted(self.keys - {*self.fields, self.messages})


def _refuse_other_types(graph: Any, contract: Any, on_violation: Any) -> None:
    faults = [
        f"{name} is {given!r}, not {kind}"
        for name, given, kind, fits in (
            ("graph", graph, "a StateGraph that is not compiled yet", isinstance(graph, StateGraph)),
            (
                "contract",
                contract,
                "a Contract: Contract(Model, version=1)",
                isinstance(contract, Contract),
            ),
            ("on_violation", on_violation, "an OnViolation(...)", isinstance(on_violation, OnViolation)),
        )
        if not fits
    ]
    if faults:
        raise TopologyInvalid(name="contract_edge", faults=faults)


def _with_books(graph: AnyGraph) -> Any:
    """The graph's own state, and our key beside it."""
    schema = graph.state_schema
    hints = get_type_hints(schema, include_extras=True)
    kept = {k: hints[k] for k in graph.schemas[schema] if k in hints}
    typed_dict: Any = TypedDict
    return typed_dict("Contracted", {**kept, BOOKS: NotRequired[Annotated[dict[str, Any], merged]]})


def _node(desk: Desk, shape: _Shape, source: str, target: str, channels: Mapping[str, Any]) -> Any:
    edge, contract = shape.edge, shape.edge.contract

    async def check(state: Any) -> Command[Any]:
        books, told = dict(state.get(BOOKS) or {}), _told(state, shape)
        # Inside an agent's turn, what crosses belongs to the run of that agent's system.
        if (around := active()) is not None:
            own, run = None, around.run
        else:
            own = invocation_of(desk)
            run = await own.run_of(str(books.get(RUN) or ""), readable(told))
        ns, at = entered(run)
        noted = {RUN: run.grounds.run}
        tries = books.get(edge.node, 0) if books.get(RUN) == run.grounds.run else 0
        try:
            refuse_partial(edge, state.get(MARKS) or ())
            crossing, redactor = await checked(edge, told, {}, run=run, ns=ns, registries=desk.registries)
        except ContractViolation as violation:
            then = refused(run, edge, violation, at=at, tries=tries)
            if then == "fail":
                raise
            if then == "repair":
                mend = {k: v for k, v in state.items() if k != BOOKS} | {FAULTS: list(violation.faults)}
                return Command(update={BOOKS: {**noted, edge.node: tries + 1}}, goto=Send(source, mend))
            told = await mended_by_person(run, place_of(edge), told, violation.faults, at=at, agent=edge.source)
            crossing, redactor = await checked(edge, told, {}, run=run, ns=ns, registries=desk.registries)
        talk = _messages(state, shape)
        kept_talk = crossing_talk(
            talk,
            edge.history,
            intents=(),
            clean=lambda value: redactor.clean(without(value, contract.never.fields))[0],
        )
        passed = recorded(
            run,
            edge,
            _withholding(crossing, state, shape),
            at=at,
            labels=_labels(edge, crossing, kept_talk),
            history=kept_talk,
            dropped=max(len(talk) - len(kept_talk), 0),
            tries=tries,
        )
        run.note(passed.draft)
        crossed = {shape.payload: crossing.payload} if shape.payload else dict(crossing.payload)
        talks = bool(shape.messages) and (edge.target != END or edge.history.kind != "none")
        given: dict[str, Any] = {**crossed, **({shape.messages: kept_talk} if talks else {})}
        if edge.target == END:
            if own is not None:
                own.response |= crossing.payload
            alone = sum(e.target == END for e in desk.edges) == 1
            left = leaving({k: v for k, v in state.items() if k != BOOKS}, given, channels, alone=alone)
            return Command(update={BOOKS: {**noted, edge.node: 0}, **left}, goto=LG_END)
        # The channel of the books finds out whether another edge leads there in this step.
        step = int((get_config().get("metadata") or {}).get("langgraph_step", 0))
        sent = {SENT: {edge.target: [step, edge.name]}}
        return Command(update={BOOKS: {**noted, edge.node: 0, **sent}}, goto=Send(target, given))

    return check


def _labels(edge: Edge, crossing: Crossing, kept_talk: list[AnyMessage]) -> dict[str, Label]:
    if edge.source == START:
        labels = label_request(edge.contract, crossing.payload)
    else:  # what a hand-made node had read is not known here, so what it writes is not to be believed
        labels = label_fields(edge.contract, crossing.payload, Sources(context=Label()), carried={})
    return {**labels, HISTORY: Label()} if kept_talk else labels


def _withholding(crossing: Crossing, state: Mapping[str, Any], shape: _Shape) -> Crossing:
    """A crossing with what the state holds and the contract does not declare: its names, and values for digests."""
    names = [k for k in shape.hidden if state.get(k) not in (None, "", [], {}, ())]
    hidden = {k: readable(_plain(v)) for k, v in {**crossing.hidden, **{k: state[k] for k in names}}.items()}
    return replace(crossing, withheld=(*crossing.withheld, *((k, "not declared") for k in names)), hidden=hidden)


def _told(state: Mapping[str, Any], shape: _Shape) -> Any:
    """What the source offers, as plain JSON values. A key that is not there is not offered; one that is None is."""
    if shape.payload is not None:
        return _plain(state.get(shape.payload))
    return {k: _plain(state[k]) for k in shape.fields if k in state}


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _messages(state: Mapping[str, Any], shape: _Shape) -> list[AnyMessage]:
    return list(state.get(shape.messages) or ()) if shape.messages else []
