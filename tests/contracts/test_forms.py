"""What says who or what is acted on is written in one way, and holds nothing that a person cannot see."""

from __future__ import annotations

import pytest
from edgewright.contracts.forms import MAX_TARGET, faults_of_form


@pytest.mark.parametrize(
    "text",
    [
        "１０",
        "eve@evil\u200b.com",
        "\u202egro.live",
        "a\x00b",
        "ﬁle.txt",
        "A\u030a",
        "x" * (MAX_TARGET + 1),
        "a\x1b[0m",
        "\ufeffx",
    ],
)
def test_a_target_that_is_not_what_it_looks_like_is_refused(text: str) -> None:
    """Threat 11."""
    for given in (text, [text], {"inner": text}, {text: 1}):
        assert faults_of_form({"to": given}, {"to": "target"})
        assert faults_of_form({"to": given}, {})


@pytest.mark.parametrize("text", ["lena@corp.com", "Ångström", "北京", "reports/june 2024.txt", "two\nlines"])
def test_ordinary_text_of_any_language_may_be_a_target(text: str) -> None:
    assert faults_of_form({"to": text}, {"to": "target"}) == []


def test_free_text_may_hold_what_it_likes() -> None:
    assert faults_of_form({"body": "\u202e１０\u200b"}, {"body": "content"}) == []
