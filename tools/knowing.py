"""What a run knows of its values: labels, sensitive values, what was read where; and how they are written down.

Lives in the process that drives the run, outside all state that a model or a client can write, and is made again
from the ledger when another process goes on with the run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..contracts.contract import Contract
from ..contracts.digest import canonical, digest_bytes
from ..contracts.flow import label_request
from ..contracts.labels import SENSITIVITIES, Integrity, Label, Leaf, Sensitivity
from ..contracts.redaction import Finding, Redactor
from ..contracts.sources import MAX_ECHOES, MIN_ECHO, Sources, Whole, leaves_of, says_nothing
from ..contracts.tool import FIX_TOOLS, ToolSpec
from ..contracts.words import Words
from ..ledger.entry import Payload
from ..ledger.sealing import keyed, payload

HISTORY = "*"
"""Where the label of messages that crossed is kept, beside those of the fields."""
MAX_KNOWN = 20_000
"""How many sensitive values of one run are looked for. A run with more lets nothing cross, and shows nothing."""
WITHHELD = "withheld: the run holds more sensitive values than can be looked for"
MAX_KEPT = 512
"""Payloads of a run that are kept as they were written down: a fan-out has two for each branch."""
MAX_KEPT_BYTES = 4 * 1024 * 1024
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


@dataclass(frozen=True, slots=True)
class _Given:
    """What is known of the arguments of a call: whether the user's words lead to it."""

    pointed: bool = False
    asked: frozenset[Whole] = frozenset()
    strayed: bool = False
    too_many: bool = False


@dataclass(frozen=True, slots=True)
class _Told:
    """What a tool told an agent at a position."""

    at: str
    value: Any
    label: Label
    schema: Mapping[str, Any] | None
    own: bool
    given: _Given
    echoes: tuple[str, ...]


