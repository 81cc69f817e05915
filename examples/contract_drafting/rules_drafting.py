"""The offline model as drafting.

It reads a lawyer's instructions by a few phrases: "governed by the law of X", "within 60 days", "uncapped liability",
"include <slot>", 'add a clause: "…"'. Mails are read by the same phrases and one more, "delete the clause on <slot>";
their sentences that speak of a waiver, an approval or a release become open points. It believes all of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson
from edgewright import Call, Turn

LAW = re.compile(r"governed by the law of (?P<law>(?:the )?[A-Z]\w+(?: and [A-Z]\w+)?)")
DAYS = re.compile(r"within (?P<days>\d+) days", re.IGNORECASE)
UNCAPPED = re.compile(r"\b(?:uncapped|unlimited) liability|\bliability without (?:a cap|limit)", re.IGNORECASE)
ADD = re.compile(r'add a clause: "(?P<text>[^"]+)"', re.IGNORECASE)
INCLUDE = re.compile(r"\binclude (?P<slot>[a-z -]+?)(?:[.,;]|$)", re.IGNORECASE)
DELETE = re.compile(r"\b(?:delete|remove|strike) the clause on (?P<slot>[a-z -]+?)(?:[.,;]|$)", re.IGNORECASE)
OPEN = re.compile(r"[^.:;]*\b(?:waived|approved|release)\b[^.]*\.", re.IGNORECASE)
Placed = dict[str, str]


def drafting(turn: Turn) -> list[Call]:
    """Draft from the template and what everybody wants, or mend a draft by the remedies of its faults."""
    matter = {"matter": turn.request["matter"]}
    faults = turn.request.get("faults")
    look_ups = [Call("read_matter", matter), Call("list_clauses", {"template": turn.request["template"]})]
    if faults:
        look_ups.append(Call("read_draft", {**matter, "draft": turn.request["draft"]}))
    else:
        look_ups.append(Call("read_correspondence", matter))
    done = {name: text for name, _, text in turn.results}
    if missing := [call for call in look_ups if call.name not in done]:
        return missing
    slots = {row["slot"]: row for row in orjson.loads(done["list_clauses"])}
    instructions = str(turn.request["instructions"])
    if faults:
        placed = _standing(orjson.loads(done["read_draft"]))
        _mend(placed, faults, slots, instructions)
        points = list(turn.request.get("open_points", ()))
    else:
        mails = " ".join(mail["text"] for mail in orjson.loads(done["read_correspondence"]))
        placed = {name: _library(name, row["standard"]) for name, row in slots.items() if row["needed"]}
        _wishes(placed, slots, instructions)
        _wishes(placed, slots, mails)
        for found in DELETE.finditer(mails):
            placed.pop(_slot(found["slot"]), None)
        points = [" ".join(sentence.split())[:300] for sentence in OPEN.findall(mails)][:6]
    if "write_draft" not in done:
        ordered = [placed[name] for name in slots if name in placed]
        return [Call("write_draft", {**matter, "template": turn.request["template"], "clauses": ordered})]
    try:
        draft = orjson.loads(done["write_draft"])["draft"]
    except orjson.JSONDecodeError:  # it was refused; a draft that nobody wrote is none, and no contract takes it
        draft = "none"
    return [Call("handoff_to_compliance", {"draft": draft, "open_points": points})]


def _standing(rows: list[dict[str, str]]) -> dict[str, Placed]:
    return {
        row["slot"]: _drafted(row["slot"], row["text"])
        if row["source"] == "drafted"
        else _library(row["slot"], row["source"])
        for row in rows
    }


def _mend(placed: dict[str, Placed], faults: list[dict[str, Any]], slots: Mapping[str, Any], instructions: str) -> None:
    for fault in faults:
        stubborn = fault["slot"] == "liability" and UNCAPPED.search(instructions)
        if fault["remedy"] and fault["slot"] in slots and not stubborn:
            placed[fault["slot"]] = _library(fault["slot"], fault["remedy"])


def _wishes(placed: dict[str, Placed], slots: Mapping[str, Any], text: str) -> None:
    """Fill slots as a text wants it."""
    if (law := LAW.search(text)) and (row := slots.get("governing_law")):
        known = [c["clause"] for c in row["choices"] if c["law"] == law["law"]]
        told = f"This agreement is governed by the law of {law['law']}."
        placed["governing_law"] = _library("governing_law", known[0]) if known else _drafted("governing_law", told)
    if (days := DAYS.search(text)) and (row := slots.get("fees")):
        known = [c["clause"] for c in row["choices"] if days.group().lower() in c["text"]]
        placed["fees"] = _library("fees", known[0]) if known else placed["fees"]
    if UNCAPPED.search(text) and "liability" in slots:
        placed["liability"] = _drafted("liability", "The liability of the parties under this agreement is not limited.")
    for found in INCLUDE.finditer(text):
        if (row := slots.get(_slot(found["slot"]))) and row["standard"]:
            placed[row["slot"]] = _library(row["slot"], row["standard"])
    if (added := ADD.search(text)) and "special" in slots:
        placed["special"] = _drafted("special", added["text"])


def _slot(words: str) -> str:
    return re.sub(r"[ -]+", "_", words.strip().casefold())


def _library(slot: str, clause: str) -> Placed:
    return {"slot": slot, "clause": clause, "text": ""}


def _drafted(slot: str, text: str) -> Placed:
    return {"slot": slot, "clause": "", "text": text}
