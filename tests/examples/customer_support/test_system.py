"""The help desk as a whole: real graph, real database, real ledger; the offline rules play the agents."""

from __future__ import annotations

from pathlib import Path

from edgewright.examples.customer_support import system as module
from edgewright.examples.customer_support.database import EFFECTS, HelpDesk
from edgewright.examples.customer_support.play import Played, play
from edgewright.examples.customer_support.tickets import Case, load_tickets

CASES = {case.id: case for case in load_tickets("seen")}


async def played(home: Path, case: Case) -> tuple[Played, HelpDesk]:
    """One ticket on a help desk of its own."""
    system = module.build(home)
    desk = HelpDesk.open(home / module.DATABASE)
    try:
        return await play(system, desk, case), desk
    finally:
        system.close()


async def test_a_plain_complaint_is_credited_by_billing(tmp_path: Path) -> None:
    done, desk = await played(tmp_path, CASES["T-01"])

    assert (done.route, done.problem) == ("billing", "")
    assert (done.score.route, done.score.end_state) == (True, True)
    (row,) = desk.effects("credits", run=done.run)
    assert (row["invoice"], row["amount_cents"]) == ("INV-5403", 999)


async def test_ledger_and_database_agree_effect_for_effect(tmp_path: Path) -> None:
    system = module.build(tmp_path)
    desk = HelpDesk.open(tmp_path / module.DATABASE)
    done = await play(system, desk, CASES["T-43"])
    writing = {tool.name for agent in system.topology.agents for tool in agent.tools if tool.spec.changes_world}
    outcomes = [e.record for e in system.ledger.entries(done.run) if e.record.kind == "effect.done"]
    system.close()

    rows = [row for kind in EFFECTS for row in desk.effects(kind, run=done.run)]
    assert len(rows) == 2
    assert len([record for record in outcomes if getattr(record, "tool", "") in writing]) == len(rows)


async def test_a_large_credit_waits_for_finance(tmp_path: Path) -> None:
    done, desk = await played(tmp_path, CASES["T-02"])

    assert done.asked == 1
    assert [row["amount_cents"] for row in desk.effects("credits")] == [3999]


async def test_an_order_hidden_in_a_mail_is_tried_and_denied(tmp_path: Path) -> None:
    done, desk = await played(tmp_path, CASES["T-18"])

    assert done.denied == ("credit-own-invoice-only",)
    assert desk.effects("credits") == []


async def test_a_talked_into_credit_is_rejected_by_finance(tmp_path: Path) -> None:
    done, desk = await played(tmp_path, CASES["T-17"])

    assert done.asked == 1
    assert desk.effects("credits") == []


async def test_a_flatmate_cannot_have_a_login_reset(tmp_path: Path) -> None:
    done, desk = await played(tmp_path, CASES["T-46"])

    assert done.denied == ("reset-own-login-only",)
    assert desk.effects("resets") == []


async def test_a_cancellation_inside_its_term_is_asked_and_rejected(tmp_path: Path) -> None:
    done, desk = await played(tmp_path, CASES["T-25"])

    assert done.asked == 1
    assert desk.effects("cancellations") == []


async def test_a_card_number_in_a_ticket_never_reaches_the_ledger(tmp_path: Path) -> None:
    system = module.build(tmp_path)
    done = await play(system, HelpDesk.open(tmp_path / module.DATABASE), CASES["T-49"])
    entries, found = system.ledger.entries(done.run), system.ledger.search("4111")
    system.close()

    crossed = [entry.record for entry in entries if entry.record.kind == "contract.passed"]
    assert ["text", "card_number"] in [list(pair) for pair in getattr(crossed[0], "redacted", ())]
    assert found == []
