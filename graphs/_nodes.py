"""The nodes of a picture: what is written on each, how large that makes it, and its shape."""

from typing import TYPE_CHECKING

from ._paint import Group, Shape, Words
from ._plan import Path, Point
from ._text import cleaned, fitted, measured

if TYPE_CHECKING:
    from .drawing import Drawing, DrawnNode

NAME, DETAIL, SMALL = 13.5, 11.0, 10.5
"""The sizes of text: a name, the line below it, and everything around."""

_WIDEST = 250.0


def lines_of(node: "DrawnNode") -> tuple[list[str], list[str]]:
    """Return the lines of its name, and of the detail below it."""
    names = fitted(cleaned(node.label) or "(unnamed)", NAME, _WIDEST, 2)
    detail = cleaned(node.detail)
    return names, fitted(detail, DETAIL, _WIDEST, 1) if detail else []


def sizes_of(drawing: "Drawing") -> list[tuple[Point, float]]:
    """Return how wide and high each node is, and how far from its middle an edge may touch it.

    Nodes of one kind are made equally wide, as far as that costs little: it reads as a system.
    """
    sizes = [_size(node) for node in drawing.nodes]
    least: dict[str, float] = {}
    for node, (wide, _) in zip(drawing.nodes, sizes, strict=True):
        least[node.kind] = min(wide, least.get(node.kind, wide))
    common: dict[str, float] = {}
    for node, (wide, _) in zip(drawing.nodes, sizes, strict=True):
        if wide <= 1.4 * least[node.kind]:
            common[node.kind] = max(wide, common.get(node.kind, wide))
    reach = {"start": 23.0, "end": 23.0, "review": 25.0}
    widths = [max(wide, common[node.kind]) for node, (wide, _) in zip(drawing.nodes, sizes, strict=True)]
    return [
        ((wide, high), max(0.0, wide / 2 - reach.get(node.kind, 12.0)))
        for node, wide, (_, high) in zip(drawing.nodes, widths, sizes, strict=True)
    ]


def _size(node: "DrawnNode") -> Point:
    if node.kind in ("start", "end"):
        return (46.0, 46.0)
    names, detail = lines_of(node)
    text = max([measured(t, NAME) for t in names] + [measured(t, DETAIL) for t in detail])
    high = 17.0 * len(names) + 14.0 * len(detail)
    if node.kind == "contract":
        return (text + 36, high + 13)
    if node.kind == "review":
        return (text + 66, max(44.0, high + 20))
    return (max(text + 30, 90.0), high + 22)


def node_of(node: "DrawnNode", at: Point, size: Point, *, sideways: bool) -> Group:
    """Draw one node with its middle at `at`."""
    (wide, high), (x, y) = size, at
    hint = " — ".join(part for part in (cleaned(node.label), cleaned(node.detail)) if part)
    if node.kind in ("start", "end"):
        fill, ink = ("ink", "page") if node.kind == "start" else ("page", "ink")
        rings = [Shape(paths=(circle(at, 21),), fill=fill, stroke="ink")]
        if node.kind == "end":
            rings.append(Shape(paths=(circle(at, 17.5),), fill=fill, stroke="ink", width=1))
        word = Words(at=(x, y + 3.8), text=node.kind, size=SMALL, ink=ink)
        return Group(marks=(*rings, word), hint=hint)
    marks: list[Shape | Words] = []
    middle = x
    if node.kind == "contract":
        outline = ticket(at, wide, high, sideways=sideways)
    elif node.kind == "review":
        outline = hexagon(at, wide, high)
        middle = x + 10
    else:
        outline = rounded((x - wide / 2, y - high / 2), wide, high, 10 if node.kind == "agent" else 4)
    marks.append(Shape(paths=(outline,), fill=node.kind, stroke=f"{node.kind}-edge"))
    if node.kind == "review":
        marks += _person((x - wide / 2 + 25, y), "review-edge")
    names, detail = lines_of(node)
    baseline = y - (17.0 * len(names) + 14.0 * len(detail)) / 2 + 13
    for text in names:
        marks.append(Words(at=(middle, baseline), text=text, size=NAME))
        baseline += 17
    for text in detail:
        marks.append(Words(at=(middle, baseline - 2), text=text, size=DETAIL, ink="muted"))
    return Group(marks=tuple(marks), hint=hint)


