"""What Pydantic enforces and its JSON Schema does not show, put into the contract document, so that a diff sees it.

Two keywords carry it, each at the schema that it holds for:

- `x-constraints`: names and values, as texts: the bounds of dates and decimals, digits, time zones, what is done to
  a text before it is measured, how a union chooses. `type` names a type that JSON Schema has no word for.
- `x-validated`: digests, one for each place where Python code decides (validators, serializers, computed fields,
  factories of defaults), or where a JSON Schema written by hand hides what is enforced. Each covers the source of that
  code, what it is closed over, and the types that it is given. What the code calls in turn is not covered: raise the
  version when that changes.

Neither keyword can be checked by who has the document alone. So a document that has one is compared, and is refused
where a contract would be loaded from it.

Strictness of single fields is left out: contracts are validated strictly, whatever a field says.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any, cast

from pydantic import BaseModel, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import CoreSchema

from .digest import digest, digest_text
from .json_schema import ANNOTATIONS, TIMED
from .labels import CONSTRAINTS, UNENFORCED, VALIDATED, is_closed
from .security import EnforcedRooms

Core = Mapping[str, Any]
_UNTOLD = frozenset({"decimal", "complex", "fraction"})
_NO_MEANING = frozenset(
    (
        *("type", "ref", "schema_ref", "metadata", "cls", "cls_name", "cls_repr", "model_name", "dataclass_name"),
        *(
            "generic_origin",
            "title",
            "fail_fast",
            "frozen",
            "slots",
            "revalidate_instances",
            "from_attributes",
            "strict",
        ),
        *("custom_error_type", "custom_error_message", "custom_error_context", "auto_collapse", "root_model"),
        *("collect_init_only", "validate_by_name", "validate_by_alias", "allow_inf_nan"),
    )
)
_CODE = frozenset(("function", "serialization", "computed_fields", "custom_init", "post_init", "missing"))
_NOT_ENFORCED = frozenset(("lax_schema", "python_schema", "json_schema_input_schema"))
_SHOWN = frozenset(
    (
        *("expected", "members", "sub_type", "choices", "fields", "total", "default", "default_factory_takes_data"),
        *("schema", "json_schema", "strict_schema", "items_schema", "keys_schema", "values_schema", "extras_schema"),
        *(
            "extras_keys_schema",
            "extra_behavior",
            "variadic_item_index",
            "min_length",
            "max_length",
            "pattern",
            "steps",
        ),
        *("arguments_schema", "return_schema", "definitions", "validation_alias", "serialization_alias"),
    )
)
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_NUMBERS = frozenset(("ge", "gt", "le", "lt", "multiple_of"))
_USUAL = {"mode": "smart", "on_error": "raise", "microseconds_precision": "truncate"}
_CONFIG = ("str_", "val_json", "ser_json", "validate_default", "coerce_numbers", "regex_engine", "url_preserve")


def schema_beyond(model: type[BaseModel], plain: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a model with what is enforced beyond it.

    Args:
        plain: the model's schema without that, as `Contract.schema` has it. For a model that writes its whole schema
            itself it is what comes back; as it was, if the model was made of a document, which says all it enforces.

    Returns:
        `plain` with `x-constraints` and `x-validated` where they say something. A top level field whose schema claims
        a closed type that its validator does not hold has `unenforced` among its constraints.
    """
    made: list[_Generator] = []

    class Told(_Generator):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            made.append(self)

    found = model.model_json_schema(schema_generator=Told)
    if not made and _of_document(model):
        return {"$schema": _DRAFT, **plain}
    if not made:
        found = dict(plain)
    if "$ref" in found:
        found = {**found["$defs"][found["$ref"].rsplit("/", 1)[-1]], "$defs": found["$defs"]}
    defs, told = found.get("$defs", {}), made[0] if made else _Generator()
    fields = _fields(model, told.definitions_of) if made else {}
    rooms = EnforcedRooms(told.told, told.definitions_of)
    for name, inner in found["properties"].items():
        if is_closed(inner, defs) and (name not in fields or rooms.of(fields[name]) is None):
            found["properties"][name] = _marked(inner, {UNENFORCED: "true"}, [])
    return {"$schema": _DRAFT, **found, "additionalProperties": False}


