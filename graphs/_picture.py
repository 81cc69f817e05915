"""From a drawing to a picture: the shape of each kind, the arrows, the title and the legend."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ._layout import Box, reached
from ._nodes import SMALL, frame_of, framed, hexagon, node_of, polygon, rounded, sizes_of, ticket
from ._paint import Group, Picture, Shape, Words, moved
from ._plan import Link, Path, Plan, Point, Wire
from ._routes import plan
from ._text import cleaned, fitted, measured

if TYPE_CHECKING:
    from .drawing import Drawing, DrawnEdge

_TITLE, _MARGIN = 18.0, 28.0
_PAGE = (1200.0, 900.0)
_LEGEND = {
    "agent": "agent",
    "contract": "contract: checks what crosses",
    "review": "review by a person",
    "plain": "step",
    "team": "team, with what is inside",
    "line": "always",
    "dash": "on a condition",
    "bus": "to and from review",
    "faint": "going back",
}


def composed(drawing: "Drawing") -> Picture:
    """Compose the picture, flowing down or to the right: whichever fits a page better."""
    body = bodied(drawing)
    title = fitted(cleaned(drawing.title), _TITLE, _PAGE[0], 1)
    wide = max(body.width, *(measured(line, _TITLE) for line in title), 420.0)
    notes = [line for note in drawing.notes for line in fitted(cleaned(note), SMALL, wide, 3)]
    head = (44.0 if title else 0.0) + (16.0 * len(notes) + 8.0 if notes else 0.0)
    groups = [Group(marks=tuple(
        Words(at=(_MARGIN, _MARGIN + 14), text=line, size=_TITLE, centred=False) for line in title
    ))]  # fmt: skip
    groups.append(Group(marks=tuple(
        Words(at=(_MARGIN, _MARGIN + 36 + 16 * i), text=line, size=SMALL, ink="muted", centred=False)
        for i, line in enumerate(notes)
    )))  # fmt: skip
    top = _MARGIN + head
    groups += [moved(group, (_MARGIN + (wide - body.width) / 2, top)) for group in body.groups]
    legend, foot = _legend(_explained(body.uses), (_MARGIN, top + body.height + 30), wide)
    groups += legend
    return Picture(
        width=wide + 2 * _MARGIN,
        height=foot + _MARGIN,
        title=cleaned(drawing.title) or "graph",
        described=_described(drawing),
        groups=tuple(group for group in groups if group.marks),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A drawing without title and legend: how large it is, what there is to paint, and what a legend explains of it."""

    width: float
    height: float
    groups: tuple[Group, ...]
    uses: frozenset[str]


def bodied(drawing: "Drawing") -> Body:
    """Compose what is between title and legend, with the bodies of teams inside of their nodes."""
    insides = {node.id: bodied(node.inside) for node in drawing.nodes if node.inside is not None}
    sizes = [
        framed(node, (found.width, found.height)) if (found := insides.get(node.id)) else size
        for node, size in zip(drawing.nodes, sizes_of(drawing), strict=True)
    ]
    edges = _merged(drawing)
    down, across = (_plan(drawing, edges, sizes, sideways=sideways) for sideways in (False, True))
    sideways = _shrink(across) < 0.8 * _shrink(down)
    made = across if sideways else down
    conditional = [edge.conditional for edge in edges]
    hubs = {drawing.nodes[i].id for i in _hubs(drawing, edges)}
    to_hub = [not hubs.isdisjoint((edge.source, edge.target)) for edge in edges]
    groups = []
    for wire in sorted(made.wires, key=lambda w: not w.faint):
        ink = "line"
        if any(to_hub[n] for n in wire.links):
            ink = "bus"
        elif wire.faint:
            ink = "faint"
        groups.append(_wire(wire, ink, dashed=all(conditional[n] for n in wire.links)))
    for at, of in made.labels:
        groups.append(_label(" / ".join(dict.fromkeys(_said(edges[n]) for n in of)), at))
    for node, at, (size, _) in zip(drawing.nodes, made.centres, sizes, strict=True):
        if (inside := insides.get(node.id)) is None:
            groups.append(node_of(node, at, size, sideways=sideways))
        else:
            frame, corner = frame_of(node, at, size)
            groups += [frame, *(moved(group, corner) for group in inside.groups)]
    turned = any(wire.faint and not any(to_hub[n] for n in wire.links) for wire in made.wires)
    uses: set[str] = {str(node.kind) for node in drawing.nodes if node.inside is None}
    uses |= {"line" if not found else "dash" for found in conditional} | {"team" for _ in insides}
    uses |= {what for what, there in (("bus", hubs), ("faint", turned)) if there}
    return Body(
        width=made.width,
        height=made.height,
        groups=tuple(groups),
        uses=frozenset(uses).union(*(inside.uses for inside in insides.values())),
    )


