"""The policy denies by default, and denies whenever it cannot decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from edgewright.contracts.errors import PolicyInvalid
from edgewright.contracts.policy import CompiledPolicy, Policy, PolicyCall
from edgewright.contracts.tool import ToolSpec
from edgewright.contracts.verdict import Allow, Ask, Deny, Verdict
from hypothesis import given, settings
from hypothesis import strategies as st

PAY = ToolSpec(
    name="pay",
    description="Pay somebody.",
    parameters={
        "type": "object",
        "properties": {
            "amount": {"type": "integer"},
            "to": {"type": "string"},
            "rate": {"type": "number"},
            "lines": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "item": {"type": "string"},
                        "count": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                        "weight": {"type": "number"},
                    },
                    "required": ["item"],
                },
            },
        },
        "required": ["amount"],
    },
    facts={"type": "object", "properties": {"balance": {"type": "integer"}}, "required": ["balance"]},
)
LOOK = ToolSpec(name="look", description="", effect="read", sink=False, parameters={"type": "object", "properties": {}})
REQUEST = {"type": "object", "properties": {"customer": {"type": "string"}}}

PERMIT = '@id("any") permit (principal, action, resource);\n'
READS = '@id("reads") permit (principal, action in Action::"read", resource);\n'
BIG = '@id("big") @reason("too much") forbid (principal, action == Action::"call:pay", resource)'
BIG += " when { context.args.amount > 100 };\n"
ASK = '@id("ask-pay") @obligation("ask") @approver("finance") @reason("money") '
ASK += 'forbid (principal, action == Action::"call:pay", resource)'
ASK += ' unless { context.approvals.contains("ask-pay") };\n'
ASK_NIGHT = '@id("ask-env") @obligation("ask") @approver("ops") forbid (principal, action, resource)'
ASK_NIGHT += ' when { context.env == "production" } unless { context.approvals.contains("ask-env") };\n'
OVERFLOW = '@id("sum") forbid (principal, action == Action::"call:pay", resource)'
OVERFLOW += " when { context.facts.balance + 1 > 1000 };\n"


def compiled(text: str) -> CompiledPolicy:
    return CompiledPolicy(Policy(text=text), agents=["clerk", "guest"], tools=[PAY, LOOK], request=REQUEST)


def judged(
    text: str,
    *,
    tool: str = "pay",
    agent: str = "clerk",
    args: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
    env: str = "test",
    approvals: frozenset[str] = frozenset(),
    request: Mapping[str, Any] | None = None,
) -> Verdict:
    if args is None:
        args = {"amount": 1} if tool == "pay" else {}
    call = PolicyCall(
        agent=agent,
        tool=tool,
        args=args,
        facts={"balance": 1} if facts is None and tool == "pay" else facts,
        request=request or {},
        env=env,
        calls=0,
        done=frozenset(),
        approvals=approvals,
    )
    return compiled(text).judge(call)


def ids(verdict: Verdict) -> list[str]:
    return sorted(rule.id for rule in verdict.rules)


# -- the three verdicts -----------------------------------------------------------------------------------------


def test_what_no_rule_permits_is_denied() -> None:
    verdict = judged(READS)
    assert verdict == Deny(rules=(), reasons=("no rule permits this call",))
    assert isinstance(judged(READS, tool="look"), Allow)


def test_a_permit_allows_and_is_named() -> None:
    verdict = judged(PERMIT)
    assert isinstance(verdict, Allow)
    assert ids(verdict) == ["any"]


def test_forbid_wins_and_gives_its_reason() -> None:
    verdict = judged(PERMIT + BIG, args={"amount": 101})
    assert isinstance(verdict, Deny)
    assert (ids(verdict), verdict.reasons) == (["big"], ("too much",))


def test_a_rule_about_a_kind_of_effect_holds_for_every_tool_of_that_kind() -> None:
    closed = PERMIT + '@id("world") forbid (principal, action in Action::"irreversible", resource);'
    assert ids(judged(closed)) == ["world"]
    assert isinstance(judged(closed, tool="look"), Allow)
    either = PERMIT + '@id("all") forbid (principal, action in [Action::"read", Action::"call:pay"], resource);'
    assert ids(judged(either)) == ids(judged(either, tool="look")) == ["all"]


def test_an_ask_rule_asks_where_the_call_is_permitted() -> None:
    verdict = judged(PERMIT + ASK)
    assert isinstance(verdict, Ask)
    rule = verdict.rules[0]
    assert (rule.id, rule.approver, rule.reason) == ("ask-pay", "finance", "money")


def test_an_ask_rule_without_a_permit_denies_as_approval_would_change_nothing() -> None:
    assert judged(READS + ASK) == Deny(rules=(), reasons=("no rule permits this call",))
    assert isinstance(judged(READS + ASK, approvals=frozenset({"ask-pay"})), Deny)


def test_an_approved_ask_allows() -> None:
    assert isinstance(judged(PERMIT + ASK, approvals=frozenset({"ask-pay"})), Allow)


def test_the_approval_of_another_rule_does_not_count() -> None:
    assert isinstance(judged(PERMIT + ASK, approvals=frozenset({"ask-env", "ASK-PAY", "ask-pay "})), Ask)


def test_two_ask_rules_are_asked_together_and_each_needs_its_approval() -> None:
    both = PERMIT + ASK + ASK_NIGHT
    assert ids(judged(both, env="production")) == ["ask-env", "ask-pay"]
    half = judged(both, env="production", approvals=frozenset({"ask-pay"}))
    assert isinstance(half, Ask)
    assert ids(half) == ["ask-env"]
    assert isinstance(judged(both, env="production", approvals=frozenset({"ask-pay", "ask-env"})), Allow)


@pytest.mark.parametrize("approvals", [frozenset[str](), frozenset({"ask-pay"}), frozenset({"ask-pay", "big"})])
def test_no_approval_overrules_a_plain_forbid_and_nobody_is_asked(approvals: frozenset[str]) -> None:
    verdict = judged(PERMIT + ASK + BIG, args={"amount": 101}, approvals=approvals)
    assert isinstance(verdict, Deny)
    assert ids(verdict) == ["big"]


def test_an_ask_rule_that_no_approval_can_lift_denies() -> None:
    stubborn = '@id("no") @obligation("ask") @approver("x") forbid (principal, action, resource);'
    assert isinstance(judged(PERMIT + stubborn), Deny)


# -- errors are denials -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("facts", [{"balance": 2**63 - 1}, {"balance": 2**63}, {}, {"balance": None}, {"balance": "1"}])
def test_a_forbid_that_cannot_be_evaluated_denies(facts: dict[str, Any]) -> None:
    verdict = judged(PERMIT + OVERFLOW, facts=facts)
    assert isinstance(verdict, Deny)
    assert ids(verdict) == ["policy.error"]


def test_missing_facts_deny_even_where_no_rule_reads_them() -> None:
    assert ids(judged(PERMIT, facts={})) == ["policy.error"]


def test_an_error_denies_an_approved_call_too() -> None:
    verdict = judged(PERMIT + ASK + OVERFLOW, facts={"balance": 2**63 - 1}, approvals=frozenset({"ask-pay"}))
    assert ids(verdict) == ["policy.error"]


@pytest.mark.parametrize(
    "args",
    [
        {"amount": "1"},
        {"amount": 1.0},
        {"amount": True},
        {"amount": 2**63},
        {},
        {"amount": 1, "to": "\udc00"},
        {"amount": {}},
    ],
    ids=repr,
)
def test_arguments_that_do_not_fit_the_schema_are_denied(args: dict[str, Any]) -> None:
    assert isinstance(judged(PERMIT, args=args), Deny)


@pytest.mark.parametrize("tool", ["", "PAY", "pay ", "pаy", "call:pay", "read", 'pay"', "nope"])
def test_a_tool_that_is_not_registered_is_denied(tool: str) -> None:
    assert ids(judged(PERMIT, tool=tool, args={}, facts={})) == ["policy.unknown_tool"]


@pytest.mark.parametrize("agent", ["", "root", "Clerk", 'clerk"', "clerk\u200b"])
def test_an_agent_that_is_not_declared_is_denied(agent: str) -> None:
    assert isinstance(judged(PERMIT, agent=agent), Deny)


def test_what_has_no_cedar_type_can_be_refused_by_name_at_any_depth() -> None:
    closed = PERMIT + '@id("closed") forbid (principal, action, resource) unless { context.unmodelled.isEmpty() };'
    line = {"item": "a", "count": None}
    assert isinstance(judged(closed, args={"amount": 1, "lines": [line]}), Allow)
    for more in (
        {"rate": 0.5},
        {"other": 1},
        {"lines": [line, {**line, "weight": 0.5}]},
        {"lines": [{**line, "x": 1}]},
    ):
        assert ids(judged(closed, args={"amount": 1, **more})) == ["closed"]
    named = (
        PERMIT + '@id("w") forbid (principal, action, resource) when { context.unmodelled.contains("lines[].weight") };'
    )
    assert ids(judged(named, args={"amount": 1, "lines": [{**line, "weight": 0.5}]})) == ["w"]


def test_the_request_is_seen_by_its_declared_fields_only() -> None:
    own = '@id("own") permit (principal, action, resource)'
    own += ' when { context.request has customer && context.request.customer == "C-1" };'
    assert isinstance(judged(own, request={"customer": "C-1", "more": 1}), Allow)
    assert isinstance(judged(own, request={"customer": "C-2"}), Deny)
    assert isinstance(judged(own), Deny)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)
ARGS = st.dictionaries(st.sampled_from(["amount", "to", "rate", "lines", "x"]), JSON, max_size=4)
EVERYTHING = compiled(PERMIT + BIG + ASK + ASK_NIGHT + OVERFLOW)


@settings(max_examples=300)
@given(
    agent=st.sampled_from(["clerk", "guest", "x", ""]) | st.text(max_size=5),
    tool=st.sampled_from(["pay", "look"]) | st.text(max_size=5),
    args=ARGS,
    facts=st.none() | st.fixed_dictionaries({"balance": st.integers()}) | ARGS,
    env=st.text(max_size=5),
    approvals=st.frozensets(st.sampled_from(["ask-pay", "ask-env", "big"])),
    calls=st.integers(),
    data=st.data(),
)
def test_judging_never_raises_and_allows_only_what_fits(
    agent: str,
    tool: str,
    args: dict[str, Any],
    facts: dict[str, Any] | None,
    env: str,
    approvals: frozenset[str],
    calls: int,
    data: st.DataObject,
) -> None:
    done = data.draw(st.frozensets(st.text(max_size=4), max_size=3))
    call = PolicyCall(
        agent=agent, tool=tool, args=args, facts=facts, request={}, env=env, calls=calls, done=done, approvals=approvals
    )
    verdict = EVERYTHING.judge(call)
    if isinstance(verdict, Deny):
        assert verdict.reasons
        return
    assert agent in ("clerk", "guest")
    assert tool in ("pay", "look")
    if tool == "pay":
        assert type(args["amount"]) is int
        assert args["amount"] <= 100
        assert facts is not None
        assert facts["balance"] < 1000
        assert isinstance(verdict, Ask) or "ask-pay" in approvals


def test_whatever_the_engine_raises_is_a_denial(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise MemoryError("engine")

    monkeypatch.setattr("edgewright.contracts.policy.cedarpy.is_authorized", broken)
    verdict = judged(PERMIT)
    assert isinstance(verdict, Deny)
    assert ids(verdict) == ["policy.error"]


# -- definitions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "has no rule"),
        ("// only a comment", "has no rule"),
        ("permit (", "unexpected end"),
        ("permit (principal, action, resource);", "has no @id"),
        ('@id("") permit (principal, action, resource);', "has no @id"),
        (PERMIT + PERMIT, "two rules have the id 'any'"),
        (
            PERMIT + '@id("a") @obligation("ask") @approver("x") permit (principal, action, resource);',
            "must be a forbid",
        ),
        (PERMIT + '@id("a") @obligation("ask") forbid (principal, action, resource);', "needs an @approver"),
        (PERMIT + '@id("a") @obligation("tell") @approver("x") forbid (principal, action, resource);', "'tell'"),
        (PERMIT + '@id("t") forbid (principal == ?principal, action, resource);', "template"),
        ('@id("t") permit (principal == ?principal, action, resource);', "template"),
        (PERMIT + '@id("a") forbid (principal, action == Action::"call:nope", resource);', "call:nope"),
        (PERMIT + '@id("a") forbid (principal == Agent::"clark", action, resource);', "clark"),
        (PERMIT + '@id("a") forbid (principal, action, resource == Tool::"pey");', "pey"),
        (PERMIT + '@id("a") forbid (principal, action, resource) when { context.nope };', "nope"),
        (PERMIT + '@id("a") forbid (principal, action, resource) when { context.args.amount > 1 };', "amount"),
        (PERMIT + '@id("a") forbid (principal, action, resource) when { context.env > 1 };', "Long"),
        (PERMIT + "// \udc00", "surrogates"),
    ],
)
def test_a_wrong_policy_is_refused_when_it_is_loaded(text: str, fault: str) -> None:
    with pytest.raises(PolicyInvalid) as caught:
        compiled(text)
    assert fault in str(caught.value)


def test_every_fault_of_a_policy_is_named_at_once() -> None:
    wrong = "permit (principal, action, resource); " + '@id("a") @obligation("x") permit (principal, action, resource);'
    with pytest.raises(PolicyInvalid) as caught:
        compiled(wrong)
    assert len(caught.value.faults) == 4


def test_a_digest_covers_the_text_and_the_tools() -> None:
    other = CompiledPolicy(Policy(text=PERMIT), agents=["clerk", "guest"], tools=[LOOK], request=REQUEST)
    assert compiled(PERMIT).digest == compiled(PERMIT).digest
    assert len({compiled(PERMIT).digest, compiled(PERMIT + READS).digest, other.digest}) == 3
