"""The values of a planned picture, and the little geometry that they need."""

from dataclasses import dataclass

Point = tuple[float, float]
Path = tuple[tuple[Point, ...], ...]
"""A start, then pieces: one point is a straight line there, three are a Bézier curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An edge between two boxes, by position; `label` is the size of its label, across and along."""

    source: int
    target: int
    label: Point | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One line to draw for one link, or for several that share a lane."""

    path: Path
    links: tuple[int, ...]
    faint: bool = False
    tail: bool = False
    head: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where everything goes. `labels` has one place per link or lane: its middle and its links."""

    width: float
    height: float
    centres: list[Point]
    wires: list[Wire]
    labels: list[tuple[Point, tuple[int, ...]]]


def turned(path: list[tuple[Point, ...]]) -> Path:
    """Return the same line, drawn from its end."""
    out: list[tuple[Point, ...]] = [(path[-1][-1],)]
    for before, piece in zip(path[-2::-1], path[:0:-1], strict=True):
        out.append((*piece[-2::-1], before[-1]))
    return tuple(out)


def point_on(curve: tuple[Point, ...], t: float) -> Point:
    """Return a point of a Bézier curve, `t` of the way along."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = curve
    s = 1 - t
    a, b, c, d = s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t
    return a * ax + b * bx + c * cx + d * dx, a * ay + b * by + c * cy + d * dy


def inside(point: Point, middle: Point, size: Point) -> bool:
    """Say whether a point lies in a rectangle, or within a hair of it."""
    return abs(point[0] - middle[0]) < size[0] / 2 + 2 and abs(point[1] - middle[1]) < size[1] / 2 + 2


def overlapping(middle: Point, size: Point, other: Point, room: Point) -> bool:
    """Say whether two rectangles, each by its middle and size, touch or nearly do."""
    return (
        abs(middle[0] - other[0]) < (size[0] + room[0]) / 2 + 2
        and abs(middle[1] - other[1]) < (size[1] + room[1]) / 2 + 2
    )