def _merged(drawing: "Drawing") -> "list[DrawnEdge]":
    """Make one line of parallel edges, with all their labels."""
    found: dict[tuple[str, str], list[DrawnEdge]] = {}
    for edge in drawing.edges:
        found.setdefault((edge.source, edge.target), []).append(edge)
    return [
        replace(
            edges[0],
            label=" / ".join(dict.fromkeys(edge.label for edge in edges if edge.label)),
            conditional=all(edge.conditional for edge in edges),
        )
        for edges in found.values()
    ]


def _plan(drawing: "Drawing", edges: "list[DrawnEdge]", sizes: list[tuple[Point, float]], *, sideways: bool) -> Plan:
    places = {node.id: i for i, node in enumerate(drawing.nodes)}
    boxes, links = [], []
    loops = {e.source: _label_size(e) for e in edges if e.source == e.target}
    for node, (size, reach) in zip(drawing.nodes, sizes, strict=True):
        if sideways:
            size, reach = (size[1], size[0]), 0.0 if node.kind == "review" else min(reach, size[1] / 2 - 10)
        spare = 0.0
        if node.id in loops:
            spare = 32.0 + (loops[node.id] or (0.0, 0.0))[1 if sideways else 0]
        boxes.append(Box(across=size[0], along=size[1], reach=max(0.0, reach), spare=spare))
    for edge in edges:
        label = _label_size(edge)
        links.append(Link(source=places[edge.source], target=places[edge.target],
                          label=(label[1], label[0]) if label and sideways else label))  # fmt: skip
    return plan(boxes, links, _hubs(drawing, edges), sideways=sideways)


def _hubs(drawing: "Drawing", edges: "list[DrawnEdge]") -> list[int]:
    """Find the review nodes to stand beside the graph: without them every other node is still reached."""
    ids = [node.id for node in drawing.nodes]
    entered = {edge.target for edge in edges if edge.source != edge.target}
    roots = [name for name in ids if name not in entered] or ids[:1]

    def reach(without: set[str]) -> set[str]:
        out: dict[str, list[str]] = {name: [] for name in ids}
        for edge in edges:
            if without.isdisjoint((edge.source, edge.target)):
                out[edge.source].append(edge.target)
        return {name for root in roots for name in reached(root, out)} - without

    everything, aside = reach(set()), set[str]()
    hubs = []
    for i, node in enumerate(drawing.nodes):
        if node.kind != "review":
            continue
        apart = {*aside, node.id}
        touching = [edge for edge in edges if node.id in (edge.source, edge.target)]
        beside = {end for edge in touching for end in (edge.source, edge.target)} - apart
        if len(beside) > 1 and reach(apart) == everything - apart:
            aside = apart
            hubs.append(i)
    return hubs


def _shrink(made: Plan) -> float:
    """How much smaller than its natural size the picture must be to fit a page."""
    return max(1.0, made.width / _PAGE[0], made.height / _PAGE[1])


def _said(edge: "DrawnEdge") -> str:
    text = cleaned(edge.label)
    return fitted(text, SMALL, 130.0, 1)[0] if text else ""


def _label_size(edge: "DrawnEdge") -> Point | None:
    text = _said(edge)
    return (measured(text, SMALL) + 8, 16.0) if text else None


