"""What a person is shown of a server before its tools may be called; pure, and escaped.

Everything in it was written by the server's author. None of it is believed; it is shown so that a person can decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import orjson

from .declarations import Declaration
from .wire import Definition


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """A tool and how it stands.

    Attributes:
        tool: as the server defines it.
        handle: what agents and policy call it.
        reasons: why it is in quarantine; empty for one that can be called.
    """

    tool: Definition
    handle: str
    reasons: tuple[str, ...]

    @property
    def callable(self) -> bool:
        """Whether agents may have it."""
        return not self.reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a server offers.

    Attributes:
        server: what we call it.
        instructions: what it tells models to do. No model is shown it.
        instructions_digest: of that.
        tools: all of them, in the server's order.
        missing: names that are declared or pinned, and not offered.
        declared: the declarations that were held against them.
    """

    server: str
    instructions: str
    instructions_digest: str
    tools: tuple[Reviewed, ...]
    missing: tuple[str, ...]
    declared: Mapping[str, Declaration]

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"server {self.server}: {len(self.tools)} tools; instructions {self.instructions_digest}"
        for each in self.tools:
            yield f"{each.handle} ({_shown(each.tool.name)}) {each.tool.digest or 'without a digest'}"
            yield from (f"  quarantined: {_escaped(reason)}" for reason in each.reasons)
        yield from (f"{_shown(name)} is declared, and not offered" for name in self.missing)

    def toml(self) -> str:
        """Declarations of all tools, each with the pin of what it is now; to be read, corrected and saved.

        What is declared already stays as it is; the rest has the most dangerous value, and is for a person to change.
        The whole definition stands above each as comments.
        """
        return "\n".join(self._blocks())

    def _blocks(self) -> Iterator[str]:
        yield f"# Tools of server {self.server}. The comments are what its author says: believe none of it."
        if self.instructions:
            yield f"# instructions: {_shown(self.instructions)}"
        for each in self.tools:
            yield ""
            for key, value in sorted(each.tool.wire.items()):
                yield f"# {_escaped(str(key))}: {_shown(value)}"
            if not each.tool.digest:
                yield "# It has no digest, so it cannot be pinned."
                continue
            yield f"[tools.{_shown(each.tool.name)}]"
            declared = self.declared.get(each.tool.name, Declaration())
            for name, value in _told(declared):
                yield f"{name} = {value}"
            yield f'pin = "{each.tool.digest}"'


def _told(declared: Declaration) -> Iterator[tuple[str, str]]:
    for each in fields(declared):
        value = getattr(declared, each.name)
        if each.name != "pin" and (value not in ({}, "", None) or each.name in ("effect",)):
            yield each.name, _toml(value)


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_shown(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    if hasattr(value, "__dataclass_fields__"):
        told = {f.name: getattr(value, f.name) for f in fields(value)}
        return _toml({k: v for k, v in told.items() if v not in (None, "")})
    return _shown(value)


def _shown(value: Any) -> str:
    """A value as JSON in a line of ASCII, which TOML reads as the same text."""
    try:
        return _escaped(orjson.dumps(value).decode())
    except TypeError:  # no JSON of ours: shown, and never pinned
        return _escaped(repr(value))


def _escaped(text: str) -> str:
    """A text in one line of visible ASCII."""
    return "".join(c if " " <= c <= "~" else _escape(ord(c)) for c in text)


def _escape(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
