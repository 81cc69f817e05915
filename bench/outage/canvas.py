"""A page to paint on: lines, boxes and words in units of a page a thousand wide, with soft edges."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from itertools import pairwise
from typing import Literal

from edgewright.graphs._text import face, measured
from PIL import Image, ImageDraw

WIDTH = 1000
_SCALE, _FINE = 2, 2
Point = tuple[float, float]
Anchor = Literal["left", "middle", "right"]
_ANCHORS = {"left": "ls", "middle": "ms", "right": "rs"}


class Canvas:
    """A white page of that height."""

    def __init__(self, height: int) -> None:
        self._by = _SCALE * _FINE
        self._image = Image.new("RGB", (WIDTH * self._by, height * self._by), "#ffffff")
        self._draw = ImageDraw.Draw(self._image)

    def line(self, points: Sequence[Point], colour: str, width: float, *, dashed: bool = False) -> None:
        """A line through points."""
        if dashed:
            for part in _dashes(points):
                self.line(part, colour, width)
            return
        scaled = [(x * self._by, y * self._by) for x, y in points]
        self._draw.line(scaled, fill=colour, width=max(1, round(width * self._by)), joint="curve")

    def box(self, left: float, top: float, right: float, bottom: float, colour: str) -> None:
        """A filled box."""
        self._draw.rectangle([v * self._by for v in (left, top, right, bottom)], fill=colour)

    def dot(self, at: Point, radius: float, colour: str) -> None:
        """A filled circle."""
        (x, y), r = at, radius
        self._draw.ellipse([v * self._by for v in (x - r, y - r, x + r, y + r)], fill=colour)

    def words(self, at: Point, text: str, size: float, colour: str, anchor: Anchor = "left") -> None:
        """One line of text, its baseline at a point."""
        place = (at[0] * self._by, at[1] * self._by)
        self._draw.text(place, text, fill=colour, font=face(size * self._by), anchor=_ANCHORS[anchor])

    def png(self) -> bytes:
        """The page as a picture, two pixels for each unit."""
        out = BytesIO()
        self._image.reduce(_FINE).quantize(255).save(out, format="PNG", optimize=True)
        return out.getvalue()


def width_of(text: str, size: float) -> float:
    """How wide a text is."""
    return float(measured(text, size))


def _dashes(points: Sequence[Point], on: float = 5, off: float = 4) -> list[list[Point]]:
    """The dashes of a line, each of which may go round corners."""
    found: list[list[Point]] = [[points[0]]]
    drawing, left = True, on
    for a, b in pairwise(points):
        length = ((b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2) ** 0.5
        done = 0.0
        while length - done > left:
            done += left
            at = (a[0] + (b[0] - a[0]) * done / length, a[1] + (b[1] - a[1]) * done / length)
            if drawing:
                found[-1].append(at)
            else:
                found.append([at])
            drawing = not drawing
            left = on if drawing else off
        left -= length - done
        if drawing:
            found[-1].append(b)
    return [dash for dash in found if len(dash) > 1]
