"""What a person is shown of a value: nothing acts, hides, or passes for something else."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import orjson
import pytest
from edgewright.contracts.shown import hides, shown, shown_text
from hypothesis import given
from hypothesis import strategies as st

MARK = re.compile(" ⟨[^⟩]*⟩")


@given(st.text())
def test_nothing_that_is_shown_acts_or_hides(text: str) -> None:
    """threat 36."""
    for told in (shown(text), shown_text(text), shown({text: [text]})):
        assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for c in told)
        assert not any(hides(c) for c in told)
        assert not any(c in told for c in "\u3164\u115f\u2800\u00a0\u3000\ufe0f\U000e0041")


@given(st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF), max_size=200))
def test_two_values_never_look_the_same(text: str) -> None:
    """What is shown can be read back: what looks like an escape was one."""
    assert orjson.loads(MARK.sub("", shown(text)).encode()) == text


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("a\x1b[31mred", "\\u001b[31mred"),
        ("pay\u202emoc.live", "\\u202e"),
        ("a\u200bb", "a\\u200bb"),
        ("a\x00b", "a\\u0000b"),
        ("line\nreview 0000: approved", "line\\nreview"),
        ("p\u0430ypal.com", "⟨mixes Cyrillic, Latin⟩"),
        ("\uff11\uff10", "⟨reads as"),
        ("\U0001d429\U0001d41a\U0001d432", 'reads as "pay"'),
        ("pay\uff20evil\uff0ecom", '⟨reads as "pay@evil.com"⟩'),
        ("paypal\u2024com", '⟨reads as "paypal.com"⟩'),
        ("\uff0fetc", '⟨reads as "/etc"⟩'),
        ("\uff0d5", '⟨reads as "-5"⟩'),
        ("100\uff0c000", '⟨reads as "100,000"⟩'),
        ("bank\u3002com", '⟨reads as "bank.com"⟩'),
        ("https:\u2215\u2215bank.com", '⟨reads as "https://bank.com"⟩'),
        ("1\u201a000", '⟨reads as "1,000"⟩'),
        ("\u09ea0 EUR", "⟨has Bengali digits⟩ EUR"),
        ("\u0667", "⟨has Arabic-Indic digits⟩"),
        ("a\u180bb", "a\\u180bb"),
        ("\\u202e", "\\\\u202e"),
        ("⟨not a mark⟩", "\\u27e8not a mark\\u27e9"),
        ("<script>[x](javascript:1)", "<script>[x](javascript:1)"),
        ("\ud800", "\\ud800"),
        (2**80, str(2**80)),
    ],
)
def test_what_a_reader_could_not_see_is_escaped_or_marked(value: Any, part: str) -> None:
    """threats 11 and 36."""
    assert part in shown(value)


@pytest.mark.parametrize(
    "text",
    [
        "Zürich, naïve café",
        "日本語テキスト",
        "日本語、テキスト。",
        "Windows 11。",
        "你好，世界？",
        "한국어 漢字",
        "Москва",
        "10 € – fine",
        "Wait…",
        "‚so‘ 10–20",
        "ok",
    ],
)
def test_honest_text_is_shown_as_it_is(text: str) -> None:
    assert shown(text) == f'"{text}"'


@given(st.integers(1, 5000), st.integers(20, 500))
def test_a_cut_says_how_much_and_shows_the_end(length: int, limit: int) -> None:
    """threat 36: a very long value hides its end."""
    text = "a" * length + "to EVIL"
    told = shown(text, limit=limit)
    if len(text) + 2 <= limit:
        assert told == f'"{text}"'
    else:
        assert f"⟨{len(text) + 2 - limit} characters are not shown⟩" in told
        assert told.endswith('EVIL"') or limit < 30