def closed_fields(model: type[BaseModel], document: Mapping[str, Any]) -> frozenset[str]:
    """The top level fields of closed type, by what is claimed and by what is enforced.

    Args:
        document: the model's schema, as `schema_beyond` gives it.
    """
    defs, kept = document.get("$defs", {}), _of_document(model)
    return frozenset(n for n, inner in document["properties"].items() if is_closed(inner, defs, kept=kept))


def _of_document(model: type) -> bool:
    from .schema_model import _Document

    return issubclass(model, _Document)


def _marked(schema: Any, constraints: Mapping[str, str], code: list[str]) -> dict[str, Any]:
    out = dict(schema) if isinstance(schema, Mapping) else {}
    if constraints:
        out[CONSTRAINTS] = dict(sorted({**out.get(CONSTRAINTS, {}), **constraints}.items()))
    if code:
        out[VALIDATED] = [*out.get(VALIDATED, []), *code]
    return out


class _Generator(GenerateJsonSchema):
    """Pydantic's own generator; to each schema that it makes, it adds what the core schema says beyond."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.told: dict[int, Mapping[str, Any]] = {}
        self.definitions_of: dict[str, Core] = {}
        self._alive: list[Any] = []  # what `told` knows by its id must not be forgotten meanwhile
        self._marked: set[str] = set()

    def generate(self, schema: CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        """As Pydantic has it."""
        self.definitions_of = _definitions(schema)
        return super().generate(schema, mode)

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        """As Pydantic has it, and what it leaves out."""
        self._alive.append(schema)
        self.told[id(schema)] = {}
        found = super().generate_inner(schema)
        ref, body = schema.get("ref"), found
        if ref is not None and set(found) == {"$ref"}:
            body = self.get_schema_from_definitions(cast("Any", found["$ref"])) or found
        if ref is None or ref not in self._marked:
            constraints, code = _beyond(schema), self._code(schema)
            marked = _marked(body, constraints, code)
            if body is found:
                found = marked
            else:
                body.update(marked)
            if ref is not None:
                self._marked.add(ref)
        self.told[id(schema)] = body
        return found

    def _code(self, schema: Core) -> list[str]:
        """A digest for each piece of code at this schema, and one where what is enforced inside it was not told."""
        pieces = [*_functions(schema)]
        hidden = [c for _, c in _inner(schema) if id(c) not in self.told]
        if _dressed(schema):
            hidden = [schema]
        if not pieces and not hidden:
            return []
        of = hidden if not pieces else [schema]
        return [digest({"code": pieces, "of": [self._canonical(c, ()) for c in of]})]

    def _canonical(self, schema: Core, inside: tuple[str, ...]) -> Any:
        """All that is enforced by a core schema, as JSON."""
        if schema["type"] == "definition-ref":
            ref = str(schema["schema_ref"])
            if ref in inside or ref not in self.definitions_of:
                return {"again": inside.index(ref) if ref in inside else -1}
            return self._canonical(self.definitions_of[ref], inside)
        if "ref" in schema:
            if schema["ref"] in inside:
                return {"again": inside.index(schema["ref"])}
            inside = (*inside, str(schema["ref"]))
        told: dict[str, Any] = {"type": schema["type"], "beyond": _beyond(schema), "code": [*_functions(schema)]}
        told |= {k: _said(schema[k]) for k in schema if _tells(k, schema)}
        told["inner"] = {name: self._canonical(c, inside) for name, c in _inner(schema)}
        return told


def _tells(key: str, schema: Core) -> bool:
    return key not in _NO_MEANING and key not in _CODE and key not in _NOT_ENFORCED and not _has_schema(schema[key])


def _beyond(schema: Core) -> dict[str, str]:
    """What one core schema says and JSON Schema does not."""
    kind = schema["type"]
    found = {"type": kind} if kind in _UNTOLD else {}
    for key, value in schema.items():
        if key in _NO_MEANING or key in _CODE or key in _NOT_ENFORCED or key in _SHOWN or value is None:
            continue
        if key == "config":
            told = {k: v for k, v in value.items() if k.startswith(_CONFIG) and v is not None}
            found |= {f"config.{k}": _said(v) for k, v in told.items()}
        elif key in _USUAL and value == _USUAL[key]:
            continue
        elif not (kind in ("int", "float") and key in _NUMBERS) and value is not False:
            found[key] = _said(value)
    if found and kind in TIMED:
        found["type"] = kind
    return found


def _has_schema(value: Any) -> bool:
    if isinstance(value, Mapping):
        return isinstance(value.get("type"), str) or any(map(_has_schema, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_schema, value))


def _inner(schema: Core) -> Iterator[tuple[str, Core]]:
    """The core schemas directly inside one, each with where it stands."""
    for key, value in schema.items():
        if key in _CODE or key in _NOT_ENFORCED or key in ("metadata", "config", "expected", "members", "default"):
            continue
        for name, one in _listed(value):
            if isinstance(one, Mapping) and isinstance(one.get("type"), str):
                yield f"{key}{name}", one


def _listed(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and not isinstance(value.get("type"), str):
        yield from ((f"/{k}", v) for k, v in value.items())
    elif isinstance(value, list):
        yield from ((f"/{i}", v[0] if isinstance(v, tuple) else v) for i, v in enumerate(value))
    else:
        yield "", value


def _definitions(schema: Any) -> dict[str, Core]:
    found: dict[str, Core] = {}
    left = [schema]
    while left:
        one = left.pop()
        if one.get("ref") is not None:
            found.setdefault(str(one["ref"]), one)
        left += [inner for _, inner in _inner(one)]
    return found


def _fields(model: type[BaseModel], definitions: Mapping[str, Core]) -> dict[str, Core]:
    """The core schemas of a model's fields; none where code stands before them that may leave them unchecked."""
    one: Any = model.__pydantic_core_schema__
    while one is not None:
        match one["type"]:
            case "model-fields":
                return {name: field["schema"] for name, field in one["fields"].items()}
            case "definition-ref":
                one = definitions.get(one["schema_ref"])
            case "definitions" | "model" | "function-after" | "function-before" | "default":
                one = one["schema"]
            case _:
                return {}
    return {}


