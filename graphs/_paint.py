"""Two painters for one picture: SVG text, and PNG by Pillow.

The SVG names fonts of the same widths as the one that the layout was measured with, and then states
each text's length, so that a page with none of them still keeps the words inside their boxes.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import pairwise
from xml.sax.saxutils import escape

from PIL import Image, ImageDraw

from ._plan import Path, Point
from ._text import drawable, face, measured

PALETTE = {
    "page": ("#ffffff", "#11161d"),
    "ink": ("#1b2430", "#e8ecf1"),
    "muted": ("#586473", "#a3aebb"),
    "line": ("#66717e", "#8793a1"),
    "faint": ("#a9b2bc", "#566270"),
    "bus": ("#dcae49", "#94742c"),
    "agent": ("#e9f0fe", "#18273f"),
    "agent-edge": ("#3f72d6", "#7aa3f2"),
    "contract": ("#e4f5ef", "#122b23"),
    "contract-edge": ("#1d8468", "#4fc4a2"),
    "review": ("#fff2d2", "#35290d"),
    "review-edge": ("#bd8106", "#e6b450"),
    "plain": ("#f3f4f6", "#1e2630"),
    "plain-edge": ("#87919d", "#717d8a"),
}
"""Each colour on a light page and on a dark one."""

_FAMILY = "'DejaVu Sans',Verdana,'Bitstream Vera Sans',Geneva,sans-serif"
_DASH = (3.5, 4.5)
_FINE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Closed outlines when there is a fill, a line otherwise; colours are names in the palette."""

    paths: tuple[Path, ...]
    fill: str | None = None
    stroke: str | None = None
    width: float = 1.5
    dashed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One line of text, its baseline at `at`."""

    at: Point
    text: str
    size: float
    ink: str = "ink"
    centred: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Marks that belong together; `hint` is the full text behind a shortened one."""

    marks: tuple[Shape | Words, ...]
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """All marks in drawing order, back to front."""

    width: float
    height: float
    title: str
    described: str
    groups: tuple[Group, ...]


def moved(group: Group, by: Point) -> Group:
    """The same marks, somewhere else."""

    def to(point: Point) -> Point:
        return (point[0] + by[0], point[1] + by[1])

    marks = tuple(
        replace(mark, at=to(mark.at))
        if isinstance(mark, Words)
        else replace(mark, paths=tuple(tuple(tuple(map(to, piece)) for piece in path) for path in mark.paths))
        for mark in group.marks
    )
    return replace(group, marks=marks)


def svg_of(picture: Picture) -> str:
    """Write the picture as one SVG element with its own styles, for both colour schemes."""
    rules = [
        "".join(
            f".ew-drawing .{letter}-{name}{{{what}:{colours[scheme]}}}"
            for name, colours in PALETTE.items()
            for letter, what in (("f", "fill"), ("s", "stroke"))
        )
        for scheme in (0, 1)
    ]
    width, height = math.ceil(picture.width), math.ceil(picture.height)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ew-drawing" role="img" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" font-family="{_FAMILY}">',
        f"<title>{escape(picture.title)}</title>",
        f"<desc>{escape(picture.described)}</desc>",
        f"<style>{rules[0]}@media (prefers-color-scheme:dark){{{rules[1]}}}</style>",
        f'<rect class="f-page" width="{width}" height="{height}" rx="10"/>',
    ]
    for group in picture.groups:
        hint = f"<title>{escape(group.hint)}</title>" if group.hint else ""
        lines.append(f"<g>{hint}{''.join(_svg_mark(mark) for mark in group.marks)}</g>")
    return "\n".join([*lines, "</svg>"]) + "\n"


def _svg_mark(mark: Shape | Words) -> str:
    if isinstance(mark, Words):
        anchor = ' text-anchor="middle"' if mark.centred else ""
        length = _number(measured(mark.text, mark.size))
        return (
            f'<text class="f-{mark.ink}" x="{_number(mark.at[0])}" y="{_number(mark.at[1])}"{anchor} '
            f'font-size="{_number(mark.size)}" textLength="{length}" lengthAdjust="spacingAndGlyphs">'
            f"{escape(mark.text)}</text>"
        )
    data = "".join(_svg_path(path) + ("Z" if mark.fill else "") for path in mark.paths)
    names = [f"f-{mark.fill}"] if mark.fill else []
    paint = "" if mark.fill else ' fill="none"'
    if mark.stroke:
        names.append(f"s-{mark.stroke}")
        paint += f' stroke-width="{_number(mark.width)}" stroke-linecap="round" stroke-linejoin="round"'
    if mark.dashed:
        paint += f' stroke-dasharray="{_DASH[0]} {_DASH[1]}"'
    return f'<path class="{" ".join(names)}"{paint} d="{data}"/>'


