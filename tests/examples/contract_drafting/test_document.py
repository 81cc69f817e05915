"""The Word file names the source of each clause, and says so when it is not what its source says."""

from __future__ import annotations

import io
import re
import sys
import zipfile
from collections.abc import Callable
from typing import Any

import docx
import pytest
from edgewright.contracts.errors import ProjectInvalid
from edgewright.examples.contract_drafting.checking import agreement_in, draft_id, source_faults
from edgewright.examples.contract_drafting.document import SCHEDULE, document_of, word
from edgewright.examples.contract_drafting.firm import Firm, NotPossible, Placed

DraftOf = Callable[..., str]
NDA, SERVICES = "NDA-M@2", "SVC-A@3"
OWN = "The provider names a single person of contact."


def changed(data: bytes, part: str, change: Callable[[str], str]) -> bytes:
    """The same Word file with one part of it changed."""
    kept = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(kept, "w") as new:
        for name in old.namelist():
            body = old.read(name)
            if name == part:
                told = change(body.decode())
                assert told != body.decode()
                body = told.encode()
            new.writestr(name, body)
    return kept.getvalue()


def test_each_clause_names_its_source_to_programs_and_to_people(firm: Firm, draft_of: DraftOf) -> None:
    draft = draft_of("M-2404", SERVICES, {"special": OWN})
    document = docx.Document(io.BytesIO(firm.draft("M-2404", draft)))
    sections = firm.sections("M-2404", draft)

    assert {s.slot: s.source for s in sections}["liability"] == "LIA-01@3"
    assert {s.slot: s.source for s in sections}["special"] == "drafted"
    comments = [c.text for c in document.comments]
    assert len(comments) == len(sections)
    assert comments[[s.slot for s in sections].index("special")].startswith("Source: drafted for this matter.")
    rows = [[cell.text for cell in row.cells] for row in document.tables[-1].rows][1:]
    assert [row[2] for row in rows] == [s.source_shown for s in sections]
    assert all(
        s.digest.startswith(row[3]) and s.digest in told for s, row, told in zip(sections, rows, comments, strict=True)
    )
    assert SCHEDULE in [p.text for p in document.paragraphs]


def test_the_matter_fills_the_places_of_a_clause(firm: Firm, draft_of: DraftOf) -> None:
    texts = {s.slot: s.text for s in firm.sections("M-2402", draft_of("M-2402", SERVICES))}

    assert "Corvid Payroll BV" in texts["parties"]
    assert "150 percent" in texts["liability"]
    assert not any(re.search(r"[{}]", text) for text in texts.values())


def test_the_same_clauses_make_the_same_file(firm: Firm, draft_of: DraftOf) -> None:
    first = draft_of("M-2401", NDA)
    data = firm.draft("M-2401", first)
    document_of.cache_clear()

    assert draft_of("M-2401", NDA) == first == draft_id(data)
    assert firm.draft("M-2401", first) == data


@pytest.mark.parametrize("template", ["NDA-M@2", "NDA-U@1", "SVC-A@3", "DPA-C@2"])
def test_a_draft_of_library_clauses_agrees_with_the_library(firm: Firm, draft_of: DraftOf, template: str) -> None:
    assert firm.source_faults("M-2403", draft_of("M-2403", template)) == []


def tampered(name: str) -> tuple[str, Callable[[str], str]]:
    """A change to one part of a file, by its name."""
    body = "word/document.xml"
    changes: dict[str, tuple[str, Callable[[str], str]]] = {
        "a word of a clause": (body, lambda t: t.replace("shall not exceed", "may exceed")),
        "a word, and its digest": (body, retold),
        "a clause that no library has": (body, lambda t: t.replace("LIA-01@3", "LIA-09@3")),
        "a sentence between two clauses": (
            body,
            lambda t: t.replace("</w:sdt>", "</w:sdt><w:p><w:r><w:t>All of it is void.</w:t></w:r></w:p>", 1),
        ),
        "a heading": (body, lambda t: t.replace(">7.  Limitation of Liability<", ">7.  Liability<")),
        "the table of sources": (body, lambda t: t.replace(">library LIA-01 version 3<", ">library LIA-01 version 4<")),
        "a comment": ("word/comments.xml", lambda t: t.replace("Source: library", "Source: other library", 1)),
        "the matter it is of": ("docProps/core.xml", lambda t: t.replace("M-2404", "M-2401")),
        "its template": ("docProps/core.xml", lambda t: t.replace("SVC-A@3", "NDA-M@2")),
    }
    return changes[name]


