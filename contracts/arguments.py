"""The arguments of a contract that are of another kind than it takes, told before anything is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from .errors import ContractInvalid


def check_definition(model: Any, version: Any) -> None:
    """Raises ContractInvalid: `model` is no class of Pydantic's, or `version` no whole number."""
    faults = []
    if not (isinstance(model, type) and issubclass(model, BaseModel)) or model is BaseModel:
        faults.append(f"{model!r} is no Pydantic model; define `class Brief(BaseModel): ...` and give the class")
    if not isinstance(version, int) or isinstance(version, bool):
        faults.append(f"version {version!r} is not a whole number; versions are 1, 2, 3, ...")
    if faults:
        raise ContractInvalid(name=getattr(model, "__name__", type(model).__name__), faults=faults)


def rules_of(document: Any, key: str) -> Mapping[str, Any]:
    """What stands under `key` of a schema document. Raises ContractInvalid: it, or the document, is no mapping."""
    if not isinstance(document, Mapping):
        fault = f"from_schema takes the document, a mapping, not {document!r}; a file is read first: json.loads(text)"
        raise ContractInvalid(name=type(document).__name__, faults=[fault])
    rules = document.get(key, {})
    if not isinstance(rules, Mapping):
        raise ContractInvalid(name=str(document.get("title") or ""), faults=[f"{key} is {rules!r}, no object"])
    return rules
