"""The firm: its library, its rules, and the folders of its matters. What the tools work on.

`matters/<number>/` has the matter's file, its mails and its drafts; `released/<number>/` what has left the house. A
draft is named by the digest of its file, so writing the same draft twice writes one file, and a changed file is none.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from uuid import uuid4

from .checking import agreement_in, draft_id, ordered, source_faults
from .compliance import Checked, Finding, Rule, findings, load_rules
from .document import Section, document_of, word
from .library import DATA, DRAFTED, Library, Template
from .matters import Mail, Matter, read_mail, read_matter_file
from .risk import Risk, Scale, load_scale


class NotPossible(Exception):
    """What was asked cannot be done, and nothing was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What goes into a slot: a clause of the library by its key, or a text that is drafted for the matter."""

    slot: str
    clause: str = ""
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Firm:
    """One firm, in one folder."""

    home: Path
    library: Library = field(default_factory=Library.load)
    rules: tuple[Rule, ...] = field(default_factory=load_rules)
    scale: Scale = field(default_factory=load_scale)

    @classmethod
    def open(cls, home: Path) -> Self:
        """The firm in a folder, with the written matters where they are missing. Raises ProjectInvalid."""
        word()
        for seed in sorted((DATA / "matters").iterdir()):
            _seeded(seed, home / "matters" / seed.name)
        return cls(home=home)

    def matter(self, number: str) -> Matter:
        """A matter's file. Raises NotPossible."""
        path = self.home / "matters" / number / "matter.toml"
        if not path.is_file():
            raise NotPossible(f"there is no matter {number}")
        return read_matter_file(path)

    def mails(self, number: str) -> list[Mail]:
        """What came for a matter, oldest first."""
        folder = self.home / "matters" / number / "correspondence"
        return [read_mail(path) for path in sorted(folder.glob("*.eml"))]

    def template(self, key: str) -> Template:
        """A template. Raises NotPossible."""
        found = self.library.template(key)
        if found is None:
            raise NotPossible(f"there is no template {key}; known: {', '.join(t.key for t in self.library.templates)}")
        return found

    # -- drafts ---------------------------------------------------------------------------------------------------

    def write_draft(self, number: str, template: str, placed: Sequence[Placed]) -> str:
        """Write a draft into the matter's folder and return its id. Raises NotPossible with every fault."""
        matter, form = self.matter(number), self.template(template)
        faults = [fault for p in placed if (fault := self._fault_of(p, form))]
        slots = [p.slot for p in placed]
        faults += [f"slot {s!r} is there twice" for s in sorted({s for s in slots if slots.count(s) > 1})]
        if faults or not placed:
            raise NotPossible("; ".join(faults) or "a draft has at least one clause")
        data = document_of(matter, form, ordered((self._section(p, matter) for p in placed), form))
        _kept(self.draft_path(number, draft_id(data)), data)
        return draft_id(data)

    def draft(self, number: str, draft: str) -> bytes:
        """The file of a draft. Raises NotPossible where there is none, or where it is not what was written."""
        path = self.draft_path(number, draft)
        if not path.is_file():
            raise NotPossible(f"matter {number} has no draft {draft}")
        data = path.read_bytes()
        if draft_id(data) != draft:
            raise NotPossible(f"the file of draft {draft} was changed after it was written")
        return data

    def sections(self, number: str, draft: str) -> tuple[Section, ...]:
        """The clauses of a draft, read back from its file. Raises NotPossible."""
        return tuple(self._read(number, draft).sections)

    def findings(self, number: str, draft: str) -> list[Finding]:
        """The compliance rules that a draft breaks. Raises NotPossible."""
        return findings(self.rules, self._read(number, draft))

    def risk(self, number: str, draft: str) -> Risk:
        """The risk of a draft. Raises NotPossible."""
        return self.scale.risk(self._read(number, draft))

    def source_faults(self, number: str, draft: str) -> list[str]:
        """Where a draft disagrees with the clause library. Raises NotPossible."""
        return source_faults(self.draft(number, draft), self.library, self.matter(number))

    def release(self, number: str, draft: str) -> Path:
        """Put exactly the bytes of a draft into the release folder. Doing it again changes nothing.

        Raises:
            NotPossible: there is no such draft.
        """
        data, path = self.draft(number, draft), self.released_path(number, draft)
        _kept(path, data)
        return path

    def released_path(self, number: str, draft: str) -> Path:
        """Where a draft lies once it is released."""
        return self.home / "released" / number / f"{number}-{draft}.docx"

    def draft_path(self, number: str, draft: str) -> Path:
        """Where a draft lies."""
        return self.home / "matters" / number / "drafts" / f"{draft}.docx"

    # -- inside ---------------------------------------------------------------------------------------------------

    def _fault_of(self, placed: Placed, form: Template) -> str:
        if form.slot(placed.slot) is None:
            return f"template {form.key} has no slot {placed.slot!r}; it has {', '.join(s.name for s in form.slots)}"
        if bool(placed.clause) == bool(placed.text):
            return f"slot {placed.slot!r} takes either a clause of the library or a text"
        if placed.text and not placed.text.isprintable():
            return f"the text in slot {placed.slot!r} must be one paragraph of characters that show"
        clause = self.library.by_key.get(placed.clause)
        if placed.clause and (clause is None or clause.slot != placed.slot):
            return f"the library has no clause {placed.clause!r} for slot {placed.slot!r}"
        return ""

    def _section(self, placed: Placed, matter: Matter) -> Section:
        if not placed.clause:
            title = "Special Terms" if placed.slot == "special" else placed.slot.replace("_", " ").title()
            return Section(slot=placed.slot, source=DRAFTED, title=title, text=placed.text)
        clause = self.library.by_key[placed.clause]
        text = clause.filled(matter.values)
        return Section(slot=placed.slot, source=clause.key, title=clause.title, text=text)

    def _read(self, number: str, draft: str) -> Checked:
        agreement = agreement_in(self.draft(number, draft))
        return Checked(
            matter=self.matter(number),
            template=self.template(agreement.template),
            sections=agreement.sections,
            library=self.library,
        )


def _kept(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{uuid4().hex}")
    with scratch.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def _seeded(seed: Path, folder: Path) -> None:
    """Copy a written matter whole or not at all; another process may do so at the same time."""
    if folder.exists():
        return
    scratch = folder.with_name(f".{folder.name}.{uuid4().hex}")
    shutil.copytree(seed, scratch)
    try:
        scratch.rename(folder)
    except OSError:
        shutil.rmtree(scratch)
        if not folder.is_dir():
            raise
