"""What a person declares of a tool: in code, or in a TOML file for tools that were not written with `@tool`.

    [tools.search]
    effect = "read"
    sink = false
    roles = { query = "content" }
    pin = "sha256:..."

What is left out has the most dangerous value. A file with anything in it that is not understood is refused whole: a
misspelt key would otherwise be a rule that nobody follows.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from ...contracts.containment import Breaker, Bulkhead, Off, Retry, Timeouts
from ...contracts.contract import faults_of
from ...contracts.errors import ContainmentInvalid, DeclarationsInvalid
from ...contracts.labels import Sensitivity
from ...contracts.names import folded
from ...contracts.tool import Effect, Idempotency, Limit, Role, Trust


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What a tool is to policy. Every default is the most dangerous value.

    Attributes:
        effect, output, sensitivity, sink, roles, idempotency, timeout, limits: as in `ToolSpec`.
        each, idle, retry, breaker, bulkhead: as in `ToolSpec` too.
        description: what a model reads of it, in place of what the tool says of itself.
        pin: `sha256:` and the digest of the definition that a person has reviewed; a tool whose definition comes over
            a wire is not callable without it.
    """

    effect: Effect = "irreversible"
    output: Trust = "untrusted"
    sensitivity: Sensitivity = "secret"
    sink: bool = True
    roles: Mapping[str, Role] = field(default_factory=dict)
    idempotency: Idempotency = "none"
    timeout: Annotated[float, Field(gt=0)] = 30.0
    limits: Mapping[str, Limit] = field(default_factory=dict)
    description: str = ""
    pin: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")] = ""
    each: float | None = None
    idle: float | None = None
    retry: Retry | Off | None = None
    breaker: Breaker | Off | None = None
    bulkhead: Bulkhead | Off | None = None

    @property
    def timeouts(self) -> Timeouts:
        """How long a call may take. Raises ContainmentInvalid."""
        return Timeouts(total=self.timeout, each=self.each, idle=self.idle)

    def faults(self) -> list[str]:
        """What is wrong with it, whatever the tool; the type checker sees most of it, a file is not type-checked."""
        try:
            faults = _read(orjson.dumps(self, default=_mapping))[1]
        except TypeError as error:
            return [f"is not plain data: {error}"]
        if isinstance(self.retry, Retry) and self.effect != "read" and self.idempotency == "none":
            faults.append(
                "retry: it changes the world and has no idempotency, so it is never tried again; declare "
                "idempotency='key' or 'natural' if repeating it does nothing more"
            )
        return faults


_ADAPTER = TypeAdapter(Declaration)


def load_declarations(path: Path | str) -> dict[str, Declaration]:
    """The declarations of a TOML file, by the tools' names as their source spells them.

    Raises:
        DeclarationsInvalid: with everything that is wrong in the file, or why it cannot be read.
    """
    try:
        found = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:  # not UTF-8 and not TOML are ValueErrors
        raise DeclarationsInvalid(name=str(path), faults=[f"cannot be read: {error}"]) from None
    return read_declarations(found, str(path))


def read_declarations(document: Mapping[str, Any], name: str) -> dict[str, Declaration]:
    """The declarations of a document that has been parsed already.

    Args:
        document: as a file holds it: everything under `tools`.
        name: what errors call it.

    Raises:
        DeclarationsInvalid: with everything that is wrong with it.
    """
    faults = [f"{key}: is not understood; tools are declared under [tools.NAME]" for key in document if key != "tools"]
    tools = document.get("tools", {})
    if not isinstance(tools, Mapping):
        raise DeclarationsInvalid(name=name, faults=[*faults, "tools: is no table; write [tools.NAME]"])
    found: dict[str, Declaration] = {}
    for tool, told in tools.items():
        declared, wrong = _told(told)
        faults += [f"tools.{tool}{fault}" for fault in wrong]
        if declared is not None:
            found[tool] = declared
    spellings: dict[str, str] = {}
    for tool in tools:
        if (other := spellings.setdefault(folded(tool), tool)) != tool:
            faults.append(f"tools.{tool}: is too much like tools.{other}; one of them would be taken for the other")
    if faults:
        raise DeclarationsInvalid(name=name, faults=faults)
    return found


def _told(told: Any) -> tuple[Declaration | None, list[str]]:
    if not isinstance(told, Mapping):
        return None, [": is no table"]
    try:
        # Dates are values of TOML and no texts.
        found, faults = _read(orjson.dumps(told, option=orjson.OPT_PASSTHROUGH_DATETIME))
    except TypeError as error:
        return None, [f": is not plain data ({error})"]
    return found, [f".{fault}" for fault in faults]


def _mapping(value: Any) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


def _read(raw: bytes) -> tuple[Declaration | None, list[str]]:
    try:
        found = _ADAPTER.validate_json(raw, strict=True, extra="forbid")
        _ = found.timeouts
    except ValidationError as error:
        return None, list(faults_of(error))
    except ContainmentInvalid as error:
        return None, [f"{error.name.lower()}: {fault}" for fault in error.faults]
    return found, []
