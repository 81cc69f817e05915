"""The contract: a named, versioned model of what may cross an edge, and what must never.

`Contract.check` is a pure function: payload in, `Crossing` out (what passes, what was withheld and why), or
`ContractViolation`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import orjson
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import core_schema

from .arguments import check_definition, rules_of
from .constraints import closed_fields, schema_beyond
from .detectors import expand, shown
from .digest import digest, refuse_non_finite
from .errors import ContractInvalid, ContractViolation
from .labels import SENSITIVITIES, Leaf, Sensitivity, declared, leaves
from .named import named
from .names import folded_all
from .redaction import Redactor
from .security import warnings_of

MAX_BYTES = 256 * 1024
Partial = Literal["take", "refuse"]
DOCUMENT = "x-contract"
_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,63}$")
_KNOWN = frozenset(get_args(core_schema.ErrorType)) - {"value_error", "assertion_error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Never:
    """What must not cross, whatever a payload's fields are.

    Attributes:
        fields: names that must not appear anywhere in it, nested mappings included. Told, they break the contract.
        sensitivities: values of the run that are so labelled ("personal", "secret") are cut out of every text.
        detectors: kinds of data, by detector or group ("secret", "personal", "card_number"), cut out of every text.
            See `edgewright.contracts.detectors`, and there what no detector can find.
    """

    fields: Sequence[str] = ()
    sensitivities: Sequence[Sensitivity] = ()
    detectors: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("fields", "sensitivities", "detectors"):
            given: Any = getattr(self, name)
            # A string is a sequence too: fields="pin" would forbid the fields p, i and n.
            if isinstance(given, str):
                raise TypeError(f"Never({name}={given!r}): takes a list of strings")
            object.__setattr__(self, name, tuple(given))

    def as_json(self) -> dict[str, list[str]]:
        """As documents and digests hold it."""
        return {k: sorted(getattr(self, k)) for k in ("fields", "sensitivities", "detectors")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """What a contract let pass.

    `withheld` are (name, rule) pairs of what the source received and did not pass on; `redacted` are (path, rule)
    pairs. `hidden` has the values by name, for keyed digests; it is never stored or shown.
    """

    payload: dict[str, Any]
    withheld: tuple[tuple[str, str], ...]
    redacted: tuple[tuple[str, str], ...]
    hidden: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class _Declared:
    model: type[BaseModel]
    version: int
    carried: tuple[str, ...]
    never: Never
    policy_fields: tuple[str, ...]
    partial: Partial


class Contract:
    """A contract over a Pydantic model.

    Fields declare what they hold with `Annotated[..., Sensitive("personal")]` and `Annotated[str, Id("customers")]`;
    bounds, patterns and descriptions are Pydantic's own.

    Args:
        model: the fields that may cross. Checked strictly: no coercion, unknown fields refused, nested too.
        version: rises whenever the meaning changes.
        carried: fields that the runtime copies from what the source itself received; a model never retells them.
        never: what must not cross; a list of strings names fields.
        policy_fields: fields of the entry contract that policy may read as `context.request`.
        partial: "refuse" lets nothing pass once a part of what it is made of is missing (a skipped agent, say).

    Raises:
        ContractInvalid: naming every fault of the definition at once.
    """

    def __init__(
        self,
        model: type[BaseModel],
        *,
        version: int,
        carried: Sequence[str] = (),
        never: Never | Sequence[str] = (),
        policy_fields: Sequence[str] = (),
        partial: Partial = "take",
    ) -> None:
        check_definition(model, version)
        lists = {"carried": carried, "never": never, "policy_fields": policy_fields}
        faults = [f"{k}={v!r} is a string, not a list of strings" for k, v in lists.items() if isinstance(v, str)]
        self._d = _Declared(
            model=model,
            version=version,
            carried=tuple(carried),
            never=never if isinstance(never, Never) else Never(fields=tuple(never)),
            policy_fields=tuple(policy_fields),
            partial=partial,
        )
        faults += self._faults()
        if faults:
            raise ContractInvalid(name=model.__name__, faults=faults)

    def _faults(self) -> list[str]:
        d, fields = self._d, set(self.model.model_fields)
        faults = [
            *(f"carried field {f!r} is not a field; fields: {sorted(fields)}" for f in d.carried if f not in fields),
            *(
                f"policy field {f!r} is not a field; fields: {sorted(fields)}"
                for f in d.policy_fields
                if f not in fields
            ),
            *(f"field {f!r} is declared and must never cross" for f in d.never.fields if f in fields),
            *(
                f"no sensitivity {s!r}; known: {list(SENSITIVITIES)}"
                for s in d.never.sensitivities
                if s not in SENSITIVITIES
            ),
            *(
                f"field {n!r} has an alias; a field has one name"
                for n, f in self.model.model_fields.items()
                if _aliased(f)
            ),
        ]
        try:
            expand(d.never.detectors)
        except LookupError as error:
            faults.append(str(error.args[0]))
        if d.partial not in get_args(Partial):
            faults.append(f"partial={d.partial!r}: takes one of {', '.join(map(repr, get_args(Partial)))}")
        if d.version < 1:
            faults.append(f"version {d.version} is not a positive number")
        if not _NAME.fullmatch(self.name):
            faults.append(f"model name {self.name!r} is not a plain identifier")
        if not faults:
            faults = [
                f"field {n!r} is {level} and {level} must never cross"
                for n, level in self.sensitivities.items()
                if level in d.never.sensitivities
            ]
        return faults

    @classmethod
    def from_schema(cls, document: Mapping[str, Any], **changes: Any) -> Contract:
        """A contract from a JSON Schema document, such as `document` gives, or any other with an object at its top.

        Args:
            changes: what the document's `x-contract` does not say: `version`, `carried`, `never`, `policy_fields`,
                `partial`.

        Raises:
            ContractInvalid: it is no usable schema, or a definition is at fault.
        """
        from .schema_model import model_of

        told = rules_of(document, DOCUMENT)
        name = str(told.get("name") or document.get("title") or "")
        known = {k: told[k] for k in ("version", "carried", "policy_fields", "partial") if k in told}
        if "never" in told:
            known["never"] = Never(**{k: tuple(v) for k, v in told["never"].items()})
        plain = {k: v for k, v in document.items() if k != DOCUMENT}
        return cls(model_of(plain, name), **{"version": 1, **known, **changes})

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

    @property
    def partial(self) -> Partial:
        """Whether it takes what is made of less than it should be."""
        return self._d.partial

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the whole payload."""
        found = self.model.model_json_schema()
        if "$ref" in found:  # a model that contains itself
            found = {**found["$defs"][found["$ref"].rsplit("/", 1)[-1]], "$defs": found["$defs"]}
        return {**found, "additionalProperties": False}

    @cached_property
    def document(self) -> dict[str, Any]:
        """The whole contract as one JSON Schema document; its rules stand under `x-contract`."""
        d = self._d
        rules = {
            "name": self.name,
            "version": d.version,
            "carried": list(d.carried),
            "never": d.never.as_json(),
            "policy_fields": list(d.policy_fields),
            **({"partial": d.partial} if d.partial != "take" else {}),  # so that digests of before stay what they are
        }
        return {**schema_beyond(self.model, self.schema), DOCUMENT: rules}

    @cached_property
    def told_schema(self) -> dict[str, Any]:
        """JSON Schema of what a model has to tell: the payload without its carried fields, and without our keywords."""
        told = {k: v for k, v in self.schema.items() if k not in ("title", "description")}
        told["properties"] = {k: v for k, v in self.schema["properties"].items() if k not in self.carried}
        told["required"] = [k for k in self.schema.get("required", ()) if k not in self.carried]
        plain: dict[str, Any] = _without_labels(told)
        return plain

    @cached_property
    def digest(self) -> str:
        """Digest of name, version, schema and rules."""
        return digest(self.document)

    @property
    def never(self) -> Never:
        """What must not cross."""
        return self._d.never

    @cached_property
    def sensitivities(self) -> dict[str, Sensitivity]:
        """The sensitivity of each field: the highest that is declared in it."""
        return declared(self.schema)

    @cached_property
    def closed(self) -> frozenset[str]:
        """Fields of closed type, which leave no room for free text; see `edgewright.contracts.labels.is_closed`."""
        return closed_fields(self.model, self.document)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What looks like a closed type and is none."""
        return tuple(warnings_of(self.document, self.closed))

    def leaves(self, payload: Mapping[str, Any]) -> list[Leaf]:
        """The values of a payload that are declared sensitive, or an id."""
        return list(leaves(payload, self.schema))

    def redactor(self, known: Mapping[str, Sensitivity] | None = None) -> Redactor:
        """What cuts out of a text what must not cross.

        Args:
            known: values of the run by text, with their sensitivity.
        """
        never = self._d.never
        chosen = {v: level for v, level in (known or {}).items() if level in never.sensitivities}
        return Redactor(never.detectors, chosen) if chosen else self._plain_redactor

    @cached_property
    def _plain_redactor(self) -> Redactor:
        return Redactor(self._d.never.detectors)

    def check(self, told: Any, *, received: Mapping[str, Any], edge: str, redactor: Redactor | None = None) -> Crossing:
        """Check what a source tells, complete it with carried fields, redact it.

        Args:
            told: what the source offers, a mapping of JSON values.
            received: the payload the source itself received; carried fields come from here, and the rest of it
                is reported as withheld.
            edge: the edge's name, for the error.
            redactor: from `redactor(known)`, where values of the run are to be cut out; the contract's own otherwise.

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
        cleaned, found = (redactor or self._plain_redactor).clean(whole)
        payload = self._validated(cleaned, edge)
        if faults := self._forbidden(payload):  # what the model itself fills in crosses too
            raise ContractViolation(contract=self.id, edge=edge, faults=faults)
        withheld = tuple((k, self._why(k)) for k in received if k not in payload)
        changed = {top for path, _ in found if (top := _top(path)) in whole}
        hidden = {**{k: received[k] for k, _ in withheld}, **{k: whole[k] for k in changed}}
        redacted = tuple((path, rule) for path, rule in found)
        return Crossing(payload=payload, withheld=withheld, redacted=redacted, hidden=hidden)

    def _why(self, name: str) -> str:
        return "must never cross" if name in self._d.never.fields else "not declared"

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
        names = self._d.never.fields
        return [f"{path}: must never cross" for path in named(payload, folded_all(names))] if names else []

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


def _aliased(info: FieldInfo) -> bool:
    return any((info.alias, info.validation_alias, info.serialization_alias))


def _top(path: str) -> str:
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _without_labels(schema: Any) -> Any:
    """A schema as a provider may see it: some refuse keywords they do not know."""
    if isinstance(schema, Mapping):
        return {k: _without_labels(v) for k, v in schema.items() if not (isinstance(k, str) and k.startswith("x-"))}
    if isinstance(schema, list):
        return [_without_labels(v) for v in schema]
    return schema
