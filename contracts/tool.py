"""What a tool declares: the part of it that policy, ledger and reviewers read. The function itself lives elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from .digest import digest
from .labels import Sensitivity

Effect = Literal["read", "write", "irreversible"]
Trust = Literal["trusted", "untrusted"]
Role = Literal["target", "ref", "scalar", "content"]
Idempotency = Literal["key", "natural", "none"]


@dataclass(frozen=True, slots=True)
class SharedRecord:
    """The business record that a tool reads or changes, shared by all systems on one ledger.

    `SharedRecord("customer", by="account")`: the argument `account` is the id of a customer. Tools that touch the same
    records name the same kind, and write the ids the same way.

    Attributes:
        kind: what such records are called.
        by: the argument that holds the record's id: required, a string or an integer.
        wait: how long a changing call waits for another's effect on the record, in seconds; None: the tool's timeout.
    """

    kind: str
    by: str
    wait: float | None = None


@dataclass(frozen=True, kw_only=True)
class ToolSpec:
    """A tool's declaration. Every default is the most dangerous value.

    Attributes:
        effect: what it does to the world.
        output: whether what it returns may be believed.
        sensitivity: of what it returns.
        sink: whether data can leave the house through it.
        roles: per argument, what the argument is: who or what is acted on (`target`), which record (`ref`), an
            amount under a limit (`scalar`), free text (`content`).
        idempotency: `key`: repeating with the same key does nothing more; `natural`: repeating with the same
            arguments does nothing more; `none`: repeating repeats.
        timeout: seconds.
        parameters: JSON Schema of the arguments, closed.
        facts: JSON Schema of what its trusted look-up tells the policy, or None.
        code: digest of its source.
        record: the shared record that a call reads or changes, or None.
    """

    name: str
    description: str
    effect: Effect = "irreversible"
    output: Trust = "untrusted"
    sensitivity: Sensitivity = "secret"
    sink: bool = True
    roles: Mapping[str, Role] = field(default_factory=dict)
    idempotency: Idempotency = "none"
    timeout: float = 30.0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] | None = None
    has_probe: bool = False
    code: str = ""
    record: SharedRecord | None = None

    @cached_property
    def digest(self) -> str:
        """Digest of the whole declaration and its code."""
        return digest({k: v for k, v in self.__dict__.items() if k != "digest"})

    @property
    def changes_world(self) -> bool:
        """Whether repeating it could matter."""
        return self.effect != "read"