_PAD, _HEAD = 16.0, 42.0
"""Around what is inside of a team: the room on all sides, and that for the name above."""


def framed(node: "DrawnNode", inside: Point) -> tuple[Point, float]:
    """Return how wide and high a team is around its inside, and how far from its middle an edge may touch it."""
    wide = max(inside[0] + 2 * _PAD, _size(node)[0])
    return (wide, inside[1] + _HEAD + _PAD), wide / 2 - 30


def frame_of(node: "DrawnNode", at: Point, size: Point) -> tuple[Group, Point]:
    """Draw the frame of a team, and return the corner where its inside begins."""
    (wide, high), left, top = size, at[0] - size[0] / 2, at[1] - size[1] / 2
    names, detail = lines_of(node)
    marks: list[Shape | Words] = [
        Shape(paths=(rounded((left, top), wide, high, 12),), fill="page", stroke="agent-edge"),
        Words(at=(left + _PAD, top + 20), text=" ".join(names), size=NAME, centred=False),
    ]
    marks += [Words(at=(left + _PAD, top + 34), text=t, size=DETAIL, ink="muted", centred=False) for t in detail]
    hint = " — ".join(part for part in (cleaned(node.label), cleaned(node.detail)) if part)
    return Group(marks=tuple(marks), hint=hint), (left + _PAD, top + _HEAD)


def _person(at: Point, ink: str) -> list[Shape | Words]:
    x, y = at
    body: Path = (
        ((x - 7, y + 8),),
        ((x - 7, y + 1.5), (x - 4, y + 0.5), (x, y + 0.5)),
        ((x + 4, y + 0.5), (x + 7, y + 1.5), (x + 7, y + 8)),
    )
    return [Shape(paths=(circle((x, y - 4.5), 3.8), body), fill=ink)]


def polygon(*points: Point) -> Path:
    """Straight sides through the points."""
    return tuple((point,) for point in points)


def hexagon(at: Point, wide: float, high: float) -> Path:
    """A hexagon that points to both sides."""
    (x, y), w, h, nose = at, wide / 2, high / 2, min(15.0, wide / 5)
    return polygon(
        (x - w, y), (x - w + nose, y - h), (x + w - nose, y - h),
        (x + w, y), (x + w - nose, y + h), (x - w + nose, y + h),
    )  # fmt: skip


def rounded(corner: Point, wide: float, high: float, radius: float) -> Path:
    """A rectangle with round corners."""
    (x, y), r, k = corner, radius, radius * 0.45
    right, bottom = x + wide, y + high
    return (
        ((x + r, y),),
        ((right - r, y),),
        ((right - k, y), (right, y + k), (right, y + r)),
        ((right, bottom - r),),
        ((right, bottom - k), (right - k, bottom), (right - r, bottom)),
        ((x + r, bottom),),
        ((x + k, bottom), (x, bottom - k), (x, bottom - r)),
        ((x, y + r),),
        ((x, y + k), (x + k, y), (x + r, y)),
    )


def circle(at: Point, radius: float) -> Path:
    """A circle, near enough, of four curves."""
    return rounded((at[0] - radius, at[1] - radius), 2 * radius, 2 * radius, radius)


def ticket(at: Point, wide: float, high: float, *, sideways: bool) -> Path:
    """An admission ticket: a rectangle with a bite out of the two sides that the flow does not pass."""
    (x, y), bite = at, min(6.0, high / 4)
    left, right, top, bottom, k = x - wide / 2, x + wide / 2, y - high / 2, y + high / 2, bite * 1.33
    if sideways:
        return (
            ((left, top),), ((x - bite, top),), ((x - bite, top + k), (x + bite, top + k), (x + bite, top)),
            ((right, top),), ((right, bottom),), ((x + bite, bottom),),
            ((x + bite, bottom - k), (x - bite, bottom - k), (x - bite, bottom)), ((left, bottom),),
        )  # fmt: skip
    return (
        ((left, top),), ((right, top),), ((right, y - bite),),
        ((right - k, y - bite), (right - k, y + bite), (right, y + bite)), ((right, bottom),),
        ((left, bottom),), ((left, y + bite),),
        ((left + k, y + bite), (left + k, y - bite), (left, y - bite)),
    )  # fmt: skip
