"""Teams in a picture: each a frame with its own graph inside."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from edgewright.graphs._nodes import frame_of
from edgewright.graphs._paint import Shape, Words
from edgewright.graphs._picture import bodied
from edgewright.graphs.drawing import Drawing, DrawnEdge, DrawnNode, to_mermaid, to_png, to_svg
from support.nested import nested


def of_nodes(*nodes: DrawnNode) -> Drawing:
    edges = tuple(DrawnEdge(source=a.id, target=b.id) for a, b in pairwise(nodes))
    return Drawing(title="t", nodes=nodes, edges=edges)


INNER = of_nodes(DrawnNode(id="a", kind="agent", label="inner one"), DrawnNode(id="b", kind="agent", label="inner two"))
OUTER = of_nodes(
    DrawnNode(id="before", kind="agent", label="before"),
    DrawnNode(id="team", kind="agent", label="team", inside=INNER),
    DrawnNode(id="after", kind="agent", label="after"),
)


def test_what_is_inside_a_team_is_drawn_inside_its_frame() -> None:
    inner, outer = bodied(INNER), bodied(OUTER)
    [frame] = [g for g in outer.groups if g.hint == "team"]
    [box] = next(mark.paths for mark in frame.marks if isinstance(mark, Shape))
    xs, ys = [p[-1][0] for p in box], [p[-1][1] for p in box]
    assert max(xs) - min(xs) >= inner.width
    assert max(ys) - min(ys) >= inner.height
    for group in outer.groups:
        if group.hint.startswith("inner"):
            for mark in group.marks:
                points = (
                    [mark.at] if hasattr(mark, "at") else [q for path in mark.paths for piece in path for q in piece]
                )
                assert all(min(xs) < x < max(xs) and min(ys) < y < max(ys) for x, y in points)


def test_the_corner_of_an_inside_is_below_the_name_of_its_team() -> None:
    frame, (x, y) = frame_of(OUTER.nodes[1], (100.0, 100.0), (80.0, 120.0))
    named = [mark.at[1] for mark in frame.marks if isinstance(mark, Words)]
    assert x > 60
    assert y > max(named)


def test_a_system_three_deep_is_drawn_with_all_its_agents_in_every_form(tmp_path: Path) -> None:
    system = nested(tmp_path)
    drawing = system.draw()
    names = {"opener", "middle", "splitter", "east", "west", "east_reader", "west_settler", "joiner", "closer"}
    svg, mermaid = to_svg(drawing), to_mermaid(drawing)
    system.close()
    assert names <= set(re.findall(r">([a-z_]+)</text>", svg))
    assert len(re.findall(r"^ *subgraph ", mermaid, flags=re.M)) == 3
    assert len(re.findall(r"^ *end$", mermaid, flags=re.M)) == 3
    assert "Inside middle: " in svg
    assert to_png(drawing, scale=0.2).startswith(b"\x89PNG")
