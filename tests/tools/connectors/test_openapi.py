"""OpenAPI operations against a real server: what they send, what the document cannot say, and what is refused."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pytest
import uvicorn
from edgewright import Call
from edgewright.contracts.errors import (
    CallDenied,
    DeclarationsInvalid,
    ToolFailed,
    ToolInvalid,
    ToolRefusal,
    UrlRefused,
)
from edgewright.ledger.records import CallJudged, EffectFailed, EffectIntended
from edgewright.tools.connectors.hosts import canonical_url
from edgewright.tools.connectors.http import Http
from edgewright.tools.connectors.openapi import OpenApi, headers_of, url_of
from edgewright.tools.connectors.operations import Argument, Operation, read_operations
from edgewright.tools.foreign.declarations import Declaration, load_declarations
from edgewright.tools.sealed import SealedTool
from fastapi import FastAPI, Header, HTTPException, Query, Request
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from support.systems import PERMIT_ALL, inside, plays, with_model

CANARY = "canary-77b1e0d3aa"


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")
    product: str
    count: int = Field(ge=1, le=100)


class Order(BaseModel):
    """What a customer orders."""

    customer: str
    lines: list[Line]
    note: str | None = None


seen: list[dict[str, Any]] = []


def app() -> FastAPI:
    made = FastAPI()

    @made.middleware("http")
    async def watch(request: Request, call_next: Any) -> Any:
        raw = request.scope["raw_path"].decode() + "?" + request.scope["query_string"].decode()
        seen.append(
            {
                "method": request.method,
                "raw": raw,
                "headers": dict(request.headers),
                "body": (await request.body()).decode(),
            }
        )
        return await call_next(request)

    @made.get("/v1/orders/{order}", operation_id="getOrder")
    def get_order(order: str, verbose: bool = False) -> dict[str, Any]:
        """Read an order."""
        if order == "none":
            raise HTTPException(404, "there is no such order")
        return {"order": order, "verbose": verbose}

    @made.get("/v1/orders", operation_id="listOrders")
    def list_orders(
        state: str,
        tag: Annotated[list[str], Query()] = [],  # noqa: B006 - FastAPI copies it
        upto: int | None = None,
        x_trace: Annotated[str | None, Header()] = None,
    ) -> dict[str, Any]:
        """List orders."""
        return {"state": state, "tag": tag, "upto": upto, "trace": x_trace}

    @made.post("/v1/orders", operation_id="placeOrder", status_code=201)
    def place_order(order: Order) -> dict[str, Any]:
        """Place an order."""
        return {"id": "O-1", "order": order.model_dump()}

    @made.delete("/v1/orders/{order}", operation_id="deleteOrder")
    def delete_order(order: str) -> dict[str, str]:
        """Only looks; changes nothing at all."""
        return {"deleted": order}

    @made.delete("/v1/orders/", operation_id="deleteAll")
    def delete_all() -> dict[str, str]:
        """Delete all."""
        return {"deleted": "all"}

    @made.get("/v1/orders/{order}/admin", operation_id="admin")
    def admin(order: str) -> str:
        """What nobody declared."""
        return "admin"

    @made.get("/v1/me", operation_id="me")
    def me(request: Request) -> dict[str, Any]:
        """Who asks."""
        return {"you": request.headers.get("authorization"), "words": ["a", {"b": CANARY}]}

    @made.get("/v1/broken", operation_id="broken")
    def broken() -> None:
        """Break."""
        raise HTTPException(500, "it broke")

    return made


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    config = uvicorn.Config(app(), log_level="critical", lifespan="off", ws="none")
    made = uvicorn.Server(config)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    thread = threading.Thread(target=made.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not made.started and time.monotonic() < until:
        thread.join(0.01)
    assert made.started
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    made.should_exit = True
    thread.join(10)
    listening.close()


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    seen.clear()


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(app().openapi()))
    found["paths"] = {path.removeprefix("/v1"): item for path, item in found["paths"].items()}
    return found


def http(server: str, **more: Any) -> Http:
    given: dict[str, Any] = {
        "hosts": ("127.0.0.1",),
        "methods": ("GET", "POST", "PUT", "DELETE"),
        "ports": (canonical_url(server).port,),
        "https_only": False,
        "private": True,
    }
    return Http(**{**given, **more})


READ = Declaration(effect="read", sink=False, sensitivity="internal", roles={"order": "ref"})
DECLARED: dict[str, Declaration] = {
    "getOrder": READ,
    "listOrders": Declaration(effect="read"),
    "placeOrder": Declaration(effect="write", roles={"customer": "ref", "note": "content", "lines": "content"}),
}


def api(server: str, document: Mapping[str, Any] | Path, /, **more: Any) -> OpenApi:
    given: dict[str, Any] = {"declarations": DECLARED, "http": http(server), "server": server, "name": "shop"}
    return OpenApi(document=document, **{**given, **more})


def tools_of(made: OpenApi) -> dict[str, SealedTool]:
    return {t.name: t for t in made.tools()}


def one(
    operation: Mapping[str, Any], *, path: str = "/x", verb: str = "get", version: str = "3.1.0", **more: Any
) -> Any:
    """A document of one operation."""
    told = {"operationId": "one", **operation}
    return {"openapi": version, "info": {"title": "t", "version": "1"}, "paths": {path: {verb: told}}, **more}


def the(operation: Mapping[str, Any], **more: Any) -> Operation:
    [found] = read_operations(one(operation, **more), "t").values()
    return found


# -- what is registered ----------------------------------------------------------------------------------------------


def test_only_declared_operations_are_tools_and_the_others_say_why_not(server: str, document: dict[str, Any]) -> None:
    made = api(server, document)
    assert set(tools_of(made)) == {"shop_get_order", "shop_list_orders", "shop_place_order"}
    assert set(made.left_out) == {"deleteOrder", "deleteAll", "admin", "me", "broken"}
    assert made.left_out["admin"] == ("it is not declared",)


def test_undeclared_operations_can_be_tools_of_the_most_dangerous_kind(server: str, document: dict[str, Any]) -> None:
    found = tools_of(api(server, document, undeclared="dangerous"))
    assert len(found) == 8
    spec = found["shop_delete_order"].spec
    assert (spec.effect, spec.output, spec.sensitivity, spec.sink) == ("irreversible", "untrusted", "secret", True)
    assert (spec.idempotency, spec.roles) == ("none", {"order": "target"})
    assert found["shop_get_order"].spec.effect == "read"


def test_the_declaration_alone_says_what_an_operation_is(server: str, document: dict[str, Any]) -> None:
    changed = deepcopy(document)
    changed["paths"]["/orders/{order}"]["get"] |= {"x-effect": "read", "x-sink": False, "readOnly": True}
    spec = tools_of(api(server, changed, declarations={"getOrder": Declaration()}))["shop_get_order"].spec
    assert (spec.effect, spec.sink, spec.output) == ("irreversible", True, "untrusted")
    assert (
        tools_of(api(server, document, declarations={"deleteOrder": READ}))["shop_delete_order"].spec.effect == "read"
    )


def test_declarations_come_from_a_file_and_a_document_too(
    server: str, document: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "api.json").write_text(json.dumps(document))
    (tmp_path / "tools.toml").write_text('[tools.getOrder]\neffect = "read"\nsink = false\ndescription = "Look."\n')
    made = api(server, tmp_path / "api.json", declarations=tmp_path / "tools.toml")
    spec = tools_of(made)["shop_get_order"].spec
    assert (spec.effect, spec.sink, spec.description) == ("read", False, "Look.")
    same = api(server, document, declarations={"getOrder": {"effect": "read", "sink": False, "description": "Look."}})
    assert tools_of(same)["shop_get_order"].spec == spec


def test_every_fault_is_told_at_once(server: str, document: dict[str, Any]) -> None:
    declared = {
        "nothing": READ,
        "getOrder": Declaration(roles={"x": "ref"}),
        "listOrders": Declaration(idempotency="key"),
    }
    with pytest.raises(ToolInvalid) as caught:
        api(server, document, declarations=declared, http=http(server, methods=("POST",)))
    told = str(caught.value)
    for fault in ("'nothing' is declared", "does not have the method GET", "no idempotency_header"):
        assert fault in told
    with pytest.raises(DeclarationsInvalid, match="efect"):
        api(server, document, declarations={"getOrder": {"efect": "read"}})


@pytest.mark.parametrize(
    "server_url",
    ["http://127.0.0.1:1/v1", "http://evil.example.com/", "ftp://127.0.0.1/", "http://127.0.0.1:PORT/v1?x=1", "/v1"],
)
def test_the_server_is_checked_like_any_url(server: str, document: dict[str, Any], server_url: str) -> None:
    port = str(canonical_url(server).port)
    with pytest.raises(ToolInvalid, match="server"):
        api(server, document, server=server_url.replace("PORT", port))


async def test_the_documents_own_servers_count_for_nothing(server: str, document: dict[str, Any]) -> None:
    changed = deepcopy(document)
    changed["servers"] = [{"url": "http://evil.example.com"}]
    changed["paths"]["/orders/{order}"]["servers"] = [{"url": "http://evil.example.com"}]
    changed["paths"]["/orders/{order}"]["get"]["servers"] = [{"url": "http://evil.example.com"}]
    get = tools_of(api(server, changed))["shop_get_order"]
    ran = await inside(lambda: get.call({"order": "O-1"}), get)
    assert ran.value["data"]["order"] == "O-1"


def test_names_that_could_be_taken_for_each_other_are_refused(server: str) -> None:
    paths = {"/a": {"get": {"operationId": "getIt"}}, "/b": {"get": {"operationId": "get-it"}}}
    with pytest.raises(ToolInvalid, match="would both be"):
        api(server, {"openapi": "3.1.0", "paths": paths}, declarations={}, undeclared="dangerous")
    paths["/b"]["get"]["operationId"] = "getIt"
    with pytest.raises(ToolInvalid, match="two operations"):
        api(server, {"openapi": "3.1.0", "paths": paths}, declarations={})


def test_an_operation_without_an_id_is_known_by_its_method_and_path(server: str) -> None:
    bare = {"openapi": "3.1.0", "paths": {"/a/{b}": {"get": {"parameters": [_string("b", "path")]}}}}
    assert set(tools_of(api(server, bare, declarations={"GET /a/{b}": READ_ANY}))) == {"shop_get_a_b"}


READ_ANY = Declaration(effect="read")


def _string(name: str, place: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "schema": {"type": "string"}, **more}


# -- what is called --------------------------------------------------------------------------------------------------


async def test_an_operation_is_called_through_the_gate(server: str, document: dict[str, Any]) -> None:
    found = tools_of(api(server, document))
    get = found["shop_get_order"]
    ran = await inside(lambda: get.call({"order": "O 1;x?y#z%2e&é", "verbose": True}), get)
    assert ran.value == {"status": 200, "data": {"order": "O 1;x?y#z%2e&é", "verbose": True}, "note": ""}
    assert seen[0]["raw"] == "/v1/orders/O%201%3Bx%3Fy%23z%252e%26%C3%A9?verbose=true"
    system = with_model(plays([Call("shop_get_order", {"order": "O-2"})]), get)
    result = await system.arun({"text": "go"})
    assert result.output is not None
    assert '"order": "O-2"' in result.output["text"]


async def test_query_and_header_parameters_are_sent_as_described(server: str, document: dict[str, Any]) -> None:
    listing = tools_of(api(server, document))["shop_list_orders"]
    assert set(listing.spec.roles) == {"query_state", "tag", "upto", "x_trace"}  # `state` is LangChain's own
    given = {"query_state": "a&b=c", "tag": ["x", "y,z"], "upto": None, "x_trace": "t1"}
    ran = await inside(lambda: listing.call(given), listing)
    assert ran.value["data"] == {"state": "a&b=c", "tag": ["x", "y,z"], "upto": None, "trace": "t1"}
    assert seen[0]["raw"] == "/v1/orders?state=a%26b%3Dc&tag=x&tag=y%2Cz"


async def test_a_body_is_sent_by_its_properties_each_with_a_role(server: str, document: dict[str, Any]) -> None:
    place = tools_of(api(server, document))["shop_place_order"]
    assert dict(place.spec.roles) == {"customer": "ref", "lines": "content", "note": "content"}
    policy = PERMIT_ALL + (
        '@id("mine") forbid(principal, action == Action::"call:shop_place_order", resource) '
        'when { context.args.customer != "C-1" };'
    )
    given = {"customer": "C-1", "lines": [{"product": "p", "count": 2}]}
    ran = await inside(lambda: place.call(given), place, policy=policy)
    assert ran.value["status"] == 201
    assert json.loads(seen[0]["body"]) == given
    assert seen[0]["headers"]["content-type"] == "application/json"
    denied = await inside(lambda: place.call({**given, "customer": "C-2"}), place, policy=policy)
    assert isinstance(denied.error, CallDenied)
    assert len(seen) == 1


@pytest.mark.parametrize(
    "change",
    [
        *({"customer": 5}, {"customer": None}, {"more": 1}, {"lines": [{"product": "p", "count": 0}]}, {"lines": {}}),
        *({"lines": [{"product": "p", "count": 1.0}]}, {"lines": [{"product": "p", "count": "1"}]}),
        *({"lines": [{"product": "p", "count": True}]}, {"lines": [{"product": "p", "count": 1, "more": 1}]}),
    ],
)
async def test_arguments_are_validated_strictly_at_every_level(
    server: str, document: dict[str, Any], change: dict[str, Any]
) -> None:
    place = tools_of(api(server, document))["shop_place_order"]
    given = {"customer": "C-1", "lines": [{"product": "p", "count": 2}], **change}
    ran = await inside(lambda: place.call(given), place)
    assert isinstance(ran.error, CallDenied)
    assert [j.rules for j in ran.of(CallJudged)] == [["arguments.schema"]]
    assert not seen


@pytest.mark.parametrize(
    "value", ["", ".", "..", "../x", "O-1/admin", "a\\b", "/", "...", "%2e%2e", "..;x", "a\u0000b", "%2e%2e%2fadmin"]
)
async def test_a_path_parameter_cannot_leave_its_segment(server: str, document: dict[str, Any], value: str) -> None:
    made = api(server, document, declarations={"getOrder": READ, "deleteOrder": Declaration(effect="write")})
    for tool in made.tools():
        ran = await inside(partial(tool.call, {"order": value}), tool)
        assert isinstance(ran.error, ToolRefusal | CallDenied)
    assert not seen
    with pytest.raises(ToolRefusal):
        url_of(made.operations["deleteOrder"], made.base, {"order": value})


_BASE = canonical_url("https://api.example.com/v1/")
_PLACES = Operation(
    id="x",
    method="GET",
    path="/a/{b}/c/{d}",
    words="",
    arguments=(
        Argument(name="b", place="path", wire="b"),
        Argument(name="d", place="path", wire="d"),
        Argument(name="q", place="query", wire="q"),
    ),
    schema={},
    media="",
    digest="",
    faults=(),
)


@given(st.text(), st.text(), st.text())
def test_whatever_the_parameters_are_the_request_stays_in_its_place(b: str, d: str, q: str) -> None:
    base = canonical_url("https://api.example.com")
    try:
        url = url_of(_PLACES, base if not b.startswith("v") else _BASE, {"b": b, "d": d, "q": q})
    except (UrlRefused, ToolRefusal, UnicodeEncodeError):
        return
    assert url.origin == ("https", "api.example.com", 443)
    parts = url.path.removeprefix("/v1").removeprefix("/").lstrip("/").split("/")
    assert (len(parts), parts[0], parts[2]) == (4, "a", "c")
    assert not {"", ".", ".."} & {parts[1], parts[3]}


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "", " a", "é", "\u0000", "a\t"])
async def test_a_header_cannot_be_made_into_two(server: str, document: dict[str, Any], value: str) -> None:
    made = api(server, document, declarations={"listOrders": Declaration(effect="read", roles={"x_trace": "content"})})
    [listing] = made.tools()
    ran = await inside(lambda: listing.call({"query_state": "s", "x_trace": value}), listing)
    assert isinstance(ran.error, ToolRefusal | CallDenied)
    assert not seen
    with pytest.raises(ToolRefusal):
        headers_of(made.operations["listOrders"], {"x_trace": value})


async def test_credentials_are_sent_and_never_come_back(server: str, document: dict[str, Any]) -> None:
    made = http(server, headers={"Authorization": SecretStr(f"Bearer {CANARY}")})
    me = tools_of(api(server, document, http=made, declarations={"me": READ_ANY}))["shop_me"]
    ran = await inside(lambda: me.call({}), me)
    assert seen[0]["headers"]["authorization"] == f"Bearer {CANARY}"
    assert ran.value["data"] == {"you": "[secret]", "words": ["a", {"b": "[secret]"}]}


async def test_a_failure_is_a_failure_and_a_refusal_a_refusal(server: str, document: dict[str, Any]) -> None:
    writes = {"getOrder": Declaration(effect="write"), "broken": Declaration(effect="write"), "me": READ_ANY}
    found = tools_of(api(server, document, declarations=writes))
    get, broken = found["shop_get_order"], found["shop_broken"]
    refused = await inside(lambda: get.call({"order": "none"}), get)
    assert isinstance(refused.error, ToolRefusal)
    assert "there is no such order" in str(refused.error)
    failed = await inside(lambda: broken.call({}), broken)
    assert isinstance(failed.error, ToolFailed)
    assert [f.unknown for f in failed.of(EffectFailed)] == [True]


async def test_the_effects_key_is_sent_where_it_is_declared(server: str, document: dict[str, Any]) -> None:
    declared = {
        "deleteOrder": Declaration(effect="write", idempotency="key"),
        "placeOrder": Declaration(effect="write"),
    }
    made = api(server, document, declarations=declared, http=http(server, idempotency_header="Idempotency-Key"))
    found = tools_of(made)
    delete, place = found["shop_delete_order"], found["shop_place_order"]
    ran = await inside(lambda: delete.call({"order": "O-1"}), delete)
    assert len(ran.of(EffectIntended)) == 1
    await inside(lambda: place.call({"customer": "c", "lines": []}), place)
    assert len(seen[0]["headers"]["idempotency-key"]) == 64
    assert "idempotency-key" not in seen[1]["headers"]


# -- what changes ----------------------------------------------------------------------------------------------------


def _at(document: Any, path: str) -> Any:
    for step in path.split("|"):
        document = document[step]
    return document


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ("paths|/orders|post", "summary", "Other words."),
        ("paths|/orders|post", "x-more", 1),
        ("paths|/orders|post|responses|201", "description", "Other."),
        ("components|schemas|Order|properties|customer", "maxLength", 5),
        ("components|schemas|Line|properties|count", "maximum", 1000),
        ("components|schemas|HTTPValidationError", "title", "Other"),
        ("paths|/orders", "parameters", [_string("more", "query")]),
    ],
)
def test_a_changed_operation_is_a_changed_tool_and_a_pinned_one_is_refused(
    server: str, document: dict[str, Any], path: str, key: str, value: Any
) -> None:
    before = api(server, document)
    pin = f"sha256:{before.operations['placeOrder'].digest}"
    changed = deepcopy(document)
    _at(changed, path)[key] = value
    after = api(server, changed)
    name = "shop_place_order"
    assert tools_of(before)[name].spec.digest != tools_of(after)[name].spec.digest
    pinned = {"placeOrder": Declaration(effect="write", pin=pin)}
    assert set(tools_of(api(server, document, declarations=pinned))) == {name}
    with pytest.raises(ToolInvalid, match="not the pinned one"):
        api(server, changed, declarations=pinned)


def test_what_an_operation_does_not_rest_on_changes_nothing(server: str, document: dict[str, Any]) -> None:
    changed = deepcopy(document)
    changed["info"]["description"] = "Other."
    changed["paths"]["/me"]["get"]["summary"] = "Other."
    assert [t.spec.digest for t in api(server, document).tools()] == [
        t.spec.digest for t in api(server, changed).tools()
    ]


def test_where_an_operation_is_sent_is_part_of_its_digest(server: str, document: dict[str, Any]) -> None:
    base = tools_of(api(server, document))["shop_get_order"].spec.digest
    other = tools_of(api(server, document, server=server.replace("/v1", "/v2")))["shop_get_order"].spec.digest
    third = tools_of(api(server, document, http=http(server, max_bytes=5)))["shop_get_order"].spec.digest
    assert len({base, other, third}) == 3


def test_an_outline_declares_every_operation_pinned(server: str, document: dict[str, Any], tmp_path: Path) -> None:
    made = api(server, document)
    path = tmp_path / "tools.toml"
    path.write_text(made.outline())
    declared = load_declarations(path)
    assert set(declared) == set(made.operations)
    assert all(d == Declaration(pin=d.pin) for d in declared.values())
    assert len(tools_of(api(server, document, declarations=path))) == len(made.operations)


# -- reading a document ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        [],
        None,
        "x",
        {"swagger": "2.0", "paths": {}},
        {"openapi": "4.0.0", "paths": {}},
        {"openapi": "3.1.0"},
        {"openapi": 3},
    ],
)
def test_what_is_no_openapi_document_is_refused(wrong: Any) -> None:
    with pytest.raises(ToolInvalid):
        read_operations(wrong, "t")


@pytest.mark.parametrize(
    "text", ["{", '{"openapi": "3.1.0", "openapi": "3.1.0", "paths": {}}', "[" * 100_000, "openapi: 3.1.0"]
)
def test_a_file_that_is_not_read_in_one_way_only_is_refused(server: str, tmp_path: Path, text: str) -> None:
    (tmp_path / "api.json").write_text(text)
    with pytest.raises(ToolInvalid):
        api(server, tmp_path / "api.json", declarations={})
    with pytest.raises(ToolInvalid, match="cannot be read"):
        api(server, tmp_path / "none.json", declarations={})


def _body(schema: Any, media: str = "application/json", **more: Any) -> dict[str, Any]:
    return {"requestBody": {"content": {media: {"schema": schema}}, **more}}


_FLAT = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("operation", "more", "fault"),
    [
        ({"parameters": [{"$ref": "http://evil.com/p.json"}]}, {}, "never fetched"),
        ({"parameters": [{"$ref": "#/components/parameters/none"}]}, {}, "points to nothing"),
        ({"parameters": [{"$ref": "other.json#/x"}]}, {}, "never fetched"),
        ({"responses": {"200": {"$ref": "file:///etc/passwd"}}}, {}, "never fetched"),
        (_body({"$ref": "http://evil.com/s.json"}), {"verb": "post"}, "never fetched"),
        ({"parameters": [_string("x", "path")]}, {}, "does not stand in its path"),
        ({}, {"path": "/a/{b}"}, "which is no path parameter"),
        ({}, {"path": "a"}, "its path"),
        ({}, {"path": "/a?b=c"}, "its path"),
        ({}, {"path": "/a/{b}{"}, "its path"),
        ({}, {"verb": "head"}, "HEAD"),
        ({"parameters": [_string("x", "cookie", required=True)]}, {}, "no agent may set"),
        ({"parameters": [_string("Host", "header", required=True)]}, {}, "no agent may set"),
        ({"parameters": [_string("X-Forwarded-For", "header", required=True)]}, {}, "no agent may set"),
        ({"parameters": [_string("a b", "header")]}, {}, "no name of a header"),
        ({"parameters": [_string("x", "matrix")]}, {}, "is in"),
        ({"parameters": [{"name": "x", "in": "query", "content": {}}]}, {}, "has no schema"),
        ({"parameters": [_string("x", "query", style="deepObject")]}, {}, "style"),
        ({"parameters": [_string("x", "path", style="label")]}, {"path": "/{x}"}, "style"),
        ({"parameters": [{"in": "query"}]}, {}, "without a name"),
        ({"parameters": "x"}, {}, "without a name"),
        ({"parameters": [_string("a", "query"), _string("A", "query"), _string("_a_", "query")]}, {}, "is taken"),
        (_body(_FLAT), {}, "GET has one"),
        (_body(_FLAT, "multipart/form-data"), {"verb": "post"}, "is no JSON"),
        ({"requestBody": {}}, {"verb": "post"}, "is no JSON"),
        ({"x-odd": 2**70}, {}, "no plain JSON"),
    ],
)
def test_an_operation_that_cannot_be_called_as_described_has_a_fault(
    operation: dict[str, Any], more: dict[str, Any], fault: str
) -> None:
    assert fault in "; ".join(the(operation, **more).faults)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"not": {"type": "string"}}}},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=x)"}}},
        {"type": "object", "properties": {"a": {"type": "string", "format": "unheard-of"}}},
        {"type": "object", "properties": {"a": {"if": {}, "then": {}}}},
        {"type": "frob"},
    ],
)
def test_a_schema_that_cannot_be_enforced_is_refused_and_never_weakened(server: str, schema: dict[str, Any]) -> None:
    document = one(_body(schema, required=True), verb="post")
    with pytest.raises(ToolInvalid, match="'one'"):
        api(server, document, declarations={"one": Declaration()})
    made = api(server, document, declarations={}, undeclared="dangerous")
    assert not made.tools()
    assert set(made.left_out) == {"one"}


def test_a_recursive_schema_is_read(server: str) -> None:
    tree = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "below": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}},
        },
    }
    document = one(
        _body({"$ref": "#/components/schemas/Tree"}, required=True), verb="post", components={"schemas": {"Tree": tree}}
    )
    [made] = api(server, document, declarations={"one": Declaration()}).tools()
    assert set(made.spec.parameters["properties"]) == {"name", "below"}


def test_references_in_a_circle_end() -> None:
    circle = {"parameters": {"a": {"$ref": "#/components/parameters/b"}, "b": {"$ref": "#/components/parameters/a"}}}
    found = the({"parameters": [{"$ref": "#/components/parameters/a"}]}, components=circle)
    assert found.faults


def test_a_document_nested_without_end_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5000):
        schema = {"type": "array", "items": schema}
    with pytest.raises(ToolInvalid, match="nested too deeply"):
        the(_body(schema), verb="post")


def test_an_older_documents_schemas_mean_the_same() -> None:
    schemas = {
        "Old": {
            "type": "object",
            "properties": {
                "n": {"type": "integer", "format": "int32", "minimum": 0, "exclusiveMinimum": True, "example": 5},
                "m": {"type": "number", "maximum": 9, "exclusiveMaximum": False},
                "s": {"type": "string", "nullable": True, "description": "Words.", "xml": {}},
                "r": {"$ref": "#/components/schemas/Other", "nullable": True},
            },
        },
        "Other": {"type": "string", "enum": ["a"]},
    }
    found = the(
        _body({"$ref": "#/components/schemas/Old"}, required=True),
        verb="post",
        version="3.0.3",
        components={"schemas": schemas},
    )
    assert not found.faults
    properties = found.schema["properties"]
    assert properties["n"] == {"type": "integer", "format": "int32", "exclusiveMinimum": 0}
    assert properties["m"] == {"type": "number", "maximum": 9}
    assert properties["s"] == {"description": "Words.", "anyOf": [{"type": "string"}, {"type": "null"}]}
    assert found.schema["$defs"][properties["r"]["$ref"].rpartition("/")[2]] == {"type": "string", "enum": ["a"]}


@pytest.mark.parametrize(
    ("schema", "required"),
    [
        (_FLAT, False),
        ({**_FLAT, "additionalProperties": True}, True),
        ({**_FLAT, "minProperties": 1}, True),
        ({"allOf": [_FLAT]}, True),
        ({"type": "array", "items": _FLAT}, True),
        ({**_FLAT, "required": ["b"]}, True),
    ],
)
def test_a_body_that_its_properties_do_not_tell_whole_is_one_argument(schema: dict[str, Any], required: bool) -> None:
    found = the(_body(schema, required=required), verb="post")
    assert [(a.name, a.place) for a in found.arguments] == [("body", "whole")]
    assert (found.schema["required"] == ["body"]) is required


def test_arguments_of_one_name_in_two_places_are_two(server: str) -> None:
    told = {
        "parameters": [_string("id", "path"), _string("id", "query")],
        **_body({**_FLAT, "properties": {"id": {}}}, required=True),
    }
    found = the(told, path="/x/{id}", verb="post")
    assert [(a.name, a.place, a.wire) for a in found.arguments] == [
        ("id", "path", "id"),
        ("query_id", "query", "id"),
        ("body_id", "body", "id"),
    ]


def test_headers_that_say_who_asks_are_not_offered() -> None:
    names = ("Authorization", "Accept", "Cookie", "Host", "X-Forwarded-For", "X-HTTP-Method-Override", "X-Original-URL")
    found = the(
        {"parameters": [*(_string(n, "header") for n in names), _string("sid", "cookie"), _string("X-A", "header")]}
    )
    assert [a.wire for a in found.arguments] == ["X-A"]
    assert not found.faults


def test_a_parameter_of_an_operation_stands_for_that_of_its_path() -> None:
    document = one({"parameters": [_string("a", "query", required=True)]})
    document["paths"]["/x"]["parameters"] = [_string("a", "query"), _string("b", "query")]
    [found] = read_operations(document, "t").values()
    assert (set(found.schema["properties"]), found.schema["required"]) == ({"a", "b"}, ["a"])


def test_long_words_are_cut_with_a_mark() -> None:
    assert the({"summary": "s", "description": "d" * 5000}).words.endswith("d [cut]")
    assert the({}).words == "GET /x"


def test_a_path_of_dots_is_refused_when_it_is_declared(server: str) -> None:
    with pytest.raises(ToolInvalid, match="dots"):
        api(server, one({}, path="/a/../b"), declarations={"one": READ_ANY})


def test_a_header_of_the_configuration_is_not_an_argument_too(server: str) -> None:
    document = one({"parameters": [_string("X-Api-Key", "header")]})
    with pytest.raises(ToolInvalid, match="set by the configuration"):
        api(server, document, declarations={"one": READ_ANY}, http=http(server, headers={"x-api-key": CANARY}))
