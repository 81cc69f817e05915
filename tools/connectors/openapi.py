"""OpenAPI operations as governed tools: those that a declarations file names, as it declares them, on one server.

The document says what an operation is called with; the declaration says what it is to policy; the configuration says
where it is sent. A changed document is a changed tool, and one that was pinned is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypedDict
from urllib.parse import quote, urlencode

import orjson

from ...contracts.digest import digest
from ...contracts.errors import DefinitionError, ToolInvalid, ToolRefusal, UrlRefused
from ...contracts.names import folded
from ..foreign.declarations import Declaration, load_declarations, read_declarations
from ..foreign.schema import read_schema
from ..run import ToolContext
from ..sealed import SealedTool, seal
from .exchange import Answer, Request, exchange
from .hosts import Url, canonical_url
from .http import HEADER_VALUE, Http
from .operations import JSON_TYPE, VARIABLE, Argument, Operation, read_operations

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_PART = 0.9
"""The part of a declared time-out that the request itself may take, so that its error comes first."""


class OperationResult(TypedDict):
    """What an operation answered: JSON where it is whole and JSON, else text. `note` says what is missing."""

    status: int
    data: Any
    note: str


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenApi:
    """The operations of an OpenAPI document as tools, `<name>_<operation>`.

    An answer of status 400 or more is a failure, never a result. Parameters in cookies, and headers that say who asks,
    are not offered to agents: credentials are in the headers of `http`.

    Attributes:
        name: the prefix of the tools' names.
        document: the document, or the path of a JSON file that holds it.
        server: the URL that the operations' paths are appended to; the document's own servers count for nothing.
        declarations: each a `Declaration` or a mapping, by operation id; or the path of a TOML file with them
            (`[tools.OPERATION]`).
        http: what may be called, and how.
        undeclared: what becomes of the other operations: left out, or made tools with the most dangerous values, as far
            as they can be called as they are described (see `left_out`).

    Raises:
        ToolInvalid, DeclarationsInvalid: with everything that is wrong with it, with a declared operation that cannot
            be called as it is described, or with one whose definition is not the pinned one.
    """

    name: str = "api"
    document: Mapping[str, Any] | Path | str = field(repr=False)
    server: str
    declarations: Mapping[str, Any] | Path | str
    http: Http
    undeclared: Literal["left out", "dangerous"] = "left out"

    def __post_init__(self) -> None:
        _ = self._made

    @cached_property
    def operations(self) -> Mapping[str, Operation]:
        """What the document describes, by operation id."""
        document = self.document if isinstance(self.document, Mapping) else _loaded(Path(self.document), self.name)
        return read_operations(document, self.name)

    @cached_property
    def declared(self) -> Mapping[str, Declaration]:
        """The declarations, by operation id."""
        given = self.declarations
        if not isinstance(given, Mapping):
            return load_declarations(given)
        plain = {id_: told for id_, told in given.items() if not isinstance(told, Declaration)}
        return {**given, **read_declarations({"tools": plain}, self.name)}

    @cached_property
    def base(self) -> Url:
        """The server, in canonical form. Raises ToolInvalid."""
        try:
            found = self.http.reach.checked(canonical_url(self.server))
        except UrlRefused as error:
            raise ToolInvalid(name=self.name, faults=[f"server: {error}"]) from None
        if found.query is not None:
            raise ToolInvalid(name=self.name, faults=["server: it has a query"])
        return replace(found, path=found.path.rstrip("/"))

    @property
    def left_out(self) -> Mapping[str, tuple[str, ...]]:
        """The operations that are no tools, and why."""
        return self._made[1]

    def tools(self) -> list[SealedTool]:
        """The governed tools, in the order of the document."""
        return list(self._made[0])

    def outline(self) -> str:
        """Declarations to begin with, one for each operation, pinned, and with the most dangerous values."""
        return "\n".join(map(_outlined, self.operations.values()))

    @cached_property
    def _made(self) -> tuple[list[SealedTool], dict[str, tuple[str, ...]]]:
        faults = [] if _NAME.fullmatch(self.name) else ["its name begins tools' names: lower case ASCII, at most 31"]
        if self.undeclared not in ("left out", "dangerous"):
            faults.append(f"undeclared is 'left out' or 'dangerous', not {self.undeclared!r}")
        declared, known = self.declared, ", ".join(sorted(self.operations)[:20])
        unknown = [id_ for id_ in declared if id_ not in self.operations]
        faults += [f"{id_!r} is declared, and no operation; there are: {known}" for id_ in unknown]
        made, left_out, names = list[SealedTool](), dict[str, tuple[str, ...]](), dict[str, str]()
        for id_, operation in self.operations.items():
            if id_ not in declared and self.undeclared != "dangerous":
                left_out[id_] = operation.faults or ("it is not declared",)
                continue
            name = f"{self.name}_{_snake(id_)}"
            if (other := names.setdefault(folded(name), id_)) != id_:
                faults.append(f"{id_!r} and {other!r} would both be the tool {name!r}")
                continue
            found = self._tool(name, operation, declared.get(id_, Declaration()))
            if isinstance(found, SealedTool):
                made.append(found)
            elif id_ in declared:
                faults += [f"{id_!r}: {fault}" for fault in found]
            else:
                left_out[id_] = found
        if faults:
            raise ToolInvalid(name=self.name, faults=faults)
        return made, left_out

    def _wrong(self, operation: Operation, declared: Declaration) -> list[str]:
        faults = [] if _snake(operation.id) else ["it has no letter or digit that a tool's name could be made of"]
        if operation.method not in self.http.methods:
            faults.append(f"http does not have the method {operation.method}")
        if declared.pin and declared.pin != f"sha256:{operation.digest}":
            faults.append(
                f"its definition is not the pinned one, but sha256:{operation.digest}: review it, then pin that"
            )
        if declared.idempotency == "key" and self.http.idempotency_header is None:
            faults.append("it is declared idempotent by key, and http has no idempotency_header to send one in")
        try:
            canonical_url(f"{self.base}{VARIABLE.sub('x', operation.path)}")
        except UrlRefused as error:
            faults.append(f"its path: {error}")
        configured = {*self.http.reach.headers, (self.http.idempotency_header or "").lower()}
        for argument in operation.arguments:
            if argument.place == "header" and argument.wire.lower() in configured:
                faults.append(f"its header {argument.wire!r} is set by the configuration")
        return faults

    def _tool(self, name: str, operation: Operation, declared: Declaration) -> SealedTool | tuple[str, ...]:
        """The tool, or why there is none."""
        if faults := (*operation.faults, *self._wrong(operation, declared)):
            return faults
        code = digest([operation.digest, str(self.base), self.http.terms])
        try:
            reading = read_schema(name, operation.schema, code)
            calling = self._calling(operation, declared)
            return seal(reading, calling, description=operation.words, declaration=declared)
        except DefinitionError as error:
            return error.faults

    def _calling(self, operation: Operation, declared: Declaration) -> Callable[..., Any]:
        reach = replace(self.http.reach, timeout=min(self.http.timeout, declared.timeout * _PART))
        base, keyed = self.base, declared.idempotency == "key"

        async def call(*, ctx: ToolContext, **given: Any) -> OperationResult:
            body = _body(operation, given)
            asked = Request(
                method=operation.method,
                url=url_of(operation, base, given),
                changes=declared.effect != "read",
                body=body,
                headers={**headers_of(operation, given), **({} if body is None else {"content-type": operation.media})},
                key=ctx.key if keyed else "",
            )
            return _result(await exchange(reach, asked))

        return call


def _loaded(path: Path, name: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key is there twice in one object")
        return found

    try:
        return json.loads(path.read_text("utf-8"), object_pairs_hook=once)
    except (OSError, ValueError, RecursionError) as error:
        fault = f"{path} cannot be read as JSON: {error}; of another format, give the document itself"
        raise ToolInvalid(name=name, faults=[fault]) from None


def _snake(text: str) -> str:
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text)
    return re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")


def _outlined(operation: Operation) -> str:
    arguments = ", ".join(a.name for a in operation.arguments) or "no arguments"
    return "\n".join(
        [
            f"[tools.{_toml(operation.id)}]  # {operation.method} {_toml(operation.path)}: {arguments}",
            *(f"# cannot be a tool: {_toml(fault)}" for fault in operation.faults),
            'effect = "irreversible"\noutput = "untrusted"\nsensitivity = "secret"\nsink = true',
            f'pin = "sha256:{operation.digest}"\n',
        ]
    )


def _toml(text: str) -> str:
    return orjson.dumps(text).decode().replace("\x7f", "\\u007f")


# -- requests --------------------------------------------------------------------------------------------------------


def url_of(operation: Operation, base: Url, given: Mapping[str, Any]) -> Url:
    """The URL of one call.

    Raises:
        UrlRefused, ToolRefusal: for a path parameter that would leave its segment, or be none: an empty one, one of
            dots alone, or one with a slash, at which many servers part a path although it is encoded.
    """
    values = {a.wire: _path_value(a, given[a.name]) for a in operation.arguments if a.place == "path"}
    path = VARIABLE.sub(lambda match: quote(values[match[1]], safe=""), operation.path)
    pairs = [pair for a in operation.arguments if a.place == "query" for pair in _pairs(a, given.get(a.name))]
    query = f"?{urlencode(pairs)}" if pairs else ""
    url = canonical_url(f"{base.scheme}://{base.authority}{base.path}{path}{query}")
    if url.origin != base.origin or url.path.count("/") != (base.path + operation.path).count("/"):
        raise UrlRefused(url=url.shown, fault="its parameters would make it another place")
    return url


def _path_value(argument: Argument, value: Any) -> str:
    text = ",".join(map(_scalar, value)) if isinstance(value, list) else _scalar(value)
    if {*"/\\"} & {*text} or not text.strip("."):
        raise ToolRefusal(f"nothing was sent: {argument.name} is empty, of dots alone, or has a slash in it")
    return text


def _pairs(argument: Argument, value: Any) -> list[tuple[str, str]]:
    if value is None:
        return []
    if not isinstance(value, list):
        return [(argument.wire, _scalar(value))]
    if argument.explode:
        return [(argument.wire, _scalar(one)) for one in value]
    return [(argument.wire, ",".join(map(_scalar, value)))]


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, list | dict):
        raise ToolRefusal("nothing was sent: a URL and a header hold texts, numbers, true and false, and lists of them")
    return orjson.dumps(value).decode()


def headers_of(operation: Operation, given: Mapping[str, Any]) -> dict[str, str]:
    """The headers of one call that are arguments of it. Raises ToolRefusal for a value that is none of a header."""
    found = {}
    for argument in operation.arguments:
        if argument.place == "header" and given.get(argument.name) is not None:
            value = given[argument.name]
            text = ",".join(map(_scalar, value)) if isinstance(value, list) else _scalar(value)
            if not HEADER_VALUE.fullmatch(text):
                raise ToolRefusal(
                    f"nothing was sent: {argument.name} is empty, or not of plain ASCII, as a header must be"
                )
            found[argument.wire.lower()] = text
    return found


def _body(operation: Operation, given: Mapping[str, Any]) -> bytes | None:
    for argument in operation.arguments:
        if argument.place == "whole":
            return orjson.dumps(given[argument.name]) if argument.name in given else None
    names = [a for a in operation.arguments if a.place == "body"]
    return orjson.dumps({a.wire: given[a.name] for a in names if a.name in given}) if names else None


def _result(answer: Answer) -> OperationResult:
    data: Any = answer.text
    if not answer.cut and JSON_TYPE.fullmatch(answer.content_type):
        try:
            data = orjson.loads(answer.text)
        except orjson.JSONDecodeError:
            note = answer.note or "it says that it is JSON, and is none"
            return {"status": answer.status, "data": data, "note": note}
    return {"status": answer.status, "data": data, "note": answer.note}
