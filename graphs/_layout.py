"""Layered layout: which row a box stands in, in which order, and where.

The method is Sugiyama's: turn the few edges round that close a cycle, rank the boxes, put a thin
dummy in every row a long edge passes, order each row by the mean of its neighbours, then move the
rows until edges are as straight as the boxes allow. Only numbers go in and come out; nothing here
knows what a box shows. The flow runs along the *main* axis, rows lie along the *cross* axis.

grandalf was the alternative: it has had no release since 2023, places long edges worse, and would
be a dependency for these two hundred lines.
"""

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

DUMMY_GAP = 18.0
V = TypeVar("V")
_SWEEPS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """The size of a node: `across` its row and `along` the flow."""

    across: float
    along: float
    reach: float
    """How far from its middle an edge may still touch the box."""
    spare: float = 0.0
    """Room kept free on its far side, for a self-loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Every box and every dummy in its row, from left to right.

    Vertices below the number of boxes are boxes; the others are dummies.
    """

    rows: list[list[int]]
    cross: list[float]
    chains: dict[int, list[int]]
    """For each link, by its position: the vertices that it passes, in the direction of the flow."""
    turned: set[int]
    """The links that run against the flow."""


def lay_out(boxes: Sequence[Box], links: Sequence[tuple[int, int]], placed: Sequence[int], *, room: float) -> Rows:
    """Lay out the `placed` boxes, `room` apart; links to any other box, and self-loops, are left out."""
    inside = set(placed)
    live = {i: link for i, link in enumerate(links) if link[0] != link[1] and inside.issuperset(link)}
    turned = _turned(placed, live)
    arcs = {i: (b, a) if i in turned else (a, b) for i, (a, b) in live.items()}
    ranks = _ranks(placed, list(arcs.values()))
    chains, rank_of = _chains(len(boxes), arcs, ranks)
    below: dict[int, list[int]] = {v: [] for v in rank_of}
    above: dict[int, list[int]] = {v: [] for v in rank_of}
    for chain in chains.values():
        for upper, lower in pairwise(chain):
            below[upper].append(lower)
            above[lower].append(upper)
    rows = _ordered(rank_of, above, below)
    cross = _cross(boxes, rows, above, below, room)
    positions = [cross.get(v, 0.0) for v in range(max(rank_of, default=-1) + 1)]
    return Rows(rows=rows, cross=positions, chains=chains, turned=turned)


def _turned(placed: Sequence[int], links: dict[int, tuple[int, int]]) -> set[int]:
    """Choose the links to turn round so that no cycle is left.

    Breadth first from the roots says which way is forward. A link that goes back in that order is
    still kept if it closes no cycle, so an acyclic graph is never turned.
    """
    out: dict[int, list[int]] = {v: [] for v in placed}
    entered = set()
    for source, target in links.values():
        out[source].append(target)
        entered.add(target)
    roots = [v for v in placed if v not in entered]
    order: dict[int, tuple[int, int]] = {}
    for batch in (roots, *([v] for v in placed)):
        queue = deque((v, 0) for v in batch if v not in order)
        order.update((v, (0, v)) for v, _ in queue)
        while queue:
            vertex, level = queue.popleft()
            for after in out[vertex]:
                if after not in order:
                    order[after] = (level + 1, after)
                    queue.append((after, level + 1))
    kept: dict[int, list[int]] = {v: [] for v in placed}
    doubtful = []
    for i, (source, target) in links.items():
        if order[source] < order[target]:
            kept[source].append(target)
        else:
            doubtful.append(i)
    turned = set()
    for i in doubtful:
        source, target = links[i]
        if source in reached(target, kept):
            turned.add(i)
        else:
            kept[source].append(target)
    return turned


def reached(start: V, out: dict[V, list[V]]) -> set[V]:
    """Return everything that can be reached, the start included."""
    seen, stack = {start}, [start]
    while stack:
        for after in out[stack.pop()]:
            if after not in seen:
                seen.add(after)
                stack.append(after)
    return seen


