"""A contract on an edge of any hand-made LangGraph graph: `contract_edge(graph, "research", "write", Contract(Brief))`.

The node behind the edge gets what the contract lets pass, and nothing else of the state. The graph stays the user's:
its streams and its state show what it writes there; only what crosses such an edge is checked and recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, NotRequired, get_type_hints
from weakref import WeakKeyDictionary

from langchain_core.messages import AnyMessage
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp
from langgraph.graph import END as LG_END
from langgraph.graph import START as LG_START
from langgraph.graph import StateGraph
from langgraph.runtime import get_runtime
from langgraph.types import Command, Send
from pydantic import BaseModel
from typing_extensions import TypedDict  # Pydantic takes typing's from Python 3.12 only

from ..contracts.budget import Budget
from ..contracts.contract import Contract, Never
from ..contracts.digest import digest
from ..contracts.edge import END, NO_HISTORY, START, Edge, History, OnViolation
from ..contracts.errors import ContractViolation, TopologyInvalid
from ..contracts.flow import Sources, label_fields, label_request
from ..contracts.labels import Label
from ..ledger.store import Ledger
from ..tools.knowing import HISTORY
from ..tools.run import Run, active
from .crossing import recorded, refused
from .definition import UNRECORDED, joined
from .history import crossing as crossing_talk
from .history import without
from .home import Home
from .nodes import entered, readable
from .registries import Registry, faults_of_registries, unknown_ids
from .reviews import mended_by_person, place_of
from .runs import Runs, run_id_of
from .standing import Standing

BOOKS = "edgewright"
"""The key of the state under which the run's id and the tries of each contract are kept."""
FAULTS = "contract_faults"
"""What the source finds in its input when it is to mend what it offered."""
FAIL = OnViolation(repair=0, then="fail")


