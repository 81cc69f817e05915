"""Shared state: values that several agents of a system read and write, each with a writer or a reducer.

A key without a reducer is written by one agent at a time, on what it read: a second write of the same moment, or one
made on an older version, is a typed conflict that names both writers, never a silent last write. Pure decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import orjson
from pydantic import TypeAdapter, ValidationError

from .contract import faults_of
from .digest import refuse_non_finite
from .errors import SharedWriteInvalid, WriteConflict
from .labels import Label

OnConflict = Literal["fail", "retry"]
WORST = Label()
"""Of what nobody has labelled."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key of the shared state.

    Attributes:
        type: what it holds; checked strictly, without coercion.
        writer: the one agent that may write it; "" lets each agent that declares it.
        reducer: combines the value that is there (None at first) with a new one; then writes of one moment all count.
            They are combined in the order of their branches, so it need not be commutative.
        on_conflict: `retry` has the later writer take its turn again, on fresh state, once per conflict; `fail` ends
            the run.
    """

    type: Any
    writer: str = ""
    reducer: Callable[[Any, Any], Any] | None = None
    on_conflict: OnConflict = "fail"

    def __post_init__(self) -> None:
        if self.on_conflict not in get_args(OnConflict):
            known = ", ".join(map(repr, get_args(OnConflict)))
            raise ValueError(f"Key(on_conflict={self.on_conflict!r}): takes one of {known}")
        reducer: Any = self.reducer
        if reducer is not None and not callable(reducer):
            raise TypeError(f"Key(reducer={reducer!r}): takes a function of two values, the one held and the new one")
        writer: Any = self.writer
        if not isinstance(writer, str):
            raise TypeError(f"Key(writer={writer!r}): takes the name of the agent, a string")

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """What checks a value."""
        return TypeAdapter(self.type)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of its values."""
        return self.adapter.json_schema()

    def as_json(self) -> dict[str, Any]:
        """As locks and digests hold it."""
        reducer = getattr(self.reducer, "__name__", "") if self.reducer else ""
        return {"schema": self.schema, "writer": self.writer, "reducer": reducer, "on_conflict": self.on_conflict}


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A value in the shared state: its version (rises with each write), who wrote it last, how far it is believed."""

    value: Any
    version: int
    writer: str
    label: Label = WORST

    def as_json(self) -> dict[str, Any]:
        """As the checkpointed state holds it."""
        return {"value": self.value, "version": self.version, "writer": self.writer, "label": self.label.as_json()}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Held:
        """The inverse of `as_json`."""
        label = Label.from_json(found["label"])
        return cls(value=found["value"], version=found["version"], writer=found["writer"], label=label)


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A write that an agent asks for.

    `based` is the version that its turn began with, 0 where there was none; `label` is of all that the turn had read.
    """

    key: str
    value: Any
    writer: str
    based: int
    branch: int | None = None
    label: Label = WORST


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of the writes of one moment: the state after them, those made with what each made, those refused."""

    state: dict[str, Held]
    made: list[tuple[Write, Held]] = field(default_factory=list)
    refused: list[tuple[Write, WriteConflict]] = field(default_factory=list)


def checked(name: str, key: Key, value: Any, writer: str) -> Any:
    """`value` as JSON, if it is of the key's type. Raises SharedWriteInvalid."""
    try:
        body = orjson.dumps(value)
        refuse_non_finite(value, body)
        found = key.adapter.validate_json(body, strict=True)
    except ValidationError as error:
        raise SharedWriteInvalid(key=name, writer=writer, faults=list(faults_of(error))) from None
    except TypeError as error:
        raise SharedWriteInvalid(key=name, writer=writer, faults=[f"is not JSON ({error})"]) from None
    return key.adapter.dump_python(found, mode="json")


