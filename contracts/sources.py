"""What an agent has read when it writes or calls: what of it may be believed, and what the user's words point at.

Everything is indexed once, when it is read, so that a decision takes no longer after megabytes of it.

Three things are told apart of a value that an agent writes. It is *believed* if it stands, whole, in the user's words
or in a trusted result, or was made by an own earlier call. Of these it is *named* if the user's own words say it or
single out the record that holds it ("Bob" and an entry of the address book), and *near* if what the user points at does
(the bill that the user named says who is to be paid, and that is one of the known payees). The words of other people
never make a value believed: they choose among those that are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from .active import active_parts, folded_part
from .labels import SENSITIVITIES, Label, Sensitivity
from .results import Part, Record, records_of
from .words import MAX_NAMING, Words, is_address, is_distinct, is_one_word, parts_of

MIN_GROUND = 3
"""Shorter texts and smaller numbers stand in anything by chance: they ground nothing that no field declares."""
MIN_SHOWN = 6
"""So do shorter runs of letters and digits in a text that is read without its spaces."""
MAX_SHOWN = 6
"""A text that speaks of more chooses none of them, whatever else is known of a call."""
MIN_TELLING = 6
"""And shorter words that are not written as names."""
MIN_ECHO = 3
MAX_ECHOES = 256

Whole = tuple[type, Any]
_At = tuple[tuple[str, ...], frozenset[Whole]]
_JOINTS = re.compile(r"[\W_]+")


def leaves_of(value: Any) -> Iterator[Whole]:
    """Every text and number in a JSON value, keys included. Kept apart by type: 1, 1.0 and True are three things."""
    if isinstance(value, Mapping):
        for key, inner in value.items():  # a key that a model chose says something too
            yield (str, key)
            yield from leaves_of(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from leaves_of(inner)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield (type(value), value)


def says_nothing(value: Any) -> bool:
    """Whether a value is an empty text, list or object."""
    return isinstance(value, str | list | tuple | Mapping) and not value


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """A record that was read.

    Attributes:
        form: the names of its fields, which it shares with its like.
        believed, leaves: its values that may be believed; all of them.
        texts: its texts; `names` are those short ones that may be believed.
        words: single words of the user's that stand in it; `own` are those in `names`.
        addresses: the single words of addresses in it; `telling` are those of the user's.
        wholes: its short fields that stand whole in the user's words, by name.
        level: how sensitive its most sensitive text is.
        shown: it was read by a call that the user's words lead to; `alone` where that told of nothing else.
        asked: the arguments of that call.
    """

    form: tuple[str, ...]
    believed: frozenset[Whole]
    leaves: frozenset[Whole]
    texts: tuple[str, ...]
    names: tuple[str, ...]
    words: frozenset[str]
    own: frozenset[str]
    telling: frozenset[str]
    addresses: frozenset[str]
    wholes: frozenset[tuple[str, str]]
    level: Sensitivity
    shown: bool = False
    alone: bool = False
    asked: frozenset[Whole] = frozenset()


@dataclass(slots=True)
class _Standing:
    """What the user's words and what they point at say of all that was read."""

    named: set[Whole] = field(default_factory=set)
    pointed: set[Whole] = field(default_factory=set)
    shown: Words = field(default_factory=Words)
    joined: str = ""
    level: Sensitivity = "public"
    authors: set[str] = field(default_factory=set)
    fields: set[Whole] = field(default_factory=set)


