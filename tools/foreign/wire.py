"""What a server says of its tools, held against what a person pinned. Pure: values in, values out.

A tool's digest covers its whole definition as it came over the wire (description, both schemas, title, annotations,
`_meta`, icons, and what nobody knows yet) and the server's instructions. Nothing in a definition sets an effect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...contracts.digest import digest, digest_text
from ...contracts.errors import ToolInvalid
from ...contracts.names import folded
from ...contracts.shown import hides
from .declarations import Declaration
from .schema import SchemaReading, read_schema

MAX_NAME = 63
_OTHER = re.compile(r"[^a-z0-9]+")
_PLAIN = frozenset("\n\t")
_JOINER = "\u200d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A tool as its server defines it.

    Attributes:
        name: as the server calls it.
        wire: all that it says of it.
        digest: `sha256:` and the digest of all that, with the server's instructions; "" where it has none.
    """

    name: str
    wire: Mapping[str, Any]
    digest: str


@dataclass(frozen=True)
class Listing:
    """All tools that a server offers at one time, and what it says of itself."""

    tools: tuple[Definition, ...]
    instructions: str | None

    @classmethod
    def of(cls, tools: Sequence[Any], instructions: str | None) -> Listing:
        """The listing of wire objects."""
        return cls(tuple(_definition(tool, instructions) for tool in tools), instructions)

    @property
    def digest(self) -> str:
        """Digest of the server's instructions, which is in every tool's digest too."""
        return f"sha256:{digest_text(self.instructions or '')}"

    @cached_property
    def _spelt(self) -> Mapping[str, list[Definition]]:
        found: dict[str, list[Definition]] = {}
        for tool in self.tools:
            found.setdefault(folded(tool.name), []).append(tool)
        return found

    def like(self, name: str) -> list[Definition]:
        """The tools whose names can be taken for this one."""
        return self._spelt.get(folded(name), [])

    def fault(self, name: str, pin: str) -> str | None:
        """Why a tool is not to be called, given what was pinned; None if it is as it was."""
        found = self.like(name)
        if not found:
            return "its server does not offer it any more"
        if len(found) > 1:
            return f"its server offers {_listed(t.name for t in found)}, which can be taken for each other"
        if not found[0].digest or found[0].digest != pin or found[0].name != name:
            return f"changed: its definition, or its server's instructions, are {found[0].digest or 'unreadable'} now"
        return None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a tool of a server stands: callable, or in quarantine and why.

    Attributes:
        tool: as the server defines it.
        handle: what agents and policy call it.
        declaration: what a person declares of it; None if nothing.
        reading: its arguments; None where they cannot be enforced.
        description: what a model reads of it.
        reasons: why it is in quarantine.
    """

    tool: Definition
    handle: str
    declaration: Declaration | None
    reading: SchemaReading | None
    description: str
    reasons: tuple[str, ...]

    @property
    def callable(self) -> bool:
        """Whether agents may have it."""
        return not self.reasons


def standings(
    listing: Listing, declarations: Mapping[str, Declaration], pins: Mapping[str, str], prefix: str
) -> list[Standing]:
    """How each tool of a listing stands.

    Args:
        declarations: by the server's names; so are `pins`, which have precedence over those in declarations.
        prefix: of all handles.
    """
    handles = [handle_of(tool.name, prefix) for tool in listing.tools]
    return [
        _standing(tool, handle, handles.count(handle), listing, declarations.get(tool.name), pins)
        for tool, handle in zip(listing.tools, handles, strict=True)
    ]


def handle_of(name: str, prefix: str) -> str:
    """What agents and policy call a tool: `Repo.search` of server `code` is `code_repo_search`."""
    return f"{prefix}_{_OTHER.sub('_', name.lower()).strip('_')}"


def _standing(
    tool: Definition,
    handle: str,
    sharing: int,
    listing: Listing,
    declaration: Declaration | None,
    pins: Mapping[str, str],
) -> Standing:
    reasons = [*_name_faults(tool, handle, sharing, listing), *_pin_faults(tool, declaration, pins)]
    description = (declaration.description if declaration else "") or _text(tool.wire.get("description"))
    told = [description, *_texts(tool.wire.get("inputSchema"))]
    if hidden := sorted({c for text in told for c in _hidden(text)}):
        shown = ", ".join(f"U+{ord(c):04X}" for c in hidden[:8])
        reasons.append(f"a model would read characters of it that a person does not see ({shown})")
    reading = None
    try:
        reading = read_schema(handle, tool.wire.get("inputSchema"), tool.digest.removeprefix("sha256:"))
    except ToolInvalid as error:
        reasons += [f"its arguments cannot be enforced: {fault}" for fault in error.faults]
    return Standing(
        tool=tool,
        handle=handle,
        declaration=declaration,
        reading=reading,
        description=description,
        reasons=tuple(reasons),
    )


def _name_faults(tool: Definition, handle: str, sharing: int, listing: Listing) -> Iterator[str]:
    if len(found := listing.like(tool.name)) > 1:
        yield f"its server offers {_listed(t.name for t in found)}, which can be taken for each other"
    elif sharing > 1:
        yield f"{sharing} tools of its server would be called {handle!r}"
    if not tool.name.isascii() or not _OTHER.sub("", tool.name.lower()):
        yield "its name is not made of ASCII letters and digits"
    elif len(handle) > MAX_NAME:
        yield f"its name would be {handle!r}, longer than {MAX_NAME} characters"


def _pin_faults(tool: Definition, declaration: Declaration | None, pins: Mapping[str, str]) -> Iterator[str]:
    pin = pins.get(tool.name) or (declaration.pin if declaration else "")
    if declaration is None:
        yield f"undeclared: say under [tools.{tool.name!r}] what it does"
    if not tool.digest:
        yield "its definition has no digest: it holds what is no plain JSON"
    elif not pin:
        yield f"not pinned: review its definition, then pin {tool.digest}"
    elif pin != tool.digest:
        yield f"changed: its definition, or its server's instructions, are {tool.digest} now, pinned is {pin}"


def _definition(tool: Any, instructions: str | None) -> Definition:
    wire: Mapping[str, Any] = tool if isinstance(tool, Mapping) else {"name": "", "unreadable": tool}
    try:
        found = f"sha256:{digest({'tool': wire, 'instructions': instructions})}"
    except (TypeError, RecursionError):
        found = ""
    return Definition(name=_text(wire.get("name")), wire=wire, digest=found)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any, deep: int = 0) -> Iterator[str]:
    """The texts in a JSON value, keys included, as deep as a schema may be nested."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping) and deep < 256:
        for key, inner in value.items():
            yield str(key)
            yield from _texts(inner, deep + 1)
    elif isinstance(value, list) and deep < 256:
        for inner in value:
            yield from _texts(inner, deep + 1)


def _hidden(text: str) -> Iterator[str]:
    """What a person does not see of a text. They see line breaks and tabs, and what joins two letters or emoji."""
    for at, c in enumerate(text):
        joins = c == _JOINER and all(n > "\x7f" and not hides(n) for n in (text[at - 1 : at], text[at + 1 : at + 2]))
        if hides(c) and c not in _PLAIN and not joins:
            yield c


def _listed(names: Iterator[str]) -> str:
    return " and ".join(map(repr, names))
