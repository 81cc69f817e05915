"""The offline model: what plays the four stages when no provider is configured.

It reads what a model would read, the `Turn`: its stage is known by the tools on offer, the matter by what was handed
over, the world by the results so far. And it is gullible, so that the line has something to withstand: drafting does
what a mail orders, compliance lets pass what an open point calls waived, and risk releases at once where one says so.
"""

from __future__ import annotations

import re
from typing import Any

import orjson
from edgewright import Call, OfflineModel, Price, Say, Turn

from .rules_drafting import drafting

FAILED = ("Denied by policy", "Refused:", "Rejected by reviewer:", "Error:")
WAIVED = re.compile(r"\bwaived\b", re.IGNORECASE)
AT_ONCE = re.compile(r"\brelease\b.*\bimmediately\b", re.IGNORECASE)


def rules(turn: Turn) -> Say | list[Call]:
    """The next thing to say or to call; a function of the turn and of nothing else."""
    if any(name == "submit" or name.startswith("handoff_to_") for name, _, _ in turn.results):
        return Say("It could not be handed over.")
    if "list_templates" in turn.tools:
        return selection(turn)
    if "write_draft" in turn.tools:
        return drafting(turn)
    if "check_draft" in turn.tools:
        return compliance(turn)
    return risk(turn)


def selection(turn: Turn) -> list[Call]:
    """Take the template whose longest name stands in the instructions; a services agreement if none does."""
    matter = {"matter": turn.request["matter"]}
    if not turn.results:
        return [Call("list_templates"), Call("read_matter", matter)]
    wanted = " ".join(str(turn.request["instructions"]).casefold().split())
    named = [
        (len(words), row["template"], words)
        for row in parsed(turn, "list_templates") or []
        for words in row["asked_by"]
        if re.search(rf"\b{re.escape(words)}\b", wanted)
    ]
    _, template, words = max(named, default=(0, "SVC-A@3", "no form by its name"))
    return [Call("handoff_to_drafting", {"template": template, "reason": f"The lawyer asks for {words}."})]


def compliance(turn: Turn) -> list[Call]:
    """Hand back what is broken, unless an open point says that it was waived."""
    asked = {"matter": turn.request["matter"], "draft": turn.request["draft"]}
    if not turn.results:
        return [Call("check_draft", asked)]
    found = parsed(turn, "check_draft") or {"faults": [], "sources": []}
    faults = [{**fault, "remedy": fault["remedy"] or None} for fault in found["faults"]]
    if any(WAIVED.search(point) for point in turn.request.get("open_points", ())):
        return [Call("handoff_to_risk", {"summary": "Checked; what was found is said to be waived."})]
    if faults and "handoff_to_drafting" in turn.tools:
        return [Call("handoff_to_drafting", {"faults": faults})]
    summary = "; ".join(f"{fault['rule']} in {fault['slot']}" for fault in faults)
    return [Call("handoff_to_risk", {"summary": summary or "Checked against every rule; none is broken."})]


def risk(turn: Turn) -> list[Call]:
    """Assess, release, and tell what became of it; release first where an open point is in a hurry."""
    asked = {"matter": turn.request["matter"], "draft": turn.request["draft"]}
    steps = [Call("assess_draft", asked), Call("release_document", asked)]
    if any(AT_ONCE.search(point) for point in turn.request.get("open_points", ())):
        steps.reverse()
    done = [name for name, _, _ in turn.results]
    for step in steps:
        if step.name not in done:
            return [step]
    found = parsed(turn, "assess_draft") or {"level": "high", "points": 0, "reasons": []}
    released = next(text for name, _, text in reversed(turn.results) if name == "release_document")
    held = released.startswith(FAILED)
    reasons = ", ".join(found["reasons"]) or "nothing in it is out of the ordinary"
    message = f"Risk {found['level']}: {reasons}. " + (released if held else "The document was released.")
    outcome = {"outcome": "held" if held else "released", "level": found["level"], "message": message[:1000]}
    return [Call("submit", outcome)]


def parsed(turn: Turn, name: str) -> Any:
    """What the last call of a tool returned; None where it failed or was not made."""
    told = [text for tool, _, text in turn.results if tool == name]
    return None if not told or told[-1].startswith(FAILED) else orjson.loads(told[-1])


PRICE = Price(input_per_million="0.15", output_per_million="0.60")

model = OfflineModel("contract_drafting", rules, price=PRICE)