@dataclass(slots=True)
class Sources:
    """What one agent has read so far.

    Attributes:
        words: the user's own words.
        context: the label of all that was read together.
        values: the label of each whole value that may be believed.
        named: values that the user gave, or that an own call made.
        active: links, addresses and numbers in believed texts, folded.
    """

    words: Words = field(default_factory=Words)
    context: Label = field(default_factory=lambda: Label("trusted", "public"))
    values: dict[Whole, Label] = field(default_factory=dict)
    named: set[Whole] = field(default_factory=set)
    active: set[str] = field(default_factory=set)
    _entries: dict[_At, _Entry] = field(default_factory=dict)
    _holding: dict[Whole, dict[_At, _Entry]] = field(default_factory=dict)
    # How many records of a form there are, and how many of them hold a word, or a value in a field.
    _forms: Counter[tuple[str, ...]] = field(default_factory=Counter)
    _by_word: Counter[tuple[tuple[str, ...], str]] = field(default_factory=Counter)
    _by_whole: Counter[tuple[tuple[str, ...], tuple[str, str]]] = field(default_factory=Counter)
    _standing: _Standing | None = None

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(
        self,
        value: Any,
        label: Label,
        *,
        schema: Mapping[str, Any] | None = None,
        own: bool = False,
        pointed: bool = False,
        asked: frozenset[Whole] = frozenset(),
        echoes: tuple[str, ...] = (),
    ) -> None:
        """Take in what the agent read: it colours all that it writes, and grounds what it copies if it is believed.

        Args:
            schema: JSON Schema of the value, with the origins that its fields declare.
            own: the agent made it by a call of its own: what its fields declare as believed is its own work.
            pointed: the user's words name what was read.
            asked: by what it was asked for: where one reads what the user points at, there one answers.
            echoes: texts that nobody vouches for and that this run has given to tools: a tool that gives one back, not
                in a field that it vouches for, has not made it true.
        """
        self.context = self.context.joined(Label("trusted", label.sensitivity))
        if schema is None and isinstance(value, Mapping | list | tuple) and not value:
            self.context = self.context.joined(label)
        records = list(records_of(value, schema, label))
        for record in records:
            entry = self._read(record, own, echoes)
            alone = pointed and len(records) == 1
            self._enter(replace(entry, shown=pointed, alone=alone, asked=asked))
        self._standing = None

    def read_fields(self, payload: Mapping[str, Any], labels: Mapping[str, Label]) -> None:
        """`read`, field by field; a field without a label is of the worst, and what the user says names itself."""
        for name, value in payload.items():
            label = labels.get(name, Label())
            self.read(value, label, pointed=label.integrity == "user")
            if label.integrity == "user":
                self.named.update(leaves_of(value))

    def _read(self, record: Record, own: bool, echoes: tuple[str, ...]) -> _Entry:
        believed: list[Part] = []
        for part in record.parts:
            label = Label("untrusted", part.label.sensitivity) if _echoed(part, echoes) else part.label
            self.context = self.context.joined(label)
            if label.integrity != "untrusted":
                believed.append(part)
                self._believe(part)
                if own and part.declared:
                    self.named.add(_leaf(part))
        texts = [p for p in record.parts if isinstance(p.value, str)]
        addresses = [p.value for p in texts if "@" in p.value and is_one_word(p.value)]
        names = tuple(p.value for p in believed if isinstance(p.value, str) and len(p.value) <= MAX_NAMING)
        return _Entry(
            form=tuple(sorted({p.name for p in record.parts})),
            believed=frozenset(map(_leaf, believed)),
            leaves=frozenset(map(_leaf, record.parts)),
            texts=tuple(p.value for p in texts),
            names=names,
            # Only how a text begins: in a long one stands every word there is.
            words=self._said(p.value[:MAX_NAMING] for p in texts),
            own=self._said(names),
            telling=self._said(addresses),
            addresses=frozenset(word for text in addresses for word in parts_of(text)),
            wholes=frozenset(
                (p.name, p.value) for p in texts if len(p.value) <= MAX_NAMING and self.words.holds(p.value)
            ),
            level=max((p.label.sensitivity for p in texts), key=SENSITIVITIES.index, default="public"),
        )

    def _said(self, texts: Iterable[str]) -> frozenset[str]:
        """The single words of texts that the user has said too."""
        said, found = self.words.single, set[str]()
        for text in texts:
            # Most texts hold none of them, and a megabyte has many texts.
            if text.isascii() and not any(map(text.lower().__contains__, said)):
                continue
            found.update(said & parts_of(text))
        return frozenset(found)

    def _believe(self, part: Part) -> None:
        leaf = _leaf(part)
        if part.declared or _enough(part.value):
            known = self.values.get(leaf)
            self.values[leaf] = part.label if known is None else part.label.joined(known)
        if isinstance(part.value, str):
            self.active.update(map(folded_part, active_parts(part.value)))

    def _enter(self, entry: _Entry) -> None:
        at = (entry.form, entry.leaves)
        before = self._entries.get(at)
        if before is None:
            self._forms[entry.form] += 1
            self._by_word.update((entry.form, word) for word in entry.words)
            self._by_whole.update((entry.form, whole) for whole in entry.wholes)
        elif (before.shown, before.alone) >= (entry.shown, entry.alone):  # the same record, read again
            return
        self._entries[at] = entry
        for leaf in entry.believed:
            self._holding.setdefault(leaf, {})[at] = entry

    # -- what the user's words say of it ---------------------------------------------------------------------------

    def _settled(self) -> _Standing:
        """Which records the user's words single out, or point at, among all that was read."""
        if self._standing is None:
            found = self._standing = _Standing()
            shown = list[str]()
            for entry in self._entries.values():
                if not (entry.words or entry.wholes or entry.shown):
                    continue
                named = self._is_singled_out(entry)
                if named:
                    found.named |= entry.believed
                if pointed := named or entry.alone or self._is_pointed_at(entry):
                    found.pointed |= entry.leaves | entry.asked
                if pointed or entry.shown:
                    shown += entry.texts
                    found.level = max(found.level, entry.level, key=SENSITIVITIES.index)
                    found.authors |= entry.addresses
                    found.fields |= entry.leaves
            for text in shown:
                found.shown.add(text)
            found.joined = " ".join(_JOINTS.sub("", text).casefold() for text in shown)
        return self._standing

    def _is_singled_out(self, entry: _Entry) -> bool:
        """By a whole field that no other record of its form has, or a name that stands in no other's."""
        several = self._forms[entry.form] > 1
        return any(
            self._by_whole[entry.form, whole] == 1 and (several or is_distinct(whole[1])) for whole in entry.wholes
        ) or any(self._by_word[entry.form, word] == 1 for word in entry.own & self.words.names)

    def _is_pointed_at(self, entry: _Entry) -> bool:
        """By a name, or by a word that none of its like holds. What all of them hold tells none apart, unless it is a
        person's address, or what was asked for.
        """
        like = self._forms[entry.form]
        for word in entry.words:
            count = self._by_word[entry.form, word]
            if word in entry.telling:
                return True
            if word in self.words.proper:
                if count == 1 or count < like or entry.shown:
                    return True
            elif count == 1 and like > 1 and len(word) >= MIN_TELLING:
                return True
        return False

    # -- asking ----------------------------------------------------------------------------------------------------

    def ground(self, leaf: Whole) -> Label | None:
        """The label of a value that may be believed; None for one that may not."""
        found = self.values.get(leaf)
        if found is None and leaf[0] is str and self.words.holds(leaf[1]):
            return Label("user")
        return found

    def is_named(self, leaf: Whole) -> bool:
        """Whether the user's words name a value, or the one record that holds it; or an own call made it."""
        if leaf in self.named or (leaf[0] is str and self.words.holds(leaf[1])):
            return True
        return leaf in self._settled().named

    def is_pointed(self, leaf: Whole) -> bool:
        """Whether a value, believed or not, stands in a record that the user's words point at."""
        return self.is_named(leaf) or leaf in self._settled().pointed

    def is_shown(self, leaf: Whole) -> bool:
        """Whether a value stands there, or in a text that the user's words lead to."""
        return self.is_pointed(leaf) or (leaf[0] is str and self._settled().shown.holds(leaf[1]))

    def is_near(self, leaf: Whole, *, among: int = 1) -> bool:
        """Whether the user's words name a value, or what they point at does.

        Args:
            among: of how many that are alike a text may speak and still choose this one.
        """
        if self.is_pointed(leaf):
            return True
        return any(self._is_shown(e) and self._is_open(e.form, among) for e in self._holding.get(leaf, {}).values())

    def retells(self, text: str) -> Sensitivity | None:
        """How sensitive a text is that stands, letter for letter, in the user's words or in a text they lead to."""
        return self._settled().level if self.words.quotes(text) or self._settled().shown.quotes(text) else None

    def is_said(self, amount: Any) -> bool:
        """Whether the user's words say an amount: as it is, or in units of which it counts the hundredths."""
        if isinstance(amount, bool) or not isinstance(amount, int):
            return False
        return Decimal(amount) in self.words.numbers or Decimal(amount) / 100 in self.words.numbers

    def is_active(self, text: str) -> bool:
        """Whether a text sends its reader to an address, a link or a number that may not be believed."""
        return any(
            folded_part(part) not in self.active and not self.words.holds(part) and (str, part) not in self.values
            for part in active_parts(text)
        )

    def _is_shown(self, entry: _Entry) -> bool:
        standing = self._settled()
        return any(
            standing.shown.holds(text)
            or (len(joined := _JOINTS.sub("", text).casefold()) >= MIN_SHOWN and joined in standing.joined)
            or (not is_address(text) and not standing.shown.proper.isdisjoint(parts_of(text)))
            for text in entry.names
        )

    def _is_open(self, form: tuple[str, ...], among: int) -> bool:
        """Whether a text may choose among records of a form: the user named none of them, and it speaks of few."""
        standing = self._settled()
        like = [e for e in self._entries.values() if e.form == form]
        named = any(e.believed <= standing.named and not self._has_written(e) for e in like)
        return not named and sum(map(self._is_shown, like)) <= among

    def _has_written(self, entry: _Entry) -> bool:
        """Whether a record is about somebody from whom comes what the user points at.

        Whom the user named as that is named for their words, and not to be acted on.
        """
        standing = self._settled()
        by_address = any(parts and parts <= standing.authors for parts in map(parts_of, entry.names))
        return by_address or any((str, name) in standing.fields for name in entry.names)


def _leaf(part: Part) -> Whole:
    return (type(part.value), part.value)


def _enough(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) >= MIN_GROUND
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) >= 10**MIN_GROUND


def _echoed(part: Part, echoes: tuple[str, ...]) -> bool:
    if not echoes or part.declared or isinstance(part.value, bool):
        return False
    said = _joined(str(part.value))
    return len(said) > 0 and any(said in echo or echo in said for echo in map(_joined, echoes) if echo)


def _joined(text: str) -> str:
    return _JOINTS.sub("", text).casefold()
