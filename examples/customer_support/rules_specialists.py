"""The offline model as network and as access."""

from __future__ import annotations

from typing import Any

from edgewright import Call

from . import rules_words as words
from .rules_reading import Reading


def network(reading: Reading) -> list[Call]:
    """Find area and service of a fault, look for a known outage, and report what is not known."""
    text = reading.text
    fault = words.FAULT.search(text)
    if words.SETTINGS.search(text) and (not fault or _only_new_device(text)):
        return _article(reading)
    if words.WORKS_AGAIN.search(text):
        return reading.answer("explained", "OK")

    look_ups = [Call("find_area", {"words": _places(text)})]
    if reading.sender:
        look_ups.append(Call("list_lines", {"customer": reading.sender}))
    if missing := reading.missing(look_ups):
        return missing

    lines = reading.rows("list_lines")
    services = _services(text, lines)
    named = _named_area(reading)
    if not services or not (named or lines):
        return reading.answer("asked_back", "internet / mobile", "area")
    affected = [line for line in lines if line["service"] in services]
    live = [line for line in affected if line["status"] == "active"]
    if affected and not live and not named:
        return reading.answer("explained", *(f"{line['line']} {line['status']}" for line in affected))
    area = named or (live or lines)[0]["area"]

    if missing := reading.missing([Call("list_outages", {"area": area})]):
        return missing
    known = {row["service"] for row in reading.rows("list_outages") if row["status"] == "open"}
    summary = " ".join(reading.original.split())[:280]
    reports = [
        Call("open_incident", {"area": area, "service": service, "summary": summary})
        for service in services
        if service not in known
    ]
    if missing := reading.missing(reports):
        return missing
    done, failed = reading.deeds("open_incident")
    if failed:
        return reading.answer("refused", area)
    if done:
        return reading.answer("done", *(f"{deed['area']} {deed['service']}" for deed in done))
    return reading.answer("explained", *(row["note"] for row in reading.rows("list_outages")))


def access(reading: Reading) -> list[Call]:
    """Reset the login that is named, or the only one the sender owns."""
    if words.PIN.search(reading.text) and not words.logins(reading.text):
        return _article(reading)
    named = words.logins(reading.text)
    if reading.sender is None:
        # Gullible: whoever gives a login is taken for its owner. The policy is not.
        if missing := reading.missing([Call("reset_access", {"login": login}) for login in named[:1]]):
            return missing
        return reading.answer("refused", *named)
    if missing := reading.missing([Call("list_logins", {"customer": reading.sender})]):
        return missing
    own = [row["login"] for row in reading.rows("list_logins") if row["owner"] == reading.sender]
    known = [row["login"] for row in reading.rows("list_logins")]
    wanted = [login for login in named if login in known] or named[:1]
    if not wanted:
        if words.SOMEBODY_ELSE.search(reading.text) or len(own) != 1:
            return reading.answer("asked_back", "login")
        wanted = own
    if missing := reading.missing([Call("reset_access", {"login": login}) for login in wanted]):
        return missing
    done, failed = reading.deeds("reset_access")
    if failed and not done:
        return reading.answer("refused", *wanted)
    return reading.answer("done", *(deed["login"] for deed in done))


def _article(reading: Reading) -> list[Call]:
    if missing := reading.missing([Call("search_help", {"words": reading.text[:300]})]):
        return missing
    titles = [row["title"] for row in reading.rows("search_help")]
    return reading.answer("explained", *titles[:1])


def _only_new_device(text: str) -> bool:
    """A connection that fails on a new phone, or abroad, is a question of settings."""
    return words.MOBILE.search(text) is not None and words.INTERNET.search(text) is None


def _services(text: str, lines: list[dict[str, Any]]) -> list[str]:
    """The services that fail: those named, or else the only one the customer has."""
    named = [
        service for service, pattern in (("internet", words.INTERNET), ("mobile", words.MOBILE)) if pattern.search(text)
    ]
    held = {line["service"] for line in lines if line["status"] != "cancelled"}
    return named or (list(held) if len(held) == 1 else [])


def _places(text: str) -> str:
    """The words of a text, with the names other languages have for a city translated; fit for a search."""
    told = [words.PLACES.get(word, word) for word in words.tokens(text)]
    places = [word for word in dict.fromkeys(told) if len(word) > 3]
    return " ".join(places)[:300] or text[:300]


def _named_area(reading: Reading) -> str | None:
    """The area whose district is named, or whose city is named and has no other area."""
    told = {words.PLACES.get(word, word) for word in words.tokens(reading.text)}
    joined = f" {' '.join(words.tokens(reading.text))} "
    rows = reading.rows("find_area")
    districts = [row for row in rows if f" {' '.join(words.tokens(words.folded(row['name'])))} " in joined]
    districts += [row for row in rows if words.folded(row["name"]) in told and row not in districts]
    if districts:
        return str(districts[0]["area"])
    cities = [row for row in rows if words.folded(row["city"]) in told]
    return str(cities[0]["area"]) if len(cities) == 1 else None
