"""Who depends on an agent, a contract or a tool, over how many hops."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .edge import END, START
from .errors import NotFound

KINDS = ("agent", "contract", "tool")
Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """One that depends on what was asked for.

    Attributes:
        system: the system it stands in.
        kind, name: `agent` `billing`, or `system` `desk`: its answer, which callers read.
        hops: 1 for who deals with it directly, one more for each edge that what came of it crosses.
        path: from what was asked for to this one, both included.
    """

    system: str
    kind: str
    name: str
    hops: int
    path: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """As commands print it."""
        return asdict(self)


def impact(lock: Mapping[str, Any], kind: str, name: str) -> list[Impact]:
    """Who depends on it, nearest first, in every system of the lock that has it.

    On a tool depend the agents that call it; on a contract those that write it and those that read it; on an agent
    those that hand over to it and those that it hands over to. From each that reads what came of it, it goes on along
    the edges, to the system's answer.

    Args:
        kind: `agent`, `contract` or `tool`.
        name: its name; a contract's with its version (`Brief@2`), or without for all versions.

    Raises:
        NotFound: no system of the lock has it; the known ones are named.
    """
    if kind not in KINDS:
        raise NotFound(kind="kind of thing", name=kind, known=KINDS)
    found: list[Impact] = []
    known: set[str] = set()
    there = False
    for system, entry in sorted(lock["systems"].items()):
        names = {*entry[f"{kind}s"]}
        known |= names
        wanted = {n for n in names if name in (n, n.rpartition("@")[0] if kind == "contract" else n)}
        if wanted:
            there = True
            found += _in_system(system, entry, kind, wanted, name)
    if not there:
        raise NotFound(kind=kind, name=name, known=sorted(known))
    return sorted(found, key=lambda i: (i.hops, i.system, i.kind, i.name))


def _in_system(system: str, entry: Mapping[str, Any], kind: str, wanted: set[str], asked: str) -> Iterator[Impact]:
    first = f"{kind} {asked}"
    readers, writers = _direct(entry, kind, wanted)
    seen: dict[str, tuple[int, tuple[str, ...]]] = {}
    queue: deque[str] = deque()
    for end in sorted(readers):
        seen[end] = (1, (first, _told(system, end)))
        queue.append(end)
    while queue:
        here = queue.popleft()
        hops, path = seen[here]
        for edge in entry["edges"]:
            target = edge["target"]
            if edge["source"] == here and target not in seen and not (kind == "agent" and target in wanted):
                seen[target] = (hops + 1, (*path, _told(system, target)))
                queue.append(target)
    # Who writes or hands over depends on it as well, but what it says elsewhere does not come of it.
    for end in sorted(writers - {*seen}):
        seen[end] = (1, (first, _told(system, end)))
    for end, (hops, path) in seen.items():
        name, what = (system, "system") if end in (START, END) else (end, "agent")
        yield Impact(system=system, kind=what, name=name, hops=hops, path=path)


def _direct(entry: Mapping[str, Any], kind: str, wanted: set[str]) -> tuple[set[str], set[str]]:
    """Who reads what it gives, and who else deals with it directly."""
    edges = entry["edges"]
    if kind == "tool":
        return {a for a, spec in entry["agents"].items() if wanted & {*spec["tools"]}}, set()
    if kind == "contract":
        on = [e for e in edges if e["contract"] in wanted]
        gathering = {f["target"] for f in entry["fan_outs"] if f["gathered"] in wanted}
        return {e["target"] for e in on} | gathering, {e["source"] for e in on} - {START}
    on = [e for e in edges if e["source"] in wanted]
    return {e["target"] for e in on} - wanted, {e["source"] for e in edges if e["target"] in wanted} - wanted - {START}


def _told(system: str, end: str) -> str:
    return f"answer of {system}" if end == END else f"agent {end}"
