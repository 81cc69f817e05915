"""Break a long, narrow flow into columns side by side, so that it can be read on a page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ._plan import Path, Point

_TALLEST, _CHANNEL, _BEND, _LEAD = 700.0, 56.0, 8.0, 18.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Some rows that stand together, how far they move, and where they then end."""

    rows: range
    shift: Point
    right: float
    bottom: float

    def moved(self, point: Point) -> Point:
        """Return where a point of these rows goes."""
        return point[0] + self.shift[0], point[1] + self.shift[1]

    def moved_path(self, path: Path) -> Path:
        """Return where a line of these rows goes."""
        return tuple(tuple(self.moved(point) for point in piece) for piece in path)


def columns_of(
    tops: Sequence[float],
    bottoms: Sequence[float],
    spans: Sequence[tuple[float, float]],
    breakable: Sequence[int],
) -> list[Column]:
    """Cut the rows into columns of much the same height, after rows that are `breakable` only."""
    height = bottoms[-1] - tops[0] if tops else 0.0
    wanted = math.ceil(height / _TALLEST) if height > 1.25 * _TALLEST else 1
    starts = [0]
    for n in range(1, wanted):
        aim = tops[0] + height * n / wanted
        near = min(breakable, key=lambda gap: abs(bottoms[gap] - aim), default=None)
        if near is not None and abs(bottoms[near] - aim) < _TALLEST / 3 and near + 1 > starts[-1]:
            starts.append(near + 1)
    columns, x = [], 0.0
    for start, stop in zip(starts, [*starts[1:], len(tops)], strict=True):
        left = min((span[0] for span in spans[start:stop]), default=0.0)
        right = max((span[1] for span in spans[start:stop]), default=0.0)
        column = Column(
            rows=range(start, stop),
            shift=(x - left, -tops[start] if tops else 0.0),
            right=x + right - left,
            bottom=bottoms[stop - 1] - tops[start] if tops else 0.0,
        )
        columns.append(column)
        x = column.right + _CHANNEL
    return columns


def across_columns(start: Point, column: Column, end: Point) -> Path:
    """Lead a line out below its column, up beside it, and into the head of the next."""
    low, high, x, b = column.bottom + _LEAD, -_LEAD, column.right + _CHANNEL / 2, _BEND
    return (
        (start,),
        ((start[0], low - b),),
        ((start[0], low), (start[0], low), (start[0] + b, low)),
        ((x - b, low),),
        ((x, low), (x, low), (x, low - b)),
        ((x, high + b),),
        ((x, high), (x, high), (x + b, high)),
        ((end[0] - b, high),),
        ((end[0], high), (end[0], high), (end[0], high + b)),
        (end,),
    )
