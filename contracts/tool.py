"""What a tool declares: the part of it that policy, ledger and reviewers read. The function itself lives elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, get_args

from .containment import Breaker, Bulkhead, Containment, Off, Retry, Timeouts, chosen
from .digest import digest
from .labels import Sensitivity

Effect = Literal["read", "write", "irreversible"]
Trust = Literal["trusted", "untrusted"]
Role = Literal["target", "ref", "scalar", "content"]
Idempotency = Literal["key", "natural", "none"]
FIX_TOOLS = "fix_tools"
"""The tool by which an agent says which tools a request needs; see `edgewright.tools.foreseen`."""
ROLES: tuple[Role, ...] = get_args(Role)
RETRY = Retry(attempts=2)
"""How what may be repeated is tried again, unless it is declared otherwise."""
BULKHEAD = Bulkhead(running=32, waiting=1000, wait=10.0)
"""How many calls of a tool may be under way at once in a process, unless it is declared otherwise."""
# They came later than the first digests and locks were made: what is not declared does not count in them.
LATER = ("each", "idle", "retry", "breaker", "bulkhead", "transient")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How much of a whole-number argument may pass. What is beyond it is denied, whatever the policy says.

    Attributes:
        most: in one call.
        run: in one run, this call included.
        day: in one day (UTC), in all runs of the tenant, this call included.
        ask: in one call, where other people's text says it: more is asked about (`context.large`).
        per: another argument, each of whose values is counted by itself: an amount per recipient.
    """

    most: int | None = None
    run: int | None = None
    day: int | None = None
    ask: int | None = None
    per: str = ""


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
        timeout: seconds, from the first try to the last answer.
        each, idle: as in `Timeouts`: of one try; between two signs of life.
        retry: how it is tried again. None: twice in all where it may be repeated (it reads, or has an idempotency),
            never where it may not.
        breaker, bulkhead: None is the default; "off" is without one, knowingly.
        transient: names of the errors that its function raises when what it calls cannot serve now.
        limits: per argument, how much of it may pass; see `Limit`.
        parameters: JSON Schema of the arguments, closed.
        returns: JSON Schema of what it returns, with the origins and sensitivities that its fields declare; None where
            its function does not say.
        facts: JSON Schema of what its trusted look-up tells the policy, or None.
        has_probe, compensates: whether it can tell if an effect happened; whether it can undo one.
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
    limits: Mapping[str, Limit] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] | None = None
    returns: Mapping[str, Any] | None = None
    has_probe: bool = False
    compensates: bool = False
    code: str = ""
    record: SharedRecord | None = None
    each: float | None = None
    idle: float | None = None
    retry: Retry | Off | None = None
    breaker: Breaker | Off | None = None
    bulkhead: Bulkhead | Off | None = None
    transient: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Digest of the whole declaration and its code."""
        told = {k: v for k, v in self.__dict__.items() if k in self.__dataclass_fields__}
        return digest({k: v for k, v in told.items() if v or k not in LATER})

    @cached_property
    def containment(self) -> Containment:
        """What holds for a call of its function, declared or by default."""
        return Containment(
            timeouts=Timeouts(total=self.timeout, each=self.each, idle=self.idle),
            retry=chosen(self.retry, RETRY if self.repeatable else None),
            breaker=chosen(self.breaker, Breaker()),
            bulkhead=chosen(self.bulkhead, BULKHEAD),
        )

    @cached_property
    def looking(self) -> Containment:
        """What holds for a call of its facts or its probe, which change nothing."""
        timeouts = Timeouts(total=self.timeout, each=self.each)
        return replace(self.containment, timeouts=timeouts, retry=None if self.retry == "off" else RETRY)

    @property
    def repeatable(self) -> bool:
        """Whether a call that may have happened may be made again."""
        return self.effect == "read" or self.idempotency != "none"

    @cached_property
    def by_role(self) -> Mapping[Role, tuple[str, ...]]:
        """The names of its arguments by their role."""
        return {role: tuple(n for n, r in self.roles.items() if r == role) for role in ROLES}

    @property
    def changes_world(self) -> bool:
        """Whether repeating it could matter."""
        return self.effect != "read"
