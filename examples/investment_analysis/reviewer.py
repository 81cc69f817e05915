"""The head of research, as a stated rule, so that the cases can run without one.

A recommendation is approved exactly when two analysts hold it who do not read the press, and nobody says the opposite.
Whatever else is asked is rejected: the rule does not know it.
"""

from __future__ import annotations

from edgewright import ReviewAnswer, Reviewer, ReviewRequest

HEAD = Reviewer("stated rule of the example", roles=frozenset({"head_of_research"}))


def review(request: ReviewRequest) -> ReviewAnswer:
    """Decide one request, from its arguments alone."""
    if request.kind != "call" or request.tool != "publish":
        return ReviewAnswer(decision="reject", reason=f"no rule for {request.kind} {request.tool}".strip())
    others, opposed = request.arguments["agreeing_without_press"], request.arguments["opposed"]
    told = f"{others} hold it without the press, {opposed} say the opposite"
    return ReviewAnswer(decision="approve" if others >= 2 and opposed == 0 else "reject", reason=told)
