"""From rows to a plan: where boxes stand along the flow, how edges run, where their labels lie.

Edges bend only in the gaps between rows, so no edge runs through a box. A *hub* (a review node that
half the graph goes to and comes back from) is not ranked at all: it stands beside the graph, and
its edges share one lane per row and one bus, because seven pairs of crossing curves say less.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product

from ._fold import across_columns, columns_of
from ._layout import Box, Rows, lay_out, settle
from ._plan import Link, Path, Plan, Point, Wire, inside, overlapping, point_on, turned

_GAP, _LANE, _BEND, _PORT, _LOOP = 30.0, 18.0, 8.0, 16.0, 30.0


def plan(boxes: Sequence[Box], links: Sequence[Link], hubs: Sequence[int], *, sideways: bool) -> Plan:
    """Plan the picture, flowing down the page or, `sideways`, to the right.

    Box and label sizes are given across and along the flow, so already turned for `sideways`.
    """
    made = _Planner(boxes, links, hubs, sideways=sideways).plan()
    if not sideways:
        return made
    flip = [replace(wire, path=tuple(tuple((y, x) for x, y in piece) for piece in wire.path)) for wire in made.wires]
    return Plan(
        width=made.height,
        height=made.width,
        centres=[(y, x) for x, y in made.centres],
        wires=flip,
        labels=[((y, x), of) for (x, y), of in made.labels],
    )


class _Planner:
    def __init__(self, boxes: Sequence[Box], links: Sequence[Link], hubs: Sequence[int], *, sideways: bool) -> None:
        self.boxes, self.links, self.hubs = boxes, links, hubs
        self.foldable, room = not (sideways or hubs), 18.0 if sideways else 30.0
        placed = [v for v in range(len(boxes)) if v not in set(hubs)]
        self.rows: Rows = lay_out(boxes, [(link.source, link.target) for link in links], placed, room=room)
        self.rank = {v: i for i, row in enumerate(self.rows.rows) for v in row}
        self.centres: list[Point] = [(0.0, 0.0)] * len(boxes)
        self.wires: list[Wire] = []
        self.labels: list[tuple[Point, tuple[int, ...]]] = []
        self.lanes = self._lanes()
        self.tops, self.bends = self._levels()

    def plan(self) -> Plan:
        curves = self._edges()
        self._label_edges(curves)
        if self.foldable:
            self._fold()
        self._place_hubs()
        for hub in self.hubs:
            self._hub_wires(hub)
        self._loops()
        return self._framed()

    def _lanes(self) -> dict[tuple[int, int], list[int]]:
        """For each hub and row: the boxes that have business with that hub."""
        found: dict[tuple[int, int], set[int]] = defaultdict(set)
        hubs = set(self.hubs)
        for link in self.links:
            for hub, other in ((link.source, link.target), (link.target, link.source)):
                if hub in hubs and other not in hubs:
                    found[hub, self.rank[other]].add(other)
        return {key: sorted(found[key], key=lambda v: self.rows.cross[v]) for key in sorted(found)}

    def _beside(self, hub: int, row: int) -> bool:
        """Whether the row's one box can be left straight towards the hub."""
        boxes = [v for v in self.rows.rows[row] if v < len(self.boxes)]
        return len(self.hubs) == 1 and self.lanes[hub, row] == boxes[-1:] and not self.boxes[boxes[-1]].spare

    def _levels(self) -> tuple[list[float], list[float]]:
        """Where along the flow each row starts, and where edges that leave it may start to bend."""
        tops, bends, at = [], [], 0.0
        for i, row in enumerate(self.rows.rows):
            depth = max((self.boxes[v].along for v in row if v < len(self.boxes)), default=0.0)
            for v in row:
                if v < len(self.boxes):
                    self.centres[v] = (self.rows.cross[v], at + depth / 2)
            lanes = sum(row == i and not self._beside(hub, row) for hub, row in self.lanes)
            tops.append(at)
            bends.append(at + depth + lanes * _LANE)
            labels, spread = [0.0], 0.0
            sides: list[tuple[Point, Point]] = []
            for link, chain in self.rows.chains.items():
                steps = [(u, v) for u, v in pairwise(chain) if self.rank[u] == i]
                spread = max([spread, *(abs(self.rows.cross[u] - self.rows.cross[v]) for u, v in steps)])
                ends = chain[-2:] if link in self.rows.turned else chain[:2]
                label = self.links[link].label
                if label and self.rank[ends[0]] == i:
                    labels.append(label[1] + 30 + min(20.0, spread * 0.1))
                    sides.append((((self.rows.cross[ends[0]] + self.rows.cross[ends[1]]) / 2, 0.0), label))
            if any(overlapping(*one, *other) for n, one in enumerate(sides) for other in sides[:n]):
                labels.append(min(36.0, 2 * max(labels) - 60) + 34)
            lane_labels = [
                label[1] + 12
                for (_, row), members in self.lanes.items()
                if row == i
                for link in self.links
                if (label := link.label) and {link.source, link.target} & set(members)
            ]
            at = bends[-1] + max(_GAP + min(70.0, spread * 0.09), *labels, *lane_labels)
        return tops, bends

    def _ports(self) -> dict[tuple[int, int, bool], float]:
        """Where each link touches its boxes: (link, vertex, on the far side) to a place across."""
        touching: dict[tuple[int, bool], list[tuple[float, int]]] = defaultdict(list)
        for link, chain in self.rows.chains.items():
            touching[chain[0], True].append((self.rows.cross[chain[1]], link))
            touching[chain[-1], False].append((self.rows.cross[chain[-2]], link))
        stubbed = {v for members in self.lanes.values() for v in members}
        ports: dict[tuple[int, int, bool], float] = {}
        for (vertex, far), ends in touching.items():
            box = self.boxes[vertex]
            reach = max(0.0, box.reach - (_PORT if far and vertex in stubbed else 0.0))
            step = min(_PORT, 2 * reach / max(1, len(ends) - 1))
            if step < 5:  # a fan: arrow heads would run into each other
                step = 0.0
            for i, (_, link) in enumerate(sorted(ends)):
                ports[link, vertex, far] = self.rows.cross[vertex] + (i - (len(ends) - 1) / 2) * step
        for link, chain in self.rows.chains.items():
            for vertex, far, near in ((chain[0], True, chain[1]), (chain[-1], False, chain[-2])):
                aim = ports.get((link, near, not far), self.rows.cross[near])
                off = abs(aim - self.rows.cross[vertex])
                if len(touching[vertex, far]) == 1 and off <= self.boxes[vertex].reach:
                    ports[link, vertex, far] = aim
        return ports

    def _edges(self) -> dict[int, list[tuple[int, tuple[Point, ...]]]]:
        """Draw every ranked link; return its curves, each with the gap that it lies in."""
        ports, curves = self._ports(), {}
        for link, chain in self.rows.chains.items():
            at = (ports[link, chain[0], True], self._edge_of(chain[0], 1))
            path: list[tuple[Point, ...]] = [(at,)]
            mine = []
            for upper, lower in pairwise(chain):
                gap = self.rank[upper]
                x = ports[link, lower, False] if lower == chain[-1] else self.rows.cross[lower]
                start, end = (at[0], self.bends[gap]), (x, self.tops[gap + 1])
                middle = (start[1] + end[1]) / 2
                if link in self.rows.turned and abs(x - at[0]) > 20:  # keep off the way there
                    middle += (end[1] - start[1]) / (8 if x < at[0] else -8)
                if start[1] - path[-1][-1][1] > 0.01:
                    path.append((start,))
                path.append(((start[0], middle), (x, middle), end))
                mine.append((gap, (start, *path[-1])))
                at = end
            last = (at[0], self._edge_of(chain[-1], -1))
            if last[1] - at[1] > 0.01:
                path.append((last,))
            back = link in self.rows.turned
            curves[link] = mine[::-1] if back else mine
            drawn = turned(path) if back else tuple(path)
            self.wires.append(Wire(path=drawn, links=(link,), faint=back))
        return curves

    def _fold(self) -> None:
        """Break a long flow into columns, like a newspaper, where only one edge crosses the break."""
        crossing: dict[int, list[int]] = defaultdict(list)
        for link, chain in self.rows.chains.items():
            for gap in range(self.rank[chain[0]], self.rank[chain[-1]]):
                crossing[gap].append(link)
        breakable = [
            gap
            for gap, (first, *others) in sorted(crossing.items())
            if not (others or first in self.rows.turned or self.links[first].label)
            and len(self.rows.chains[first]) == 2
        ]
        spans = []
        for row in self.rows.rows:
            lefts = [self.rows.cross[v] - (self.boxes[v].across / 2 if v < len(self.boxes) else 0) for v in row]
            spans.append((min(lefts), max(self._right(v) for v in row)))
        for (x, _), (link,) in self.labels:
            size, row_of = self.links[link].label or (0.0, 0.0), self.rank[self.links[link].source]
            left, right = spans[row_of]
            spans[row_of] = (min(left, x - size[0] / 2), max(right, x + size[0] / 2))
        columns = columns_of(self.tops, self.bends, spans, breakable)
        column_of = {v: column for column in columns for v, row in self.rank.items() if row in column.rows}
        if len(columns) < 2:
            return
        for v in self.rank:
            if v < len(self.boxes):
                self.centres[v] = column_of[v].moved(self.centres[v])
        self.labels = [(column_of[self.links[of[0]].source].moved(at), of) for at, of in self.labels]
        wires = []
        for wire in self.wires:
            start, end = (column_of[v] for v in (self.links[wire.links[0]].source, self.links[wire.links[0]].target))
            path = start.moved_path(wire.path)
            if start is not end:
                path = across_columns(path[0][0], start, end.moved(wire.path[-1][-1]))
            wires.append(replace(wire, path=path))
        self.wires = wires

    def _edge_of(self, vertex: int, side: int) -> float:
        return self.centres[vertex][1] + side * self.boxes[vertex].along / 2

    def _label_edges(self, curves: dict[int, list[tuple[int, tuple[Point, ...]]]]) -> None:
        """Put each label on its own line, in the gap next to its source, where least is in the way."""
        passing: dict[int, list[tuple[int, Point]]] = defaultdict(list)
        for link, pieces in curves.items():
            for gap, curve in pieces:
                passing[gap].extend((link, point_on(curve, step / 12)) for step in range(13))
        taken: list[tuple[Point, Point]] = []
        for link, pieces in curves.items():
            size = self.links[link].label
            if size is None:
                continue
            gap, curve = pieces[0]
            low, high = sorted((curve[0][1], curve[-1][1]))
            best: tuple[float, Point] | None = None
            for side, t in product((0, 1, -1), (0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74)):
                at = point_on(curve, t)
                at = (at[0] + side * (size[0] / 2 + 3), at[1])
                if best and not low + size[1] / 2 + 7 <= at[1] <= high - size[1] / 2 - 7:
                    continue
                hits = sum((side != 0 or other != link) and inside(point, at, size) for other, point in passing[gap])
                cost = hits + 50.0 * sum(overlapping(at, size, *other) for other in taken) + abs(side)
                if best is None or cost < best[0]:
                    best = (cost, at)
            assert best is not None
            taken.append((best[1], size))
            self.labels.append((best[1], (link,)))

    def _place_hubs(self) -> None:
        """Stand the hubs beside the graph, each level with the rows that it serves."""
        if not self.hubs:
            return
        ends = [self._right(v) for v in self.rank]
        ends += [x + (self.links[of[0]].label or (0.0, 0.0))[0] / 2 for (x, _), of in self.labels]
        right = max(ends, default=0.0)
        labels = [link.label[0] for link in self.links if link.label and self._hub_of(link) is not None]
        self.bus = right + max([_LANE, *(size + 16 for size in labels)]) + _LANE
        column = self.bus + _LANE * len(self.hubs) + _BEND
        wanted = []
        for hub in self.hubs:
            levels = [self._lane_level(hub, row) for at, row in self.lanes if at == hub]
            middle = sum(levels) / max(1, len(levels))
            nearest = min(levels, key=lambda level: abs(level - middle), default=middle)
            wanted.append((nearest if abs(nearest - middle) < 2 * _LANE else middle, hub))
        wanted.sort()
        sizes = [self.boxes[hub].along for _, hub in wanted]
        gaps = [0.0, *((a + b) / 2 + 2 * _LANE for a, b in pairwise(sizes))]
        levels = settle([level for level, _ in wanted], [1.0] * len(wanted), gaps)
        for level, (_, hub) in zip(levels, wanted, strict=True):
            self.centres[hub] = (column + self.boxes[hub].across / 2, level)

    def _right(self, vertex: int) -> float:
        box = self.boxes[vertex] if vertex < len(self.boxes) else None
        return self.rows.cross[vertex] + (box.across / 2 + box.spare if box else 0.0)

    def _hub_of(self, link: Link) -> int | None:
        return next((v for v in (link.source, link.target) if v in self.hubs), None)

    def _lane_level(self, hub: int, row: int) -> float:
        members = self.lanes[hub, row]
        if self._beside(hub, row):
            return self.centres[members[0]][1]
        others = [at for at, served in self.lanes if served == row]
        return self.bends[row] - _LANE * (len(others) - 1 - others.index(hub))

    def _hub_wires(self, hub: int) -> None:
        """Draw one lane per row, joining one bus; the lane that is farthest off draws the bus."""
        x, level = self.bus + _LANE * self.hubs.index(hub), self.centres[hub][1]
        entry = self.centres[hub][0] - self.boxes[hub].across / 2
        rows = {row: self._lane_level(hub, row) for at, row in self.lanes if at == hub}
        above = [row for row in rows if rows[row] < level - 1]
        below = [row for row in reversed(rows) if rows[row] > level + 1]
        for group in (above, [row for row in rows if abs(rows[row] - level) <= 1], below):
            for i, row in enumerate(group):
                at = rows[row]
                bend = min(_BEND, abs(level - at) / 2) * (1 if level > at else -1)
                members = self.lanes[hub, row]
                mine = [n for n, k in enumerate(self.links) if {k.source, k.target} & {hub}
                        and {k.source, k.target} & set(members)]  # fmt: skip
                first = self._stubs(hub, row, at, mine)
                inward = any(self.links[n].target == hub for n in mine)
                corner = [((x, at), (x, at), (x, at + bend))] if bend else []
                path: Path = (*first, ((x - abs(bend), at),), *corner)
                if i == 0:
                    turn = [((x, level - bend),), ((x, level), (x, level), (x + abs(bend), level))]
                    path = (*path, *(turn if bend else []), ((entry, level),))
                faint, tail = True, self._returns(hub, members[0])
                self.wires.append(Wire(path=path, links=tuple(mine), faint=faint, tail=tail,
                                       head=i == 0 and inward))  # fmt: skip
                said = tuple(n for n in mine if self.links[n].label)
                if said:
                    widest = max(size[0] for n in said if (size := self.links[n].label))
                    self.labels.append(((self.bus - _LANE - 4 - widest / 2, at), said))

    def _stubs(self, hub: int, row: int, level: float, mine: list[int]) -> Path:
        """Lead every member but the first into the lane; return how the first begins it."""
        paths: list[Path] = []
        for vertex in self.lanes[hub, row]:
            (x, y), box = self.centres[vertex], self.boxes[vertex]
            if self._beside(hub, row):
                paths.append((((x + box.across / 2, y),),))
                continue
            start, down = (x + box.reach, y + box.along / 2), x + box.reach
            path: Path = ((start,),)
            if box.reach < _PORT:
                start, down = (x + box.across / 2, y), x + box.across / 2 + _BEND
                path = ((start,), ((down, y), (down, y), (down, y + _BEND)))
            bend = min(_BEND, level - path[-1][-1][1])
            corner = ((down, level), (down, level), (down + bend, level))
            paths.append((*path, ((down, level - bend),), corner))
        for vertex, path in list(zip(self.lanes[hub, row], paths, strict=True))[1:]:
            own = tuple(n for n in mine if vertex in (self.links[n].source, self.links[n].target))
            tail = self._returns(hub, vertex)
            self.wires.append(Wire(path=path, links=own, faint=True, tail=tail, head=False))
        return paths[0]

    def _returns(self, hub: int, vertex: int) -> bool:
        return any(link.source == hub and link.target == vertex for link in self.links)

    def _loops(self) -> None:
        """Draw self-loops beside their boxes, and what runs between two hubs beyond them."""
        for n, link in enumerate(self.links):
            (x, y), (_, end) = self.centres[link.source], self.centres[link.target]
            right = x + self.boxes[link.source].across / 2
            if link.source == link.target:
                start, stop, out = (right, y - 6), (right, y + 6), 8.0
            elif link.source in self.hubs and link.target in self.hubs:
                start, out = (right, y), 0.0
                stop = (self.centres[link.target][0] + self.boxes[link.target].across / 2, end)
            else:
                continue
            far = max(start[0], stop[0]) + _LOOP
            curve = ((far, start[1] - out), (far, stop[1] + out), stop)
            self.wires.append(Wire(path=((start,), curve), links=(n,), faint=True))
            if link.label:
                self.labels.append(((far + link.label[0] / 2 - 2, (y + end) / 2), (n,)))

    def _framed(self) -> Plan:
        """Move everything so that the picture starts at zero, and say how large it is."""
        corners = [point for wire in self.wires for piece in wire.path for point in piece]
        for (x, y), box in zip(self.centres, self.boxes, strict=True):
            corners += [(x - box.across / 2, y - box.along / 2), (x + box.across / 2, y + box.along / 2)]
        for (x, y), of in self.labels:
            for size in (self.links[n].label or (0.0, 0.0) for n in of):
                corners += [(x - size[0] / 2, y - size[1] / 2), (x + size[0] / 2, y + size[1] / 2)]
        left, top = min((x for x, _ in corners), default=0.0), min((y for _, y in corners), default=0.0)
        right, bottom = max((x for x, _ in corners), default=0.0), max((y for _, y in corners), default=0.0)

        def moved(point: Point) -> Point:
            return point[0] - left, point[1] - top

        wires = [replace(wire, path=tuple(tuple(map(moved, piece)) for piece in wire.path)) for wire in self.wires]
        return Plan(
            width=right - left,
            height=bottom - top,
            centres=[moved(point) for point in self.centres],
            wires=wires,
            labels=[(moved(point), of) for point, of in self.labels],
        )
