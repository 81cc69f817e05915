"""What a run knows of its values: labels, sensitive values, what was read where; and how they are written down.

Lives in the process that drives the run, outside all state that a model or a client can write, and is made again
from the ledger when another process goes on with the run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..contracts.digest import canonical, digest_bytes
from ..contracts.flow import Sources
from ..contracts.labels import SENSITIVITIES, Integrity, Label, Leaf, Sensitivity
from ..contracts.redaction import Finding, Redactor
from ..contracts.tool import ToolSpec
from ..ledger.entry import Payload
from ..ledger.sealing import keyed, payload

HISTORY = "*"
"""Where the label of messages that crossed is kept, beside those of the fields."""
MAX_KNOWN = 20_000
"""How many sensitive values of one run are looked for. A run with more lets nothing cross, and shows nothing."""
WITHHELD = "withheld: the run holds more sensitive values than can be looked for"
MAX_KEPT = 64
_MIN_KNOWN = 4


class _NothingShown(Redactor):
    """Shows nothing of any value, where what must not be shown cannot be told from the rest."""

    def clean(self, value: Any) -> tuple[Any, list[Finding]]:
        """A mark in the place of the whole value."""
        shown: Any = {"withheld": WITHHELD} if isinstance(value, Mapping) else WITHHELD
        return shown, [Finding("", "withheld")]

    def text(self, text: str, path: str = "") -> tuple[str, list[Finding]]:
        """A mark in the place of the whole text."""
        return WITHHELD, [Finding(path, "withheld")]


NOTHING_SHOWN = _NothingShown()


@dataclass(slots=True)
class Knowledge:
    """See the module.

    Attributes:
        redactor: makes the redactor of what is written down, given the sensitive values of the run by text.
        watches: whether sensitive values are remembered at all: some contract or record lets none of them cross.
        covered: ids of contracts that let nothing cross which a record would not show.
        key: the run's key, once it is durable; b"" before, when nothing may be redacted yet.
        labels: by crossing, by field.
    """

    redactor: Callable[[Mapping[str, Sensitivity]], Redactor] = lambda known: Redactor()
    watches: bool = False
    covered: frozenset[str] = frozenset()
    key: bytes = b""
    labels: dict[str, dict[str, Label]] = field(default_factory=dict)
    known: dict[str, Sensitivity] = field(default_factory=dict)
    overflowed: bool = False
    _seen: list[tuple[str, Any, Label]] = field(default_factory=list)
    _sources: dict[tuple[str, ...], tuple[Sources, int]] = field(default_factory=dict)
    _made: Redactor | None = None
    _finder: Redactor | None = None
    # What crosses is written down where it crosses, where it is taken and where it is answered: judged once.
    _kept: dict[bytes, Payload] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    # -- labels --------------------------------------------------------------------------------------------------

    def observe(self, at: str, value: Any, label: Label) -> None:
        """An agent was told `value` at a position: it colours what that agent writes from now on."""
        with self._lock:
            self._seen.append((at, value, label))

    def told(self, at: str, value: Any, tool: ToolSpec | None) -> None:
        """A tool told an agent `value`, its errors included; a tool that is not known any more is of the worst."""
        level: Sensitivity = tool.sensitivity if tool else "secret"
        believed: Integrity = "trusted" if tool and tool.output == "trusted" else "untrusted"
        self.learn_value(value, level)
        self.observe(at, value, Label(believed, level))

    def sources(self, places: Sequence[str], payload: Mapping[str, Any], crossing: str) -> Sources:
        """What an agent had read in the tries of its turn at `places`: what crossed to it, what its tools told it."""
        with self._lock:
            known = self._sources.get(key := (*places, crossing))
            if known is None:
                found, labels = Sources(), self.labels.get(crossing, {})
                found.read_fields(payload, labels)
                if (history := labels.get(HISTORY)) is not None:
                    found.context = found.context.joined(history)
                known = self._sources[key] = (found, 0)
            # Each output is read once: a turn asks before every call, and its outputs may be megabytes.
            found, upto = known
            within = tuple(f"{at}{mark}" for at in places for mark in "#/")
            for place, value, label in self._seen[upto:]:
                if place.startswith(within):
                    found.read(value, label)
            self._sources[key] = found, len(self._seen)
            return found

    # -- sensitive values ----------------------------------------------------------------------------------------

    def learn(self, leaves: Iterable[Leaf]) -> None:
        """Remember the values that their schema declares personal or secret."""
        for leaf in leaves:
            self.learn_value(leaf.value, leaf.sensitivity)

    def learn_value(self, value: Any, level: Sensitivity) -> None:
        """Remember every text and number in a value, where it is personal or secret."""
        if not self.watches or level not in ("personal", "secret"):
            return
        if isinstance(value, Mapping):
            for inner in value.values():
                self.learn_value(inner, level)
        elif isinstance(value, list | tuple):
            for inner in value:
                self.learn_value(inner, level)
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            text = str(value)
            with self._lock:
                known = self.known.get(text)
                higher = known is None or SENSITIVITIES.index(level) > SENSITIVITIES.index(known)
                if len(text) < _MIN_KNOWN or not higher:
                    return
                if known is None and len(self.known) >= MAX_KNOWN:
                    self.overflowed = True
                    self._kept.clear()
                else:
                    self.known[text] = level
                    self._made = self._finder = None
                    self._kept.clear()

    def level_in(self, value: Any) -> Sensitivity:
        """The highest sensitivity of the run's sensitive values that stand in a value; "public" where none does."""
        if self.overflowed:
            return "secret"
        with self._lock:
            if not self.known:
                return "public"
            if self._finder is None:
                self._finder = Redactor((), dict(self.known))
            finder = self._finder
        found: list[Sensitivity] = [level for level in SENSITIVITIES for f in finder.clean(value)[1] if f.rule == level]
        return max(found, key=SENSITIVITIES.index, default="public")

    # -- writing down --------------------------------------------------------------------------------------------

    def redacts(self) -> Redactor:
        """What cuts out of a text what no reader of the run may see."""
        with self._lock:
            if self.overflowed:
                return NOTHING_SHOWN
            if self._made is None:
                self._made = self.redactor(dict(self.known))
            return self._made

    def cleaned(self, value: Any) -> Any:
        """A JSON value as any reader of the run may see it."""
        return self.redacts().clean(value)[0]

    def text(self, text: str) -> str:
        """`cleaned`, for the text of an error or a reason."""
        found: str = self.redacts().text(text)[0]
        return found

    def kept(self, value: Any, *, clean: bool = False) -> Payload:
        """A JSON value as the ledger stores it: readable without what must not be seen, and sealed as it is.

        Args:
            clean: a contract that lets no more cross than a record shows has just cut it.

        Raises:
            TypeError: for what is not JSON.
        """
        exact = canonical(value)
        found = self._kept.get(exact)
        if found is None:
            if clean and not self.overflowed:
                found = Payload(digest_bytes(exact), exact)
            elif self.key:
                found = payload(value, key=self.key, cleaned=self.cleaned(value))
            else:
                found = payload_of(self.cleaned(value))
            with self._lock:
                if len(self._kept) >= MAX_KEPT:
                    self._kept.clear()
                self._kept[exact] = found
        return found

    def digests(self, hidden: Mapping[str, Any]) -> dict[str, str]:
        """Digests of what was withheld or redacted, keyed per run: they can be compared, and not guessed."""
        return {name: keyed(self.key, canonical(value)) for name, value in hidden.items()} if self.key else {}


def payload_of(value: Any) -> Payload:
    """A JSON value as a payload of which nothing is redacted: its digest and its canonical bytes."""
    body = canonical(value)
    return Payload(digest_bytes(body), body)
