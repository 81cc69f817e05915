"""A Word file read back, and checked: does each clause say what its source says, and is there nothing else in it?"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .document import Section, document_of, word
from .library import DRAFTED, Library, Template
from .matters import Matter

MOST_BYTES, MOST_UNPACKED = 4_000_000, 40_000_000
ID_DIGITS = 24
_TAG = re.compile(r"(?P<slot>[a-z_]+)\|(?P<source>drafted|[A-Z]{3}-[A-Z0-9]{2}@\d+)\|sha256:(?P<digest>[0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A clause as it stands in a file, and the digest that the file says it has."""

    section: Section
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What a Word file says that it is. `matter` and `template` are as its properties have them."""

    matter: str
    template: str
    found: tuple[Found, ...]

    @property
    def sections(self) -> tuple[Section, ...]:
        """Its clauses, in order."""
        return tuple(f.section for f in self.found)


class Unreadable(ValueError):
    """It is no Word file, or none whose clauses can be told apart."""


def draft_id(data: bytes) -> str:
    """What a draft is known by: the head of the SHA-256 of its whole file."""
    return hashlib.sha256(data).hexdigest()[:ID_DIGITS]


def agreement_in(data: bytes) -> Agreement:
    """Read a Word file. Raises Unreadable, or ProjectInvalid where python-docx is not installed."""
    docx = word()
    if len(data) > MOST_BYTES:
        raise Unreadable(f"it has {len(data)} bytes, and at most {MOST_BYTES} are read")
    try:
        parts_in(data)
        document = docx.Document(io.BytesIO(data))
        told = document.core_properties
        found = tuple(_clauses(document))
    except Unreadable:
        raise
    except Exception as error:  # zip, XML and package faults have no base of their own
        raise Unreadable(f"it cannot be read as a Word file ({type(error).__name__})") from error
    return Agreement(matter=told.identifier, template=told.subject, found=found)


def parts_in(data: bytes) -> list[tuple[str, bytes]]:
    """The parts of a Word file, whatever packed them. Raises Unreadable, or zipfile.BadZipFile."""
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        if (size := sum(part.file_size for part in package.infolist())) > MOST_UNPACKED:
            raise Unreadable(f"it unpacks to {size} bytes, and at most {MOST_UNPACKED} are read")
        return sorted((part.filename, package.read(part)) for part in package.infolist())


def _clauses(document: Any) -> Iterator[Found]:
    docx = word()
    qn = docx.oxml.ns.qn
    for control in document.element.body.iterchildren(qn("w:sdt")):
        tag = control.find(f"{qn('w:sdtPr')}/{qn('w:tag')}")
        told = _TAG.fullmatch(tag.get(qn("w:val"), "") if tag is not None else "")
        if told is None:
            raise Unreadable("a content control has no tag that names slot, source and digest")
        heading = control.getprevious()
        if heading is None or heading.tag != qn("w:p"):
            raise Unreadable(f"clause {told['slot']!r} has no heading")
        title = docx.text.paragraph.Paragraph(heading, document).text.partition(".")[2].strip()
        text = "\n".join(docx.text.paragraph.Paragraph(p, document).text for p in control.iter(qn("w:p")))
        section = Section(slot=told["slot"], source=told["source"], title=title, text=text)
        yield Found(section=section, said=told["digest"])


def source_faults(data: bytes, library: Library, matter: Matter) -> list[str]:
    """Everything in which a file disagrees with the clause library; empty where each clause is what its source says.

    A clause of the library is filled in from the matter's file again and compared. What no clause accounts for (a
    sentence between two of them, a table that says something else) shows when the whole document is made again.
    """
    try:
        agreement = agreement_in(data)
    except Unreadable as error:
        return [str(error)]
    template = library.template(agreement.template)
    if agreement.matter != matter.number:
        return [f"it is of matter {agreement.matter!r}, not {matter.number!r}"]
    if template is None:
        return [f"there is no template {agreement.template!r}"]
    faults = [fault for found in agreement.found for fault in _faults_of(found, library, matter)]
    if not faults and parts_in(document_of(matter, template, agreement.sections)) != parts_in(data):
        faults.append("beside its clauses and their sources it holds something else, or another order of them")
    return faults


def _faults_of(found: Found, library: Library, matter: Matter) -> Iterator[str]:
    section = found.section
    if found.said != section.digest:
        yield f"{section.slot}: its text is not the one whose digest it carries"
    if section.source == DRAFTED:
        return
    clause = library.by_key.get(section.source)
    if clause is None:
        yield f"{section.slot}: the library has no clause {section.source}"
    elif (clause.slot, clause.title, clause.filled(matter.values)) != (section.slot, section.title, section.text):
        yield f"{section.slot}: its text is not that of {section.source}"


def ordered(sections: Iterable[Section], template: Template) -> tuple[Section, ...]:
    """Clauses in the order that their template has."""
    places = {slot.name: i for i, slot in enumerate(template.slots)}
    return tuple(sorted(sections, key=lambda s: places[s.slot]))