# -- code ------------------------------------------------------------------------------------------------------------


def _functions(schema: Core) -> Iterator[Any]:
    """What code runs at one core schema."""
    kind, cls = schema["type"], schema.get("cls")
    if isinstance(told := schema.get("function"), Mapping) and not _checks_document(told["function"]):
        yield [kind, _code_of(told["function"])]
    elif callable(told):
        yield [kind, _code_of(told)]
    own = schema.get("serialization") or {}
    if callable(own.get("function")) and not _checks_document(schema.get("function", {}).get("function")):
        yield ["serialization", own["type"], _code_of(own["function"]), str(own.get("when_used"))]
    if schema.get("custom_init") and cls is not None:
        yield ["init", _code_of(cls.__init__)]
    if schema.get("post_init"):
        name = schema["post_init"] if isinstance(schema["post_init"], str) else "__post_init__"
        yield ["after init", _code_of(getattr(cls, name))]
    if callable(schema.get("missing")):
        yield ["missing", _code_of(schema["missing"])]
    for key in ("discriminator", "default_factory"):
        if callable(schema.get(key)):
            yield [key, _code_of(schema[key])]
    computed = getattr(getattr(cls, "__pydantic_decorators__", None), "computed_fields", {})
    for name in sorted(computed) if kind in ("model", "dataclass", "typed-dict") else ():
        yield ["computed", name, _code_of(getattr(computed[name].info.wrapped_property, "fget", None))]


