"""Whether no document fits two schemas at once: what `oneOf` turns on."""

from __future__ import annotations

from collections.abc import Mapping

from .json_schema import Node, admits, same_value

_DEEP = 8


def disjoint(a: Node, b: Node, deep: int = 0) -> bool:
    """Whether it is proven that no document fits both."""
    if a.schema is False or b.schema is False:
        return True
    if deep > _DEEP:
        return False
    return any(_parts(one, other, deep) for one in a.parts() for other in b.parts())


def _parts(a: Node, b: Node, deep: int) -> bool:
    for node, other in ((a, b), (b, a)):
        if not isinstance(node.schema, Mapping):
            return node.schema is False
        if "$ref" in node.schema:
            target = node.target()
            return target is not None and disjoint(target, other, deep + 1)
        for key in ("anyOf", "oneOf"):
            if key in node.schema:
                return all(disjoint(node.at(option), other, deep + 1) for option in node.schema[key])
    if a.unknown or b.unknown:
        return False
    mine, theirs = a.values, b.values
    if mine is not None and theirs is not None:
        return not any(same_value(v, w) for v in mine for w in theirs)
    for values, other in ((mine, b), (theirs, a)):
        if values is not None:
            return all(admits(other, v) is False for v in values)
    common = a.types & b.types
    if not common and not _numeric(a, b):
        return True
    return common == {"object"} and _objects(a, b, deep)


def _numeric(a: Node, b: Node) -> bool:
    numbers = {"integer", "number"}
    return bool(a.types & numbers and b.types & numbers)


def _objects(a: Node, b: Node, deep: int) -> bool:
    """Whether a field that one of them always has is refused by the other, or cannot have a value in both."""
    for one, other in ((a.schema, b.schema), (b.schema, a.schema)):
        for name in one.get("required", ()):
            rest = other.get("additionalProperties", True)
            if "patternProperties" in one or "patternProperties" in other:
                return False
            mine = one.get("properties", {}).get(name, one.get("additionalProperties", True))
            theirs = other.get("properties", {}).get(name, rest)
            root_one, root_other = (a, b) if one is a.schema else (b, a)
            if disjoint(root_one.at(mine), root_other.at(theirs), deep + 1):
                return True
    return False
