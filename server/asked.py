"""A review as a person reads it on a terminal: all that decides, and nothing that acts or hides (threat 36)."""

from __future__ import annotations

from datetime import UTC, datetime

from ..contracts.review import AskingRule, ReviewRequest
from ..contracts.shown import shown, shown_text

_EFFECTS = {"read": "reads", "write": "writes", "irreversible": "irreversible"}


def lines(review: ReviewRequest) -> list[str]:
    """What is asked, line by line. No value breaks a line, and none is cut without a mark."""
    what = shown_text(review.tool or review.edge)
    found = [f"review {shown_text(review.id)}: {shown_text(review.agent)} wants {what}{_of_tool(review)}"]
    for name, value in review.arguments.items():
        where = [shown_text(review.provenance[name])] if name in review.provenance else []
        where += ["private"] if name in review.private else []
        found.append(f"  {shown_text(name)} = {shown(value)}" + (f"  [{', '.join(where)}]" if where else ""))
    found += [f"  because {_rule(rule)}" for rule in review.rules]
    found += [f"  approved: {shown_text(a.id)} by {', '.join(map(shown_text, a.by))}" for a in review.approved]
    found += [f"  wrong: {shown_text(fault)}" for fault in review.faults]
    if review.facts:
        found.append(f"  knowing {shown(review.facts)}")
    if review.started_by:
        found.append(f"  started by {shown_text(review.started_by)}")
    if review.expires:
        found.append(f"  asked {_moment(review.asked)}, until {_moment(review.expires)}; no answer is a no")
    return found


def _of_tool(review: ReviewRequest) -> str:
    told = [_EFFECTS.get(review.effect, shown_text(review.effect))] if review.effect else []
    told += ["data can leave through it"] if review.sink else []
    told += [f"described as {shown_text(review.description)[:12]}"] if review.description else []
    return f" ({', '.join(told)})" if told else ""


def _rule(rule: AskingRule) -> str:
    more = [f"ask {shown_text(rule.approver)}"]
    more += [f"{rule.approvals} persons"] if rule.approvals > 1 else []
    more += ["not by whoever started the run"] if rule.separation else []
    return f"{shown_text(rule.id)}: {shown_text(rule.reason)} ({', '.join(more)})"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
