"""The agreement as a Word file, each clause with its source; the same bytes for the same agreement, always.

A clause's text stands in a content control whose tag is its slot, its source and its digest: what a program reads. A
comment on its heading and the table at the end say the same to people. `checking.py` reads such a file back.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from edgewright.contracts.errors import ProjectInvalid

from .library import DRAFTED, Template, text_digest
from .matters import Matter

if TYPE_CHECKING:
    from docx.document import Document
    from docx.text.paragraph import Paragraph

SCHEDULE = "Schedule: Sources of the Clauses"
COLUMNS = ("No.", "Clause", "Source", "SHA-256 of the text")
AUTHOR, INITIALS = "Edgewright", "EW"
SHOWN = 16
_EPOCH = (2026, 1, 1, 0, 0, 0)
MISSING = "it needs python-docx: pip install edgewright[examples]"


def word() -> Any:
    """The library that reads and writes Word files. Raises ProjectInvalid where it is not installed."""
    try:
        import docx
    except ImportError:
        raise ProjectInvalid(name="contract_drafting", faults=[MISSING]) from None
    return docx


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A clause in a document. `source` is the key of a clause of the library, or `drafted`."""

    slot: str
    source: str
    title: str
    text: str

    @property
    def digest(self) -> str:
        """The digest of its text."""
        return text_digest(self.text)

    @property
    def tag(self) -> str:
        """What its content control says to programs."""
        return f"{self.slot}|{self.source}|sha256:{self.digest}"

    @property
    def source_shown(self) -> str:
        """Its source as people read it."""
        if self.source == DRAFTED:
            return "drafted for this matter"
        return "library {} version {}".format(*self.source.split("@"))

    @property
    def note(self) -> str:
        """What the comment on its heading says."""
        return f"Source: {self.source_shown}. SHA-256 of the text: {self.digest}"


@lru_cache(maxsize=128)
def document_of(matter: Matter, template: Template, sections: tuple[Section, ...]) -> bytes:
    """The Word file of an agreement. Raises ProjectInvalid where python-docx is not installed."""
    docx = word()
    document: Document = docx.Document()
    opened = datetime.fromisoformat(matter.opened)
    told = document.core_properties
    told.title, told.identifier, told.subject = template.name, matter.number, template.key
    told.author = told.last_modified_by = AUTHOR
    told.comments, told.created, told.modified = "", opened, opened
    _styled(document)
    document.add_heading(template.name, level=0)
    line = document.add_paragraph(f"{matter.client}  ·  {matter.counterparty}")
    line.paragraph_format.space_after = docx.shared.Pt(14)
    document.sections[0].footer.paragraphs[0].text = f"Matter {matter.number}  ·  Template {template.key}"
    for number, section in enumerate(sections, 1):
        _add_clause(document, number, section, opened)
    _add_signatures(document, matter)
    _add_schedule(document, sections)
    kept = io.BytesIO()
    document.save(kept)
    return _timeless(kept.getvalue())


def _styled(document: Document) -> None:
    docx = word()
    normal = document.styles["Normal"]
    normal.font.name, normal.font.size = "Liberation Serif", docx.shared.Pt(11)
    document.styles["Heading 1"].paragraph_format.space_before = docx.shared.Pt(10)
    for name, size in (("Title", 20), ("Heading 1", 12)):
        style = document.styles[name]
        style.font.name, style.font.size = "Liberation Sans", docx.shared.Pt(size)
        style.font.color.rgb = docx.shared.RGBColor(0x1F, 0x2A, 0x44)
        # The template's themed fonts would win over the names above.
        fonts = style.element.rPr.rFonts
        for theme in ("asciiTheme", "hAnsiTheme", "eastAsiaTheme", "cstheme"):
            fonts.attrib.pop(docx.oxml.ns.qn(f"w:{theme}"), None)


def _add_clause(document: Document, number: int, section: Section, when: datetime) -> None:
    heading = document.add_paragraph(style="Heading 1")
    heading.add_run(f"{number}.  {section.title}")
    comment = document.add_comment(heading.runs, text=section.note, author=AUTHOR, initials=INITIALS)
    comment._comment_elm.date = when  # else the time of writing, and the same agreement would be another file
    # The heading stays outside: LibreOffice loses the text of a paragraph that has a comment inside a content control.
    _controlled(document.add_paragraph(section.text), section)


def _controlled(paragraph: Paragraph, section: Section) -> None:
    """Put a paragraph into a content control that names what it is."""
    element, qn = word().oxml.OxmlElement, word().oxml.ns.qn
    control, told, held = element("w:sdt"), element("w:sdtPr"), element("w:sdtContent")
    for name, value in (("w:alias", f"{section.title}: {section.source_shown}"), ("w:tag", section.tag)):
        part = element(name)
        part.set(qn("w:val"), value)
        told.append(part)
    control.append(told)
    control.append(held)
    paragraph._p.addprevious(control)
    held.append(paragraph._p)


def _add_signatures(document: Document, matter: Matter) -> None:
    table = document.add_table(rows=2, cols=2)
    for cell, party in zip(table.rows[0].cells, (matter.client, matter.counterparty), strict=True):
        cell.text = f"Signed for {party}"
        cell.paragraphs[0].paragraph_format.space_before = word().shared.Pt(24)
    for cell in table.rows[1].cells:
        cell.text = "\n______________________________\nname, place, date"


def _add_schedule(document: Document, sections: Sequence[Section]) -> None:
    document.add_paragraph(SCHEDULE, style="Heading 1").paragraph_format.page_break_before = True
    table = document.add_table(rows=1, cols=len(COLUMNS), style="Light Grid Accent 1")
    table.autofit = False
    widths = [word().shared.Cm(w) for w in (1.2, 4.8, 5.0, 4.2)]
    for column, width in zip(table.columns, widths, strict=True):
        column.width = width
    rows = [COLUMNS, *schedule(sections)]
    for _ in sections:
        table.add_row()
    for row, texts in zip(table.rows, rows, strict=True):
        for cell, text, width in zip(row.cells, texts, widths, strict=True):
            cell.text, cell.width = text, width


def schedule(sections: Sequence[Section]) -> list[tuple[str, ...]]:
    """The rows of the table of sources."""
    return [(str(n), s.title, s.source_shown, s.digest[:SHOWN]) for n, s in enumerate(sections, 1)]


def _timeless(packed: bytes) -> bytes:
    """The same package without the times at which its parts were written."""
    kept = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(packed)) as old, zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name, date_time=_EPOCH), old.read(name), compress_type=zipfile.ZIP_DEFLATED)
    return kept.getvalue()