def _merged(before: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    return {**(before or {}), **new}


@dataclass(slots=True)
class _Desk:
    """What the contracts of one graph share."""

    name: str
    home: Home
    contracts: dict[str, Contract] = field(default_factory=dict)
    registries: dict[str, Registry] = field(default_factory=dict)
    unrecorded: Never = UNRECORDED
    runs_made: Runs | None = None

    def runs(self) -> Runs:
        """The runs of the graph; made when the first one begins, when all contracts are known."""
        if self.runs_made is None:
            standing = Standing(
                id=f"{self.name}@0",
                digest=digest([self.name, sorted(c.digest for c in self.contracts.values())]),
                environment="development",
                budget=Budget(),
                agents={},
                policy_fields=(),
                resources=(),
                entry=next(iter(self.contracts.values())),
                contracts=dict(self.contracts),
                unrecorded=joined([self.unrecorded, *(c.never for c in self.contracts.values())]),
            )
            self.runs_made = Runs(standing, self.home, None, {})
        return self.runs_made


_DESKS: WeakKeyDictionary[StateGraph[Any, Any, Any, Any], _Desk] = WeakKeyDictionary()


def contract_edge(
    graph: StateGraph[Any, Any, Any, Any],
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
) -> str:
    """Put a contract node between two nodes of a graph. Add no edge of your own between the two.

    Args:
        source, target: names of nodes, or LangGraph's START and END.
        contract: its fields are keys of the state; with `payload`, the fields of the mapping under that key.
        history: which messages cross; `summary` is for systems only.
        messages: the key of the state that holds messages.
        on_violation: `repair` runs the source again, with the faults under `contract_faults` in its input.
        registries: look-ups for `Id(...)` fields.
        home: folder of the ledger; None keeps it in memory. One for all edges of a graph.

    Returns:
        The name of the contract node.

    Raises:
        TopologyInvalid: a field is no key of the state, a registry is missing, or the output of the graph has keys
            that the contract of an edge to END does not let pass.
    """
    ends = {LG_START: START, LG_END: END}
    edge = Edge(
        source=ends.get(source, source),
        target=ends.get(target, target),
        contract=contract,
        history=history,
        on_violation=on_violation,
    )
    desk = _DESKS.get(graph) or _Desk(name=getattr(graph.state_schema, "__name__", "graph"), home=Home(home))
    keys = set(graph.schemas[graph.state_schema])
    faults = _faults(graph, edge, keys, payload, dict(registries or {}))
    if home is not None and desk.home.path != Path(home):
        faults.append(f"its ledger is in {desk.home.path or 'memory'} already; one folder for all edges of a graph")
    if faults:
        raise TopologyInvalid(name=desk.name, faults=faults)
    desk.contracts[contract.id] = contract
    desk.registries |= dict(registries or {})
    _DESKS[graph] = desk
    label = {"kind": "contract", "label": contract.id, "detail": edge.name.replace("→", " → ")}
    shape = _Shape(edge=edge, payload=payload, messages=messages if messages in keys else "", keys=frozenset(keys))
    node: Any = _node(desk, shape, source, target)
    drawn = {target: "passed"}
    if on_violation.repair and source != LG_START:
        drawn[source] = "repair"
    graph.add_node(edge.node, node, input_schema=_with_books(graph), destinations=drawn, metadata={"edgewright": label})
    graph.add_edge(source, edge.node)
    return edge.node


def ledger_of(graph: StateGraph[Any, Any, Any, Any]) -> Ledger:
    """The ledger that the contracts of a hand-made graph write. Its reads block. Raises KeyError: it has none."""
    return _DESKS[graph].home.open()[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    edge: Edge
    payload: str | None
    messages: str
    keys: frozenset[str]


def _faults(
    graph: StateGraph[Any, Any, Any, Any],
    edge: Edge,
    keys: set[str],
    payload: str | None,
    registries: dict[str, Registry],
) -> list[str]:
    contract = edge.contract
    faults = faults_of_registries({contract.id: contract}, registries)
    if payload is not None and payload not in keys:
        faults.append(f"payload {payload!r} is no key of the state; keys: {sorted(keys)}")
    fields = set(contract.model.model_fields)
    if payload is None:
        faults += [f"field {f!r} of {contract.id} is no key of the state; keys: {sorted(keys)}" for f in fields - keys]
    if edge.history.kind == "summary":
        faults.append("a summary is made by an agent of a System; use last(n) or ALL here")
    if edge.source == START and edge.on_violation.repair:
        faults.append("nobody can mend what comes from START; use OnViolation(repair=0, ...)")
    if edge.target == END:
        shown = set(graph.schemas[graph.output_schema])
        stray = sorted(shown - ({payload} if payload else fields))
        if stray:
            faults.append(
                f"the output of the graph shows {', '.join(map(repr, stray))}, which {contract.id} does not let pass; "
                f"give the StateGraph an output_schema"
            )
    return faults


def _with_books(graph: StateGraph[Any, Any, Any, Any]) -> Any:
    """The graph's own state, and our key beside it."""
    schema = graph.state_schema
    hints = get_type_hints(schema, include_extras=True)
    kept = {k: hints[k] for k in graph.schemas[schema] if k in hints}
    typed_dict: Any = TypedDict
    return typed_dict("Contracted", {**kept, BOOKS: NotRequired[Annotated[dict[str, Any], _merged]]})


def _node(desk: _Desk, shape: _Shape, source: str, target: str) -> Any:
    edge, contract = shape.edge, shape.edge.contract

    async def check(state: Any) -> Command[Any]:
        runs, books = desk.runs(), dict(state.get(BOOKS) or {})
        told = _told(state, shape)
        run, own = await _run(runs, edge, books, readable(told))
        try:
            ns, at = entered(run)
            tries = books.get(edge.node, 0)
            try:
                redactor = contract.redactor(run.knows.known)
                crossing = contract.check(told, received={}, edge=edge.name, redactor=redactor)
                leaves = contract.leaves(crossing.payload)
                if unknown := await unknown_ids(leaves, desk.registries, run=run, agent=edge.source, ns=ns):
                    raise ContractViolation(contract=contract.id, edge=edge.name, faults=unknown)
            except ContractViolation as violation:
                then = refused(run, edge, violation, at=at, tries=tries)
                if then == "fail":
                    raise
                if then == "repair":
                    kept = {BOOKS: {"run": run.grounds.run, edge.node: tries + 1}}
                    mend = {k: v for k, v in state.items() if k != BOOKS} | {FAULTS: list(violation.faults)}
                    return Command(update=kept, goto=Send(source, mend))
                told = await mended_by_person(run, place_of(edge), told, violation.faults, at=at, agent=edge.source)
                crossing = contract.check(told, received={}, edge=edge.name, redactor=redactor)
                leaves = contract.leaves(crossing.payload)
            run.knows.learn(leaves)
            withheld = tuple((k, "not declared") for k in sorted(shape.keys - set(_declared(shape))) if state.get(k))
            crossing = replace(crossing, withheld=withheld, hidden={k: readable(state[k]) for k, _ in withheld})
            kept_talk = crossing_talk(
                _messages(state, shape),
                edge.history,
                intents=(),
                clean=lambda value: redactor.clean(without(value, contract.never.fields))[0],
            )
            labels = (
                label_request(contract, crossing.payload)
                if edge.source == START
                # What a hand-made node had read is not known here, so what it writes is not to be believed.
                else label_fields(contract, crossing.payload, Sources(context=Label()), carried={})
            )
            if kept_talk:
                labels[HISTORY] = Label()
            passed = recorded(
                run,
                edge,
                replace(crossing, hidden=_json_only(crossing.hidden)),
                at=at,
                labels=labels,
                history=kept_talk,
                dropped=max(len(_messages(state, shape)) - len(kept_talk), 0),
                tries=tries,
            )
            run.note(passed.draft)
            kept = {BOOKS: {"run": run.grounds.run, edge.node: 0}}
            crossed = {shape.payload: crossing.payload} if shape.payload else dict(crossing.payload)
            if edge.target == END:
                if own:
                    await runs.end(run, "completed", response=run.knows.kept(crossing.payload))
                return Command(update={BOOKS: {"run": "", edge.node: 0}, **crossed}, goto=LG_END)
            given: dict[str, Any] = dict(crossed)
            if shape.messages:
                given[shape.messages] = kept_talk
            return Command(update=kept, goto=Send(target, given))
        except GraphBubbleUp:
            if own:
                runs.let_go(run.grounds.run)
            raise
        except Exception as error:
            if own:
                await runs.end(run, "failed", reason=run.knows.text(f"{type(error).__name__}: {error}")[:2000])
            raise

    return check


def _declared(shape: _Shape) -> tuple[str, ...]:
    fields = (shape.payload,) if shape.payload else tuple(shape.edge.contract.model.model_fields)
    return (*fields, *([shape.messages] if shape.messages else ()))


def _told(state: Mapping[str, Any], shape: _Shape) -> Any:
    """What the source offers, as plain JSON values."""
    if shape.payload is not None:
        return _plain(state.get(shape.payload))
    return {k: _plain(state[k]) for k in shape.edge.contract.model.model_fields if state.get(k) is not None}


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _json_only(hidden: Mapping[str, Any]) -> dict[str, Any]:
    return {name: readable(_plain(value)) for name, value in hidden.items()}


def _messages(state: Mapping[str, Any], shape: _Shape) -> list[AnyMessage]:
    return list(state.get(shape.messages) or ()) if shape.messages else []


async def _run(runs: Runs, edge: Edge, books: Mapping[str, Any], told: Any) -> tuple[Run, bool]:
    """The run that this crossing belongs to, and whether it is the graph's own: the one around it, or the thread's."""
    if (around := active()) is not None:
        return around.run, False
    if edge.source != START and books.get("run"):
        known = await runs.attach(str(books["run"]))
        if not known.ended:
            return known, True
        runs.let_go(known.grounds.run)  # it failed; the graph went on all the same
    info = get_runtime().execution_info
    thread = (info.thread_id if info else None) or ""
    # Where a run begins is a step of its thread: its checkpoint has the same id when it is executed again.
    began = info.checkpoint_id if info else str(get_config().get("run_id") or "")
    request = told if isinstance(told, dict) else {"payload": told}
    return await runs.begin(run_id_of(thread, began), thread, request), True
