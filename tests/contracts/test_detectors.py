"""Each detector finds its kind as people write it, and leaves alone what only looks like it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edgewright.contracts import detectors
from edgewright.contracts.detectors import DETECTORS, GROUPS, card_numbers, declare_detector, expand, shown
from edgewright.contracts.errors import DetectorInvalid
from edgewright.contracts.personal import Phone
from edgewright.contracts.redaction import Redactor
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum import iban as stdnum_iban

from .canaries import ALL, core

CARD = "4111111111111111"
CARDS = [CARD, "5555555555554444", "378282246310005", "6011111111111117", "4222222222222", "6304000000000000000"]


def _check(digits: str) -> str:
    total = 0
    for place, char in enumerate(reversed(digits + "0")):
        value = int(char) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def _redacted(text: str) -> str:
    new, _ = Redactor(("card_number",)).clean(text)
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


@given(st.lists(st.text("0123456789", min_size=1, max_size=19), min_size=1, max_size=9))
def test_a_row_of_groups_is_a_card_exactly_where_whole_groups_of_it_are(groups: list[str]) -> None:
    cards = [
        (first, last)
        for first in range(len(groups))
        for last in range(first, len(groups))
        if 13 <= len(row := "".join(groups[first : last + 1])) <= 19
        and len(set(row)) > 1
        and _check(row[:-1]) == row[-1]
    ]
    text = " ".join(groups)
    inside = {place for start, end in card_numbers(text) for place in range(start, end)}
    at = [sum(len(g) + 1 for g in groups[:n]) for n in range(len(groups) + 1)]
    longest = dict(cards)
    assert inside == {place for first, last in longest.items() for place in range(at[first], at[last + 1] - 1)}


@given(
    st.from_regex(r"[A-Z]{4}[0-9]{14}", fullmatch=True),
    st.sampled_from([0, 4, 5, 22]),
    st.text("09aZ -@", max_size=20),
)
def test_an_account_number_is_found_whatever_stands_behind_it(body: str, group: int, after: str) -> None:
    number = f"GB{98 - int(''.join(str(int(char, 36)) for char in f'{body}GB00')) % 97:02d}{body}"
    written = " ".join(number[i : i + group] for i in range(0, len(number), group)) if group else number
    assert stdnum_iban.is_valid(number)
    assert (2, 2 + len(written)) in DETECTORS["iban"].spans(f"x {written} {after}")


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
    new, found = Redactor(("card_number",)).clean(value)
    assert new == {"a": [{"note": "x [card_number]"}], "[card_number]": 1, "[card_number] [card_number]": 2, "plain": 3}
    assert ("a[0].note", "card_number") in found
    assert CARD not in repr(found)


def test_two_keys_that_redact_alike_are_still_two() -> None:
    new, _ = Redactor(("card_number",)).clean({CARD: 1, "5555555555554444": 2})
    assert sorted(new.values()) == [1, 2]


def test_without_detectors_nothing_is_redacted() -> None:
    assert Redactor(()).clean({"a": CARD}) == ({"a": CARD}, [])


@pytest.mark.parametrize(
    ("key", "expected"), [("note", "note"), ("größe", "größe"), ("a b", "*"), (CARD, "*"), ("", "*")]
)
def test_a_key_is_shown_only_if_it_is_a_name(key: str, expected: str) -> None:
    assert shown(key) == expected


# -- the registry --------------------------------------------------------------------------------------------------


@pytest.fixture
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detectors, "DETECTORS", dict(DETECTORS))


def test_every_detector_has_a_canary_and_finds_it() -> None:
    in_groups = [name for group in GROUPS.values() for name in group]
    assert sorted(ALL) == sorted([*in_groups, "card_number"])
    for name, datum in ALL.items():
        text = f"see {datum} there"
        found = [text[s:e] for s, e in DETECTORS[name].spans(text)]
        assert found, name
        assert core(name) in found[0], name
        assert all(word not in found[0] for word in ("see", "there")), name


@given(st.sampled_from(sorted(DETECTORS)), st.lists(st.sampled_from([*ALL.values(), "a", "1", " ", "@", ":", "\n"])))
@settings(max_examples=300, deadline=None)
def test_finds_lie_inside_the_text_and_a_look_never_denies_one(name: str, pieces: list[str]) -> None:
    text = "".join(pieces)
    detector: Any = DETECTORS[name]
    found = list(detector.spans(text))
    assert all(0 <= start < end <= len(text) for start, end in found)
    if found:
        assert detector.maybe(text)
        assert getattr(detector, "screen", None) is None or detector.screen(text)


def test_groups_and_names_expand_once_each_in_order() -> None:
    names = [d.name for d in expand(["email", "personal", "email", "card_number"])]
    assert names[0] == "email"
    assert names[-1] == "card_number"
    assert len(names) == len(set(names)) == len(GROUPS["personal"]) + 1


def test_an_unknown_detector_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(
        DetectorInvalid, match=r"no such detector or group; known: \['personal', 'secret', 'anthropic_key'"
    ):
        expand(["iris_scan"])


@pytest.mark.usefixtures("_own_registry")
def test_a_detector_of_ones_own_can_be_named() -> None:
    class Badge:
        name, window = "badge", 8

        def spans(self, text: str) -> Iterator[tuple[int, int]]:
            yield from (m.span() for m in re.finditer(r"B-\d{6}", text))

    declare_detector(Badge())
    assert Redactor(["badge"]).text("badge B-123456, please") == ("badge [badge], please", [("", "badge")])


@pytest.mark.usefixtures("_own_registry")
@pytest.mark.parametrize(
    ("name", "window", "fault"),
    [("email", 1, "taken"), ("secret", 1, "taken"), ("Bad Name", 1, "lower-case"), ("mine", 0, "at least 1")],
)
def test_a_detector_that_cannot_be_used_is_refused(name: str, window: int, fault: str) -> None:
    class Mine:
        def spans(self, text: str) -> list[tuple[int, int]]:
            return []

    mine: Any = Mine()
    mine.name, mine.window = name, window
    with pytest.raises(DetectorInvalid, match=fault):
        declare_detector(mine)


def test_importing_the_detectors_imports_no_library_of_them() -> None:
    code = "import sys; from edgewright.contracts import detectors; print([m for m in %r if m in sys.modules])"
    libraries = ["detect_secrets", "phonenumbers", "stdnum", "presidio_analyzer"]
    # In a process of its own, as this one has used them; without the package's own imports, which may grow.
    shim = "import sys, types; p = types.ModuleType('edgewright'); p.__path__ = [%r]; sys.modules['edgewright'] = p; "
    root = str(Path(detectors.__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-c", shim % root + code % libraries], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout.strip() == "[]"


def test_once_loaded_no_detector_opens_a_file_or_a_connection() -> None:
    expand(DETECTORS)
    seen: list[str] = []
    watching = True

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if watching and event in ("open", "socket.connect", "import", "subprocess.Popen"):
            seen.append(f"{event} {args[0]}")

    sys.addaudithook(watch)
    for datum in ALL.values():
        Redactor(tuple(DETECTORS)).text(f"see {datum} there")
    watching = False
    assert seen == []


# -- what is and is not a find -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("email", "Ann <ann.o'hara+x@mail.example.co.uk>, or bob@example.org. Thanks", 2),
        ("email", "müller@bücher.example", 1),
        ("email", "@user said a@b and see pkg@1.2.3", 0),
        ("phone", "+1 (202) 555-0123 or 0044 20 7946 0958", 2),
        ("phone", "order 00123456789, 2025550123, 0170 1234567, +1 000", 0),
        ("iban", "GB29 NWBK 6016 1331 9268 19 thanks, de89370400440532013000", 2),
        ("iban", "DE88 3704 0044 0532 0130 00", 0),
        ("us_ssn", "000-12-3456, 666-12-3456, 2024-12-3456", 0),
        ("keyword", 'api_key: "abcd", password = hunter2x, "client_secret": "x-y-z-1", PASSWD=abc12345', 4),
        ("keyword", "Password: please ask. The secret: none. token = <TOKEN>. password=${PASSWORD}", 0),
        ("private_key", "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 2\n\nlQOYBF" + "a1" * 40, 1),
        ("ip_address", "from 192.0.2.7 and 2001:db8::1, not 1.2.3 or 10:30:00", 2),
        ("high_entropy", "id 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b and aaaaaaaaaaaaaaaaaaaaaaaa", 1),
    ],
)
def test_finds_are_counted_as_a_person_would(name: str, text: str, found: int) -> None:
    assert len(list(DETECTORS[name].spans(text))) == found


def test_national_numbers_are_found_for_the_regions_given() -> None:
    phone = Phone(("US", "DE"), name="home_phone")
    text = "call (202) 555-0123 or 0170 1234567 about order 2025550123 of 2024-05-01"
    assert [text[s:e] for s, e in phone.spans(text)] == ["(202) 555-0123", "0170 1234567"]
