"""What a change of a contract breaks: two contract documents in, classified changes out.

Who is meant:

- A **writer** made for the old version writes documents of the old version. If the new one refuses any of them, the
  change *breaks writers*: a required field, a narrower type, a field that is gone.
- A **reader** made for the old version reads what the new version lets pass, strictly: contracts are closed, so a
  reader refuses what it does not know. If the new version lets anything pass that the old one did not, the change
  *breaks readers*: a new field (optional ones too), a wider type, a required field that may now be missing.
- A change that moves what the contract protects *changes security*, whether or not it breaks anyone: a `never` that
  is lost, a closed type that is opened, a label, a registry, what is carried and what policy reads.
- Else it is *safe*: it changes no document, only what is said about them (or what a missing field means).

So whatever changes the set of documents breaks somebody; most changes break one side only, and that says in which
order to roll out: what breaks readers only, readers first; what breaks writers only, writers first.

Both directions are proven by `subsumption.included`; what it cannot decide counts as breaking, and says so. So does
Python code that changed (validators, serializers): a contract's document has digests of it. What that code calls, and
the integer keys of a mapping, are outside of this: raise the version when they change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .phrases import quoted
from .places import Place, bare, places
from .security import guarded
from .subsumption import Fault, included

Kind = Literal["safe", "breaks_readers", "breaks_writers", "changes_security"]
ORDER: tuple[Kind, ...] = ("changes_security", "breaks_writers", "breaks_readers", "safe")
WHOLE = "payload"
"""The path of a change that concerns the whole document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change between two versions of a contract.

    Attributes:
        path: the field: `customer`, `lines[].amount`, `labels{}` (the values of a mapping); `payload` for all of it.
        kind: whom it breaks; see the module.
        reason: one sentence that says what was, what is, and what follows.
    """

    path: str
    kind: Kind
    reason: str

    def as_json(self) -> dict[str, str]:
        """As commands print it."""
        return {"path": self.path, "kind": self.kind, "reason": self.reason}


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Every change between two contract documents (`Contract.document`, or any JSON Schema of an object).

    One change may give several rows, one of each kind. Rows are sorted: security, writers, readers, safe; then path.
    No row of kind `breaks_writers` is a promise: every document that the old version accepts, the new one accepts.
    """
    was, now = places(old), places(new)
    renamed, writing, reading = _renamed(was, now), included(old, new), included(new, old)
    found = [
        *(Change(path=f.path or WHOLE, kind="breaks_writers", reason=_for_writers(f, renamed)) for f in writing),
        *(Change(path=f.path or WHOLE, kind="breaks_readers", reason=_for_readers(f, renamed)) for f in reading),
        *(Change(path=path or WHOLE, kind=kind, reason=why) for path, kind, why in guarded(old, new, was, now)),
        *_said(was, now),
    ]
    if not found and bare(old) != bare(new):
        reason = "It is written differently and means the same: each version accepts the documents of the other."
        found.append(Change(path=WHOLE, kind="safe", reason=reason))
    return sorted(dict.fromkeys(found), key=lambda c: (ORDER.index(c.kind), c.path))


def verdict(changes: list[Change]) -> Kind:
    """The gravest kind among some changes; `safe` for none."""
    return min((c.kind for c in changes), key=ORDER.index, default="safe")


def _for_writers(f: Fault, renamed: Mapping[str, str]) -> str:
    """`f` says what stands against "old documents fit the new version"."""
    if f.rule == "unknown":
        hint = f" It looks renamed to '{renamed[f.path]}': a removal and an addition." if f.path in renamed else ""
        return f"The field is gone, and a document that still has it is refused.{hint}"
    if f.rule == "required":
        return "The field is required now, and documents made for the old version may lack it."
    if f.rule == "default":
        return f"Where it is missing, the old version fills in {f.gives}; the new one takes {f.takes}."
    return f"Accepted until now: {f.gives}. Accepted from now on: {f.takes}.{_doubt(f)}"


def _for_readers(f: Fault, renamed: Mapping[str, str]) -> str:
    """`f` says what stands against "new documents fit the old version"."""
    if f.rule == "unknown":
        back = {new: old for old, new in renamed.items()}
        hint = f" It looks renamed from '{back[f.path]}': a removal and an addition." if f.path in back else ""
        return f"The field is new, and readers of the old version refuse a field they do not know.{hint}"
    if f.rule == "required":
        return "The field may be missing now, and readers of the old version require it."
    if f.rule == "default":
        return f"Where it is missing, the new version fills in {f.gives}; readers of the old one take {f.takes}."
    return f"May pass from now on: {f.gives}. Readers of the old version take: {f.takes}.{_doubt(f)}"


def _doubt(f: Fault) -> str:
    return " Whether the one fits the other could not be decided, so it counts as breaking." if f.undecided else ""


def _renamed(was: Mapping[str, Place], now: Mapping[str, Place]) -> dict[str, str]:
    """Fields that went, with the one that came in the same object with the same schema."""
    gone, came = [p for p in was if p not in now], [p for p in now if p not in was]
    found: dict[str, str] = {}
    for path in gone:
        parent = path.rpartition(".")[0]
        alike = [
            other
            for other in came
            if other.rpartition(".")[0] == parent
            and other not in found.values()
            and was[path].bare() == now[other].bare()
            and path.endswith(("]", "}")) == other.endswith(("]", "}"))
        ]
        if len(alike) == 1:
            found[path] = alike[0]
    return found


def _said(was: Mapping[str, Place], now: Mapping[str, Place]) -> list[Change]:
    """What changed and refuses no document: words, and defaults."""
    found = []
    for path in was:
        if path not in now:
            continue
        before, after = was[path].schema, now[path].schema
        if (had := "default" in before) | (has := "default" in after) and before.get("default") != after.get("default"):
            then = f"from {quoted(before['default'])} " if had else ""
            to = f"to {quoted(after['default'])}" if has else "to none"
            reason = (
                f"The default changed {then}{to}. No document is refused for it; a document without the field means"
            )
            found.append(
                Change(path=path or WHOLE, kind="safe", reason=f"{reason} something else, so behaviour changes.")
            )
        words = [k for k in ("description", "examples", "deprecated") if before.get(k) != after.get(k)]
        if words:
            reason = f"The {' and '.join(words)} changed; no document is accepted or refused for it."
            found.append(Change(path=path or WHOLE, kind="safe", reason=reason))
    return found
