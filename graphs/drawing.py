"""Draw a LangGraph graph with no network and no system package.

`drawing_of` reads what the compiled graph says of itself (`compiled.get_graph()`); the rest is plain
values, so a drawing can be compared, kept, and drawn again byte for byte the same.

    drawing = drawing_of(compiled.get_graph(), title="Support desk")
    Path("support.svg").write_text(to_svg(drawing))
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from langchain_core.runnables.graph import Graph, Node

from ._paint import png_of, svg_of
from ._picture import composed
from ._text import cleaned

Kind = Literal["agent", "contract", "review", "plain", "start", "end"]

_MOST_PIXELS = 120_000_000
_MERMAID_SHAPES = {
    "agent": ("(", ")"),
    "contract": ("([", "])"),
    "review": ("{{", "}}"),
    "plain": ("[", "]"),
    "start": ("((", "))"),
    "end": ("(((", ")))"),
}
_MERMAID_STYLES = {
    "agent": "fill:#e9f0fe,stroke:#3f72d6,color:#1b2430",
    "contract": "fill:#e4f5ef,stroke:#1d8468,color:#1b2430",
    "review": "fill:#fff2d2,stroke:#bd8106,color:#1b2430",
    "plain": "fill:#f3f4f6,stroke:#87919d,color:#1b2430",
    "start": "fill:#1b2430,stroke:#1b2430,color:#ffffff",
    "end": "fill:#ffffff,stroke:#1b2430,color:#1b2430",
}


class DrawingInvalid(ValueError):
    """A drawing names a node twice, or an edge names a node that is not there."""

    def __init__(self, title: str, faults: tuple[str, ...]) -> None:
        super().__init__(title, faults)
        self.title, self.faults = title, faults

    def __str__(self) -> str:
        return f"drawing {self.title!r}: " + "; ".join(self.faults)


class PictureTooLarge(ValueError):
    """A picture would have more pixels than fit in memory comfortably, or none."""

    def __init__(self, width: float, height: float, scale: float) -> None:
        super().__init__(width, height, scale)
        self.width, self.height, self.scale = width, height, scale

    def __str__(self) -> str:
        return (
            f"a picture of {self.width:.0f} × {self.height:.0f} at scale {self.scale:g} "
            f"is not between 1 and {_MOST_PIXELS:,} pixels; choose another scale, or to_svg"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnNode:
    """One node: what it is, what is written on it, and a second, smaller line; for a team, what is `inside`."""

    id: str
    kind: Kind = "plain"
    label: str
    detail: str = ""
    inside: "Drawing | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnEdge:
    """One edge between two node ids."""

    source: str
    target: str
    label: str = ""
    conditional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A graph as plain values, ready to be drawn. `notes` are lines below the title: what bounds it."""

    title: str
    nodes: tuple[DrawnNode, ...]
    edges: tuple[DrawnEdge, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = Counter(node.id for node in self.nodes)
        faults = [f"node {name!r} is there {times} times" for name, times in known.items() if times > 1]
        faults += [
            f"edge {edge.source!r} -> {edge.target!r} names no node {end!r}"
            for edge in self.edges
            for end in dict.fromkeys((edge.source, edge.target))
            if end not in known
        ]
        if faults:
            raise DrawingInvalid(self.title, tuple(faults))


def drawing_of(
    graph: Graph, *, title: str, notes: tuple[str, ...] = (), inside: Mapping[str, Drawing] | None = None
) -> Drawing:
    """Read a graph's nodes and edges; a node says its kind in `metadata["edgewright"]`.

    Args:
        inside: drawings of the graphs that nodes have inside of them, by the name of the node.
    """
    nodes = tuple(replace(_node_of(node), inside=(inside or {}).get(node.name)) for node in graph.nodes.values())
    place = {node.id: i for i, node in enumerate(nodes)}
    names = {node.id: node.name for node in graph.nodes.values()}
    edges = [
        DrawnEdge(
            source=edge.source,
            target=edge.target,
            label="" if edge.data in (None, edge.target, names.get(edge.target)) else str(edge.data),
            conditional=edge.conditional,
        )
        for edge in graph.edges
    ]
    # LangGraph collects edges in sets: their order is not a promise, ours is.
    edges.sort(key=lambda e: (place.get(e.source, -1), place.get(e.target, -1), e.label, e.conditional))
    return Drawing(title=title, nodes=nodes, edges=tuple(dict.fromkeys(edges)), notes=notes)


def _node_of(node: Node) -> DrawnNode:
    if node.id in ("__start__", "__end__"):
        end = node.id.strip("_")
        return DrawnNode(id=node.id, kind="start" if end == "start" else "end", label=end)
    said = (node.metadata or {}).get("edgewright")
    facts = said if isinstance(said, dict) else {}
    inside = node.id.removesuffix(f":{node.name}")
    whereabouts = "" if inside == node.id else "in " + inside.replace(":", " › ")
    name = node.name.strip("_") if node.name in ("__start__", "__end__") else node.name
    return DrawnNode(
        id=node.id,
        kind=_kind(facts.get("kind")),
        label=str(facts.get("label") or name),
        detail=str(facts.get("detail") or whereabouts),
    )


def _kind(said: object) -> Kind:
    return next((kind for kind in get_args(Kind) if kind == said), "plain")


def to_mermaid(drawing: Drawing) -> str:
    """Write a Mermaid flowchart.

    Ids are n0, n1, … because a name may hold anything, and a class `end` would be read as a keyword.
    """
    title = cleaned(drawing.title).translate({ord("<"): "‹", ord(">"): "›"})  # Mermaid takes them for tags
    lines = ["---", f"title: {json.dumps(title, ensure_ascii=False)}", "---", "flowchart TD"]
    lines += [f"    %% {cleaned(note)}" for note in drawing.notes]
    lines += _mermaid_lines(drawing, prefix="n", indent="    ")
    used = {node.kind for node in _every(drawing) if node.inside is None}
    lines += [f"    classDef {kind}Node {style}" for kind, style in _MERMAID_STYLES.items() if kind in used]
    return "\n".join(lines) + "\n"


def _mermaid_lines(drawing: Drawing, *, prefix: str, indent: str) -> Iterator[str]:
    ids = {node.id: f"{prefix}{i}" for i, node in enumerate(drawing.nodes)}
    for node in drawing.nodes:
        left, right = _MERMAID_SHAPES[node.kind]
        text = _mermaid_text(node.label) or "(unnamed)"
        if cleaned(node.detail):
            text += f"<br/>{_mermaid_text(node.detail)}"
        if node.inside is not None:
            yield f'{indent}subgraph {ids[node.id]}["{text}"]'
            yield from _mermaid_lines(node.inside, prefix=f"{ids[node.id]}_", indent=indent + "    ")
            yield f"{indent}end"
        else:
            yield f'{indent}{ids[node.id]}{left}"{text}"{right}:::{node.kind}Node'
    for edge in drawing.edges:
        arrow = "-.->" if edge.conditional else "-->"
        label = f'|"{_mermaid_text(edge.label)}"|' if cleaned(edge.label) else ""
        yield f"{indent}{ids[edge.source]} {arrow}{label} {ids[edge.target]}"


def _every(drawing: Drawing) -> Iterator[DrawnNode]:
    """All nodes, those inside of others too."""
    for node in drawing.nodes:
        yield node
        if node.inside is not None:
            yield from _every(node.inside)


def _mermaid_text(text: str) -> str:
    """Write as character codes all that Mermaid, its Markdown or HTML would read as more than text."""
    return "".join(f"#{ord(char)};" if char in '#&;"<>`*_~[]{}()|\\' else char for char in cleaned(text))


def to_svg(drawing: Drawing) -> str:
    """Draw as one SVG that needs nothing else and follows the page's light or dark scheme."""
    return svg_of(composed(drawing))


def to_png(drawing: Drawing, *, scale: float = 2.0) -> bytes:
    """Draw the same picture as PNG, `scale` pixels to a unit, on a light page."""
    picture = composed(drawing)
    pixels = picture.width * scale * picture.height * scale
    if not (scale > 0 and math.isfinite(pixels) and 1 <= pixels <= _MOST_PIXELS):
        raise PictureTooLarge(picture.width, picture.height, scale)
    return png_of(picture, scale)
