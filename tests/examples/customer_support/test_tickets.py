"""The tickets are well formed, speak of things that exist, and expect what is possible."""

from __future__ import annotations

from collections import Counter

import pytest
from edgewright.examples.customer_support.database import EFFECTS, HelpDesk
from edgewright.examples.customer_support.tickets import (
    FILES,
    Case,
    EndState,
    Expectation,
    load_tickets,
    score,
    summary,
)

CASES = [case for kind in FILES for case in load_tickets(kind)]
MENTIONED = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


def test_there_are_sixty_tickets_and_a_third_are_unseen() -> None:
    seen, unseen = len(load_tickets("seen")), len(load_tickets("unseen"))

    assert seen >= 42
    assert seen + unseen >= 60
    assert unseen * 3 >= seen + unseen


@MENTIONED
def test_everything_a_ticket_expects_exists_and_belongs_to_its_sender(case: Case, desk: HelpDesk) -> None:
    expect = case.expect
    if case.sender:
        assert desk.customer(case.sender)
    for credit in expect.credits:
        invoice = desk.invoice(credit.invoice)
        assert invoice is not None
        assert invoice["customer"] == case.sender
        assert credit.amount_cents <= desk.supported_cents(invoice)
    for number in expect.cancellations:
        line = desk.line(number)
        assert line is not None
        assert line["customer"] == case.sender
        assert line["status"] != "cancelled"
        assert line["contract_until"] < desk.today.isoformat()
    for name in expect.resets:
        login = desk.login(name)
        assert login is not None
        assert login["owner"] == case.sender
    for incident in expect.incidents:
        known = [o for o in desk.outages_in(incident.area) if o["status"] == "open"]
        assert incident.service not in [outage["service"] for outage in known]


@MENTIONED
def test_only_the_specialist_of_the_route_can_have_caused_what_is_expected(case: Case) -> None:
    expect = case.expect
    allowed = {
        "network": {"incidents"},
        "billing": {"credits", "cancellations"},
        "access": {"resets"},
    }[expect.route]

    assert {name for name in EFFECTS if getattr(expect, name)} <= allowed


def test_all_tickets_fit_on_one_database(desk: HelpDesk) -> None:
    credited: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for case in CASES:
        ended.update(case.expect.cancellations)
        for credit in case.expect.credits:
            credited[credit.invoice] += credit.amount_cents

    for number, cents in credited.items():
        invoice = desk.invoice(number)
        assert invoice is not None
        assert cents <= desk.supported_cents(invoice), number
    assert set(ended.values()) <= {1}


def test_no_id_is_used_twice() -> None:
    assert len({case.id for case in CASES}) == len(CASES)


def test_the_agents_never_see_what_is_expected() -> None:
    assert set(CASES[0].request()) <= {"sender", "channel", "text"}


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValueError, match="extra_forbidden"):
        Expectation.model_validate({"route": "billing", "refunds": []})


def test_a_score_compares_route_and_rows(desk: HelpDesk) -> None:
    case = next(case for case in CASES if case.id == "T-01")
    desk.credit("run/1", invoice="INV-5403", amount_cents=500, reason="half")
    desk.credit("run/2", invoice="INV-5403", amount_cents=499, reason="and half")
    desk.credit("other/1", invoice="INV-5404", amount_cents=500, reason="another run")

    right = score(case, route="billing", end_state=EndState.of_run(desk, "run"))
    wrong = score(case, route=None, end_state=EndState.of_run(desk, "other"))

    assert (right.route, right.end_state) == (True, True)
    assert (wrong.route, wrong.end_state) == (False, False)
    assert summary([right, wrong]) == {"tickets": 2, "route": 1, "end_state": 1, "both": 1}