def applied(keys: Mapping[str, Key], state: Mapping[str, Held], writes: Sequence[Write]) -> Applied:
    """Make the writes of one moment. Those of one turn are made all or, where one of them is in conflict, none.

    Args:
        writes: in the order of their branches; the writes of one turn stand together.

    Raises:
        SharedWriteInvalid: an unknown key, somebody else's key, or a value of another type; nothing is applied.
    """
    turns: dict[tuple[str, int | None], list[tuple[Write, Any]]] = {}
    for write in writes:
        key = keys.get(write.key)
        if key is None:
            raise SharedWriteInvalid(
                key=write.key, writer=write.writer, faults=[f"is no shared key; known: {sorted(keys)}"]
            )
        if key.writer and key.writer != write.writer:
            raise SharedWriteInvalid(key=write.key, writer=write.writer, faults=[f"is written by {key.writer!r} alone"])
        value = checked(write.key, key, write.value, write.writer)
        turns.setdefault((write.writer, write.branch), []).append((write, value))
    found, moment = Applied(state=dict(state)), dict[str, Write]()
    for turn in turns.values():
        lost = [(w, why) for w, _ in turn if (why := _lost(w, keys[w.key], found.state.get(w.key), moment.get(w.key)))]
        if lost:
            found.refused.extend(lost)
            continue
        for write, value in turn:
            held = _made(write, value, keys[write.key], found.state.get(write.key))
            moment[write.key], found.state[write.key] = write, held
            found.made.append((write, held))
    return found


def _lost(write: Write, key: Key, now: Held | None, other: Write | None) -> WriteConflict | None:
    """Why a write cannot be made, if it cannot; `other` is a write of its key in the same moment."""
    if key.reducer is not None:
        return None
    if other is not None:
        return _conflict(write, _who(other), "was written by both at once")
    if write.based != (now.version if now else 0):
        return _conflict(write, now.writer if now else "nobody", "changed after the second had read it")
    return None


def _made(write: Write, value: Any, key: Key, now: Held | None) -> Held:
    label = write.label
    if key.reducer is not None:
        # A copy: a reducer that adds to what it is given must not change what others still hold.
        before = orjson.loads(orjson.dumps(now.value)) if now else None
        value = checked(write.key, key, key.reducer(before, value), write.writer)
        label = label.joined(now.label) if now else label
    return Held(value=value, version=(now.version if now else 0) + 1, writer=write.writer, label=label)


def _who(write: Write) -> str:
    return write.writer if write.branch is None else f"{write.writer} (branch {write.branch})"


def _conflict(write: Write, first: str, why: str) -> WriteConflict:
    return WriteConflict(key=write.key, first=first, second=_who(write), why=why)


def faults_of_access(
    keys: Mapping[str, Key],
    reads: Mapping[str, Iterable[str]],
    writes: Mapping[str, Iterable[str]],
    together: Iterable[Sequence[str]],
) -> list[str]:
    """What is wrong with who reads and writes what, found before anything runs.

    Args:
        reads, writes: the keys that each agent declares.
        together: groups of agents that may run at the same moment.
    """
    faults = []
    for what, access in (("reads", reads), ("writes", writes)):
        for agent, names in access.items():
            faults += [
                f"agent {agent!r} {what} {n!r}, which is no shared key; known: {sorted(keys)}"
                for n in names
                if n not in keys
            ]
    writers = {n: [a for a, names in writes.items() if n in names] for n in keys}
    for name, key in keys.items():
        if key.writer and key.writer not in writes:
            faults.append(f"shared key {name!r} is written by {key.writer!r}, which is no agent")
        faults += [
            f"shared key {name!r} is written by {key.writer!r} alone, and agent {a!r} declares to write it too"
            for a in writers[name]
            if key.writer and a != key.writer
        ]
        if key.reducer is None and not key.writer:
            for group in together:
                at_once = [a for a in writers[name] if a in group]
                if len(at_once) > 1:
                    said = " and ".join(map(repr, at_once))
                    faults.append(
                        f"agents {said} can write shared key {name!r} at once; give it a reducer, or one writer"
                    )
    return faults
