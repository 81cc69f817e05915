"""What a client may send. Every field either acts or takes only the values that ask for nothing.

The LangGraph SDK sends many fields that most callers never set. Absent, null, and what the server does anyway are
accepted; a value that asks for something else is refused with 422 naming the field, never ignored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

import orjson
from fastapi import HTTPException, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..contracts.contract import faults_of

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64
BODY_SECONDS = 30.0

Scalar = str | int | float | bool | None
NoItems = Annotated[list[Any], Field(max_length=0)] | None
NoKeys = Annotated[dict[str, Any], Field(max_length=0)] | None
StreamMode = Literal["values", "updates", "messages-tuple", "custom"]
Metadata = Annotated[dict[str, Any], Field(max_length=64)] | None
Limit = Annotated[int, Field(ge=1, le=1000)]
Offset = Annotated[int, Field(ge=0, le=1_000_000)]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Wire(BaseModel):
    """A body: strict, no unknown fields, and no value of it in an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Configurable(Wire):
    """`config.configurable`: the thread's id, which must be the one in the path."""

    thread_id: str | None = None


class RunConfig(Wire):
    """`config`. A recursion limit would stop a governed run between two gates, so it is the graph's alone."""

    configurable: Configurable | None = None
    tags: NoItems = None
    metadata: NoKeys = None
    recursion_limit: None = None


class CommandBody(Wire):
    """`command`. `update` and `goto` write state and choose nodes, which belong to the graph."""

    resume: Any = None
    update: None = None
    goto: None = None
    graph: None = None


class WaitBody(Wire):
    """The body of `runs/wait`. `durability` is "sync" and a busy thread refuses, whether or not a client says so."""

    assistant_id: str
    input: Any = None
    command: CommandBody | None = None
    metadata: Metadata = None
    if_not_exists: Literal["create", "reject"] | None = None
    config: RunConfig | None = None
    context: NoKeys = None
    stream_mode: Annotated[list[Literal["values"]], BeforeValidator(_as_list)] | None = None
    stream_subgraphs: Literal[False] | None = None
    stream_resumable: Literal[False] | None = None
    interrupt_before: NoItems = None
    interrupt_after: NoItems = None
    feedback_keys: NoItems = None
    webhook: None = None
    checkpoint: None = None
    checkpoint_id: None = None
    checkpoint_during: None = None
    multitask_strategy: Literal["reject"] | None = None
    on_disconnect: Literal["continue"] | None = None
    on_completion: Literal["keep"] | None = None
    after_seconds: Literal[0] | None = None
    durability: Literal["sync"] | None = None
    strict_resume: Literal[True] | None = None
    langsmith_tracer: None = None


class StreamBody(WaitBody):
    """The body of `runs/stream`."""

    stream_mode: Annotated[list[StreamMode], Field(min_length=1), BeforeValidator(_as_list)] | None = None  # type: ignore[assignment]


class ThreadBody(Wire):
    """The body of `POST /threads`."""

    thread_id: str | None = None
    metadata: Metadata = None
    if_exists: Literal["raise", "do_nothing"] | None = None
    ttl: None = None
    supersteps: NoItems = None


class ThreadSearchBody(Wire):
    """The body of `threads/search`. Metadata is compared for equality, key by key."""

    metadata: dict[str, Scalar] | None = None
    ids: list[str] | None = None
    status: Literal["idle", "busy", "interrupted", "error"] | None = None
    limit: Limit = 10
    offset: Offset = 0
    sort_by: Literal["created_at", "updated_at"] | None = None
    sort_order: Literal["asc", "desc"] | None = None
    values: NoKeys = None
    select: None = None
    extract: None = None


class HistoryBody(Wire):
    """The body of `history`: the newest states."""

    limit: Limit = 10
    before: None = None
    metadata: NoKeys = None
    checkpoint: None = None
    select: None = None


class AssistantSearchBody(Wire):
    """The body of `assistants/search`. They come in the order of their names."""

    metadata: dict[str, Scalar] | None = None
    graph_id: str | None = None
    name: str | None = None
    limit: Limit = 10
    offset: Offset = 0
    sort_by: Literal["name", "graph_id"] | None = None
    sort_order: Literal["asc"] | None = None
    select: None = None


B = TypeVar("B", bound=Wire)


def refused(field: str, why: str) -> HTTPException:
    """422 that names the field."""
    return invalid([f"{field}: {why}"])


def invalid(faults: list[str]) -> HTTPException:
    """422 with every fault as `field: rule`."""
    return HTTPException(422, {"detail": "; ".join(faults), "error": "RequestInvalid", "facts": {"faults": faults}})


async def body_of(request: Request, model: type[B]) -> B:
    """The request's JSON body as `model`.

    Raises:
        HTTPException: 415 for another content type (a browser sends those across origins without asking), 413, 408,
            400 for what is no JSON, 422 for what does not fit.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "the body must be application/json")
    received = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                received += chunk
                if len(received) > MAX_BYTES:
                    raise HTTPException(413, f"the body is larger than {MAX_BYTES} bytes")
    except TimeoutError:
        raise HTTPException(408, f"the body did not arrive within {BODY_SECONDS:g} seconds") from None
    try:
        value = orjson.loads(received)
    except orjson.JSONDecodeError:
        raise HTTPException(400, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise invalid(["body: is not an object"])
    _bounded(value)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid(list(faults_of(error))) from None


def _bounded(value: Any) -> None:
    """Refuse what is nested deeper than anything downstream should recurse."""
    level = [value]
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    raise invalid([f"body: is nested deeper than {MAX_DEPTH}"])


def query_of(request: Request, accepted: Mapping[str, tuple[str, ...]] | None = None) -> None:
    """Check that the query asks for nothing but what is accepted (values in lower case).

    Raises:
        HTTPException: 422 naming the parameter.
    """
    for name, value in request.query_params.multi_items():
        if value.lower() not in (accepted or {}).get(name, ()):
            raise refused(name[:100], "is not a query parameter here, or asks for what this server does not do")


def uuid_of(text: str, field: str) -> str:
    """A UUID in its canonical form. Raises HTTPException: 422."""
    try:
        canonical = str(UUID(text))
    except ValueError:
        canonical = ""
    # UUID() also reads braces, "urn:uuid:" and digits of other scripts; an id has one spelling here.
    if canonical != text.lower():
        raise refused(field, "must be a UUID")
    return canonical
