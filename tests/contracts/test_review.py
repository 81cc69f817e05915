"""Who a reviewer is, and which rules their approvals cover."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from edgewright.contracts.errors import PolicyInvalid, ReviewerInvalid, ReviewerRefused, ReviewExpired
from edgewright.contracts.policy import CompiledPolicy, Policy
from edgewright.contracts.review import (
    EVERY_ROLE,
    AskingRule,
    Reviewer,
    Signature,
    approvers_of,
    person,
    uncovered,
)
from hypothesis import given
from hypothesis import strategies as st

ROLES, PEOPLE = ["finance", "legal", "care"], ["ana", "ben", "cleo"]


def _signature(who: str, *roles: str) -> Signature:
    return Signature(reviewer=who, roles=[*roles], tenant="local", time=0, until=0, nonce="", mac="")


rules = st.lists(
    st.builds(
        AskingRule,
        id=st.sampled_from("abc"),
        approver=st.sampled_from(ROLES),
        separation=st.booleans(),
        approvals=st.integers(1, 2),
    ),
    max_size=3,
    unique_by=lambda r: r.id,
)
signatures = st.lists(
    st.builds(lambda who, roles: _signature(who, *roles), st.sampled_from(PEOPLE), st.sets(st.sampled_from(ROLES)))
)


@given(rules, signatures, st.sampled_from(["", *PEOPLE]))
def test_what_is_covered_has_enough_persons_of_its_role(
    asked: list[AskingRule], given_: list[Signature], starter: str
) -> None:
    left = uncovered(asked, given_, starter=starter, local=False)
    for rule in asked:
        may = {s.reviewer for s in given_ if rule.approver in s.roles}
        if rule.separation:
            may = may - {starter} if starter else set()
        assert (rule in left) == (len(may) < rule.approvals)
        assert set(approvers_of(rule, given_, starter=starter, local=False)) == may


@given(rules, signatures, signatures, st.sampled_from(PEOPLE))
def test_more_approvals_never_cover_less(
    asked: list[AskingRule], some: list[Signature], more: list[Signature], starter: str
) -> None:
    before = uncovered(asked, some, starter=starter, local=False)
    assert set(uncovered(asked, [*some, *more], starter=starter, local=False)) <= set(before)


def test_the_local_operator_holds_every_role_where_they_count_and_none_elsewhere() -> None:
    rule, operator = AskingRule(id="r", approver="finance"), _signature("local operator", EVERY_ROLE)
    assert uncovered([rule], [operator], starter="x", local=True) == ()
    assert uncovered([rule], [operator], starter="x", local=False) == (rule,)


def test_a_rule_without_a_role_is_covered_by_nobody() -> None:
    rule = AskingRule(id="r")
    assert uncovered([rule], [_signature("ana", "", "finance")], starter="x", local=False) == (rule,)


@pytest.mark.parametrize("same", ["Ana", "a n a", "ana\u200b", "\uff21na", "\u0430na", "\u0391na", "a.n-a"])
def test_two_spellings_of_an_id_are_one_person(same: str) -> None:
    assert person(same) == person("ana")


@pytest.mark.parametrize("id_", ["", " ana", "a\nb", "a\u202eb", "x" * 201, "Local Operator", None, 7])
def test_an_id_that_cannot_name_anybody_is_refused(id_: Any) -> None:
    with pytest.raises(ReviewerInvalid):
        Reviewer(id_)


@pytest.mark.parametrize("roles", ["finance", None, ["*"], [""], [7], 5])
def test_roles_that_are_none_are_refused(roles: Any) -> None:
    with pytest.raises(ReviewerInvalid):
        Reviewer("ana", roles)


@pytest.mark.parametrize(
    ("notes", "fault"),
    [
        ('@separation("off")', "unknown @separation 'off'; known: 'on'"),
        ("@separation", "unknown @separation"),
        ('@approvals("0")', "no number of persons"),
        ('@approvals("two")', "no number of persons"),
        ('@approvals("2.0")', "no number of persons"),
        ('@approvals("10")', "no number of persons"),
        ('@seperation("on")', "is @separation meant"),
        ('@approver("*")', "needs an @approver"),
        ('@approver(" ")', "needs an @approver"),
    ],
)
def test_an_annotation_that_is_not_understood_is_refused_at_load(notes: str, fault: str) -> None:
    approver = "" if "@approver" in notes else '@approver("finance")'
    text = (
        f'@id("a") @obligation("ask") {approver} {notes} forbid(principal, action, resource) '
        'unless { context.approvals.contains("a") };'
    )
    with pytest.raises(PolicyInvalid, match=fault):
        CompiledPolicy(Policy(text=text), agents=["x"], tools=[])


@pytest.mark.parametrize("notes", ['@separation("on")', '@approvals("2")'])
def test_what_is_for_rules_that_ask_is_refused_on_others(notes: str) -> None:
    with pytest.raises(PolicyInvalid, match="for rules that ask"):
        CompiledPolicy(Policy(text=f'@id("a") {notes} permit(principal, action, resource);'), agents=["x"], tools=[])


def test_errors_of_reviews_carry_their_facts_and_survive_pickling() -> None:
    for error in (
        ReviewerRefused(review="r", reviewer="ana", detail="why"),
        ReviewExpired(review="r", expired="2030-01-01"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.facts, str(again)) == (type(error), error.facts, str(error))
