"""The people who are asked, as a stated rule, so that the showcase can run without them.

The owner never lets code run that nothing keeps apart. The maintainer approves a push to a `fix/` branch exactly when
the tests show that the tree is better and nothing was lost. Whatever else is asked is rejected: a test that was there,
settings, a commit without a gain.
"""

from __future__ import annotations

from edgewright import ReviewAnswer, ReviewRequest

REVIEWER = "stated rule of the example"


def review(request: ReviewRequest) -> ReviewAnswer:
    """Decide one request, from its arguments and facts alone."""
    facts = request.facts
    if request.kind == "call" and request.tool == "push":
        better = facts["tested"] and facts["gained"] > 0 and facts["lost"] == 0
        if better and request.arguments["branch"].startswith("fix/"):
            return ReviewAnswer(
                decision="approve", reason=f"{facts['gained']} more tests pass, none was lost", reviewer=REVIEWER
            )
        return _reject("the tests do not show that it is better")
    if request.kind == "call" and request.tool == "run_tests":
        return _reject("nothing keeps the code apart on this machine")
    return _reject(f"no rule for {request.kind} {request.tool}".strip())


def _reject(reason: str) -> ReviewAnswer:
    return ReviewAnswer(decision="reject", reason=reason, reviewer=REVIEWER)
