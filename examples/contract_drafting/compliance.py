"""The compliance rules, applied to a document as it was read back. `data/compliance.toml` says what each kind means."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, assert_never

from .document import Section
from .library import DATA, DRAFTED, Clause, Library, Template, rows
from .matters import Matter

Kind = Literal["needed", "slot", "words", "law", "never", "current"]
_LAW = re.compile(r"governed by the laws? of (?P<law>.+?)(?:[.,;]|$)")


class Finding(TypedDict):
    """A rule that a document breaks: in which slot, why, and the clause that would mend it (empty: none would)."""

    rule: str
    slot: str
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. What it is not told is empty: no `templates` are all of them, no `when` is always."""

    id: str
    kind: Kind
    problem: str
    remedy: str
    templates: tuple[str, ...] = ()
    slot: str = ""
    when: str = ""
    phrases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What rules are applied to. `sections` are the clauses as they stand in the document."""

    matter: Matter
    template: Template
    sections: Sequence[Section]
    library: Library

    @property
    def filled(self) -> Mapping[str, Section]:
        """The clauses by slot."""
        return {s.slot: s for s in self.sections}


def load_rules(path: Path = DATA / "compliance.toml") -> tuple[Rule, ...]:
    """Read the rules. Raises TypeError for a line that is none."""
    return tuple(Rule(**row) for row in rows(path, "rule"))


def findings(rules: Sequence[Rule], checked: Checked) -> list[Finding]:
    """Every rule that is broken, in the order of the rules."""
    return [
        Finding(rule=rule.id, slot=slot, problem=rule.problem, remedy=remedy.key if remedy else "")
        for rule in rules
        if _applies(rule, checked)
        for slot in _broken(rule, checked)
        for remedy in [_remedy(rule, slot, checked)]
    ]


def _applies(rule: Rule, checked: Checked) -> bool:
    if rule.templates and checked.template.id not in rule.templates:
        return False
    return not rule.when or bool(getattr(checked.matter, rule.when))


def _broken(rule: Rule, checked: Checked) -> Iterator[str]:
    """The slots in which a document breaks a rule."""
    filled, here = checked.filled, checked.filled.get(rule.slot)
    match rule.kind:
        case "needed":
            yield from (s.name for s in checked.template.slots if s.needed and s.name not in filled)
        case "slot":
            if here is None:
                yield rule.slot
        case "words":
            if here is None or not _says(here.text, rule.phrases):
                yield rule.slot
        case "law":
            law = _LAW.search(here.text) if here else None
            if here is not None and (law is None or law["law"] not in rule.phrases):
                yield rule.slot
        case "never":
            yield from (s.slot for s in checked.sections if _says(s.text, rule.phrases))
        case "current":
            yield from (s.slot for s in checked.sections if s.source != DRAFTED and not _current(s, checked.library))
        case _:
            assert_never(rule.kind)


def _says(text: str, phrases: Sequence[str]) -> bool:
    folded = " ".join(text.casefold().split())
    return any(phrase.casefold() in folded for phrase in phrases)


def _current(section: Section, library: Library) -> bool:
    clause = library.current.get(section.source.partition("@")[0])
    return clause is not None and clause.key == section.source


def _remedy(rule: Rule, slot: str, checked: Checked) -> Clause | None:
    if rule.remedy == "standard":
        return checked.library.standard(checked.template, slot)
    return checked.library.current.get(rule.remedy)
