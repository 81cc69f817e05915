"""What a person declares of tools in a file: read whole or refused whole, with every fault."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import pytest
from edgewright.contracts.errors import DeclarationsInvalid
from edgewright.contracts.labels import Sensitivity
from edgewright.contracts.tool import Effect, Idempotency, Limit, Role, Trust
from edgewright.tools.foreign.declarations import Declaration, load_declarations, read_declarations
from hypothesis import given
from hypothesis import strategies as st

PIN = "sha256:" + "a" * 64


def load(tmp_path: Path, text: str | bytes) -> dict[str, Declaration]:
    path = tmp_path / "tools.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_declarations(path)


def faults(tmp_path: Path, text: str | bytes) -> tuple[str, ...]:
    with pytest.raises(DeclarationsInvalid) as caught:
        load(tmp_path, text)
    assert str(tmp_path) in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return caught.value.faults


def test_what_is_left_out_is_the_most_dangerous(tmp_path: Path) -> None:
    [found] = load(tmp_path, "[tools.a]").values()
    assert found == Declaration()
    assert (found.effect, found.output, found.sensitivity, found.sink) == ("irreversible", "untrusted", "secret", True)
    assert (found.roles, found.idempotency, found.limits, found.pin) == ({}, "none", {}, "")


def test_everything_that_can_be_declared_is_read(tmp_path: Path) -> None:
    text = f"""
    [tools.pay]
    effect = "write"
    output = "trusted"
    sensitivity = "personal"
    sink = false
    roles = {{ account = "target", note = "content" }}
    idempotency = "key"
    timeout = 5
    description = "Pay somebody."
    pin = "{PIN}"
    [tools.pay.limits.cents]
    most = 500
    day = 10_000
    per = "account"

    [tools."repo.search"]
    effect = "read"
    """
    assert load(tmp_path, text) == {
        "pay": Declaration(
            effect="write",
            output="trusted",
            sensitivity="personal",
            sink=False,
            roles={"account": "target", "note": "content"},
            idempotency="key",
            timeout=5.0,
            description="Pay somebody.",
            pin=PIN,
            limits={"cents": Limit(most=500, day=10_000, per="account")},
        ),
        "repo.search": Declaration(effect="read"),
    }


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    text = """
    defaults = 1
    [tools.a]
    efect = "read"
    [tools.b]
    effect = "reads"
    roles = { x = "victim" }
    sink = "false"
    timeout = 0
    pin = "abc"
    [tools.c.limits.cents]
    most = 1.5
    mots = 1
    [tools]
    d = 1
    """
    found = faults(tmp_path, text)
    told = ["defaults", "tools.a.efect", "tools.b.effect", "tools.b.roles.x", "tools.b.sink", "tools.b.timeout"]
    told += ["tools.b.pin", "tools.c.limits.cents.most", "tools.c.limits.cents.mots", "tools.d"]
    assert sorted(fault.split(":")[0] for fault in found) == sorted(told)


@pytest.mark.parametrize(
    "line",
    [
        'timeout = "30"',
        "timeout = nan",
        "timeout = inf",
        "timeout = -1",
        "timeout = true",
        "sink = 0",
        "sink = 1",
        "description = 2026-05-01",
        'effect = "READ"',
        'effect = ["read"]',
        'roles = ["target"]',
        'roles = "target"',
        f'pin = "sha256:{"A" * 64}"',
        f'pin = "{PIN} "',
        f'pin = "{PIN}\\n"',
        "limits = { cents = 5 }",
        "limits = { cents = { most = 99999999999999999999 } }",
        "limits = { cents = { most = true } }",
    ],
)
def test_a_value_of_another_kind_is_refused(tmp_path: Path, line: str) -> None:
    assert len(faults(tmp_path, f"[tools.a]\n{line}")) == 1


@pytest.mark.parametrize("text", ["[tools.a", "[tools.a]\n[tools.a]", b"\xff", "tools = 1", "tools = [1]"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, text: str | bytes) -> None:
    assert len(faults(tmp_path, text)) == 1


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationsInvalid, match="cannot be read"):
        load_declarations(tmp_path / "gone.toml")


@pytest.mark.parametrize("other", ["Delete_Repo", "delete-repo", "deleteRepo", "ｄelete_repo", "delete_repo "])
def test_two_tools_that_can_be_taken_for_each_other_are_refused(tmp_path: Path, other: str) -> None:
    [fault] = faults(tmp_path, f'[tools.delete_repo]\n[tools."{other}"]')
    assert "too much like" in fault


def test_a_declaration_in_code_is_checked_as_one_in_a_file_is() -> None:
    assert Declaration(roles=MappingProxyType({"x": "target"})).faults() == []
    assert Declaration(roles={"x": object()}).faults()  # type: ignore[dict-item]
    assert Declaration(effect="reads", timeout=-1).faults() == [  # type: ignore[arg-type]
        "effect: Input should be 'read', 'write' or 'irreversible'",
        "timeout: Input should be greater than 0",
    ]


def test_an_empty_file_declares_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, "") == load(tmp_path, "[tools]") == {}


_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_KEYS = st.sampled_from(["effect", "output", "sensitivity", "sink", "roles", "idempotency", "timeout", "limits", "pin"])
_WORDS = st.sampled_from(
    [w for kind in (Effect, Trust, Sensitivity, Role, Idempotency) for w in get_args(kind)] + ["tru", "", PIN]
)


@given(st.dictionaries(_KEYS | st.text(max_size=8), _JSON | _WORDS, max_size=4))
def test_whatever_is_read_holds_by_itself_and_the_rest_is_refused(told: dict[str, Any]) -> None:
    try:
        [found] = read_declarations({"tools": {"a": told}}, "test").values()
    except DeclarationsInvalid:
        return
    assert found.faults() == []
    assert set(told) <= set(Declaration.__dataclass_fields__)
    for name, value in told.items():
        assert getattr(found, name) == value or isinstance(value, dict)