def _checks_document(function: Any) -> bool:
    """Whether it validates against a JSON Schema document, which then says all."""
    return isinstance(owner := getattr(function, "__self__", None), type) and _of_document(owner)


def _dressed(schema: Core) -> bool:
    """Whether somebody wrote (parts of) the JSON Schema by hand, so that it may say what is not enforced."""
    metadata: Mapping[str, Any] = schema.get("metadata") or {}
    for key in ("pydantic_js_updates", "pydantic_js_extra"):
        told = metadata.get(key) or {}
        if callable(told):
            return True
        # Pydantic repeats there what a validator checks, which is told by the validator.
        names = {k for k in told if k not in ANNOTATIONS and not k.startswith("x-") and k not in _NUMBERS}
        if names and (key == "pydantic_js_extra" or schema["type"] in ("any", "model-field")):
            return True
    for function in metadata.get("pydantic_js_functions", ()):
        if not _module(function).startswith("pydantic") and not _checks_document(function):
            return True
    for function in metadata.get("pydantic_js_annotation_functions", ()):
        owner = getattr(function, "__self__", None)
        ours = type(owner).__module__ == is_closed.__module__
        if isinstance(owner, WithJsonSchema) or schema["type"] == "any":
            return True
        if not ours and not _module(function).startswith("pydantic"):
            return True
    return False


def _module(function: Any) -> str:
    return str(getattr(getattr(function, "__func__", function), "__module__", ""))


def _code_of(function: Any) -> Any:
    """What a piece of code is, the same in every process: its source, what it is closed over, what is bound to it."""
    if isinstance(function, partial):
        return ["partial", _code_of(function.func), _said(function.args), _said(function.keywords)]
    function = getattr(function, "__func__", function)
    name = f"{_module(function)}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    code = getattr(function, "__code__", None)
    if code is None:  # built in, a class, or an object that can be called
        own = vars(function) if not isinstance(function, type) and hasattr(function, "__dict__") else {}
        call = vars(type(function)).get("__call__")
        return [name, {k: _said(v) for k, v in own.items()}, _code_of(call) if hasattr(call, "__code__") else ""]
    cells = [_said(c.cell_contents) for c in (function.__closure__ or ()) if _filled(c)]
    bound = [_said(function.__defaults__), _said(function.__kwdefaults__)]
    # The library's own code has the library's version, and its source moves with each.
    return [name, cells, bound] if name.startswith("pydantic") else [_source(function), cells, bound]


def _filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _source(function: Callable[..., Any]) -> str:
    try:
        return digest_text(inspect.getsource(function))
    except (OSError, TypeError):  # there is none, in a shell, say
        code = function.__code__
        return digest_text(repr((code.co_code, [c for c in code.co_consts if not inspect.iscode(c)], code.co_names)))


def _said(value: Any) -> str:
    """A value as text, the same in every process."""
    match value:
        case bool():
            return str(value).lower()
        case None | int() | float() | str() | Decimal() if not isinstance(value, Enum):
            return str(value)
        case timedelta():
            return str(Decimal(value // timedelta(microseconds=1)) / 1_000_000)
        case Enum():
            return f"{type(value).__qualname__}.{value.name}={_said(value.value)}"
        case list() | tuple():
            return f"[{', '.join(map(_said, value))}]"
        case set() | frozenset():
            return f"{{{', '.join(sorted(map(_said, value)))}}}"
        case Mapping():
            return f"{{{', '.join(sorted(f'{_said(k)}: {_said(v)}' for k, v in value.items()))}}}"
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if callable(value):
        return digest(_code_of(value))
    if isinstance(value, BaseModel):
        return f"{type(value).__qualname__}({_said(dict(value))})"
    return f"{type(value).__module__}.{type(value).__qualname__}"