def _svg_path(path: Path) -> str:
    return "".join(
        ("M" if i == 0 else "L" if len(piece) == 1 else "C") + " ".join(f"{_number(x)},{_number(y)}" for x, y in piece)
        for i, piece in enumerate(path)
    )


def _number(value: float) -> str:
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def png_of(picture: Picture, scale: float) -> bytes:
    """Paint the picture on a light page."""
    size = (math.ceil(picture.width * scale), math.ceil(picture.height * scale))
    image = Image.new("RGB", size, PALETTE["page"][0])
    draw = ImageDraw.Draw(image)
    for mark in (mark for group in picture.groups for mark in group.marks):
        if isinstance(mark, Words):
            at = (mark.at[0] * scale, mark.at[1] * scale)
            font = face(max(1.0, mark.size * scale))
            anchor = "ms" if mark.centred else "ls"
            draw.text(at, drawable(mark.text), fill=PALETTE[mark.ink][0], font=font, anchor=anchor)
            continue
        outlines = [_flat(path, scale, closed=mark.fill is not None) for path in mark.paths]
        if mark.fill:
            for outline in outlines:
                _stamp(image, [outline], 0.0, PALETTE[mark.fill][0])
        if mark.stroke:
            for outline in outlines:
                for part in _dashes(outline, scale) if mark.dashed else _parts(outline):
                    _stamp(image, list(pairwise(part)), mark.width * scale, PALETTE[mark.stroke][0])
    out = BytesIO()
    image.save(out, format="PNG", optimize=True)
    return out.getvalue()


def _flat(path: Path, scale: float, *, closed: bool) -> list[Point]:
    points = [path[0][0]]
    for piece in path[1:]:
        if len(piece) == 1:
            points.append(piece[0])
            continue
        (ax, ay), ((bx, by), (cx, cy), (dx, dy)) = points[-1], piece
        length = math.dist((ax, ay), (bx, by)) + math.dist((bx, by), (cx, cy)) + math.dist((cx, cy), (dx, dy))
        steps = max(8, math.ceil(length * scale / 8))
        for step in range(1, steps + 1):
            t = step / steps
            s = 1 - t
            a, b, c, d = s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t
            points.append((a * ax + b * bx + c * cx + d * dx, a * ay + b * by + c * cy + d * dy))
    if closed:
        points.append(points[0])
    return [(x * scale, y * scale) for x, y in points]


def _parts(outline: list[Point]) -> Iterator[list[Point]]:
    """Cut a long line up, so that each stamp is small."""
    for start in range(0, len(outline) - 1, 5):
        yield outline[start : start + 6]


def _dashes(outline: list[Point], scale: float) -> Iterator[list[Point]]:
    on, left = True, _DASH[0] * scale
    dash = [outline[0]]
    for (ax, ay), (bx, by) in pairwise(outline):
        length, done = math.hypot(bx - ax, by - ay), 0.0
        while length - done > left:
            done += left
            at = (ax + (bx - ax) * done / length, ay + (by - ay) * done / length)
            if on:
                yield [*dash, at]
            on, left, dash = not on, _DASH[1 if on else 0] * scale, [at]
        left -= length - done
        dash.append((bx, by))
    if on and len(dash) > 1:
        yield dash


def _stamp(image: Image.Image, lines: Sequence[Sequence[Point]], width: float, colour: str) -> None:
    """Draw on a finer mask and lay it on the picture: Pillow's own lines have no soft edge.

    With a width each pair of points is a line with round ends; without, each item is filled.
    """
    points = [point for line in lines for point in line]
    if not points:
        return
    left, top = (math.floor(min(p[axis] for p in points) - width) - 1 for axis in (0, 1))
    right, bottom = (math.ceil(max(p[axis] for p in points) + width) + 1 for axis in (0, 1))
    mask = Image.new("L", ((right - left) * _FINE, (bottom - top) * _FINE))
    draw = ImageDraw.Draw(mask)
    half = width / 2 * _FINE
    for line in lines:
        fine = [((x - left) * _FINE, (y - top) * _FINE) for x, y in line]
        if not width:
            draw.polygon(fine, fill=255)
            continue
        (ax, ay), (bx, by) = fine
        length = math.hypot(bx - ax, by - ay) or 1.0
        ox, oy = -(by - ay) / length * half, (bx - ax) / length * half
        sides = [(ax + ox, ay + oy), (bx + ox, by + oy), (bx - ox, by - oy), (ax - ox, ay - oy)]
        draw.polygon(sides, fill=255)
        for x, y in fine:
            draw.ellipse((x - half, y - half, x + half, y + half), fill=255)
    image.paste(colour, (left, top), mask.reduce(_FINE))