def _ranks(placed: Sequence[int], arcs: list[tuple[int, int]]) -> dict[int, int]:
    """Rank by longest path, then pull each box towards the side where it has more edges."""
    before: dict[int, list[int]] = {v: [] for v in placed}
    after: dict[int, list[int]] = {v: [] for v in placed}
    for source, target in arcs:
        before[target].append(source)
        after[source].append(target)
    waiting = {v: len(before[v]) for v in placed}
    ready = deque(v for v in placed if not waiting[v])
    ranks, order = dict.fromkeys(placed, 0), []
    while ready:
        vertex = ready.popleft()
        order.append(vertex)
        for target in after[vertex]:
            ranks[target] = max(ranks[target], ranks[vertex] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for vertex in reversed(order):
        if after[vertex] and len(after[vertex]) > len(before[vertex]):
            ranks[vertex] = min(ranks[target] for target in after[vertex]) - 1
    used = {rank: i for i, rank in enumerate(sorted(set(ranks.values())))}
    return {v: used[rank] for v, rank in ranks.items()}


def _chains(
    count: int, arcs: dict[int, tuple[int, int]], ranks: dict[int, int]
) -> tuple[dict[int, list[int]], dict[int, int]]:
    """Give every link one vertex per row it passes, adding dummies from `count` upwards."""
    rank_of, chains, fresh = dict(ranks), {}, count
    for i, (source, target) in arcs.items():
        dummies = list(range(fresh, fresh + ranks[target] - ranks[source] - 1))
        rank_of.update((dummy, ranks[source] + 1 + step) for step, dummy in enumerate(dummies))
        fresh += len(dummies)
        chains[i] = [source, *dummies, target]
    return chains, rank_of


def _ordered(rank_of: dict[int, int], above: dict[int, list[int]], below: dict[int, list[int]]) -> list[list[int]]:
    """Order each row so that few edges cross: barycentre sweeps, keeping the best."""
    rows: list[list[int]] = [[] for _ in range(max(rank_of.values(), default=-1) + 1)]
    seen: set[int] = set()
    for root in sorted(rank_of, key=lambda v: (rank_of[v], v)):
        stack = [root]
        while stack:
            vertex = stack.pop()
            if vertex not in seen:
                seen.add(vertex)
                rows[rank_of[vertex]].append(vertex)
                stack.extend(reversed(below[vertex]))
    best, fewest = rows, _crossings(rows, below)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        near, rows = (above if down else below), [list(row) for row in rows]
        for rank in range(len(rows)) if down else reversed(range(len(rows))):
            beside = rank - 1 if down else rank + 1
            if not 0 <= beside < len(rows):
                continue
            place = {v: i * len(rows[rank]) / len(rows[beside]) for i, v in enumerate(rows[beside])}
            own = {v: float(i) for i, v in enumerate(rows[rank])}
            rows[rank].sort(key=lambda v: _mean([place[n] for n in near[v]], own[v]))
        crossings = _crossings(rows, below)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _crossings(rows: list[list[int]], below: dict[int, list[int]]) -> int:
    total = 0
    for upper, lower in pairwise(rows):
        place = {v: i for i, v in enumerate(lower)}
        passed: list[int] = []
        for vertex in upper:
            ends = sorted(place[n] for n in below[vertex])
            total += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return total


def _cross(
    boxes: Sequence[Box],
    rows: list[list[int]],
    above: dict[int, list[int]],
    below: dict[int, list[int]],
    room: float,
) -> dict[int, float]:
    """Move every row towards its neighbours, never closer than the boxes are wide.

    An edge pulls the less, the more edges share its ends: so lines stay straight and fans spread.
    """
    count = len(boxes)

    def apart(left: int, right: int) -> float:
        between = room if left < count and right < count else DUMMY_GAP
        before = boxes[left].across / 2 + boxes[left].spare if left < count else 0.0
        return before + between + (boxes[right].across / 2 if right < count else 0.0)

    def pull(vertex: int, near: int) -> float:
        if vertex >= count and near >= count:
            return 8.0
        over, under = (near, vertex) if near in above[vertex] else (vertex, near)
        return 1.0 / max(len(set(below[over])), len(set(above[under])), 1) ** 2

    gaps = [[0.0, *(apart(a, b) for a, b in pairwise(row))] for row in rows]
    cross: dict[int, float] = {}
    for row, gap in zip(rows, gaps, strict=True):
        cross.update(zip(row, settle([0.0] * len(row), [1.0] * len(row), gap), strict=True))
    both = {v: above[v] + below[v] for v in above}
    for near in (*(above, below) * _SWEEPS, *(both,) * 2 * _SWEEPS):
        downward = near is not below
        for row, gap in zip(rows if downward else rows[::-1], gaps if downward else gaps[::-1], strict=True):
            wanted, weights = [], []
            for vertex in row:
                pulls = [(cross[n], pull(vertex, n)) for n in near[vertex]] or [(cross[vertex], 0.01)]
                weights.append(sum(force for _, force in pulls))
                wanted.append(sum(at * force for at, force in pulls) / weights[-1])
            cross.update(zip(row, settle(wanted, weights, gap), strict=True))
    return cross


def settle(wanted: list[float], weights: list[float], gaps: list[float]) -> list[float]:
    """Return the positions nearest to `wanted` (least squares) that keep `gaps[i]` before item i.

    Pool adjacent violators: take the gaps out, then merge neighbours that are in the wrong order.
    """
    offsets, total = [], 0.0
    for gap in gaps:
        total += gap
        offsets.append(total)
    pools: list[tuple[float, float, int]] = []
    for want, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, mass, size = want - offset, weight, 1
        while pools and pools[-1][0] > mean:
            other, heft, length = pools.pop()
            mean = (mean * mass + other * heft) / (mass + heft)
            mass, size = mass + heft, size + length
        pools.append((mean, mass, size))
    flat = [mean for mean, _, size in pools for _ in range(size)]
    return [mean + offset for mean, offset in zip(flat, offsets, strict=True)]
