"""The people who are asked, as a stated rule, so that the demo can run without them.

Finance approves a credit exactly when the books support it: the amount is no more than what they show as
charged in error or due as compensation, and not given back yet. The care lead approves a cancellation
exactly when the line still lives and its minimum term is over. Whose invoice or line it is has been settled
by the policy before anybody is asked. Whatever else is asked is rejected: the rule does not know it.
"""

from __future__ import annotations

from edgewright import ReviewAnswer, ReviewRequest

REVIEWER = "stated rule of the example"


def review(request: ReviewRequest) -> ReviewAnswer:
    """Decide one request, from its arguments and facts alone."""
    facts = request.facts
    if request.kind == "call" and request.tool == "credit_invoice":
        asked, supported = request.arguments["amount_cents"], facts["supported_cents"]
        if asked <= supported:
            return _approve(f"the books support {supported} cents")
        return _reject(f"the books support {supported} cents, not {asked}")
    if request.kind == "call" and request.tool == "cancel_line":
        if facts["live"] and facts["term_over"]:
            return _approve("the minimum term is over")
        return _reject("the line has ended or its minimum term is still running")
    return _reject(f"no rule for {request.kind} {request.tool}".strip())


def _approve(reason: str) -> ReviewAnswer:
    return ReviewAnswer(decision="approve", reason=reason, reviewer=REVIEWER)


def _reject(reason: str) -> ReviewAnswer:
    return ReviewAnswer(decision="reject", reason=reason, reviewer=REVIEWER)
