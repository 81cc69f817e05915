"""Card numbers are found as people write them; numbers that only look like it are left alone."""

from __future__ import annotations

import pytest
from edgewright.contracts.detectors import card_numbers, redact, shown
from hypothesis import given
from hypothesis import strategies as st

CARD = "4111111111111111"
CARDS = [CARD, "5555555555554444", "378282246310005", "6011111111111117", "4222222222222", "6304000000000000000"]


def _check(digits: str) -> str:
    total = 0
    for place, char in enumerate(reversed(digits + "0")):
        value = int(char) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def _redacted(text: str) -> str:
    new, _ = redact(text, ("card_number",))
    assert isinstance(new, str)
    return new


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize(
    "separator", ["", " ", "-", "  ", ".", "\u00a0", "\u2009", "\u202f", "\u2011", "\u2013", " - "[:2]]
)
def test_a_card_number_is_found_however_it_is_grouped(card: str, separator: str) -> None:
    written = separator.join(card[i : i + 4] for i in range(0, len(card), 4))
    assert _redacted(f"My card: {written}, thanks") == "My card: [card_number], thanks"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4111 1111 1111 1111 123", "[card_number] 123"),
        ("4111 1111 1111 1111 12/27", "[card_number] 12/27"),
        ("4111111111111111 12/27 123", "[card_number] 12/27 123"),
        ("order 12 4111111111111111", "order 12 [card_number]"),
        ("2024-05-01 4111-1111-1111-1111", "2024-[card_number]"),  # 05-01-4111-1111-1111 is Luhn-valid too
        ("4111111111111111 5555555555554444", "[card_number] [card_number]"),
        ("x4111111111111111y", "x[card_number]y"),
        ("４１１１１１１１１１１１１１１１", "[card_number]"),
        ("٤١١١١١١١١١١١١١١١", "[card_number]"),
        ("\n4111111111111111\n", "\n[card_number]\n"),
    ],
)
def test_digits_beside_a_card_number_do_not_hide_it(text: str, expected: str) -> None:
    assert _redacted(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",  # fails Luhn
        "0000 0000 0000 0000",
        "411111111111",  # 12 digits
        "41111111111111111111",  # 20 digits in one piece are no card
        "41111111111111111234567",
        "+49 170 1234567",
        "4111 1111 and 1111 1111",
        "",
    ],
)
def test_what_only_looks_like_a_card_number_is_left_alone(text: str) -> None:
    assert _redacted(text) == text


@given(st.text("0123456789", min_size=12, max_size=18), st.text("ab ,;", max_size=8), st.text("ab ,;", max_size=8))
def test_every_luhn_valid_number_is_found_and_its_neighbour_is_not(body: str, before: str, after: str) -> None:
    valid = body + _check(body)
    wrong = body + str((int(valid[-1]) + 1) % 10)
    clean = f"{before}[card_number]{after}" if len(set(valid)) > 1 else f"{before}{valid}{after}"
    assert _redacted(f"{before}{valid}{after}") == clean
    assert _redacted(f"{before}{wrong}{after}") == f"{before}{wrong}{after}"


@given(st.text("0123456789 -.x", max_size=120))
def test_spans_are_in_order_apart_and_inside_the_text(text: str) -> None:
    at = 0
    for start, end in card_numbers(text):
        assert at <= start < end <= len(text)
        assert sum(c.isdigit() for c in text[start:end]) >= 13
        at = end
    assert not list(card_numbers(_redacted(text)))


def test_redaction_goes_into_lists_mappings_and_keys_and_says_where() -> None:
    value = {"a": [{"note": f"x {CARD}"}], CARD: 1, f"{CARD} {CARD}": 2, "plain": 3}
    new, found = redact(value, ("card_number",))
    assert new == {"a": [{"note": "x [card_number]"}], "[card_number]": 1, "[card_number] [card_number]": 2, "plain": 3}
    assert ("a[0].note", "card_number") in found
    assert CARD not in repr(found)


def test_two_keys_that_redact_alike_are_still_two() -> None:
    new, _ = redact({CARD: 1, "5555555555554444": 2}, ("card_number",))
    assert sorted(new.values()) == [1, 2]


def test_without_detectors_nothing_is_redacted() -> None:
    assert redact({"a": CARD}, ()) == ({"a": CARD}, [])


@pytest.mark.parametrize(
    ("key", "expected"), [("note", "note"), ("größe", "größe"), ("a b", "*"), (CARD, "*"), ("", "*")]
)
def test_a_key_is_shown_only_if_it_is_a_name(key: str, expected: str) -> None:
    assert shown(key) == expected