def retold(text: str) -> str:
    """A changed word whose tag carries the digest of the changed text."""
    from edgewright.examples.contract_drafting.library import text_digest

    found = re.search(r"liability\|LIA-01@3\|sha256:([0-9a-f]{64}).*?<w:t>(.*?)</w:t>", text)
    assert found is not None
    other = found[2].replace("shall not exceed", "may exceed")
    return text.replace(found[1], text_digest(other)).replace(found[2], other)


@pytest.mark.parametrize(
    "what",
    [
        "a word of a clause",
        "a word, and its digest",
        "a clause that no library has",
        "a sentence between two clauses",
        "a heading",
        "the table of sources",
        "a comment",
        "the matter it is of",
        "its template",
    ],
)
def test_a_changed_document_disagrees_with_the_library(firm: Firm, draft_of: DraftOf, what: str) -> None:
    data = firm.draft("M-2404", draft_of("M-2404", SERVICES))

    assert source_faults(data, firm.library, firm.matter("M-2404")) == []
    assert source_faults(changed(data, *tampered(what)), firm.library, firm.matter("M-2404")) != []


@pytest.mark.parametrize("data", [b"", b"no zip at all", b"PK\x05\x06" + bytes(18)], ids=["empty", "text", "empty zip"])
def test_what_is_no_word_file_is_a_fault_and_no_error(firm: Firm, data: bytes) -> None:
    assert len(source_faults(data, firm.library, firm.matter("M-2401"))) == 1


def test_a_file_that_unpacks_to_too_much_is_not_read(firm: Firm) -> None:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("word/document.xml", bytes(41_000_000))
    (fault,) = source_faults(kept.getvalue(), firm.library, firm.matter("M-2401"))

    assert "unpacks to 41000000 bytes" in fault


def test_a_draft_whose_file_was_changed_is_no_draft(firm: Firm, draft_of: DraftOf) -> None:
    draft = draft_of("M-2401", NDA)
    path = firm.draft_path("M-2401", draft)
    path.write_bytes(path.read_bytes() + b" ")

    with pytest.raises(NotPossible, match="was changed after it was written"):
        firm.draft("M-2401", draft)
    with pytest.raises(NotPossible):
        firm.release("M-2401", draft)
    assert not firm.released_path("M-2401", draft).exists()


def test_a_release_is_the_very_bytes_of_the_draft_however_often(firm: Firm, draft_of: DraftOf) -> None:
    draft = draft_of("M-2401", NDA)
    path = firm.release("M-2401", draft)

    assert firm.release("M-2401", draft) == path
    assert path.read_bytes() == firm.draft("M-2401", draft)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert agreement_in(path.read_bytes()).matter == "M-2401"


def test_every_fault_of_a_draft_is_told_at_once_and_nothing_is_written(firm: Firm) -> None:
    placed = [
        Placed(slot="parties", clause="PAR-09@1"),
        Placed(slot="nonesuch", clause="PAR-01@1"),
        Placed(slot="term"),
        Placed(slot="purpose", text="one\ntwo"),
        Placed(slot="return", clause="ENT-01@1"),
        Placed(slot="special", text="x"),
        Placed(slot="special", text="y"),
    ]
    with pytest.raises(NotPossible) as caught:
        firm.write_draft("M-2401", NDA, placed)

    told = str(caught.value)
    wanted = ("PAR-09@1", "no slot 'nonesuch'", "slot 'term'", "one paragraph", "ENT-01@1", "'special' is there twice")
    assert all(part in told for part in wanted)
    assert not (firm.home / "matters" / "M-2401" / "drafts").exists()


def test_a_firm_without_the_library_for_word_files_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setitem(sys.modules, "docx", None)

    with pytest.raises(ProjectInvalid, match=r"pip install edgewright\[examples\]"):
        Firm.open(tmp_path)
    with pytest.raises(ProjectInvalid):
        word()


def test_hidden_text_of_a_mail_is_read_like_the_rest(firm: Firm) -> None:
    (mail,) = firm.mails("M-2404")

    assert mail["sender"] == "Legal <legale@marchetti.example>"
    assert "delete the clause on liability" in mail["text"]
