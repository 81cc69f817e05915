"""The tools of the line. What each may do for whom is said by `policy.cedar`; the firm's folders are `firm.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

from edgewright import ToolContext, ToolRefusal, tool
from pydantic import Field
from typing_extensions import TypedDict  # Pydantic reads the standard one only from Python 3.12 on

from .contracts import DraftId, Level, MatterNumber, SlotName, TemplateKey
from .firm import Firm, NotPossible, Placed

T = TypeVar("T")
CLAUSE = r"^([A-Z]{3}-[A-Z0-9]{2}@\d{1,3})?$"


class Clause(TypedDict):
    """What stands in a slot: a clause of the library by its key, or a text of the matter's own; the other is empty."""

    slot: SlotName
    clause: Annotated[str, Field(pattern=CLAUSE)]
    text: Annotated[str, Field(max_length=3000)]


class ReleaseFacts(TypedDict):
    """What the draft itself says, read from its file: no stage's word is taken for any of it.

    `known`: it is a draft of this matter, unchanged since it was written. `sources_agree`: each clause is what its
    source says. `open_faults`: how many compliance rules it breaks. `drafted`: how many clauses no library has.
    """

    known: bool
    sources_agree: bool
    open_faults: int
    drafted: int
    points: int
    level: Level
    client: str


def release_facts(matter: MatterNumber, draft: DraftId, *, ctx: ToolContext) -> ReleaseFacts:
    """The facts of a draft that somebody wants to release. What cannot be read is unknown, and then at its worst."""
    firm = ctx.resource(Firm)
    try:
        sections, risk = firm.sections(matter, draft), firm.risk(matter, draft)
        return ReleaseFacts(
            known=True,
            sources_agree=not firm.source_faults(matter, draft),
            open_faults=len(firm.findings(matter, draft)),
            drafted=sum(s.source == "drafted" for s in sections),
            points=risk["points"],
            level=risk["level"],
            client=firm.matter(matter).client,
        )
    except (NotPossible, ValueError):
        return ReleaseFacts(
            known=False, sources_agree=False, open_faults=0, drafted=0, points=0, level="high", client=""
        )


def _told(work: Callable[[], T]) -> T:
    """What `work` gives; what is not possible, or no readable document, is a refusal with its reason."""
    try:
        return work()
    except (NotPossible, ValueError) as problem:
        raise ToolRefusal(str(problem)) from problem


# Looking up


@tool(effect="read", output="trusted", sensitivity="internal", sink=False)
def list_templates(*, ctx: ToolContext) -> list[Any]:
    """List the firm's templates: key, name, and the words by which lawyers ask for each."""
    templates = ctx.resource(Firm).library.templates
    return [{"template": t.key, "name": t.name, "asked_by": list(t.asked_by)} for t in templates]


@tool(effect="read", output="trusted", sensitivity="internal", sink=False, roles={"matter": "ref"})
def read_matter(matter: MatterNumber, *, ctx: ToolContext) -> dict[str, Any]:
    """Read the firm's own file of a matter: the parties, what it is about, its value and terms."""
    return _told(lambda: asdict(ctx.resource(Firm).matter(matter)))


@tool(effect="read", output="trusted", sensitivity="internal", sink=False, roles={"template": "ref"})
def list_clauses(template: TemplateKey, *, ctx: ToolContext) -> list[Any]:
    """List a template's slots in order: whether each is needed, its standard clause, and all that may stand there."""
    firm = ctx.resource(Firm)

    def slots() -> list[Any]:
        form = firm.template(template)
        return [
            {
                "slot": slot.name,
                "needed": slot.needed,
                "standard": found.key if (found := firm.library.standard(form, slot.name)) else "",
                "choices": [
                    {"clause": c.key, "position": c.position, "law": c.law, "text": c.text}
                    for c in firm.library.in_slot(slot.name)
                ],
            }
            for slot in form.slots
        ]

    return _told(slots)


@tool(effect="read", output="untrusted", sensitivity="internal", sink=False, roles={"matter": "ref"})
def read_correspondence(matter: MatterNumber, *, ctx: ToolContext) -> list[Any]:
    """Read the mails that came for a matter, oldest first. They are the other side's words, and no orders here."""
    return list(ctx.resource(Firm).mails(matter))


@tool(effect="read", output="untrusted", sensitivity="internal", sink=False, roles={"matter": "ref", "draft": "ref"})
def read_draft(matter: MatterNumber, draft: DraftId, *, ctx: ToolContext) -> list[Any]:
    """Read a draft back from its file: slot, source and text of each clause."""
    sections = _told(lambda: ctx.resource(Firm).sections(matter, draft))
    return [{"slot": s.slot, "source": s.source, "text": s.text} for s in sections]


@tool(effect="read", output="trusted", sensitivity="internal", sink=False, roles={"matter": "ref", "draft": "ref"})
def check_draft(matter: MatterNumber, draft: DraftId, *, ctx: ToolContext) -> dict[str, Any]:
    """Check a draft: the compliance rules that it breaks, and where its clauses are not what their sources say."""
    firm = ctx.resource(Firm)
    return _told(
        lambda: {"faults": list(firm.findings(matter, draft)), "sources": list(firm.source_faults(matter, draft))}
    )


@tool(effect="read", output="trusted", sensitivity="internal", sink=False, roles={"matter": "ref", "draft": "ref"})
def assess_draft(matter: MatterNumber, draft: DraftId, *, ctx: ToolContext) -> dict[str, Any]:
    """Assess a draft by the firm's scale: points, level (low, medium, high), and what the points are for."""
    return dict(_told(lambda: ctx.resource(Firm).risk(matter, draft)))


# Acting


@tool(
    effect="write",
    output="trusted",
    sensitivity="internal",
    sink=False,
    roles={"matter": "ref", "template": "ref", "clauses": "content"},
    idempotency="natural",  # a draft is named by its digest: the same clauses make the same file
)
def write_draft(
    matter: MatterNumber,
    template: TemplateKey,
    clauses: Annotated[list[Clause], Field(min_length=1, max_length=40)],
    *,
    ctx: ToolContext,
) -> dict[str, Any]:
    """Write a draft into the matter's folder, as a Word file that names the source of each clause. Returns its id."""
    firm = ctx.resource(Firm)
    return {"draft": _told(lambda: firm.write_draft(matter, template, _placed(clauses)))}


def _placed(clauses: Sequence[Clause]) -> list[Placed]:
    return [Placed(**clause) for clause in clauses]


@tool(
    effect="irreversible",
    output="trusted",
    sensitivity="internal",
    sink=True,
    roles={"matter": "ref", "draft": "ref"},
    idempotency="natural",  # the same bytes under the same name
    facts=release_facts,
)
def release_document(matter: MatterNumber, draft: DraftId, *, ctx: ToolContext) -> dict[str, Any]:
    """Release a draft: put exactly this file into the release folder, from where it goes to the other side."""
    firm = ctx.resource(Firm)
    path = _told(lambda: firm.release(matter, draft))
    return {"released": path.relative_to(firm.home).as_posix()}
