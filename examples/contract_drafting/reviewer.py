"""The people who are asked, as a stated rule, so that the showcase can run without them.

Whoever is asked about a release approves it up to 9 points of risk where all clauses come from the library, and up to 5
where one was drafted for the matter. No partner allows more rounds of drafting once those of the line are used up, and
nobody approves what this rule does not know. The rule sees a request's arguments and facts, never what a case expects.
"""

from __future__ import annotations

from edgewright import ReviewAnswer, Reviewer, ReviewRequest

ASSOCIATE = Reviewer("t.meyer", frozenset({"associate"}))
PARTNERS = (Reviewer("s.okafor", frozenset({"partner"})), Reviewer("l.varga", frozenset({"partner"})))
FROM_LIBRARY, WITH_DRAFTED = 9, 5


def review(request: ReviewRequest) -> tuple[Reviewer, ReviewAnswer]:
    """Who answers one request, and what."""
    roles = {rule.approver for rule in request.rules}
    before = {name for rule in request.approved for name in rule.by}
    person = next((p for p in PARTNERS if p.id not in before), PARTNERS[0]) if "partner" in roles else ASSOCIATE
    return person, _answer(request)


def _answer(request: ReviewRequest) -> ReviewAnswer:
    facts = request.facts
    if request.kind != "call" or request.tool != "release_document":
        about = request.tool or request.edge
        return ReviewAnswer(decision="reject", reason=f"no rule approves this {request.kind} of {about}".strip())
    if not facts["sources_agree"]:
        return ReviewAnswer(decision="reject", reason="a clause is not what its source says")
    most = WITH_DRAFTED if facts["drafted"] else FROM_LIBRARY
    if facts["points"] > most:
        return ReviewAnswer(decision="reject", reason=f"{facts['points']} points of risk are more than {most}")
    return ReviewAnswer(decision="approve", reason=f"{facts['points']} points of risk, and at most {most} are taken")
