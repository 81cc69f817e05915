"""The policy: a Cedar policy set, checked against the tools, and the judgement of one call.

A pure decision: no file, no clock, no network. Cedar is evaluated in process (cedarpy). Three rules make it fail
closed, each against something Cedar does by itself: a decision with errors is a denial whatever it says (an erroring
`forbid` is skipped); a rule that asks is a `forbid … unless approved`, never a permit; ids must be there and be
unique, or a verdict could not name its rule.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import cedarpy

from .cedar_schema import cedar_schema, cedar_value, unmodelled
from .digest import digest_text
from .errors import PolicyInvalid
from .tool import ToolSpec
from .verdict import Allow, Ask, Deny, Rule, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Cedar text and the name it is known by (a file name, say)."""

    text: str
    name: str = "policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyCall:
    """One tool call, as the policy sees it.

    `calls` counts the run's tool calls so far, `done` names the tools that completed in it, `approvals` the ask
    rules that a person approved for exactly this call. `tainted` names the arguments that are not to be believed,
    `private` those that hold something personal or secret.
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
        self.schema_text = cedar_schema(agents, self._tools.values(), request)
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

    def _read(self, found: Mapping[str, Any]) -> tuple[dict[str, Rule], frozenset[str]]:
        rules: dict[str, Rule] = {}
        asks: set[str] = set()
        faults: list[str] = []
        for key, body in found.items():
            notes = body.get("annotations", {})
            rule = Rule(id=notes.get("id", ""), approver=notes.get("approver", ""), reason=notes.get("reason", ""))
            if not rule.id:
                faults.append(f"a {body['effect']} rule ({key}) has no @id")
            elif any(rule.id == other.id for other in rules.values()):
                faults.append(f"two rules have the id {rule.id!r}")
            if "obligation" in notes:
                if notes["obligation"] != "ask":
                    faults.append(f"{rule.id}: unknown @obligation {notes['obligation']!r}; known: 'ask'")
                if body["effect"] != "forbid":
                    faults.append(f"{rule.id}: a rule that asks must be a forbid, or it would grant what it asks for")
                if not rule.approver:
                    faults.append(f"{rule.id}: a rule that asks needs an @approver")
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
        context: dict[str, Any] = {
            "env": call.env,
            "sink": spec.sink,
            "effect": spec.effect,
            "tenant": call.tenant,
            "tainted": sorted(call.tainted),
            "private": sorted(call.private),
            "calls": call.calls,
            "done": sorted(call.done),
            "approvals": sorted(approvals),
            "unmodelled": unmodelled(call.args, spec.parameters),
            "request": cedar_value(call.request, self._request, self._request.get("$defs", {})),
            "args": cedar_value(call.args, spec.parameters, spec.parameters.get("$defs", {})),
        }
        if spec.facts is not None:
            context["facts"] = cedar_value(call.facts or {}, spec.facts, spec.facts.get("$defs", {}))
        result = cedarpy.is_authorized(
            {
                "principal": {"type": "Agent", "id": call.agent},
                "action": {"type": "Action", "id": f"call:{call.tool}"},
                "resource": {"type": "Tool", "id": call.tool},
                "context": context,
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
