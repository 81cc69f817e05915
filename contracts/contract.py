"""The contract: a named, versioned model of what may cross an edge, and what must never.

`Contract.check` is a pure function: payload in, `Crossing` out (what passes, what was withheld and why), or
`ContractViolation`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import orjson
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import core_schema

from .detectors import DETECTORS, redact, shown
from .digest import digest, refuse_non_finite
from .errors import ContractInvalid, ContractViolation

MAX_BYTES = 256 * 1024
_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,63}$")
_KNOWN = frozenset(get_args(core_schema.ErrorType)) - {"value_error", "assertion_error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """What a contract let pass. `withheld` are (name, rule) pairs; `redacted` are (path, detector) pairs."""

    payload: dict[str, Any]
    withheld: tuple[tuple[str, str], ...]
    redacted: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class _Declared:
    model: type[BaseModel]
    version: int
    carried: tuple[str, ...]
    never: tuple[str, ...]
    redact: tuple[str, ...]
    policy_fields: tuple[str, ...]


class Contract:
    """A contract over a Pydantic model.

    Args:
        model: the fields that may cross. Checked strictly: no coercion, unknown fields refused, nested too.
        version: rises whenever the meaning changes.
        carried: fields that the runtime copies from what the source itself received; a model never retells them.
        never: field names that must not appear anywhere in what crosses, nested mappings included.
        redact: detectors (see `edgewright.contracts.detectors`) whose finds are replaced in every string.
        policy_fields: fields of the entry contract that policy may read as `context.request`.

    Raises:
        ContractInvalid: naming every fault of the definition at once.
    """

    def __init__(
        self,
        model: type[BaseModel],
        *,
        version: int,
        carried: Sequence[str] = (),
        never: Sequence[str] = (),
        redact: Sequence[str] = (),
        policy_fields: Sequence[str] = (),
    ) -> None:
        self._d = _Declared(
            model=model,
            version=version,
            carried=tuple(carried),
            never=tuple(never),
            redact=tuple(redact),
            policy_fields=tuple(policy_fields),
        )
        fields = set(model.model_fields)
        faults = [
            *(
                f"carried field {f!r} is not a field; fields: {sorted(fields)}"
                for f in self._d.carried
                if f not in fields
            ),
            *(
                f"policy field {f!r} is not a field; fields: {sorted(fields)}"
                for f in self._d.policy_fields
                if f not in fields
            ),
            *(f"field {f!r} is declared and must never cross" for f in self._d.never if f in fields),
            *(f"no detector {r!r}; known: {sorted(DETECTORS)}" for r in self._d.redact if r not in DETECTORS),
            *(f"field {n!r} has an alias; a field has one name" for n, f in model.model_fields.items() if _aliased(f)),
        ]
        lists = {"carried": carried, "never": never, "redact": redact, "policy_fields": policy_fields}
        # A string is a sequence too: `never="pin"` would forbid the fields p, i and n.
        faults += [f"{k}={v!r} is a string, not a list of strings" for k, v in lists.items() if isinstance(v, str)]
        if version < 1:
            faults.append(f"version {version} is not a positive number")
        if not _NAME.fullmatch(model.__name__):
            faults.append(f"model name {model.__name__!r} is not a plain identifier")
        if faults:
            raise ContractInvalid(name=model.__name__, faults=faults)

    @property
    def name(self) -> str:
        """The model's name."""
        return self._d.model.__name__

    @property
    def version(self) -> int:
        """The declared version."""
        return self._d.version

    @property
    def id(self) -> str:
        """`Name@version`, as it stands on drawings and records."""
        return f"{self.name}@{self.version}"

    @property
    def model(self) -> type[BaseModel]:
        """The Pydantic model."""
        return self._d.model

    @property
    def carried(self) -> tuple[str, ...]:
        """Fields the runtime fills from what the source received."""
        return self._d.carried

    @property
    def policy_fields(self) -> tuple[str, ...]:
        """Fields that policy may read."""
        return self._d.policy_fields

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the whole payload."""
        found = self.model.model_json_schema()
        if "$ref" in found:  # a model that contains itself
            found = {**found["$defs"][found["$ref"].rsplit("/", 1)[-1]], "$defs": found["$defs"]}
        return {**found, "additionalProperties": False}

    @cached_property
    def told_schema(self) -> dict[str, Any]:
        """JSON Schema of what a model has to tell: the payload without its carried fields."""
        told = {k: v for k, v in self.schema.items() if k not in ("title", "description")}
        told["properties"] = {k: v for k, v in self.schema["properties"].items() if k not in self.carried}
        told["required"] = [k for k in self.schema.get("required", ()) if k not in self.carried]
        return told

    @cached_property
    def digest(self) -> str:
        """Digest of name, version, schema and rules."""
        d = self._d
        return digest([self.id, self.schema, d.carried, d.never, d.redact, d.policy_fields])

    def check(self, told: Any, *, received: Mapping[str, Any], edge: str) -> Crossing:
        """Check what a source tells, complete it with carried fields, redact it.

        Args:
            told: what the source offers, a mapping of JSON values.
            received: the payload the source itself received; carried fields come from here, and the rest of it
                is reported as withheld.
            edge: the edge's name, for the error.

        Raises:
            ContractViolation: with every fault; no value of the payload is in it.
        """
        plain, faults = self._plain(told)
        faults += [
            f"{k}: is carried by the runtime and cannot be told" for k in plain if k in self.carried and received
        ]
        whole = {**plain, **{k: received[k] for k in self.carried if k in received}}
        faults += self._forbidden(whole)
        if faults:
            raise ContractViolation(contract=self.id, edge=edge, faults=faults)
        cleaned, found = redact(whole, self._d.redact)
        payload = self._validated(cleaned, edge)
        if faults := self._forbidden(payload):  # what the model itself fills in crosses too
            raise ContractViolation(contract=self.id, edge=edge, faults=faults)
        withheld = tuple((k, "not declared") for k in received if k not in payload)
        return Crossing(payload=payload, withheld=withheld, redacted=tuple(found))

    def _plain(self, told: Any) -> tuple[dict[str, Any], list[str]]:
        """`told` as plain JSON, and its faults. Tuples, dataclasses and dates end here: rules see what will cross."""
        if not isinstance(told, Mapping):
            return {}, [f"payload: is {type(told).__name__}, not an object"]
        try:
            body = orjson.dumps(told)
            refuse_non_finite(told, body)
        except TypeError as error:
            return {}, [f"payload: is not JSON ({error})"]
        if len(body) > MAX_BYTES:
            return {}, [f"payload: is {len(body)} bytes, at most {MAX_BYTES} may cross"]
        plain: dict[str, Any] = orjson.loads(body)
        return plain, []

    def _forbidden(self, payload: Mapping[str, Any]) -> list[str]:
        return [f"{path}: must never cross" for path in _named(payload, frozenset(self._d.never))]

    def _validated(self, payload: dict[str, Any], edge: str) -> dict[str, Any]:
        try:
            # The JSON form of strict mode: no coercion, yet dates and enums may be the strings JSON has for them.
            value = self.model.__pydantic_validator__.validate_json(orjson.dumps(payload), strict=True, extra="forbid")
        except ValidationError as error:
            raise ContractViolation(contract=self.id, edge=edge, faults=list(faults_of(error))) from None
        return BaseModel.model_dump(value, mode="json")

    def __repr__(self) -> str:
        return f"Contract({self.id})"


def faults_of(error: ValidationError) -> Sequence[str]:
    """`field: rule` for each fault, without values: what a custom validator says may hold one, so it is left out."""
    return [
        f"{'.'.join(shown(p) if isinstance(p, str) else str(p) for p in e['loc']) or 'payload'}: {_rule(e)}"
        for e in error.errors(include_input=False, include_url=False, include_context=False)
    ]


def _rule(error: Mapping[str, Any]) -> str:
    kind, said = error["type"], str(error["msg"])
    if kind not in _KNOWN:
        return "refused by a validator"
    if kind == "union_tag_invalid":  # the message quotes the tag that was found
        return f"Input should have one of the expected tags:{said.rpartition('expected tags:')[2]}"
    # After the comma a parser says what it found.
    return said.partition(",")[0] if kind.endswith("_parsing") else said


def _aliased(field: FieldInfo) -> bool:
    return any((field.alias, field.validation_alias, field.serialization_alias))


def _named(value: Any, names: frozenset[str], path: str = "") -> list[str]:
    if isinstance(value, Mapping):
        found = []
        for key, item in value.items():
            here = f"{path}.{shown(key)}" if path else shown(key)
            found += [here] if key in names else _named(item, names, here)
        return found
    if isinstance(value, list):
        return [f for i, item in enumerate(value) for f in _named(item, names, f"{path}[{i}]")]
    return []
