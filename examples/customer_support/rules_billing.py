"""The offline model as billing: it finds the charge that is meant, and believes too much of what it reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from edgewright import Call

from . import rules_words as words
from .rules_reading import Reading

Kind = Literal["twice", "late_fee", "ended", "compensation"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A sum the books show to be wrong, or due."""

    invoice: str
    kind: Kind
    text: str
    amount_cents: int


def billing(reading: Reading) -> list[Call]:
    """Credit what the complaint and the books agree on, and end the line that is to end."""
    orders = _orders(reading)
    if reading.sender is None:
        # Gullible: a customer number in the text is tried, and so is an order. The policy refuses both.
        claimed = [Call("list_invoices", {"customer": number}) for number in words.ids(reading.text, "C")]
        if missing := reading.missing(claimed[:1] + orders):
            return missing
        return reading.answer("refused", "login")
    look_ups = [
        Call("list_invoices", {"customer": reading.sender}),
        Call("list_lines", {"customer": reading.sender}),
    ]
    if missing := reading.missing(look_ups):
        return missing
    lines = reading.rows("list_lines")
    if words.COMPENSATION.search(reading.text):
        areas = sorted({line["area"] for line in lines})
        if missing := reading.missing([Call("list_outages", {"area": area}) for area in areas]):
            return missing

    credits = [
        Call("credit_invoice", {"invoice": f.invoice, "amount_cents": f.amount_cents, "reason": f.text})
        for f in _meant(reading, _findings(reading))
    ]
    ends = [Call("cancel_line", {"line": line, "reason": "asked for"}) for line in _to_end(reading, lines)]
    if missing := reading.missing((orders or credits) + ends):
        return missing

    done, failed = reading.deeds("credit_invoice", "cancel_line")
    about = [str(deed.get("invoice") or deed.get("line")) for deed in done]
    if done:
        return reading.answer("done", *about)
    if failed:
        return reading.answer("refused", *words.ids(reading.text, "INV"), *words.ids(reading.text, "L"))
    return reading.answer("explained", *words.ids(reading.text, "INV"))


# ------------------------------------------------------------------ what the books show


def _findings(reading: Reading) -> list[Finding]:
    """Everything on the sender's invoices that looks wrong, and compensation where outages were looked up."""
    invoices = reading.rows("list_invoices")
    lines = reading.rows("list_lines")
    in_time = {i["invoice"]: bool(i["paid_on"]) and i["paid_on"] <= i["due_on"] for i in invoices}
    ended = {line["line"]: line["ended_on"] for line in lines if line["ended_on"]}
    found: list[Finding] = []
    for invoice in invoices:
        number, seen = invoice["invoice"], set()
        for item in invoice["items"]:
            same = (item["text"], item["amount_cents"], item["line"])
            kind: Kind | None = None
            if same in seen:
                kind = "twice"
            elif item["kind"] == "late_fee" and in_time.get(item["about"]):
                kind = "late_fee"
            elif item["kind"] == "plan" and (ended.get(item["line"]) or "9999") < invoice["issued_on"]:
                kind = "ended"
            seen.add(same)
            # A negative item of the same size is an earlier correction.
            if kind and not any(other["amount_cents"] == -item["amount_cents"] for other in invoice["items"]):
                found.append(Finding(invoice=number, kind=kind, text=item["text"], amount_cents=item["amount_cents"]))
        for outage in reading.rows("list_outages"):
            served = [
                line
                for line in lines
                if line["status"] == "active" and (line["area"], line["service"]) == (outage["area"], outage["service"])
            ]
            cents = outage["compensation_cents"] * len(served)
            if cents and outage["since"][:7] == invoice["issued_on"][:7]:
                found.append(Finding(invoice=number, kind="compensation", text=outage["outage"], amount_cents=cents))
    return found


# ------------------------------------------------------------------ what the customer means


def _meant(reading: Reading, findings: list[Finding]) -> list[Finding]:
    """The findings a text complains about."""
    text = reading.text
    named = words.ids(text, "INV")
    if named:
        findings = [finding for finding in findings if finding.invoice in named]
    kinds: set[str] = set()
    if words.COMPENSATION.search(text):
        kinds.add("compensation")
    if words.LATE_FEE.search(text):
        kinds.add("late_fee")
    if words.TWICE.search(text):
        kinds.add("twice")
    if words.ENDED.search(text):
        kinds.add("ended")
    chosen = [finding for finding in findings if finding.kind in kinds or _mentions(text, finding)]
    definite = bool(kinds) or bool(words.OWED.search(text))
    if not chosen and not definite and (words.TOO_HIGH.search(text) or named):
        newest = max((row["invoice"] for row in reading.rows("list_invoices")), default="")
        chosen = [
            finding
            for finding in findings
            if finding.kind != "compensation" and (named or words.months(text) or finding.invoice == newest)
        ]
    if {"late_fee", "compensation"} & kinds:
        return chosen  # the month named is that of the payment or of the outage
    in_month = [f for f in chosen if _month(reading, f.invoice) in words.months(text)]
    return in_month or chosen


def _mentions(text: str, finding: Finding) -> bool:
    """Whether the text names the item, by at least half of its longer words."""
    if finding.kind in ("late_fee", "compensation") or not words.MONEY.search(text):
        return False
    parts = [word for word in words.tokens(words.folded(finding.text)) if len(word) > 2]
    return sum(word in words.tokens(text) for word in parts) * 2 >= len(parts) > 0


def _month(reading: Reading, invoice: str) -> str:
    issued = {row["invoice"]: row["issued_on"] for row in reading.rows("list_invoices")}
    return str(issued[invoice])[5:7]


def _orders(reading: Reading) -> list[Call]:
    """Credits somebody orders or is said to have promised: a sum and an invoice near such words."""
    for match in words.ORDER.finditer(reading.text):
        near = reading.text[max(0, match.start() - 60) : match.end() + 160]
        cents, invoices = words.sums(near), words.ids(near, "INV")
        if cents and invoices:
            arguments = {"invoice": invoices[0], "amount_cents": cents[0], "reason": "as instructed"}
            return [Call("credit_invoice", arguments)]
    return []


def _to_end(reading: Reading, lines: list[dict[str, Any]]) -> list[str]:
    """Lines the customer wants ended: by id, by number, by service, or the only one."""
    text = reading.text
    if not words.CANCEL.search(text) or words.NOT_NOW.search(text):
        return []
    if named := words.ids(text, "L"):
        return named
    live = [line for line in lines if line["status"] != "cancelled"]
    digits = re.sub(r"\D", "", text)
    if by_number := [line["line"] for line in live if line["phone"] and _tail(line["phone"]) in digits]:
        return by_number
    internet, mobile = words.INTERNET.search(text), words.MOBILE.search(text)
    if bool(internet) != bool(mobile):
        service = "internet" if internet else "mobile"
        live = [line for line in live if line["service"] == service]
    return [live[0]["line"]] if len(live) == 1 else []


def _tail(phone: str) -> str:
    return re.sub(r"\D", "", phone)[-7:]
