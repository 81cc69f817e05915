"""Compliance rules and risk factors, each on a real draft."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from edgewright.examples.contract_drafting.firm import Firm

DraftOf = Callable[..., str]
NDA, SERVICES, PROCESSING = "NDA-M@2", "SVC-A@3", "DPA-C@2"


@pytest.mark.parametrize("number", ["M-2401", "M-2404", "M-2406"])
@pytest.mark.parametrize("template", [NDA, SERVICES])
def test_the_firm_s_own_clauses_break_no_rule(firm: Firm, draft_of: DraftOf, number: str, template: str) -> None:
    assert firm.findings(number, draft_of(number, template)) == []


@pytest.mark.parametrize(
    ("number", "template", "changed", "found"),
    [
        ("M-2404", SERVICES, {"assignment": None}, [("needed-clauses", "assignment", "ASG-01@1")]),
        ("M-2404", SERVICES, {"liability": "Liability is limited."}, [("liability-cap", "liability", "LIA-01@3")]),
        ("M-2402", SERVICES, {}, [("personal-data-needs-dpa", "data_protection", "DPR-01@2")]),
        ("M-2402", SERVICES, {"data_protection": "DPR-01@2"}, []),
        ("M-2403", PROCESSING, {}, [("transfers-need-safeguards", "transfers", "TRF-01@2")]),
        (
            "M-2401",
            NDA,
            {"governing_law": "It is governed by the law of Panama."},
            [("governing-law", "governing_law", "LAW-EN@2")],
        ),
        ("M-2401", NDA, {"governing_law": "As agreed."}, [("governing-law", "governing_law", "LAW-EN@2")]),
        ("M-2401", NDA, {"governing_law": "LAW-NL@1"}, []),
        ("M-2401", NDA, {"special": "It is kept In  Perpetuity."}, [("prohibited-terms", "special", "")]),
        ("M-2404", SERVICES, {"liability": "LIA-01@2"}, [("current-clauses", "liability", "LIA-01@3")]),
        ("M-2404", SERVICES, {"liability": "LIA-02@1"}, []),
    ],
)
def test_a_broken_rule_is_found_where_it_is_broken_with_what_mends_it(
    firm: Firm,
    draft_of: DraftOf,
    number: str,
    template: str,
    changed: dict[str, str | None],
    found: list[tuple[str, str, str]],
) -> None:
    faults = firm.findings(number, draft_of(number, template, changed))

    assert [(f["rule"], f["slot"], f["remedy"]) for f in faults] == found


def test_the_remedies_mend_every_fault_that_has_one(firm: Firm, draft_of: DraftOf) -> None:
    broken = {"liability": "LIA-01@2", "governing_law": "It is governed by the law of Panama.", "services": None}
    faults = firm.findings("M-2402", draft_of("M-2402", SERVICES, broken))
    mended = {f["slot"]: f["remedy"] for f in faults}

    assert set(mended) == {"liability", "governing_law", "services", "data_protection"}
    assert firm.findings("M-2402", draft_of("M-2402", SERVICES, broken | mended)) == []


@pytest.mark.parametrize(
    ("number", "template", "changed", "points", "level"),
    [
        ("M-2401", NDA, {}, 0, "low"),
        ("M-2404", SERVICES, {"fees": "FEE-02@1"}, 1, "low"),
        ("M-2404", SERVICES, {"special": "Something of its own."}, 3, "medium"),
        ("M-2404", SERVICES, {"liability": None}, 6, "high"),
        ("M-2402", SERVICES, {"fees": "FEE-02@1", "intellectual_property": "IPR-02@1"}, 4, "medium"),
        ("M-2407", SERVICES, {}, 4, "medium"),
        ("M-2403", PROCESSING, {}, 9, "high"),
    ],
)
def test_risk_is_what_the_document_and_the_matter_make_it(
    firm: Firm,
    draft_of: DraftOf,
    number: str,
    template: str,
    changed: dict[str, str | None],
    points: int,
    level: str,
) -> None:
    risk = firm.risk(number, draft_of(number, template, changed))

    assert (risk["points"], risk["level"]) == (points, level)
    assert bool(risk["reasons"]) == (points > 0)


def test_every_template_is_made_of_clauses_that_the_library_has(firm: Firm) -> None:
    library = firm.library
    lacking = [
        (form.key, slot.name)
        for form in library.templates
        for slot in form.slots
        if slot.clause and (slot.clause not in library.current or library.current[slot.clause].slot != slot.name)
    ]

    assert lacking == []
    assert all(slot.clause for form in library.templates for slot in form.slots if slot.needed)
    assert len({clause.key for clause in library.clauses}) == len(library.clauses)
