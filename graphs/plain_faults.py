"""What cannot hold on a hand-made graph: of one contract when its edge is made, of all of them when it is compiled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from langgraph.graph import END as LG_END
from langgraph.graph import START as LG_START
from langgraph.graph import add_messages

from ..contracts.edge import END, START, Edge
from .plain_end import replaceable
from .plain_runs import JOIN, AnyGraph, Desk
from .registries import Registry, faults_of_registries


def faults_of_edge(
    graph: AnyGraph,
    desk: Desk,
    edge: Edge,
    *,
    payload: str | None,
    messages: str,
    registries: Mapping[str, Registry],
) -> list[str]:
    """Everything wrong with one contract edge, given the edges before it."""
    contract, keys = edge.contract, set(graph.schemas[graph.state_schema])
    faults = faults_of_registries({contract.id: contract}, registries)
    faults += [f"{edge.name} has a contract, {e.contract.id}; one per edge" for e in desk.edges if e.name == edge.name]
    if payload is not None and payload not in keys:
        faults.append(f"payload {payload!r} is no key of the state; keys: {sorted(keys)}")
    fields = set(contract.model.model_fields)
    if payload is None:
        faults += [f"field {f!r} of {contract.id} is no key of the state; keys: {sorted(keys)}" for f in fields - keys]
    crossing = fields & keys if payload is None else {payload} & keys
    faults += [
        f"{key!r} holds messages, so it is no field of {contract.id}; say with history=... which cross"
        for key in sorted(crossing)
        if key == messages or getattr(graph.channels.get(key), "operator", None) is add_messages
    ]
    if edge.history.kind == "summary":
        faults.append("a summary is made by an agent of a System; use last(n) or ALL here")
    if edge.source == START and edge.on_violation.repair:
        faults.append("nobody can mend what comes from START; use OnViolation(repair=0, ...)")
    if edge.source == END or edge.target == START:
        faults.append(f"{edge.name}: nothing leads from END or to START")
    if edge.target == END:
        talk = {messages} if messages in keys and edge.history.kind != "none" else set[str]()
        stray = sorted(set(graph.schemas[graph.output_schema]) - ({payload} if payload else fields) - talk)
        if stray:
            faults.append(
                f"the output of the graph shows {', '.join(map(repr, stray))}, which {contract.id} does not let pass; "
                f"give the StateGraph an output_schema"
            )
        faults += [
            f"key {k!r} is a {type(graph.channels[k]).__name__}: nothing can take the place of what it holds, so what "
            f"{contract.id} cuts out would stay; use a plain key or a reducer function"
            for k in sorted(crossing | talk)
            if k in graph.channels and not replaceable(graph.channels[k])
        ]
    return faults


def faults_of_graph(graph: AnyGraph, desk: Desk) -> list[str]:
    """Everything that goes round the contracts of a graph, or that they cannot keep together.

    What a node decides by itself is seen as far as it declares it: by the path map of a conditional edge, by
    `destinations` or the annotation of its `Command`.
    """
    faults = [fault for edge in desk.edges for fault in _ways_round(graph, edge)]
    for edge in desk.edges:
        others = [way for way in _ways_out(graph, desk, edge.source) if way != edge.target]
        if edge.on_violation.repair and others:
            faults.append(
                f"{edge.name}: mending has {edge.source!r} run again, and with it all else that it leads to "
                f"({', '.join(map(repr, sorted(set(others))))}); use OnViolation(repair=0, ...) there, or lead on from "
                f"{edge.target!r}"
            )
    for one, other in combinations(desk.edges, 2):
        if one.target == other.target != END and (both := _before(graph, desk, one) & _before(graph, desk, other)):
            faults.append(
                f"{one.name} and {other.name} both follow on {', '.join(map(repr, sorted(both)))}, so {one.target!r} "
                f"would run twice, each time on half of its input; {JOIN}"
            )
    return faults


def _ways_round(graph: AnyGraph, edge: Edge) -> Iterator[str]:
    source, target = _named(edge.source), _named(edge.target)
    plain = (source, target) in graph.edges
    if plain or any(source in starts and end == target for starts, end in graph.waiting_edges):
        yield f"a plain edge leads from {edge.source!r} to {edge.target!r} past {edge.contract.id}; take it out"
    for name, branch in graph.branches.get(source, {}).items():
        if branch.ends is None:
            yield (
                f"conditional edge {name!r} may lead from {edge.source!r} to anywhere, past {edge.contract.id} too; "
                f"give it a path_map"
            )
        elif target in branch.ends.values():
            yield f"conditional edge {name!r} leads from {edge.source!r} to {edge.target!r} past {edge.contract.id}"
    if source in graph.nodes and target in (graph.nodes[source].ends or ()):
        yield f"node {edge.source!r} declares Command(goto={edge.target!r}), which goes past {edge.contract.id}"


def _ways_out(graph: AnyGraph, desk: Desk, source: str) -> list[str]:
    """Where a node leads without its contract nodes in between; a conditional edge that says nothing counts too."""
    named, nodes = _named(source), {e.node for e in desk.edges}
    plain = [end for start, end in graph.edges if start == named and end not in nodes]
    waiting = [end for starts, end in graph.waiting_edges if named in starts]
    chosen = [end for b in graph.branches.get(named, {}).values() for end in (b.ends or {"": "anywhere"}).values()]
    declared = list(graph.nodes[named].ends or ()) if named in graph.nodes else []
    return [*plain, *waiting, *chosen, *declared, *(e.target for e in desk.edges if e.source == source)]


def _before(graph: AnyGraph, desk: Desk, edge: Edge) -> set[str]:
    """The nodes behind which the source of an edge runs always."""
    nodes = {e.node for e in desk.edges}
    plain = {start for start, end in graph.edges if end == _named(edge.source) and start not in nodes}
    return {START if n == LG_START else n for n in plain} | {e.source for e in desk.edges if e.target == edge.source}


def _named(end: str) -> str:
    return {START: LG_START, END: LG_END}.get(end, end)
