"""Mail addresses: each has one form, and what could be taken for another address is refused. Pure.

An address is plain ASCII, without names, comments, quotes, routes and literals. A domain in another script is written
in its ASCII form (`xn--…`), in which no letter passes for another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST = 254
# No `%` and no `!`: some servers take what stands before them for another address.
_LOCAL = re.compile(r"[A-Za-z0-9#$&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9#$&'*+/=?^_`{|}~-]+)*+")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_PHRASE = r"""(?P<name>(?:"(?:[^"\\\r\n]|\\[^\r\n])*+"|[^"<>@,;:()\\\r\n]++)*+)"""
_NAMED = re.compile(rf"\s*{_PHRASE}<(?P<address>[^<>\s]+)>\s*")


def canonical_address(text: str) -> str:
    """An address in its one form: the domain in lower case.

    Raises:
        ValueError: with the reason why it is none.
    """
    local, at, domain = text.partition("@")
    if not text.isascii():
        raise ValueError("it is not ASCII; write the domain in its ASCII form (xn--...)")
    if not at or "@" in domain:
        raise ValueError("it is not one address of the form name@domain")
    if len(text) > LONGEST or len(local) > 64:
        raise ValueError("it is too long")
    if not _LOCAL.fullmatch(local):
        raise ValueError("what stands before the @ is no plain name: letters, digits and -._+ and the like")
    if not _DOMAIN.fullmatch(domain.lower()):
        raise ValueError("what stands after the @ is no domain name")
    return f"{local}@{domain.lower()}"


def canonical_pattern(text: str) -> str:
    """One address, or all of a domain (`*@example.com`), or of every domain under one (`*@*.example.com`).

    Raises:
        ValueError: with the reason why it is none.
    """
    if text.startswith("*@*."):
        return "*@*." + canonical_address(f"x@{text[4:]}")[2:]
    if text.startswith("*@"):
        return "*" + canonical_address(f"x{text[1:]}")[1:]
    if "*" in text:
        raise ValueError("a * stands for a whole name before the @, or for the domains under one after it")
    return canonical_address(text)


def is_listed(address: str, patterns: Iterable[str]) -> bool:
    """Whether a canonical address is one of those that canonical patterns stand for. Case is no difference."""
    _, _, domain = address.partition("@")
    for pattern in patterns:
        if pattern.startswith("*@*."):
            found = domain.endswith(pattern[3:])
        elif pattern.startswith("*@"):
            found = domain == pattern[2:]
        else:
            found = address.lower() == pattern.lower()
        if found:
            return True
    return False


def read_address(header: str) -> tuple[str, str] | None:
    """The name and the address of a header field that holds exactly one plain address; None for any other.

    The name is as it stands there; whoever wrote the mail chose it, and it may look like an address itself.
    """
    found = _NAMED.fullmatch(header) if len(header) <= 4 * LONGEST else None
    name, address = (found["name"].strip(), found["address"]) if found else ("", header.strip())
    try:
        return name, canonical_address(address)
    except ValueError:
        return None
