"""What a call of an MCP tool came back with, as agents get it. Pure.

The tool's label holds for its text and its structured content. What else a result brings (embedded resources, links,
pictures) and what contradicts itself is untrusted, whatever is declared of the tool. Links are never followed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from ...contracts.digest import canonical, digest_bytes
from ...contracts.errors import ServerFailed
from ...contracts.labels import ORIGIN
from ...contracts.schema_keywords import faults_in, validator_of
from ..containment.kinds import of_kind
from .dialect import enforceable

UNLIKE = "the structured content says something else than the text; both are given, and neither is to be believed"
MISFIT = "its structured content does not fit the schema that the tool declares for it"
ABSENT = "it gave no structured content, for which the tool declares a schema"
UNCHECKED = "the structured content was not checked: the schema that the tool declares for it cannot be enforced"
MAX_ERROR = 2000
_TEXTS = {"type": "array", "items": {"type": "string"}}
_UNTRUSTED = {ORIGIN: "untrusted"}

RETURNS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": _TEXTS,
        "structured": {},
        "disputed": {"type": "object", "properties": {"text": _TEXTS, "structured": {}}, **_UNTRUSTED},
        "attached": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "kind": {"type": "string"},
                    "uri": {"type": "string"},
                    "name": {"type": "string"},
                    "media_type": {"type": "string"},
                    "text": {"type": "string"},
                    "bytes": {"type": "integer"},
                    "sha256": {"type": "string"},
                },
            },
            **_UNTRUSTED,
        },
        "notes": _TEXTS,
    },
}
"""The JSON Schema of what `told` returns. `notes` are ours: what was cut, left out, or does not agree."""


def told(raw: Mapping[str, Any], *, server: str, most: int, schema: Any = None) -> dict[str, Any]:
    """The result of a tool call as agents get it: as in `RETURNS`, keys that would be empty left out.

    Args:
        raw: the result as it came over the wire.
        most: how many bytes of text, and of structured content, are given at most.
        schema: the tool's own schema of its structured content, as it was pinned.

    Raises:
        ServerFailed: the tool reports an error, asks for something instead of answering, or its structured content is
            not what it declares.
    """
    content = [block for block in raw.get("content") or () if isinstance(block, Mapping)]
    texts = [str(block.get("text", "")) for block in content if block.get("type") == "text"]
    if raw.get("isError"):
        said = _cut("\n".join(texts), MAX_ERROR)[0] or "without a word"
        # The server is well: it says no to this call.
        raise of_kind(ServerFailed(server=server, fault=f"the tool reports an error: {said}"), "refused")
    if raw.get("resultType", "complete") != "complete":
        raise ServerFailed(server=server, fault="the tool asks for more input instead of answering, which is refused")
    notes: list[str] = []
    found: dict[str, Any] = {}
    if schema is not None and (fault := _misfit(raw.get("structuredContent"), notes, schema)):
        raise ServerFailed(server=server, fault=fault)
    structured = _structured(raw, notes, most)
    body: dict[str, Any] = {**_shared("text", texts, most, notes), **structured}
    if structured and texts and not _alike(structured["structured"], texts):
        notes.append(UNLIKE)
        found["disputed"] = body
    else:
        found |= body
    attached = [part for block in content if block.get("type") != "text" for part in _attached(block, most, notes)]
    return {**found, **({"attached": attached} if attached else {}), **({"notes": notes} if notes else {})}


def _misfit(value: Any, notes: list[str], schema: Any) -> str:
    """Why structured content is not what its tool declares; empty where it is, or that cannot be told."""
    if value is None:
        return ABSENT
    document, faults = enforceable(schema)
    if faults:
        notes.append(UNCHECKED)
        return ""
    return "" if faults_in(validator_of(document), value, 1) == [] else MISFIT


def _structured(raw: Mapping[str, Any], notes: list[str], most: int) -> dict[str, Any]:
    if raw.get("structuredContent") is None:
        return {}
    value = raw["structuredContent"]
    try:
        size = len(canonical(value))
    except (TypeError, RecursionError):
        notes.append("the structured content was left out: it is no plain JSON, or nested too deeply")
        return {}
    if size > most:
        notes.append(f"the structured content was left out: it is {size} bytes, at most {most} are given")
        return {}
    return {"structured": value}


def _shared(key: str, texts: list[str], most: int, notes: list[str]) -> dict[str, list[str]]:
    """The texts, as many bytes of them as may be given."""
    given: list[str] = []
    left, lost = most, 0
    for text in texts:
        kept, beyond = _cut(text, left) if left > 0 else ("", len(text.encode()))
        left -= len(text.encode()) - beyond
        lost += beyond
        if kept or not beyond:
            given.append(kept)
    if lost:
        notes.append(f"the text was cut: {lost} bytes beyond {most} were left out")
    return {key: given} if given else {}


def _cut(text: str, most: int) -> tuple[str, int]:
    """As much of a text as may be given, with a mark where it was cut; and how many bytes are missing."""
    body = text.encode()
    if len(body) <= most:
        return text, 0
    kept = body[:most].decode(errors="ignore")
    missing = len(body) - len(kept.encode())
    return f"{kept}… [cut: {missing} bytes more]", missing


def _alike(structured: Any, texts: list[str]) -> bool:
    """Whether texts say what structured content says: as its JSON, or as the plain value or values that it wraps."""
    inner = (
        structured.get("result") if isinstance(structured, Mapping) and set(structured) == {"result"} else structured
    )
    wanted = [structured, inner]
    if len(texts) == 1 and any(_says(texts[0], value) for value in wanted):
        return True
    return isinstance(inner, list) and len(inner) == len(texts) and all(map(_says, texts, inner))


def _says(text: str, value: Any) -> bool:
    if isinstance(value, str) and text == value:
        return True
    try:
        return canonical(orjson.loads(text)) == canonical(value)
    except (ValueError, TypeError):
        return False


def _attached(block: Mapping[str, Any], most: int, notes: list[str]) -> Iterator[dict[str, Any]]:
    kind = str(block.get("type", "unknown"))
    match kind:
        case "resource" if isinstance(block.get("resource"), Mapping):
            inner = block["resource"]
            about = _about(kind, inner)
            if isinstance(inner.get("text"), str):
                yield {**about, **{k: v[0] for k, v in _shared("text", [inner["text"]], most, notes).items()}}
            else:
                yield {**about, **_blob(inner.get("blob"))}
        case "resource_link":
            yield _about("link", block)
        case "image" | "audio":
            yield {**_about(kind, block), **_blob(block.get("data"))}
        case _:
            notes.append("a part of a kind that is not known was left out")


def _about(kind: str, block: Mapping[str, Any]) -> dict[str, Any]:
    names = {"uri": "uri", "name": "name", "mimeType": "media_type"}
    return {
        "kind": kind,
        **{ours: _cut(block[k], 500)[0] for k, ours in names.items() if isinstance(block.get(k), str)},
    }


def _blob(data: Any) -> dict[str, Any]:
    """A picture or a file: how large it is, and which; not the data, which no text model reads."""
    try:
        body = base64.b64decode(data if isinstance(data, str) else "", validate=True)
    except (binascii.Error, ValueError):
        return {}
    return {"bytes": len(body), "sha256": digest_bytes(body)}
