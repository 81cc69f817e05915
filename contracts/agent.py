"""What an agent is, as a value: the behaviour that a version and a digest stand for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from .budget import Budget
from .digest import digest, digest_text


@dataclass(frozen=True, kw_only=True)
class AgentSpec:
    """A named, versioned behaviour. Two agents of one digest behave alike, as far as that is ours to say.

    Attributes:
        prompt: the system prompt; empty for an agent over a plain function.
        model: the model's name, `provider:model`; "function" for a plain function.
        tools: digests of its tools, by tool name.
        code: digest of its function's source, for an agent over a plain function.
        reads, writes: keys of the system's shared state.
    """

    name: str
    version: int
    prompt: str
    model: str
    tools: tuple[tuple[str, str], ...]
    limits: Budget
    code: str = ""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @cached_property
    def digest(self) -> str:
        """Digest of the whole behaviour."""
        access = [self.reads, self.writes] if self.reads or self.writes else []
        parts = [self.id, digest_text(self.prompt), self.model, self.tools, self.limits.as_json(), self.code, *access]
        return digest(parts)
