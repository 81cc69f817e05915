"""A name that must never cross does not cross in another spelling, nor inside a text that is JSON."""

from __future__ import annotations

from typing import Any

import pytest
from edgewright import Contract, Never
from edgewright.contracts.errors import ContractViolation
from edgewright.contracts.names import folded
from edgewright.graphs.history import without
from pydantic import BaseModel

SPELLINGS = [
    "password",
    "Password",
    "PASSWORD",
    "pass_word",
    "pass-word",
    "password ",
    "ｐａｓｓｗｏｒｄ",
    "pass\u200bword",
]


class Loose(BaseModel):
    notes: dict[str, str] = {}
    text: str = ""


LOOSE = Contract(Loose, version=1, never=Never(fields=["password"]))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_a_forbidden_name_breaks_the_contract(spelling: str) -> None:
    assert folded(spelling) == "password"
    with pytest.raises(ContractViolation, match="must never cross"):
        LOOSE.check({"notes": {spelling: "x"}}, received={}, edge="a→b")


@pytest.mark.parametrize(
    "text", ['{"password": "hunter2"}', ' [{"a": {"Pass_Word": 1}}]', '{"a": "{\\"password\\": 1}"}']
)
def test_a_forbidden_name_inside_a_text_that_is_json_breaks_the_contract(text: str) -> None:
    with pytest.raises(ContractViolation, match="must never cross"):
        LOOSE.check({"text": text}, received={}, edge="a→b")


@pytest.mark.parametrize("text", ["the password is gone", "{not json", "[1, 2]", '{"pass": 1}'])
def test_other_texts_cross(text: str) -> None:
    assert LOOSE.check({"text": text}, received={}, edge="a→b").payload["text"] == text


@pytest.mark.parametrize(
    "value", [{"Pass_Word": "hunter2", "a": 1}, 'so: {"PASSWORD": "hunter2", "a": 1} and', '{"pass-word": "hunter2']
)
def test_history_leaves_every_spelling_behind(value: Any) -> None:
    assert "hunter2" not in str(without(value, ["password"]))