def _wire(wire: Wire, ink: str, *, dashed: bool) -> Group:
    path = wire.path
    heads = []
    if wire.head:
        path, head = _pointed(path)
        heads.append(head)
    if wire.tail:
        towards = path[1][0]
        (x, y), length = path[0][0], math.dist(path[0][0], towards) or 1.0
        unit = ((x - towards[0]) / length, (y - towards[1]) / length)
        heads.append(_arrow((x, y), unit))
        path = (((x - unit[0] * 6, y - unit[1] * 6),), *path[1:])
    width = 1.2 if ink in ("faint", "bus") else 1.5
    marks = [Shape(paths=(path,), stroke=ink, width=width, dashed=dashed)]
    if heads:
        marks.append(Shape(paths=tuple(heads), fill=ink, stroke=ink, width=0.8))
    return Group(marks=tuple(marks))


def _pointed(path: Path) -> tuple[Path, Path]:
    """Shorten the path by an arrow head; return both."""
    end = path[-1][-1]
    before = path[-1][-2] if len(path[-1]) == 3 else path[-2][-1]
    length = math.dist(before, end) or 1.0
    unit = ((end[0] - before[0]) / length, (end[1] - before[1]) / length)
    short = (end[0] - unit[0] * 6, end[1] - unit[1] * 6)
    return (*path[:-1], (*path[-1][:-1], short)), _arrow(end, unit)


def _arrow(tip: Point, unit: Point) -> Path:
    (x, y), (ux, uy) = tip, unit
    tip = (x - ux * 1.5, y - uy * 1.5)
    base = (x - ux * 8.5, y - uy * 8.5)
    return polygon(tip, (base[0] - uy * 3.6, base[1] + ux * 3.6), (base[0] + uy * 3.6, base[1] - ux * 3.6))


def _label(text: str, at: Point) -> Group:
    wide = measured(text, SMALL)
    back = rounded((at[0] - wide / 2 - 3, at[1] - 7.5), wide + 6, 15, 4)
    words = Words(at=(at[0], at[1] + 3.8), text=text, size=SMALL, ink="muted")
    return Group(marks=(Shape(paths=(back,), fill="page"), words))


def _explained(uses: frozenset[str]) -> list[tuple[str, str]]:
    """List the shapes and lines that a picture has, each with what it means."""
    return [(kind, text) for kind, text in _LEGEND.items() if kind in uses]


def _legend(items: list[tuple[str, str]], corner: Point, width: float) -> tuple[list[Group], float]:
    """Draw the legend, in as many lines as it needs; return where it ends."""
    groups, (x, y) = [], corner
    for kind, text in items:
        wide = 34 + measured(text, SMALL)
        if x > corner[0] and x + wide > corner[0] + width:
            x, y = corner[0], y + 22
        shapes = {
            "agent": rounded((x + 1, y - 7), 24, 14, 5),
            "contract": ticket((x + 13, y), 24, 14, sideways=False),
            "review": hexagon((x + 13, y), 24, 14),
            "plain": rounded((x + 1, y - 7), 24, 14, 2),
            "team": rounded((x + 1, y - 7), 24, 14, 5),
        }
        sample: list[Shape | Words] = []
        if kind in shapes:
            fill, stroke = ("page", "agent-edge") if kind == "team" else (kind, f"{kind}-edge")
            sample.append(Shape(paths=(shapes[kind],), fill=fill, stroke=stroke))
        else:
            path, head = _pointed((((x, y),), ((x + 26, y),)))
            ink = "line" if kind == "dash" else kind
            sample.append(Shape(paths=(path,), stroke=ink, dashed=kind != "line"))
            sample.append(Shape(paths=(head,), fill=ink))
        sample.append(Words(at=(x + 33, y + 3.8), text=text, size=SMALL, ink="muted", centred=False))
        groups.append(Group(marks=tuple(sample)))
        x += wide + 22
    return groups, y + 8 if items else corner[1] - 30


def _described(drawing: "Drawing") -> str:
    names = {node.id: cleaned(node.label) for node in drawing.nodes}
    steps = [
        f"{names[e.source]} to {names[e.target]}"
        + (f" ({cleaned(e.label) or 'conditional'})" if e.conditional or e.label else "")
        for e in drawing.edges
    ]
    inside = [f" Inside {names[n.id]}: {_described(n.inside)}" for n in drawing.nodes if n.inside is not None]
    return f"{len(names)} nodes, {len(steps)} edges. " + "; ".join(steps) + "".join(inside)
