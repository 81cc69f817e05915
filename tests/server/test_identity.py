"""A server that knows people: reviews are answered by them alone, and nobody is taken at their word."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from edgewright.contracts.errors import ProjectInvalid
from edgewright.contracts.review import ReviewAnswer, Reviewer
from edgewright.graphs.system import System
from edgewright.ledger.records import ReviewAnswered, RunStarted
from edgewright.server.app import create_app
from edgewright.server.identity import Tokens, identified
from edgewright.server.project import Served
from edgewright.tools import signing
from fastapi import HTTPException, Request
from hypothesis import given
from hypothesis import strategies as st

from .conftest import Serve
from .house import REVIEWED, Till, desk

TOKENS = {name: f"{name}-{'0123456789abcdef' * 2}" for name in ("ana", "ben", "eve", "uma")}
APPROVE = {"decision": "approve", "reason": "agreed by phone"}


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


PEOPLE = Tokens(
    [
        (digest(TOKENS["ana"]), Reviewer("ana", frozenset({"finance"}))),
        (digest(TOKENS["ben"]), Reviewer("ben", frozenset({"finance"}))),
        (digest(TOKENS["eve"]), Reviewer("eve", frozenset({"sales"}))),
        (digest(TOKENS["uma"]), Reviewer("uma", frozenset({"finance"}), "acme")),
    ]
)


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[name]}"}


@pytest.fixture
def shop(tmp_path: Path, till: Till) -> System:
    return desk(tmp_path / "shop", till=till, environment="production")


@pytest.fixture
async def http(serve: Serve, shop: System) -> AsyncIterator[httpx.AsyncClient]:
    url = await serve(shop, identify=PEOPLE)
    async with httpx.AsyncClient(base_url=url, timeout=30) as made:
        yield made


async def _asked(http: httpx.AsyncClient, by: str) -> tuple[str, dict[str, Any]]:
    """A thread that waits for a review, and the interrupt."""
    thread = (await http.post("/threads", json={}, headers=bearer(by))).json()["thread_id"]
    body = {"assistant_id": "desk", "input": REVIEWED}
    out = (await http.post(f"/threads/{thread}/runs/wait", json=body, headers=bearer(by))).json()
    [interrupt] = out["__interrupt__"]
    return thread, interrupt


async def _answer(http: httpx.AsyncClient, thread: str, resume: Any, headers: dict[str, str]) -> httpx.Response:
    body = {"assistant_id": "desk", "command": {"resume": resume}}
    return await http.post(f"/threads/{thread}/runs/wait", json=body, headers=headers)


async def test_a_review_is_answered_by_a_known_person_with_its_role_and_by_nobody_else(
    http: httpx.AsyncClient, shop: System, till: Till
) -> None:
    """threats 29 and 31."""
    thread, asked = await _asked(http, "eve")
    assert asked["value"]["started_by"] == "eve"
    refused = await _answer(http, thread, APPROVE, bearer("eve"))
    assert (refused.status_code, refused.json()["error"]) == (403, "ReviewerRefused")
    assert (await _answer(http, thread, APPROVE, {})).status_code == 401
    claimed = {**APPROVE, "reviewer": "ana"}
    assert (await _answer(http, thread, claimed, bearer("eve"))).status_code == 403
    signed = signing.signed(
        b"guessed" * 5,
        ReviewAnswer(decision="approve", reason="fine"),
        review=asked["value"]["id"],
        binding=asked["value"]["binding"],
        reviewer=Reviewer("ana", frozenset({"finance"})),
        tenant="local",
    ).model_dump(mode="json")
    forged = await _answer(http, thread, {asked["id"]: signed}, bearer("eve"))
    assert forged.status_code == 422
    assert "signature" in forged.text
    assert till.paid == []
    assert (await _answer(http, thread, {asked["id"]: claimed}, bearer("ben"))).status_code == 200
    assert till.paid == [3000]
    [run] = shop.ledger.runs(thread=thread)
    records = [e.record for e in shop.ledger.entries(run.run)]
    assert [r.started_by for r in records if isinstance(r, RunStarted)] == ["eve"]
    assert [r.reviewer for r in records if isinstance(r, ReviewAnswered)] == ["ben"]
    again = await _answer(http, thread, {asked["id"]: claimed}, bearer("ben"))
    assert (again.status_code, till.paid) == (422, [3000])


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "")],
        [("Authorization", "Bearer")],
        [("Authorization", f"Bearer {TOKENS['ana'][:-1]}")],
        [("Authorization", f"Bearer  {TOKENS['ana']}")],
        [("Authorization", f"Bearer {TOKENS['ana'].upper()}")],
        [("Authorization", f"Basic {TOKENS['ana']}")],
        [("Authorization", TOKENS["ana"])],
        [("Authorization", f"Bearer {digest(TOKENS['ana'])}")],
        [("Authorization", f"Bearer {TOKENS['eve']}"), ("Authorization", f"Bearer {TOKENS['ana']}")],
        [("X-Api-Key", TOKENS["ana"])],
        [("Authorization", "Bearer " + "x" * 5000)],
    ],
)
async def test_without_a_known_token_nothing_is_answered(
    http: httpx.AsyncClient, headers: list[tuple[str, str]]
) -> None:
    """threats 49 and 50."""
    for method, path in (
        ("GET", "/info"),
        ("POST", "/assistants/search"),
        ("GET", "/assistants/desk"),
        ("POST", "/threads"),
        ("POST", "/threads/search"),
        ("GET", "/threads/3b1f0c52-7a0e-4f57-9d2e-64b5a1f0c0de"),
        ("POST", "/threads/3b1f0c52-7a0e-4f57-9d2e-64b5a1f0c0de/runs/wait"),
        ("POST", "/threads/3b1f0c52-7a0e-4f57-9d2e-64b5a1f0c0de/state"),
    ):
        answer = await http.request(method, path, json={} if method == "POST" else None, headers=headers)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
    assert (await http.get(f"/info?token={TOKENS['ana']}")).status_code == 401
    assert (await http.get("/ok")).status_code == 200


@pytest.mark.parametrize(("host", "path"), [("h/ok?", "/info"), ("h/ok#", "/info"), ("h", "/o\tk"), ("h", "/ok/")])
async def test_what_is_open_goes_by_the_path_alone(shop: System, host: str, path: str) -> None:
    """threat 49: a URL is made of headers, too, and cleaned; routes know nothing of that."""
    app = create_app({"desk": Served(name="desk", graph=shop.graph, system=shop)}, home=shop.home, identify=PEOPLE)
    scope = {"type": "http", "method": "GET", "scheme": "http", "query_string": b"", "app": app, "path": path}
    with pytest.raises(HTTPException) as refused:
        await identified(Request({**scope, "headers": [(b"host", host.encode())]}))
    assert refused.value.status_code == 401


async def test_the_threads_of_another_tenant_are_not_there(http: httpx.AsyncClient, till: Till) -> None:
    """threats 31 and 43."""
    thread, asked = await _asked(http, "ana")
    [run] = (await http.get(f"/threads/{thread}/runs", headers=bearer("ana"))).json()
    missing = "3b1f0c52-7a0e-4f57-9d2e-64b5a1f0c0de"
    calls: list[tuple[str, str, Any]] = [
        ("GET", "/threads/{}", None),
        ("GET", "/threads/{}/state", None),
        ("POST", "/threads/{}/history", {}),
        ("GET", "/threads/{}/runs", None),
        ("GET", f"/threads/{{}}/runs/{run['run_id']}", None),
        ("GET", f"/threads/{{}}/runs/{run['run_id']}/join", None),
        ("POST", "/threads/{}/runs/wait", {"assistant_id": "desk", "input": REVIEWED}),
        ("POST", "/threads/{}/runs/wait", {"assistant_id": "desk", "command": {"resume": {asked["id"]: APPROVE}}}),
        ("POST", "/threads/{}/runs/stream", {"assistant_id": "desk", "command": {"resume": APPROVE}}),
    ]
    for method, path, body in calls:
        theirs, none = [
            await http.request(method, path.format(t), json=body, headers=bearer("uma")) for t in (thread, missing)
        ]
        assert (theirs.status_code, none.status_code) == (404, 404), path
        assert theirs.text.replace(thread, "#") == none.text.replace(missing, "#")
    found = (await http.post("/threads/search", json={}, headers=bearer("uma"))).json()
    assert found == []
    again = {"thread_id": thread, "if_exists": "do_nothing"}
    assert (await http.post("/threads", json=again, headers=bearer("uma"))).status_code == 409
    assert till.paid == []
    assert (await _answer(http, thread, {asked["id"]: APPROVE}, bearer("ben"))).status_code == 200
    assert till.paid == [3000]


async def test_an_interrupt_of_another_thread_is_not_open_here(http: httpx.AsyncClient, till: Till) -> None:
    """threat 31."""
    (one, first), (two, _) = [await _asked(http, "ana") for _ in range(2)]
    for name in (first["id"], first["value"]["id"]):
        answer = await _answer(http, two, {name: APPROVE}, bearer("ben"))
        assert (answer.status_code, "not open" in answer.text) == (422, True)
    assert till.paid == []
    assert (await _answer(http, one, {first["id"]: APPROVE}, bearer("ben"))).status_code == 200


async def test_a_review_that_nobody_answered_in_time_is_a_no_over_http(
    http: httpx.AsyncClient, till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    """threat 38."""
    thread, asked = await _asked(http, "ana")
    go_on = {"assistant_id": "desk"}
    early = await http.post(f"/threads/{thread}/runs/wait", json=go_on, headers=bearer("ana"))
    assert early.status_code == 422
    monkeypatch.setattr(signing, "now", lambda: asked["value"]["expires"] + 1)
    late = await _answer(http, thread, {asked["id"]: APPROVE}, bearer("ben"))
    assert (late.status_code, late.json()["error"]) == (422, "ReviewExpired")
    out = await http.post(f"/threads/{thread}/runs/wait", json=go_on, headers=bearer("ana"))
    assert out.status_code == 200
    assert "review.expired" in out.text
    assert till.paid == []


async def test_no_token_is_logged(http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    """threat 52."""
    caplog.set_level(logging.DEBUG)
    await http.get("/info", headers=bearer("ana"))
    await http.get("/info", headers={"Authorization": "Bearer wrong-" + TOKENS["ana"]})
    assert TOKENS["ana"] not in "".join(r.getMessage() for r in caplog.records if r.name.startswith("edgewright"))
    assert digest(TOKENS["ana"]) not in repr(PEOPLE)


def test_a_server_that_knows_people_may_serve_production(shop: System) -> None:
    graphs = {"desk": Served(name="desk", graph=shop.graph, system=shop)}
    with pytest.raises(ProjectInvalid, match="--reviewers"):
        create_app(graphs, home=shop.home)
    create_app(graphs, home=shop.home, identify=PEOPLE)


ROW = '[[reviewer]]\nid = "ana"\nroles = ["finance"]\ntoken_sha256 = "{}"\n'


def test_tokens_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "reviewers.toml"
    path.write_text(ROW.format(digest(TOKENS["ana"])) + 'tenant = "acme"\n')
    known = Tokens.read(path)
    assert known({"authorization": f"bearer {TOKENS['ana']}"}) == Reviewer("ana", frozenset({"finance"}), "acme")
    assert known({"authorization": f"Bearer {TOKENS['ben']}"}) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "something else than tables"),
        ("[[reviewer]", "is not TOML"),
        ("reviewer = []\n", "names nobody"),
        (ROW.format(digest("")), "empty, short"),
        (ROW.format(digest("ab")), "empty, short"),
        (ROW.format(digest("password")), "empty, short"),
        (ROW.format(""), "no SHA-256"),
        (ROW.format("12" * 31), "no SHA-256"),
        (ROW.format("zz" * 32), "no SHA-256"),
        (ROW.format("1" * 64) * 2, "another's"),
        (ROW.format("1" * 64) + ROW.format("2" * 64).replace('"ana"', '"\u0430na"'), "spelling"),
        (ROW.format("1" * 64).replace('"finance"', '"*"'), "is no role"),
        (ROW.format("1" * 64).replace('["finance"]', '"finance"'), "no list of names"),
        (ROW.format("1" * 64).replace('"ana"', '""'), "its id is"),
        (ROW.format("1" * 64).replace('"ana"', '"local operator"'), "without a name"),
        (ROW.format("1" * 64).replace("token_sha256", "token"), "never stands in the file"),
    ],
)
def test_a_file_that_would_let_anybody_in_is_refused_at_start(tmp_path: Path, text: str, fault: str) -> None:
    """threat 50."""
    path = tmp_path / "reviewers.toml"
    path.write_text(text)
    with pytest.raises(ProjectInvalid, match=fault):
        Tokens.read(path)
    with pytest.raises(ProjectInvalid, match="cannot be read"):
        Tokens.read(tmp_path / "none.toml")


@given(st.text(max_size=60))
def test_a_token_that_was_never_given_out_names_nobody(token: str) -> None:
    if token not in TOKENS.values():
        assert PEOPLE({"authorization": f"Bearer {token}"}) is None


def test_a_short_token_is_never_taken_although_its_digest_stands_in_the_file() -> None:
    """threat 50."""
    known = Tokens([(digest("Tr0ub4dor"), Reviewer("ana"))])
    assert known({"authorization": "Bearer Tr0ub4dor"}) is None
