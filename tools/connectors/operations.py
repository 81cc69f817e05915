"""Reading an OpenAPI document: what its operations are called with, and a digest of all that an operation rests on.

Pure. The document is data: nothing of it says what an operation is to policy, not its method, not `readOnly`, not its
words. References stay inside the document. What cannot be called as it is described is a fault of its operation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote

from ...contracts.digest import digest
from ...contracts.errors import ToolInvalid
from ...contracts.json_schema import mapped, resolved
from ...contracts.names import folded
from ...contracts.phrases import quoted
from ..function import CONTEXT
from ..function import RESERVED as TAKEN
from .http import HEADER, METHODS, RESERVED

Place = Literal["path", "query", "header", "body", "whole"]
VARIABLE = re.compile(r"\{([^{}/]+)\}")
_VERBS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
JSON_TYPE = re.compile(r"application/(?:[a-z0-9.-]+\+)?json")
_NOT_SCHEMA = frozenset({"example", "externalDocs", "xml"})
# Who asks, for whom and for what: set by the configuration or not at all.
_OURS = RESERVED | {"accept", "authorization", "cookie", "forwarded"}
_REWRITES = re.compile(r"x-(?:forwarded|http-method|method-override|original|rewrite|real-ip).*")
_FLAT = _NOT_SCHEMA | {"type", "properties", "required", "additionalProperties", "title", "description"}
_LONGEST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument of an operation.

    Attributes:
        name: what the tool calls it.
        place, wire: where it goes, under which name; `body` is a property of the body, `whole` the body itself.
        explode: whether a list in the query is written as one pair for each item.
    """

    name: str
    place: Place
    wire: str
    explode: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. `schema` is that of its arguments; with `faults` it cannot be a tool.

    `digest` covers the whole operation as it stands in the document, and all that it refers to.
    """

    id: str
    method: str
    path: str
    words: str
    arguments: tuple[Argument, ...]
    schema: Mapping[str, Any]
    media: str
    digest: str
    faults: tuple[str, ...]


def read_operations(document: Any, name: str) -> dict[str, Operation]:
    """The operations of an OpenAPI document (3.0, 3.1), by `operationId`; one without is called `GET /its/path`.

    Raises:
        ToolInvalid: for what is no such document, and for two operations of one id.
    """
    version = document.get("openapi") if isinstance(document, Mapping) else None
    if not isinstance(version, str) or not re.match(r"3\.[01]\.", version):
        raise ToolInvalid(name=name, faults=[f"the document is not OpenAPI 3.0 or 3.1, but says {quoted(version)}"])
    paths = document.get("paths")
    if not isinstance(paths, Mapping):
        raise ToolInvalid(name=name, faults=["the document has no paths"])
    found: dict[str, Operation] = {}
    faults = []
    for path, item in paths.items():
        item = _Document(document).followed(item)
        for verb in _VERBS if isinstance(item, Mapping) else ():
            if not isinstance(item.get(verb), Mapping):
                continue
            try:
                operation = _Reader(document, str(path), item, verb).operation()
            except RecursionError:
                raise ToolInvalid(name=name, faults=[f"{verb} {path} is nested too deeply to be read"]) from None
            if operation.id in found:
                faults.append(f"two operations have the id {operation.id!r}")
            found[operation.id] = operation
    if faults:
        raise ToolInvalid(name=name, faults=faults)
    return found


class _Document:
    """A document and the references in it: what was followed, and what leads nowhere."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document, self.targets, self.faults = document, dict[str, Any](), list[str]()
        self._old = document["openapi"].startswith("3.0.")
        self._names: dict[str, str] = {}

    def target(self, ref: Any) -> Any:
        """What a reference points to; None, and a fault, where that is not in the document."""
        found = resolved(self._document, unquote(ref)) if isinstance(ref, str) else None
        if found is None:
            fault = f"$ref {quoted(ref)} points to nothing in the document; others are never fetched"
            if fault not in self.faults:
                self.faults.append(fault)
        else:
            self.targets[ref] = found
        return found

    def followed(self, value: Any) -> Any:
        """A value, or what it refers to."""
        seen = set[str]()
        while isinstance(value, Mapping) and "$ref" in value and value["$ref"] not in seen:
            seen.add(value["$ref"])
            value = self.target(value["$ref"])
        return value

    def reach(self, value: Any) -> None:
        """Follow every reference in a value, and in what they point to."""
        left = [value]
        while left:
            one = left.pop()
            if isinstance(one, list):
                left += one
            elif isinstance(one, Mapping):
                ref = one.get("$ref")
                if isinstance(ref, str) and ref not in self.targets and self.target(ref) is not None:
                    left.append(self.targets[ref])
                left += one.values()

    def schema(self, schema: Any) -> Any:
        """A schema as draft 2020-12 says it, its references led to `defs`."""
        if not isinstance(schema, Mapping):
            return schema
        if "$ref" in schema:
            if self.target(schema["$ref"]) is None:
                return {}
            name = self._names.setdefault(schema["$ref"], f"r{len(self._names)}")
            # Beside a reference 3.0 has nothing to say.
            beside = {} if self._old else {k: v for k, v in schema.items() if k != "$ref"}
            return {**self._modern(beside), "$ref": f"#/$defs/{name}"}
        return self._modern(schema)

    def _modern(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        out: dict[str, Any] = mapped({k: v for k, v in schema.items() if k not in _NOT_SCHEMA}, self.schema)
        if isinstance(out.get("discriminator"), Mapping):  # how to find the option faster; what is valid stays the same
            out["discriminator"] = {k: v for k, v in out["discriminator"].items() if k == "propertyName"}
        if not self._old:
            return out
        for limit, strict in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if isinstance(out.get(strict), bool) and out.pop(strict) and limit in out:
                out[strict] = out.pop(limit)
        if out.pop("nullable", False) is not True:
            return out
        told: dict[str, Any] = {k: out.pop(k) for k in ("title", "description", "default") if k in out}
        return {**told, "anyOf": [out, {"type": "null"}]} if out else told

    def defs(self) -> dict[str, Any]:
        """What the schemas refer to, by the names that were given."""
        made: dict[str, Any] = {}
        while left := [(ref, name) for ref, name in self._names.items() if name not in made]:
            for ref, name in left:
                made[name] = self.schema(self.targets[ref])
        return made


class _Reader:
    def __init__(self, document: Mapping[str, Any], path: str, item: Mapping[str, Any], verb: str) -> None:
        self._inner = _Document(document)
        self._path, self._item, self._verb = path, item, verb
        self._told: Mapping[str, Any] = item[verb]
        self._arguments: list[Argument] = []
        self._properties: dict[str, Any] = {}
        self._required: list[str] = []
        self._media = ""
        self._faults: list[str] = []

    def operation(self) -> Operation:
        method = self._verb.upper()
        if method not in METHODS:
            self._faults.append(f"its method {method} is not one of {', '.join(METHODS)}")
        for parameter in self._parameters():
            self._parameter(parameter)
        self._variables()
        if "requestBody" in self._told:
            self._body(self._inner.followed(self._told["requestBody"]))
        schema: dict[str, Any] = {
            "type": "object",
            "properties": self._properties,
            "required": self._required,
            "additionalProperties": False,
        }
        if defs := self._inner.defs():
            schema["$defs"] = defs
        given = self._told.get("operationId")
        return Operation(
            id=given if isinstance(given, str) and given else f"{method} {self._path}",
            method=method,
            path=self._path,
            words=_words(self._told) or f"{method} {self._path}",
            arguments=tuple(self._arguments),
            schema=schema,
            media=self._media,
            digest=self._digest(),
            faults=(*self._faults, *self._inner.faults),
        )

    def _digest(self) -> str:
        shared = self._item.get("parameters", [])
        self._inner.reach([self._told, shared])
        whole = {"path": self._path, "method": self._verb, "operation": self._told, "parameters": shared}
        try:
            return digest({**whole, "refers": self._inner.targets})
        except (TypeError, RecursionError) as error:
            self._faults.append(f"it is no plain JSON: {error}")
            return ""

    def _parameters(self) -> Iterator[Mapping[str, Any]]:
        """The parameters; those of the operation stand for those of its path that have the same place and name."""
        found: dict[tuple[Any, Any], Mapping[str, Any]] = {}
        for source in (self._item, self._told):
            given = source.get("parameters", [])
            for one in map(self._inner.followed, given if isinstance(given, list) else [None]):
                if isinstance(one, Mapping) and isinstance(one.get("name"), str) and one["name"]:
                    found[one.get("in"), one["name"]] = one
                else:
                    self._faults.append("it has a parameter without a name")
        order = {"path": 0, "query": 1, "header": 2}
        yield from sorted(found.values(), key=lambda p: order.get(str(p.get("in")), 3))

    def _parameter(self, told: Mapping[str, Any]) -> None:
        name, place, required = told["name"], told.get("in"), told.get("required") is True
        header = name.lower() if place == "header" else ""
        if place == "cookie" or header in _OURS or _REWRITES.fullmatch(header):
            # Authorization and the like are the configuration's; what else is needed cannot be given.
            if required and header not in ("authorization", "accept", "content-type"):
                self._faults.append(f"it needs the {place} parameter {name!r}, which no agent may set")
            return
        if place == "header" and not HEADER.fullmatch(name):
            self._faults.append(f"its header {name!r} has no name of a header")
        elif place not in ("path", "query", "header"):
            self._faults.append(f"parameter {name!r} is in {quoted(place)}")
        elif not isinstance(told.get("schema"), Mapping | bool):
            self._faults.append(f"parameter {name!r} has no schema; a `content` is not understood")
        elif told.get("style", "form" if place == "query" else "simple") != ("form" if place == "query" else "simple"):
            self._faults.append(f"parameter {name!r} has the style {quoted(told['style'])}, which is not understood")
        else:
            schema = self._inner.schema(told["schema"])
            words = told.get("description")
            if isinstance(words, str) and isinstance(schema, dict) and "description" not in schema:
                schema = {**schema, "description": words}
            explode = told.get("explode", True) is not False
            self._argument(place, name, schema, required=required or place == "path", explode=explode)

    def _argument(self, place: Place, wire: str, schema: Any, *, required: bool, explode: bool = True) -> None:
        taken = {folded(name) for name in self._properties}
        plain = re.sub(r"[^A-Za-z0-9_]", "_", wire).strip("_")
        names = [plain, f"{place}_{plain}"]
        free = [n for n in names if n[:1].isalpha() and n not in {*TAKEN, CONTEXT} and folded(n) not in taken]
        if not free:
            self._faults.append(f"no argument can be named after the {place} parameter {wire!r}: {names[1]!r} is taken")
            return
        self._properties[free[0]] = schema
        self._arguments.append(Argument(name=free[0], place=place, wire=wire, explode=explode))
        if required:
            self._required.append(free[0])

    def _variables(self) -> None:
        written = VARIABLE.findall(self._path)
        known = {a.wire for a in self._arguments if a.place == "path"}
        self._faults += [f"its path names {v!r}, which is no path parameter" for v in sorted({*written} - known)]
        self._faults += [f"path parameter {v!r} does not stand in its path" for v in sorted(known - {*written})]
        if not self._path.startswith("/") or set("{}?#") & set(VARIABLE.sub("", self._path)):
            self._faults.append(f"its path {quoted(self._path)} is none")

    def _body(self, told: Any) -> None:
        content = told.get("content") if isinstance(told, Mapping) else None
        media = [m for m in content if JSON_TYPE.fullmatch(str(m).lower())] if isinstance(content, Mapping) else []
        if not isinstance(content, Mapping) or not media or self._verb == "get":
            self._faults.append("its body is no JSON, or GET has one")
            return
        self._media = str(media[0])
        wanted = content[media[0]]
        schema = wanted.get("schema", True) if isinstance(wanted, Mapping) else True
        whole, required = self._inner.followed(schema), told.get("required") is True
        # By its properties, so that policy sees each of them, and where each comes from, by itself.
        if required and isinstance(whole, Mapping) and _is_flat(whole):
            for name, inner in whole["properties"].items():
                self._argument("body", name, self._inner.schema(inner), required=name in whole.get("required", ()))
        else:
            self._argument("whole", "body", self._inner.schema(schema), required=required)


def _is_flat(schema: Mapping[str, Any]) -> bool:
    listed, required = schema.get("properties"), schema.get("required", [])
    return (
        schema.get("type") == "object"
        and isinstance(listed, Mapping)
        and isinstance(required, list)
        and len(listed) > 0
        and all(name in listed for name in required)
        and schema.get("additionalProperties", False) is False
        and all(key in _FLAT or key.startswith("x-") for key in schema)
    )


def _words(told: Mapping[str, Any]) -> str:
    parts = [told[k].strip() for k in ("summary", "description") if isinstance(told.get(k), str)]
    text = "\n\n".join(dict.fromkeys(filter(None, parts)))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} [cut]"
