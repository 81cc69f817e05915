"""The tools: what an agent may look up and do, and the facts the policy judges each deed by.

No tool decides who may use it. It says truthfully what it does; the rules are in `policy.cedar`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from edgewright import ToolContext, ToolRefusal, tool
from pydantic import Field
from typing_extensions import TypedDict  # Pydantic reads the standard one only from Python 3.12 on

from .contracts import CustomerNumber
from .database import HelpDesk, NotPossible, Record

AreaCode = Annotated[str, Field(pattern=r"^[A-Z]{3}-[A-Z]{3}$")]
InvoiceNumber = Annotated[str, Field(pattern=r"^INV-\d{4}$")]
LineId = Annotated[str, Field(pattern=r"^L-\d{4}$")]
LoginName = Annotated[str, Field(pattern=r"^[a-z0-9._-]{3,40}$")]
Service = Literal["mobile", "internet"]
Words = Annotated[str, Field(min_length=2, max_length=300)]


class InvoiceFacts(TypedDict):
    """Whose invoice it is, what may still be given back, and what the books support giving back."""

    owner: str
    credited_cents: int
    creditable_cents: int
    supported_cents: int


class LineFacts(TypedDict):
    """Whose line it is, whether it still lives, and whether its minimum term is over."""

    owner: str
    live: bool
    term_over: bool


class LoginFacts(TypedDict):
    """Whose login it is; a delegate may use it and does not own it."""

    owner: str


# An id nobody has is owned by nobody: the policy refuses it like a stranger's, and so gives away nothing.
NOBODY = ""


def invoice_facts(invoice: str, *, ctx: ToolContext) -> InvoiceFacts:
    """What the books know of an invoice."""
    desk = ctx.resource(HelpDesk)
    found = desk.invoice(invoice)
    if found is None:
        return InvoiceFacts(owner=NOBODY, credited_cents=0, creditable_cents=0, supported_cents=0)
    return InvoiceFacts(
        owner=found["customer"],
        credited_cents=found["credited_cents"],
        creditable_cents=found["total_cents"] - found["credited_cents"],
        supported_cents=desk.supported_cents(found),
    )


def line_facts(line: str, *, ctx: ToolContext) -> LineFacts:
    """What the contract of a line says today."""
    desk = ctx.resource(HelpDesk)
    found = desk.line(line)
    if found is None:
        return LineFacts(owner=NOBODY, live=False, term_over=False)
    return LineFacts(
        owner=found["customer"],
        live=found["status"] != "cancelled",
        term_over=found["contract_until"] < desk.today.isoformat(),
    )


def login_facts(login: str, *, ctx: ToolContext) -> LoginFacts:
    """Who owns a login."""
    found = ctx.resource(HelpDesk).login(login)
    return LoginFacts(owner=found["owner"] if found else NOBODY)


# Looking up


@tool(effect="read", output="trusted", sensitivity="personal", sink=False, roles={"customer": "ref"})
def list_lines(customer: CustomerNumber, *, ctx: ToolContext) -> list[Any]:
    """List a customer's lines: id, service, plan, phone number, area, status, whether the term is over."""
    desk = ctx.resource(HelpDesk)
    today = desk.today.isoformat()
    return [{**line, "term_over": line["contract_until"] < today} for line in desk.lines_of(customer)]


@tool(effect="read", output="trusted", sensitivity="personal", sink=False, roles={"customer": "ref"})
def list_invoices(customer: CustomerNumber, *, ctx: ToolContext) -> list[Any]:
    """List a customer's invoices, newest first: dates, total, credits so far and every item, in cents."""
    return list(ctx.resource(HelpDesk).invoices_of(customer))


@tool(effect="read", output="trusted", sensitivity="personal", sink=False, roles={"customer": "ref"})
def list_logins(customer: CustomerNumber, *, ctx: ToolContext) -> list[Any]:
    """List the portal logins a customer owns or may use: login, owner, delegate, status."""
    return ctx.resource(HelpDesk).logins_of(customer)


@tool(effect="read", output="trusted", sensitivity="public", sink=False, roles={"words": "content"})
def find_area(words: Words, *, ctx: ToolContext) -> list[Any]:
    """Find areas of the network by names of districts or cities, best match first."""
    return ctx.resource(HelpDesk).areas_named(words)


@tool(effect="read", output="trusted", sensitivity="public", sink=False, roles={"area": "ref"})
def list_outages(area: AreaCode, *, ctx: ToolContext) -> list[Any]:
    """List outages of an area: service, status (open, planned, resolved), times, compensation per line."""
    return list(ctx.resource(HelpDesk).outages_in(area))


@tool(effect="read", output="trusted", sensitivity="public", sink=False, roles={"words": "content"})
def search_help(words: Words, *, ctx: ToolContext) -> list[Any]:
    """Search the help articles for any of the words, best match first."""
    return ctx.resource(HelpDesk).articles_about(words)


# Acting


@tool(
    effect="write",
    output="trusted",
    sensitivity="internal",
    sink=False,
    roles={"area": "ref", "service": "scalar", "summary": "content"},
    idempotency="key",
)
def open_incident(
    area: AreaCode,
    service: Service,
    summary: Annotated[str, Field(min_length=1, max_length=300)],
    *,
    ctx: ToolContext,
) -> Record:
    """Report a fault of a service in an area to network operations."""
    try:
        return ctx.resource(HelpDesk).open_incident(ctx.key, area=area, service=service, summary=summary)
    except NotPossible as problem:
        raise ToolRefusal(str(problem)) from problem


@tool(
    effect="write",
    output="trusted",
    sensitivity="personal",
    sink=False,
    roles={"invoice": "ref", "amount_cents": "scalar", "reason": "content"},
    idempotency="key",
    facts=invoice_facts,
)
def credit_invoice(
    invoice: InvoiceNumber,
    amount_cents: Annotated[int, Field(gt=0, le=100_000)],
    reason: Annotated[str, Field(min_length=1, max_length=300)],
    *,
    ctx: ToolContext,
) -> Record:
    """Credit an amount in cents on an invoice, and say which item or outage it is for."""
    try:
        return ctx.resource(HelpDesk).credit(ctx.key, invoice=invoice, amount_cents=amount_cents, reason=reason)
    except NotPossible as problem:
        raise ToolRefusal(str(problem)) from problem


@tool(
    effect="irreversible",
    output="trusted",
    sensitivity="personal",
    sink=False,
    roles={"line": "ref", "reason": "content"},
    idempotency="key",
    facts=line_facts,
)
def cancel_line(
    line: LineId, reason: Annotated[str, Field(min_length=1, max_length=300)], *, ctx: ToolContext
) -> Record:
    """End a line today and for good; its number cannot be brought back."""
    try:
        return ctx.resource(HelpDesk).cancel(ctx.key, line=line, reason=reason)
    except NotPossible as problem:
        raise ToolRefusal(str(problem)) from problem


@tool(
    effect="write",
    output="trusted",
    sensitivity="personal",
    sink=False,
    roles={"login": "ref"},
    idempotency="key",
    facts=login_facts,
)
def reset_access(login: LoginName, *, ctx: ToolContext) -> Record:
    """Unlock a portal login and send a reset link to its owner's address."""
    try:
        return ctx.resource(HelpDesk).reset(ctx.key, login=login)
    except NotPossible as problem:
        raise ToolRefusal(str(problem)) from problem
