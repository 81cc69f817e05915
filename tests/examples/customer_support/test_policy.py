"""The policy lets the agents do their work, asks where a person decides, and refuses the rest."""

from __future__ import annotations

from typing import Any

import pytest
from edgewright.contracts.policy import CompiledPolicy, Policy, PolicyCall
from edgewright.contracts.verdict import Allow, Ask, Deny, Verdict
from edgewright.examples.customer_support import agents, system
from edgewright.examples.customer_support.contracts import Ticket

ME, STRANGER, NOBODY = "C-1003", "C-1004", ""
AGENTS = (agents.triage, *agents.SPECIALISTS)
TOOLS = {tool.name: tool.spec for agent in AGENTS for tool in agent.tools}


@pytest.fixture(scope="module")
def policy() -> CompiledPolicy:
    """The policy of the example, checked against its tools."""
    text = system.POLICY.read_text(encoding="utf-8")
    request = Ticket.model_json_schema()
    asked = {name: request["properties"][name] for name in ("sender", "channel")}
    return CompiledPolicy(
        Policy(text=text, name=system.POLICY.name),
        agents=[agent.name for agent in AGENTS],
        tools=TOOLS.values(),
        request={"type": "object", "properties": asked, "required": ["channel"]},
    )


def judged(
    policy: CompiledPolicy,
    agent: str,
    tool: str,
    args: dict[str, Any],
    *,
    facts: dict[str, Any] | None = None,
    sender: str | None = ME,
) -> Verdict:
    """What the policy says to one call."""
    verified = {} if sender is None else {"sender": sender}
    return policy.judge(
        PolicyCall(
            agent=agent,
            tool=tool,
            args=args,
            facts=facts,
            request={"channel": "email", **verified},
            env="development",
            calls=0,
            done=frozenset(),
        )
    )


def credit(cents: int) -> dict[str, Any]:
    """Arguments of a credit."""
    return {"invoice": "INV-5403", "amount_cents": cents, "reason": "charged twice"}


def books(*, owner: str = ME, credited: int = 0, left: int = 6996, supported: int = 3000) -> dict[str, Any]:
    """What the books say of the invoice."""
    return {
        "owner": owner,
        "credited_cents": credited,
        "creditable_cents": left,
        "supported_cents": supported,
    }


def ids(verdict: Verdict) -> set[str]:
    """The rules that decided."""
    return {rule.id for rule in verdict.rules}


def test_a_small_credit_the_books_support_runs(policy: CompiledPolicy) -> None:
    assert isinstance(judged(policy, "billing", "credit_invoice", credit(2000), facts=books()), Allow)


def test_a_credit_above_the_limit_is_asked_of_finance(policy: CompiledPolicy) -> None:
    verdict = judged(policy, "billing", "credit_invoice", credit(2001), facts=books())

    assert isinstance(verdict, Ask)
    assert [(rule.id, rule.approver) for rule in verdict.rules] == [("ask-finance-above-20-euro", "finance")]


def test_a_large_credit_in_small_pieces_is_asked_too(policy: CompiledPolicy) -> None:
    facts = books(credited=1500, left=5496)

    assert isinstance(judged(policy, "billing", "credit_invoice", credit(1000), facts=facts), Ask)


def test_a_credit_the_books_do_not_support_is_asked_however_small(policy: CompiledPolicy) -> None:
    verdict = judged(policy, "billing", "credit_invoice", credit(100), facts=books(supported=0))

    assert isinstance(verdict, Ask)
    assert ids(verdict) == {"ask-finance-beyond-the-books"}


@pytest.mark.parametrize(
    ("facts", "sender", "rule"),
    [
        (books(owner=STRANGER), ME, "credit-own-invoice-only"),
        (books(owner=NOBODY, left=0, supported=0), ME, "credit-own-invoice-only"),
        (books(), None, "unverified-sender-gets-help-only"),
        (books(left=1000), ME, "credit-within-the-invoice"),
    ],
    ids=["a stranger's invoice", "no invoice", "nobody verified", "more than is left"],
)
def test_a_credit_that_must_not_be_is_denied_and_nobody_is_asked(
    policy: CompiledPolicy, facts: dict[str, Any], sender: str | None, rule: str
) -> None:
    verdict = judged(policy, "billing", "credit_invoice", credit(2500), facts=facts, sender=sender)

    assert isinstance(verdict, Deny)
    assert rule in ids(verdict)


