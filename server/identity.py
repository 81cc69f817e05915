"""Who a request is from. The one thing that says so is the server's authentication, never the request's own body.

`Identify` is all that the server needs to know; `Tokens` is the implementation that is here: bearer tokens, of which a
file holds digests.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import string
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fastapi import HTTPException, Request

from ..contracts.errors import ProjectInvalid, ReviewerInvalid
from ..contracts.review import Reviewer, person

MIN_TOKEN = 32
"""Characters of a token. A shorter one can be guessed, and is never taken."""
MAX_TOKEN = 4096
OPEN = frozenset({"/ok"})
"""Paths that tell nothing but that the server is up."""
_KEYS = frozenset({"id", "roles", "tenant", "token_sha256"})
_GUESSED = ("password", "secret", "token", "changeme", "admin", "test", "letmein", "edgewright")


class Identify(Protocol):
    """Finds out who a request is from. It does not know what the request is about, and decides nothing."""

    def __call__(self, headers: Mapping[str, str]) -> Reviewer | None:
        """The person, or None for one that is not known. Header names are lower case."""
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    digest: bytes
    reviewer: Reviewer


class Tokens:
    """Bearer tokens. It knows their digests alone, so neither the file nor a memory dump's reader can use one.

    A file has a table for each token; one person may have several:

        [[reviewer]]
        id = "ana"
        roles = ["finance"]
        tenant = "local"
        token_sha256 = "…"      # printf %s "$TOKEN" | sha256sum

    Raises:
        ProjectInvalid: with every fault of the file.
    """

    def __init__(self, known: Iterable[tuple[str, Reviewer]], *, name: str = "reviewers") -> None:
        self._known: list[_Known] = []
        faults, weak, people = [], _weak(), dict[str, Reviewer]()
        for token, reviewer in known:
            try:
                digest = bytes.fromhex(token)
            except ValueError:
                digest = b""
            if len(digest) != 32 or len(token) != 64:
                faults.append(f"{reviewer.id!r}: token_sha256 is no SHA-256 in 64 hexadecimal digits")
            elif digest in weak:
                faults.append(
                    f"{reviewer.id!r}: its token is empty, short or a common word; make one: openssl rand -hex 32"
                )
            elif any(hmac.compare_digest(k.digest, digest) for k in self._known):
                faults.append(f"{reviewer.id!r}: its token is another's, too")
            elif people.setdefault(person(reviewer.id), reviewer) != reviewer:
                faults.append(
                    f"{reviewer.id!r}: is told apart from another reviewer by spelling, roles or tenant alone"
                )
            else:
                self._known.append(_Known(digest, reviewer))
        if not self._known and not faults:
            faults.append("names nobody; add a [[reviewer]]")
        if faults:
            raise ProjectInvalid(name=name, faults=faults)

    def __repr__(self) -> str:
        return f"Tokens({len(self._known)})"

    @classmethod
    def read(cls, path: Path) -> Tokens:
        """The tokens of a file. Raises ProjectInvalid."""
        try:
            found = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ProjectInvalid(name=str(path), faults=[f"cannot be read: {error.strerror}"]) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ProjectInvalid(name=str(path), faults=[f"is not TOML: {type(error).__name__}"]) from None
        rows = found.get("reviewer")
        if set(found) != {"reviewer"} or not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
            raise ProjectInvalid(name=str(path), faults=["holds something else than tables [[reviewer]]"])
        faults, known = list[str](), list[tuple[str, Reviewer]]()
        for at, row in enumerate(rows, 1):
            try:
                known.append(_read(row))
            except ReviewerInvalid as error:
                faults += [f"[[reviewer]] {at}: {fault}" for fault in error.faults]
        if faults:
            raise ProjectInvalid(name=str(path), faults=faults)
        return cls(known, name=str(path))

    def __call__(self, headers: Mapping[str, str]) -> Reviewer | None:
        """See `Identify`."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not MIN_TOKEN <= len(token) <= MAX_TOKEN:
            return None
        given = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        found: Reviewer | None = None
        for known in self._known:  # all of them, whichever fits: how long it takes tells nothing
            if hmac.compare_digest(known.digest, given):
                found = known.reviewer
        return found


def _read(row: Mapping[str, Any]) -> tuple[str, Reviewer]:
    """One table of a file. Raises ReviewerInvalid; no fault quotes a value that might be a token."""
    faults = []
    if stray := sorted(set(row) - _KEYS):
        faults.append(f"has {', '.join(stray)}, which is not known; a token itself never stands in the file")
    token, roles = row.get("token_sha256"), row.get("roles", [])
    if not isinstance(token, str):
        faults.append("has no token_sha256")
    if not isinstance(roles, list) or not all(isinstance(r, str) for r in roles):
        faults.append("its roles are no list of names")
    if faults:
        raise ReviewerInvalid(name=str(row.get("id", "")), faults=faults)
    return str(token), Reviewer(row.get("id", ""), frozenset(roles), row.get("tenant", "local"))


def _weak() -> frozenset[bytes]:
    """Digests of tokens that anybody tries first: the empty one, those of one or two characters, common words."""
    signs = string.printable
    short = (itertools.product(signs, repeat=n) for n in (0, 1, 2))
    words = ["".join(w) for each in short for w in each] + [*_GUESSED]
    return frozenset(hashlib.sha256(w.encode()).digest() for w in words)


async def identified(request: Request) -> None:
    """Who a request is from, for the endpoints behind this. Raises HTTPException: 401 where nobody is known."""
    identify: Identify | None = request.app.state.identify
    if identify is None or request.scope["path"] in OPEN:
        request.state.reviewer = None
        return
    names = [name.lower() for name in request.headers.keys()]  # noqa: SIM118 - its keys repeat
    twice = names.count("authorization") > 1  # which of them counts would be anybody's guess
    reviewer = None if twice else identify({name.lower(): value for name, value in request.headers.items()})
    if reviewer is None:
        raise HTTPException(401, "this server answers to people it knows: send a bearer token", _CHALLENGE)
    request.state.reviewer = reviewer


_CHALLENGE = {"WWW-Authenticate": "Bearer"}
