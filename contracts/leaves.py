"""The leaves of a JSON value as one flat row, to be changed and put back. Without recursion: depth costs no stack."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from .detectors import shown


class _Node:
    __slots__ = ("key", "kind", "parent", "place")

    def __init__(self, parent: _Node | None, key: Any, kind: type | None, place: int) -> None:
        self.parent, self.key, self.kind, self.place = parent, key, kind, place


class Leaves:
    """The leaves of a JSON value in document order: `values` may be replaced in place, keys by `rename`."""

    def __init__(self, value: Any) -> None:
        self.values: list[Any] = []
        self._nodes: list[_Node] = []  # parents before children, in document order
        self._leaves: list[_Node] = []
        stack: list[tuple[_Node | None, Any, Any]] = [(None, None, value)]
        while stack:
            parent, key, item = stack.pop()
            kind = dict if isinstance(item, dict) else list if isinstance(item, list | tuple) else None
            node = _Node(parent, key, kind, len(self.values))
            self._nodes.append(node)
            if kind is dict:
                stack.extend((node, k, v) for k, v in reversed(item.items()))
            elif kind is list:
                stack.extend((node, i, item[i]) for i in range(len(item) - 1, -1, -1))
            else:
                self.values.append(item)
                self._leaves.append(node)

    def strings(self) -> list[str]:
        return [v for v in self.values if isinstance(v, str)]

    def screen(self) -> str:
        """All texts in one, to be searched at once: values joined as they follow each other, numbers, keys."""
        keys = [n.key for n in self._nodes if isinstance(n.key, str)]
        numbers = [leaf_text(v) for v in self.values if not isinstance(v, str)]
        return "\n".join(["".join(self.strings()), *(n for n in numbers if n), *dict.fromkeys(keys)])

    def names(self) -> Iterator[tuple[int, str]]:
        """All keys, each with a place to name it by."""
        return ((place, n.key) for place, n in enumerate(self._nodes) if isinstance(n.key, str))

    def rename(self, place: int, key: str) -> None:
        """Give the key at a place another name; paths show that one."""
        self._nodes[place].key = key

    def path(self, place: int) -> str:
        """Where the leaf at a place stands: `a.b[0]`."""
        return _path(self._leaves[place])

    def key_path(self, place: int) -> str:
        return _path(self._nodes[place])

    def rows(self, apart: Callable[[str], bool]) -> Iterator[list[int]]:
        """Places of strings that follow each other, broken where one stands `apart`."""
        row: list[int] = []
        for place, value in enumerate(self.values):
            if not isinstance(value, str):
                continue
            if apart(value):
                yield row
                row = []
            else:
                row.append(place)
        yield row

    def rebuilt(self) -> Any:
        """The value with its leaves and keys as they are now; containers are new, tuples have become lists."""
        made: dict[int, Any] = {}
        root: Any = None
        for node in self._nodes:
            item: Any = {} if node.kind is dict else [] if node.kind is list else self.values[node.place]
            made[id(node)] = item
            if node.parent is None:
                root = item
            elif node.parent.kind is list:
                made[id(node.parent)].append(item)
            else:
                key, into = node.key, made[id(node.parent)]
                while key in into:
                    key += "'"  # two redacted keys are still two
                into[key] = item
        return root


def leaf_text(leaf: Any) -> str:
    """A number as it is printed; empty for what is none, or is too small to say anything."""
    if isinstance(leaf, bool) or not isinstance(leaf, int | float) or not math.isfinite(leaf) or abs(leaf) < 1000:
        return ""
    return str(leaf)


def _path(node: _Node) -> str:
    parts: list[str] = []
    at: _Node | None = node
    while at is not None and at.parent is not None:
        parts.append(f"[{at.key}]" if at.parent.kind is list else f".{shown(str(at.key))}")
        at = at.parent
    return "".join(reversed(parts)).removeprefix(".")
