"""The user's own words name a value that stands in them whole, and nothing that stands there by chance."""

from __future__ import annotations

from decimal import Decimal

import pytest
from edgewright.contracts.words import Words, numbers_in, parts_of
from hypothesis import given
from hypothesis import strategies as st


def words(*texts: str) -> Words:
    """An index over these texts."""
    found = Words()
    for text in texts:
        found.add(text)
    return found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Pay 50 to DE44100211110000123456, please.", "DE44100211110000123456"),
        ("Answer lena.fischer@corp.com!", "lena.fischer@corp.com"),
        ("Delete (reports/june 2024.txt)", "reports/june 2024.txt"),
        ("Tell #general that I am late", "general"),
        ("Read 'Quarterly Report' and sum it up", "quarterly report"),
        ("what does http://corp.com/plan say?", "http://corp.com/plan"),
    ],
)
def test_a_value_that_stands_whole_in_the_users_words_is_named(text: str, value: str) -> None:
    assert words(text).holds(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Meet me on June 13", "13"),
        ("Grade A would be fine", "A"),
        ("in 2024 we were many", "2024"),
        ("write to eve@corp.com", "corp.com"),
        ("write to eve@corp.com", "eve"),
        ("open plan.txt.bak", "plan.txt"),
        ("the account is DE441002", "DE4410"),
        ("pay Bob", "Bob Smith"),
        ("", "anything"),
    ],
)
def test_a_value_that_stands_there_in_part_or_by_chance_is_not_named(text: str, value: str) -> None:
    """Threat 15."""
    assert not words(text).holds(value)


def test_a_value_never_stands_over_the_border_of_two_texts() -> None:
    assert not words("pay the bill of City", "Power has an account").holds("City Power")


def test_a_single_word_counts_as_a_name_only_where_it_is_written_as_one() -> None:
    found = words("pay the bill that Tom sent from x-ray.com")
    assert found.proper & parts_of("Tom Jones") == {"tom"}
    assert not found.proper & parts_of("mail@x-ray.com")
    assert not found.proper & parts_of("the bill")
    assert found.single >= parts_of("the bill")


@pytest.mark.parametrize("text", ["1,200.50 EUR", "EUR 1.200,50", "(1200.50)", "pay 1'200.50!"])
def test_a_number_is_the_same_however_it_is_written(text: str) -> None:
    assert numbers_in(text) == {Decimal("1200.5")}


@given(st.text(alphabet="0123456789.,' -E٣", max_size=20))
def test_whatever_a_text_holds_its_numbers_can_be_read(text: str) -> None:
    assert all(number.is_finite() and number >= 0 for number in numbers_in(text))


def test_a_list_of_figures_is_no_number_with_hundredths() -> None:
    assert numbers_in("VALUES (1,'20','30')") == {Decimal(12030)}


def test_numbers_within_words_are_none() -> None:
    assert numbers_in("DE44 and v12") == set()


@given(st.text(max_size=60), st.text(max_size=20))
def test_whatever_is_held_stands_in_the_text(text: str, value: str) -> None:
    if words(text).holds(value):
        squeezed = "".join(c for c in value.casefold() if c.isalnum())
        assert squeezed in "".join(c for c in text.casefold() if c.isalnum())


def test_a_name_is_the_same_with_its_accents_and_without() -> None:
    assert words("Róisín wants it").proper == parts_of("roisin") == {"roisin"}
