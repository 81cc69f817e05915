"""The firm's clause library and its templates: what a clause says, which version is current, what its digest is."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

DATA = Path(__file__).with_name("data")
DRAFTED = "drafted"
"""The source of a clause that no library has: it was drafted for this matter."""


def text_digest(text: str) -> str:
    """The digest of a clause's text as it stands in a document: SHA-256, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One version of a clause. `law` is the governing law that it chooses, if it is about that."""

    id: str
    version: int
    slot: str
    title: str
    position: Literal["standard", "fallback"]
    text: str
    law: str = ""

    @property
    def key(self) -> str:
        """`LIA-01@3`: how a document names it as the source of a clause."""
        return f"{self.id}@{self.version}"

    def filled(self, values: Mapping[str, str]) -> str:
        """Its text with the values of a matter in their places. Raises KeyError for a value that the matter lacks."""
        return self.text.format_map(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A place in a template: the id of the clause that stands there by default, and whether it must be filled."""

    name: str
    clause: str
    needed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A kind of agreement. `asked_by` are words by which a lawyer asks for it."""

    id: str
    version: int
    name: str
    asked_by: tuple[str, ...]
    slots: tuple[Slot, ...]

    @property
    def key(self) -> str:
        """`SVC-A@3`."""
        return f"{self.id}@{self.version}"

    def slot(self, name: str) -> Slot | None:
        """The slot of that name, if it has one."""
        return next((s for s in self.slots if s.name == name), None)


@dataclass(frozen=True)
class Library:
    """All clauses in all versions, and the templates."""

    clauses: Sequence[Clause]
    templates: Sequence[Template]

    @classmethod
    def load(cls, folder: Path = DATA) -> Self:
        """Read `clauses.toml` and `templates.toml`. Raises TypeError or KeyError for what is no clause or template."""
        return cls(
            clauses=tuple(Clause(**row) for row in rows(folder / "clauses.toml", "clause")),
            templates=tuple(
                Template(
                    id=row["id"],
                    version=row["version"],
                    name=row["name"],
                    asked_by=row["for"],
                    slots=tuple(Slot(name=n, clause=c, needed=kind == "needs") for n, c, kind in row["slots"]),
                )
                for row in rows(folder / "templates.toml", "template")
            ),
        )

    @cached_property
    def by_key(self) -> Mapping[str, Clause]:
        """Every version of every clause by its key."""
        return {clause.key: clause for clause in self.clauses}

    @cached_property
    def current(self) -> Mapping[str, Clause]:
        """The newest version of each clause by its id."""
        return {c.id: c for c in sorted(self.clauses, key=lambda c: c.version)}

    def template(self, key: str) -> Template | None:
        """The template of that key (`SVC-A@3`), if there is one."""
        return next((t for t in self.templates if t.key == key), None)

    def in_slot(self, slot: str) -> list[Clause]:
        """The current clauses that may stand in a slot, those that the firm opens with first."""
        found = [c for c in self.current.values() if c.slot == slot]
        return sorted(found, key=lambda c: (c.position != "standard", c.id))

    def standard(self, template: Template, slot: str) -> Clause | None:
        """What a template has in a slot by default."""
        found = template.slot(slot)
        return self.current.get(found.clause) if found else None


def rows(path: Path, name: str) -> list[dict[str, Any]]:
    """The tables of that name in a TOML file, with lists as tuples."""
    found = tomllib.loads(path.read_text(encoding="utf-8"))[name]
    return [{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()} for row in found]
