"""Positions: where in a run something happens, the same on every re-execution.

LangGraph's task ids change when a run resumes from an older checkpoint, and a provider's call ids change when a model
is asked again; neither can key an effect. What does not change is the path of (node, step) pairs from the outermost
graph inwards, and the place in it: the n-th reply of a model there and the i-th call in that reply, or the n-th call
that code makes by itself. `billing.4/model.1#r0.2` is the third call in the first reply that the node `model` got at
step 1 of the graph that node `billing` ran at step 4.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

NS = "langgraph_checkpoint_ns"
GOVERNED = "edgewright_system"
"""In the metadata of everything that runs inside a governed graph: whose it is."""


Before = Callable[[str, Container[str]], Sequence[str]]


@dataclass(slots=True)
class _Frame:
    """One execution of one node: its label, and how many replies and own calls it had so far."""

    label: str
    members: set[UUID]
    replies: int = 0
    calls: int = 0
    # LangGraph numbers the graphs that a task begins over all its attempts: where this one begins, and the next would.
    base: int = 0
    next: int = 0
    seen: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    counted: Counter[str] = field(default_factory=Counter)


class Positions:
    """The frames of one run in this process. Thread-safe."""

    def __init__(self) -> None:
        self._frames: dict[str, _Frame] = {}
        self._calls: dict[tuple[str, str], list[str]] = {}
        self._lock = threading.Lock()

    def enter(self, metadata: Mapping[str, Any], run_id: UUID, parent: UUID | None) -> None:
        """Note that something started under LangGraph's `metadata`. A node that starts anew counts from zero."""
        ns = metadata.get(NS)
        if not ns:
            return
        with self._lock:
            frame = self._frames.get(ns)
            if frame is not None and parent in frame.members:
                frame.members.add(run_id)
            else:
                begins = frame.next if frame is not None else 0
                self._frames[ns] = _Frame(_label(metadata), {run_id}, base=begins, next=begins)
            self._path(ns)

    def path(self, ns: str) -> str:
        """The path of a checkpoint namespace: one `node.step` per level."""
        with self._lock:
            return self._path(ns)

    def _path(self, ns: str) -> str:
        parts, prefix, outer = list[str](), "", None
        for level in ns.split("|"):
            prefix = f"{prefix}|{level}" if prefix else level
            if level.isdigit():  # which graph of the task around; outside of the run it tells runs apart, not places
                if outer is not None and (nth := _nth(outer, int(level))):
                    parts.append(str(nth))
                outer = None
                continue
            if outer is not None:
                _nth(outer, 0)
            outer = self._frames.get(prefix)
            parts.append(outer.label if outer else level.split(":", 1)[0])
        return "/".join(parts)

    def _frame(self, ns: str) -> _Frame:
        return self._frames.setdefault(ns, _Frame(ns.rsplit("|", 1)[-1].split(":", 1)[0], set()))

    def reply(self, ns: str, call_ids: Sequence[str]) -> str:
        """Give a model's reply its position, and each call in it."""
        with self._lock:
            frame = self._frame(ns)
            at = f"{self._path(ns)}#r{frame.replies}"
            frame.replies += 1
            self._keep(at, call_ids)
            return at

    def latest(self, ns: str) -> str:
        """The position of the newest reply in a namespace."""
        with self._lock:
            return f"{self._path(ns)}#r{max(self._frame(ns).replies - 1, 0)}"

    def know(self, at: str, call_ids: Sequence[str]) -> None:
        """Give the calls of a reply that was kept or recorded earlier the positions they had."""
        with self._lock:
            self._keep(at, call_ids)

    def _keep(self, at: str, call_ids: Sequence[str]) -> None:
        # By path, not by namespace: namespaces hold task ids, which a resume from an older checkpoint changes.
        scope = _outer(at.partition("#")[0])
        for index, call_id in enumerate(call_ids):
            known = self._calls.setdefault((scope, call_id), [])
            if (place := f"{at}.{index}") in known:
                known.remove(place)
            known.append(place)

    def nth(self, ns: str, what: str) -> int:
        """How many of something a node had before in this execution of it; counts one more."""
        with self._lock:
            counted = self._frame(ns).counted
            counted[what] += 1
            return counted[what] - 1

    def call(self, ns: str, call_id: str | None, before: Before = lambda path, taken: ()) -> str:
        """The position of a tool call: by the reply that asked for it, or as an own call of its node.

        Args:
            before: own calls, not among those taken, that said the same in an earlier execution of the node at a path.
                Calls made side by side come in any order; one that is not known again takes the next place.
        """
        with self._lock:
            path = self._path(ns)
            scope = path
            while call_id and scope:
                inner, scope = scope, _outer(scope)
                if found := _asking(self._calls.get((scope, call_id), ()), inner):
                    return found
            frame = self._frame(ns)
            if call_id and call_id in frame.seen:
                return frame.seen[call_id]
            at = next(iter(before(path, frame.taken)), "")
            while not at or at in frame.taken:
                at = f"{path}#c{frame.calls}"
                frame.calls += 1
            frame.taken.add(at)
            if call_id:
                frame.seen[call_id] = at
            return at


def _nth(frame: _Frame, number: int) -> int:
    """Which graph of this attempt of a task LangGraph's number means."""
    frame.next = max(frame.next, number + 1)
    return number - frame.base if number >= frame.base else number


def _asking(places: Sequence[str], path: str) -> str | None:
    """Of the replies that used one call id, the newest that node `path` can be answering.

    Some providers use the same ids in every reply; a node that runs again after a crash may find later ones on record.
    """
    step = _step(path)
    before = [p for p in places if step < 0 or (reply := p.partition("#")[0]) == path or _step(reply) < step]
    return before[-1] if before else None


def _step(path: str) -> int:
    number = path.rpartition("/")[2].rpartition(".")[2].partition("[")[0]
    return int(number) if number.isdigit() else -1


def _outer(path: str) -> str:
    return path.rpartition("/")[0]


def _label(metadata: Mapping[str, Any]) -> str:
    base = f"{metadata.get('langgraph_node', '?')}.{metadata.get('langgraph_step', 0)}"
    path = metadata.get("langgraph_path") or ()
    pushed = path[0] == "__pregel_push" if path else False
    return base + "".join(f"[{part}]" for part in path if pushed and type(part) is int)