@dataclass(slots=True)
class Knowledge:
    """See the module.

    Attributes:
        redactor: makes the redactor of what is written down, given the sensitive values of the run by text.
        watches: whether sensitive values are remembered at all: some contract or record lets none of them cross.
        covered: ids of contracts that let nothing cross which a record would not show.
        key: the run's key, once it is durable; b"" before, when nothing may be redacted yet.
        labels: by crossing, by field.
        words: what the user said to begin the run.
    """

    redactor: Callable[[Mapping[str, Sensitivity]], Redactor] = lambda known: Redactor()
    watches: bool = False
    covered: frozenset[str] = frozenset()
    key: bytes = b""
    labels: dict[str, dict[str, Label]] = field(default_factory=dict)
    words: Words = field(default_factory=Words)
    known: dict[str, Sensitivity] = field(default_factory=dict)
    overflowed: bool = False
    _seen: list[_Told] = field(default_factory=list)
    _fixed: dict[str, frozenset[str]] = field(default_factory=dict)
    _given: dict[str, _Given] = field(default_factory=dict)
    _echoes: dict[str, None] = field(default_factory=dict)
    _sources: dict[tuple[str, ...], tuple[Sources, int]] = field(default_factory=dict)
    _made: Redactor | None = None
    _finder: Redactor | None = None
    # What crosses is written down where it crosses, where it is taken and where it is answered: judged once.
    _kept: dict[bytes, Payload] = field(default_factory=dict)
    _kept_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    # -- labels --------------------------------------------------------------------------------------------------

    def said(self, contract: Contract, request: Mapping[str, Any]) -> None:
        """Take in the request that began the run: those of its fields that hold the user's own words."""
        for name, label in label_request(contract, request).items():
            if label.integrity == "user":
                for kind, text in leaves_of(request[name]):
                    if kind is str:
                        self.words.add(text)

    def given(self, at: str, arguments: Mapping[str, Any], grounds: Mapping[str, str], *, strayed: bool) -> None:
        """A call is made with these arguments: what it tells may be an echo of those that nobody vouches for.

        Args:
            grounds, strayed: as `tools/provenance.py` has them.
        """
        tainted = [name for name, ground in grounds.items() if ground in ("untrusted", "quoted", "shown")]
        echoes = [str(leaf) for name in tainted for _, leaf in leaves_of(arguments.get(name))]
        led = any(
            ground in ("user", "pointed", "shown") and not says_nothing(arguments.get(name))
            for name, ground in grounds.items()
        )
        with self._lock:
            for text in echoes:
                if len(text) >= MIN_ECHO and len(self._echoes) < MAX_ECHOES:
                    self._echoes[text] = None
            too_many = len(self._echoes) >= MAX_ECHOES
            asked = frozenset(leaf for value in arguments.values() for leaf in leaves_of(value))
            self._given[at] = _Given(pointed=led, asked=asked, strayed=strayed, too_many=too_many)

    def told(self, at: str, value: Any, tool: ToolSpec | None) -> None:
        """A tool told an agent `value`, its errors included; a tool that is not known any more is of the worst."""
        level: Sensitivity = tool.sensitivity if tool else "secret"
        believed: Integrity = "trusted" if tool and tool.output == "trusted" else "untrusted"
        self.learn_value(value, level)
        with self._lock:
            given = self._given.get(at, _Given())
            # Somebody else's words may have led the agent to it, who would be glad to be told of it.
            kept = level if level in ("public", "secret") or not given.strayed else "personal"
            # What cannot be compared with all that nobody vouches for is not believed either.
            label = Label("untrusted" if given.too_many else believed, kept)
            own = tool is not None and tool.changes_world
            schema = tool.returns if tool else None
            if tool is not None and tool.name == FIX_TOOLS and isinstance(value, list):
                self._fixed[at] = frozenset(map(str, value))
            self._seen.append(_Told(at, value, label, schema, own, given, tuple(self._echoes)))

    def heard(self, at: str, label: Label) -> None:
        """Something was told to an agent of which only the label is known: it colours all the agent makes of it."""
        with self._lock:
            self._seen.append(_Told(at, {}, label, None, False, _Given(), ()))

    def fixed(self, places: Sequence[str]) -> frozenset[str] | None:
        """The tools that an agent said it needs, in the tries of its turn at `places`; None where it did not say."""
        within = _within(places)
        said = [tools for at, tools in list(self._fixed.items()) if at.startswith(within)]
        return said[0] if said else None

    def sources(self, places: Sequence[str], payload: Mapping[str, Any], crossing: str) -> Sources:
        """What an agent had read in the tries of its turn at `places`: what crossed to it, what its tools told it."""
        with self._lock:
            known = self._sources.get(key := (*places, crossing))
            if known is None:
                found, labels = Sources(words=self.words), self.labels.get(crossing, {})
                found.read_fields(payload, labels)
                if (history := labels.get(HISTORY)) is not None:
                    found.context = found.context.joined(history)
                known = self._sources[key] = (found, 0)
            # Each output is read once: a turn asks before every call, and its outputs may be megabytes.
            found, upto = known
            within = _within(places)
            for told in self._seen[upto:]:
                if told.at.startswith(within):
                    found.read(
                        told.value,
                        told.label,
                        schema=told.schema,
                        own=told.own,
                        pointed=told.given.pointed,
                        asked=told.given.asked,
                        echoes=told.echoes,
                    )
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
                    self._forget()
                else:
                    self.known[text] = level
                    self._made = self._finder = None
                    self._forget()

    def learn_of(self, other: Knowledge) -> None:
        """Know the sensitive values of another run, of which something comes into this one."""
        self.overflowed = self.overflowed or (self.watches and other.overflowed)
        for text, level in list(other.known.items()):
            self.learn_value(text, level)

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
                if len(self._kept) >= MAX_KEPT or self._kept_bytes + len(exact) > MAX_KEPT_BYTES:
                    self._forget()
                self._kept[exact] = found
                self._kept_bytes += len(exact)
        return found

    def _forget(self) -> None:
        """Judge all anew that is written down from now on."""
        self._kept.clear()
        self._kept_bytes = 0

    def digests(self, hidden: Mapping[str, Any]) -> dict[str, str]:
        """Digests of what was withheld or redacted, keyed per run: they can be compared, and not guessed."""
        return {name: keyed(self.key, canonical(value)) for name, value in hidden.items()} if self.key else {}


def _within(places: Sequence[str]) -> tuple[str, ...]:
    """How the positions begin that lie in these places."""
    return tuple(f"{at}{mark}" for at in places for mark in "#/")


def payload_of(value: Any) -> Payload:
    """A JSON value as a payload of which nothing is redacted: its digest and its canonical bytes."""
    body = canonical(value)
    return Payload(digest_bytes(body), body)