def test_cancelling_an_own_line_is_always_asked_of_a_care_lead(policy: CompiledPolicy) -> None:
    facts = {"owner": ME, "live": True, "term_over": True}
    verdict = judged(policy, "billing", "cancel_line", {"line": "L-2005", "reason": "asked"}, facts=facts)

    assert isinstance(verdict, Ask)
    assert [rule.approver for rule in verdict.rules] == ["care_lead"]


def test_cancelling_a_stranger_s_line_is_denied(policy: CompiledPolicy) -> None:
    facts = {"owner": STRANGER, "live": True, "term_over": True}
    verdict = judged(policy, "billing", "cancel_line", {"line": "L-2006", "reason": "asked"}, facts=facts)

    assert isinstance(verdict, Deny)
    assert ids(verdict) == {"cancel-own-line-only"}


@pytest.mark.parametrize(("owner", "sender"), [(STRANGER, ME), (NOBODY, ME), (ME, None)])
def test_access_is_never_reset_for_anybody_but_the_owner(
    policy: CompiledPolicy, owner: str, sender: str | None
) -> None:
    facts = {"owner": owner}
    verdict = judged(policy, "access", "reset_access", {"login": "a.b"}, facts=facts, sender=sender)

    assert isinstance(verdict, Deny)
    assert "reset-own-login-only" in ids(verdict)


def test_access_is_reset_for_the_owner(policy: CompiledPolicy) -> None:
    verdict = judged(policy, "access", "reset_access", {"login": "mehmet.yildiz"}, facts={"owner": ME})

    assert isinstance(verdict, Allow)


def test_an_unverified_sender_may_report_a_fault_and_read_help(policy: CompiledPolicy) -> None:
    incident = {"area": "OPO-RIB", "service": "mobile", "summary": "no signal"}

    assert isinstance(judged(policy, "network", "open_incident", incident, sender=None), Allow)
    assert isinstance(judged(policy, "access", "search_help", {"words": "PUK"}, sender=None), Allow)


@pytest.mark.parametrize(
    ("agent", "tool"),
    [("network", "list_lines"), ("billing", "list_invoices"), ("access", "list_logins")],
)
@pytest.mark.parametrize("sender", [STRANGER, None])
def test_only_the_sender_s_own_account_can_be_looked_up(
    policy: CompiledPolicy, agent: str, tool: str, sender: str | None
) -> None:
    assert isinstance(judged(policy, agent, tool, {"customer": ME}), Allow)
    assert isinstance(judged(policy, agent, tool, {"customer": ME}, sender=sender), Deny)


ARGUMENTS: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "list_lines": ({"customer": ME}, None),
    "list_invoices": ({"customer": ME}, None),
    "list_logins": ({"customer": ME}, None),
    "find_area": ({"words": "Mitte"}, None),
    "list_outages": ({"area": "BER-MIT"}, None),
    "search_help": ({"words": "PUK"}, None),
    "open_incident": ({"area": "BER-MIT", "service": "mobile", "summary": "drops"}, None),
    "credit_invoice": (credit(100), books()),
    "cancel_line": (
        {"line": "L-2005", "reason": "asked"},
        {"owner": ME, "live": True, "term_over": True},
    ),
    "reset_access": ({"login": "mehmet.yildiz"}, {"owner": ME}),
}


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
@pytest.mark.parametrize("tool", TOOLS)
def test_each_agent_may_use_its_own_tools_and_no_others(policy: CompiledPolicy, agent: Any, tool: str) -> None:
    args, facts = ARGUMENTS[tool]
    verdict = judged(policy, agent.name, tool, args, facts=facts)

    assert isinstance(verdict, Deny) == (tool not in {own.name for own in agent.tools})
