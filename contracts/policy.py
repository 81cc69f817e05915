"""The policy: a Cedar policy set, checked against the tools, and the judgement of one call.

A pure decision: no file, no clock, no network. Cedar is evaluated in process (cedarpy). Three rules make it fail
closed, each against something Cedar does by itself: a decision with errors is a denial whatever it says (an erroring
`forbid` is skipped); a rule that asks is a `forbid … unless approved`, never a permit; ids must be there and be
unique, or a verdict could not name its rule.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import cedarpy
import orjson

from .cedar_schema import base_of, cedar_schema, cedar_value, unmodelled
from .digest import digest_text
from .errors import PolicyInvalid
from .reach import out_of_reach
from .review import EVERY_ROLE
from .tool import ToolSpec
from .verdict import Allow, Ask, Deny, Rule, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Cedar text and the name it is known by (a file name, say)."""

    text: str
    name: str = "policy"

    def __add__(self, other: Policy) -> Policy:
        """Both sets of rules. A forbid of either wins over a permit of either; two rules of one id are refused."""
        return Policy(text=f"{self.text}\n{other.text}", name=f"{self.name}+{other.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyCall:
    """One tool call, as the policy sees it.

    `calls` counts the run's tool calls so far, `done` names the tools that completed in it, `approvals` the ask
    rules that a person approved for exactly this call, `recent` the irreversible effects of the last minute, `asked`
    how often a person was asked. `amounts` is what the tool's limited arguments add up to, by argument: in this run and
    in this day, this call included.

    Of arguments: `tainted` are not to be believed, `private` hold something personal or secret, `unnamed` are not named
    by the user's own words, `distant` not even by what those point at, `active` send their reader to a link, an address
    or a number that is not believed, `large` are amounts beyond what other people's text may say unasked. `exposed`:
    the agent has read text that nobody vouches for. `fixed`: it said before that which tools the request needs,
    `foreseen`: this one among them.
    """

    agent: str
    tool: str
    args: Mapping[str, Any]
    facts: Mapping[str, Any] | None
    request: Mapping[str, Any]
    env: str
    calls: int
    done: frozenset[str]
    approvals: frozenset[str] = frozenset()
    tainted: frozenset[str] = frozenset()
    private: frozenset[str] = frozenset()
    unnamed: frozenset[str] = frozenset()
    distant: frozenset[str] = frozenset()
    active: frozenset[str] = frozenset()
    large: frozenset[str] = frozenset()
    exposed: bool = False
    fixed: bool = False
    foreseen: bool = False
    recent: int = 0
    asked: int = 0
    amounts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    tenant: str = "local"


class CompiledPolicy:
    """A policy parsed once and validated against the tools it governs.

    Raises:
        PolicyInvalid: no rule at all, a parse error, a type error, a rule without `@id`, two rules of one id, an
            ask rule that is not a `forbid` or has no `@approver`.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        agents: Iterable[str],
        tools: Iterable[ToolSpec],
        request: Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self.text = policy.name, policy.text
        self._tools = {t.name: t for t in tools}
        self._request = request or {}
        self._base = base_of(policy.text)
        self.schema_text = cedar_schema(agents, self._tools.values(), request, self._base)
        try:
            self.digest = digest_text(policy.text + "\n" + self.schema_text)
            parsed: dict[str, Any] = json.loads(cedarpy.policies_to_json_str(policy.text))
            self._policies = cedarpy.PolicySet.from_str(policy.text)
            self._schema = cedarpy.Schema.from_str(self.schema_text)
        except ValueError as error:
            raise PolicyInvalid(name=policy.name, faults=[str(error)]) from None
        if parsed.get("templates"):  # never linked, so a forbid among them would forbid nothing
            raise PolicyInvalid(name=policy.name, faults=["has a template (?principal, ?resource): write it out"])
        self._rules, self._asks = self._read(parsed["staticPolicies"])
        self._bodies = tuple(parsed["staticPolicies"].values())
        self._reach: dict[str, frozenset[str]] = {}
        # `Set.contains` of an unknown attribute and the like: found by validation, before any call.
        checked = cedarpy.validate_policies(policy.text, self._schema)
        if not checked.validation_passed:
            faults = [f"{r.id}: {e.error}" if (r := self._rules.get(e.policy_id)) else e.error for e in checked.errors]
            raise PolicyInvalid(name=policy.name, faults=faults)
        # With the schema, or it lacks the groups of actions, and `action in Action::"irreversible"` matches nothing.
        self._entities = cedarpy.Entities.from_json_str("[]", self._schema)

    @property
    def reads_private(self) -> bool:
        """Whether any rule asks for private arguments; then the run has to remember its sensitive values."""
        return "private" in self.text

    def hidden_from(self, agent: str) -> frozenset[str]:
        """Tools that an agent may never call, whatever the circumstances; its model need not know of them."""
        if agent not in self._reach:
            asks = [b for b in self._bodies if "obligation" in b.get("annotations", {})]
            self._reach[agent] = out_of_reach(self._bodies, asks, agent, self._tools.values())
        return self._reach[agent]

    def _read(self, found: Mapping[str, Any]) -> tuple[dict[str, Rule], frozenset[str]]:
        rules: dict[str, Rule] = {}
        asks: set[str] = set()
        faults: list[str] = []
        for key, body in found.items():
            notes = body.get("annotations", {})
            rule, wrong = _rule_of(notes)
            faults += [f"{rule.id or key}: {fault}" for fault in wrong]
            if not rule.id:
                faults.append(f"a {body['effect']} rule ({key}) has no @id")
            elif any(rule.id == other.id for other in rules.values()):
                faults.append(f"two rules have the id {rule.id!r}")
            if "obligation" in notes:
                if notes["obligation"] != "ask":
                    faults.append(f"{rule.id}: unknown @obligation {notes['obligation']!r}; known: 'ask'")
                if body["effect"] != "forbid":
                    faults.append(f"{rule.id}: a rule that asks must be a forbid, or it would grant what it asks for")
                if not rule.approver.strip() or rule.approver == EVERY_ROLE:
                    faults.append(f"{rule.id}: a rule that asks needs an @approver, the role that may approve")
                asks.add(rule.id)
            rules[key] = rule
        if not rules:
            faults.append("has no rule, so every call would be denied; write at least one permit")
        if faults:
            raise PolicyInvalid(name=self.name, faults=faults)
        return rules, frozenset(asks)

    def judge(self, call: PolicyCall) -> Verdict:
        """Allow, deny or ask. Raises nothing: an error is a denial."""
        try:
            return self._judge(call)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in a gate is a denial
            return Deny(rules=(Rule(id="policy.error"),), reasons=(f"the policy could not decide: {error}",))

    def _judge(self, call: PolicyCall) -> Verdict:
        if call.tool not in self._tools:
            reason = f"tool {call.tool!r} is not registered in this system"
            return Deny(rules=(Rule(id="policy.unknown_tool"),), reasons=(reason,))
        allowed, rules = self._evaluate(call, call.approvals)
        if allowed:
            return Allow(rules=rules)
        if rules and all(r.id in self._asks for r in rules):
            wanted = frozenset(r.id for r in rules)
            if self._evaluate(call, call.approvals | wanted)[0]:
                return Ask(rules=rules)
        # Ask rules alone never deny: what is left then is that nothing permits the call, approved or not.
        denying = tuple(r for r in rules if r.id not in self._asks)
        reasons = tuple(r.reason or r.id for r in denying) or ("no rule permits this call",)
        return Deny(rules=denying, reasons=reasons)

    def _evaluate(self, call: PolicyCall, approvals: frozenset[str]) -> tuple[bool, tuple[Rule, ...]]:
        spec = self._tools[call.tool]
        common = {
            "env": call.env,
            "sink": spec.sink,
            "effect": spec.effect,
            "tenant": call.tenant,
            "tainted": call.tainted,
            "private": call.private,
            "unnamed": call.unnamed,
            "distant": call.distant,
            "active": call.active,
            "large": call.large,
            "exposed": call.exposed,
            "fixed": call.fixed,
            "foreseen": call.foreseen,
            "recent": call.recent,
            "asked": call.asked,
            "calls": call.calls,
            "done": call.done,
            "approvals": approvals,
            "roles": spec.by_role,
            "unmodelled": (),
        }
        context: dict[str, Any] = {name: common[name] for name in self._base}
        if "unmodelled" in self._base:
            context["unmodelled"] = unmodelled(call.args, spec.parameters)
        context["request"] = cedar_value(call.request, self._request, self._request.get("$defs", {}))
        context["args"] = cedar_value(call.args, spec.parameters, spec.parameters.get("$defs", {}))
        if spec.limits:
            context["amounts"] = {n: {"run": 0, "day": 0, **call.amounts.get(n, {})} for n in spec.limits}
        if spec.facts is not None:
            context["facts"] = cedar_value(call.facts or {}, spec.facts, spec.facts.get("$defs", {}))
        result = cedarpy.is_authorized(
            {
                "principal": {"type": "Agent", "id": call.agent},
                "action": {"type": "Action", "id": f"call:{call.tool}"},
                "resource": {"type": "Tool", "id": call.tool},
                "context": orjson.dumps(context, default=sorted).decode(),
            },
            self._policies,
            self._entities,
            self._schema,
        )
        if result.diagnostics.errors or result.decision == cedarpy.Decision.NoDecision:
            said = "; ".join(result.diagnostics.errors) or "no decision"
            raise ValueError(said)
        # Cedar names them in any order; records and reviews must not differ by it.
        rules = sorted((self._rules[key] for key in result.diagnostics.reasons), key=lambda rule: rule.id)
        return result.allowed, tuple(rules)


_NOTES = ("id", "approver", "reason", "obligation", "separation", "approvals")
_MAX_APPROVALS = 9


def _rule_of(notes: Mapping[str, Any]) -> tuple[Rule, list[str]]:
    """A rule from its annotations, and what is wrong with them."""
    faults = []
    for name in notes:
        if name not in _NOTES and (meant := get_close_matches(name, _NOTES, n=1, cutoff=0.8)):
            faults.append(f"unknown @{name}; is @{meant[0]} meant?")
    separation, approvals = notes.get("separation"), notes.get("approvals")
    known = [str(n) for n in range(1, _MAX_APPROVALS + 1)]
    if "separation" in notes and separation != "on":
        faults.append(f"unknown @separation {separation!r}; known: 'on'")
    if "approvals" in notes and approvals not in known:
        faults.append(f"@approvals {approvals!r} is no number of persons from 1 to {_MAX_APPROVALS}")
    if not {"separation", "approvals"}.isdisjoint(notes) and "obligation" not in notes:
        faults.append("@separation and @approvals are for rules that ask: give it @obligation")
    rule = Rule(
        id=notes.get("id") or "",
        approver=notes.get("approver") or "",
        reason=notes.get("reason") or "",
        separation=separation == "on",
        approvals=int(approvals) if approvals in known else 1,
    )
    return rule, faults
