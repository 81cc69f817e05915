"""What is planted is gone however it is written; what is harmless stays; a stream says what the whole says."""

from __future__ import annotations

import base64
import json
import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any
from urllib.parse import quote

import pytest
from edgewright.contracts.detectors import DETECTORS
from edgewright.contracts.errors import DetectorInvalid
from edgewright.contracts.known import Known
from edgewright.contracts.redaction import Finding, Redactor
from hypothesis import given, settings
from hypothesis import strategies as st

from .canaries import ALL, core

EVERY = ("secret", "personal", "card_number")
CANARY = "canary-7731-Omega"
KNOWN = {CANARY: "secret", "Jürgen Müller-Straße 12": "personal", "4711": "pin"}
REDACTOR = Redactor(EVERY, KNOWN)
PLAIN = Redactor(EVERY)
WORDS = [
    "claim",
    "the",
    "ok",
    "Hello",
    "paid 49.90 EUR",
    "on 2024-05-01",
    "order C-10432,",
    "noted.",
    "größer",
    "—",
    "a_b",
]

prose = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
canaries = st.sampled_from(sorted(ALL))


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda t: t,
    "base64": b64,
    "base64, url-safe, unpadded": lambda t: base64.urlsafe_b64encode(t.encode()).decode().rstrip("="),
    "base64 at another alignment": lambda t: "Zz" + b64(t),
    "base64 twice": lambda t: b64(b64(t)),
    "base64 in lines": lambda t: base64.encodebytes(t.encode()).decode().strip(),
    "hexadecimal": lambda t: t.encode().hex(),
    "percent": lambda t: quote(t, safe=""),
    "percent twice": lambda t: quote(quote(t, safe=""), safe=""),
    "escapes of JSON": lambda t: "".join(f"\\u{ord(c):04x}" for c in t),
    "entities": lambda t: "".join(f"&#{ord(c)};" for c in t),
    "full width": lambda t: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in t),
    "zero width between": lambda t: "\u200b".join(t),
    "JSON in a string": lambda t: json.dumps({"x": [t]}),
    "JSON in JSON": lambda t: json.dumps(json.dumps({"x": t})),
}


def _leaks(value: Any, datum: str) -> bool:
    return datum in json.dumps(value, ensure_ascii=False).encode().decode("unicode_escape", "replace")


# -- what is planted is found --------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", sorted(ALL))
def test_every_kind_is_found_in_every_encoding(name: str, encoding: str) -> None:
    written = ENCODINGS[encoding](f"see {ALL[name]} there")
    new, found = PLAIN.clean({"note": f"well, {written} and so on"})
    assert found
    assert not _leaks(new, core(name))
    assert written not in json.dumps(new)
    assert new["note"].startswith("well, ")
    assert new["note"].endswith(" and so on")


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_find_is_named_by_its_kind(name: str) -> None:
    text = f"Please note {ALL[name]} for later"
    found = PLAIN.text(text)[1]
    # The password of an address with a host looks like a mail address too; either rule cuts it.
    assert [f.rule for f in found] in ([name], ["email"])


@given(canaries, prose, prose, st.sampled_from(sorted(ENCODINGS)))
@settings(max_examples=400, deadline=None)
def test_a_canary_anywhere_in_a_text_is_found(name: str, before: str, after: str, encoding: str) -> None:
    written = ENCODINGS[encoding](ALL[name])
    new, found = PLAIN.clean([f"{before} {written} {after}"])
    assert found
    assert not _leaks(new, core(name))
    assert ENCODINGS[encoding](core(name)) not in new[0]


@given(st.sampled_from([*sorted(ALL), "known"]), st.data(), prose, prose)
@settings(max_examples=400, deadline=None)
def test_a_canary_split_over_two_strings_is_found(name: str, data: st.DataObject, before: str, after: str) -> None:
    datum, middle = (CANARY, CANARY) if name == "known" else (ALL[name], core(name))
    start = datum.index(middle)
    place = start + data.draw(st.integers(1, len(middle) - 1))
    left, right = datum[:place], datum[place:]
    new, found = REDACTOR.clean({"a": f"{before} {left}", "b": 7, "c": f"{right} {after}"})
    assert found
    assert middle[: place - start] + middle[place - start :] not in new["a"] + new["c"]


def test_the_halves_of_a_split_are_marked_where_they_stood() -> None:
    new, found = REDACTOR.clean({"a": "see 4111 1111", "b": ["1111 1111 ok"], "c": f"x {CANARY[:8]}", "d": CANARY[8:]})
    assert new == {"a": "see [card_number]", "b": ["[card_number] ok"], "c": "x [secret]", "d": "[secret]"}
    assert sorted(found) == [("a", "card_number"), ("b[0]", "card_number"), ("c", "secret"), ("d", "secret")]


def test_a_split_in_four_fields_and_in_single_characters_is_found() -> None:
    assert set(PLAIN.clean(["4111", "1111", "1111", "1111"])[0]) == {"[card_number]"}
    assert set(PLAIN.clean(list("4111111111111111"))[0]) == {"[card_number]"}


def test_base64_split_over_two_strings_is_found() -> None:
    whole = b64(f"the value is {CANARY}, keep it")
    new, found = REDACTOR.clean([whole[:21], whole[21:]])
    assert new == ["[secret]", "[secret]"]
    assert len(found) == 2


# -- known values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        CANARY, CANARY.upper(), "canary 7731 omega", "canary7731omega", "CANARY.7731.OMEGA", CANARY[::-1],
        "c a n a r y 7 7 3 1 o m e g a", f"xx{CANARY}xx", "can\u00adary-7731-omega", b64("x" + CANARY),
        CANARY.encode().hex(), "canary%2D7731%2DOmega", "JÜRGEN MÜLLER-STRASSE 12", "jurgen muller strasse 12",
        "Ju\u0308rgen Mu\u0308ller-Straße 12",
        "pin 4711", "０４７１１", b64("Jürgen Müller-Straße 12"), "canary\ud83d-7731-omega",
    ],
)  # fmt: skip
def test_a_known_value_is_found_however_it_is_written(written: str) -> None:
    new, found = REDACTOR.text(f"it is {written} so")
    assert len(found) == 1
    assert new in (f"it is {m} so" for m in ("[secret]", "[personal]", "xx[secret]xx", "pin [pin]", "０[pin]"))


@pytest.mark.parametrize("text", ["471", "Hanna Belgium", "47-11", "canary 7731", "omega"])
def test_what_only_resembles_a_known_value_stays(text: str) -> None:
    redactor = Redactor((), {**KNOWN, "annabel": "personal", "ab": "personal"})
    assert redactor.clean([text, "ab"]) == ([text, "ab"], [])


def test_known_values_are_found_in_numbers_and_keys() -> None:
    new, found = REDACTOR.clean({"amount": 4711, CANARY: {"price": 1.5, "card": 4111111111111111}})
    assert new == {"amount": "[pin]", "[secret]": {"price": 1.5, "card": "[card_number]"}}
    assert found == [("*", "secret"), ("amount", "pin"), ("*.card", "card_number")]


@pytest.mark.parametrize("count", [1, 30, 60, 3000])
def test_any_one_of_many_known_values_is_found(count: int) -> None:
    rnd = random.Random(count)
    values = {"".join(rnd.choices("abcdefgh -", k=rnd.randint(9, 24))).strip(): "personal" for _ in range(count)}
    values |= {f"q{n:04d}": "secret" for n in range(count)}
    redactor = Redactor((), values)
    for value in rnd.sample(sorted(values), min(len(values), 60)):
        if len(value) >= 4:
            text = redactor.text(f"zz {value} zz")[0]
            assert value not in text
            assert "[" in text
    assert redactor.text("nothing of it is in here, number 12345") == ("nothing of it is in here, number 12345", [])


@given(
    st.text("ab1-. ü\u200b", min_size=4, max_size=12), st.text("ab1-. ü", max_size=20), st.text("ab1-. ü", max_size=20)
)
def test_a_known_value_is_always_found_as_written(value: str, before: str, after: str) -> None:
    redactor = Redactor((), {value: "k"})
    seen = value.replace("\u200b", "").strip()
    new = redactor.text(f"{before}|{value}|{after}")[0]
    assert len(seen) < 4 or seen not in new.replace("[k]", "\n")


def test_a_rule_that_is_no_name_and_an_unknown_detector_are_refused() -> None:
    with pytest.raises(DetectorInvalid, match="no name of a rule"):
        Redactor((), {"abcd": "not a name"})
    with pytest.raises(DetectorInvalid, match=r"no such detector.*'personal'"):
        Redactor(["iris_scan"])


# -- what is harmless stays ----------------------------------------------------------------------------------------


def _benign(rnd: random.Random) -> dict[str, Any]:
    uuid = "-".join("".join(rnd.choices("0123456789abcdef", k=k)) for k in (8, 4, 4, 4, 12))
    n = rnd.randint
    texts = [
        f"Order {n(10**6, 10**10)} of {n(2001, 2029)}-{n(1, 12):02d}-{n(1, 28):02d}",
        f"Invoice INV-{n(10**5, 10**9)}, total {rnd.uniform(1, 99999):,.2f} EUR, VAT 19%",
        f"Ticket #{n(1, 10**6)}: the customer's key question is the delivery; password reset was sent.",
        f"Meeting at {n(0, 23):02d}:{n(0, 59):02d} in room {n(1, 500)}, floor {n(1, 40)}.",
        f"Tracking 1Z{n(10**9, 10**10)}{rnd.choice('ABCDEF')}{n(10**4, 10**5)}",
        f"See https://example.org/orders/{n(1, 10**8)}?page={n(1, 9)}&sort=asc for v{n(1, 9)}.2.{n(0, 20)}",
        f"commit {''.join(rnd.choices('0123456789abcdef', k=40))} by the build",
        f"Dimensions {n(1, 999)} x {n(1, 999)} x {n(1, 999)} mm, {rnd.uniform(0, 99):.3f} kg",
        "Secret: the token of our appreciation is on its way. Password: please ask the front desk.",
    ]
    rnd.shuffle(texts)
    return {
        "id": uuid,
        "at": f"2025-0{n(1, 9)}-1{n(0, 9)}T10:{n(10, 59)}:00Z",
        "number": n(10**6, 10**11),
        "ms": n(1_600_000_000_000, 1_800_000_000_000),
        "texts": texts[:6],
        "sku": f"{rnd.choice('ABC')}{n(1000, 9999)}-{n(10, 99)}",
        "price": rnd.uniform(1, 9999),
    }


def test_business_payloads_are_seldom_touched() -> None:
    rnd = random.Random(7)
    wrong: dict[str, int] = {}
    touched = 0
    for _ in range(2000):
        _, found = PLAIN.clean(_benign(rnd))
        touched += bool(found)
        for finding in found:
            wrong[finding.rule] = wrong.get(finding.rule, 0) + 1
    print(f"\nfalse positives in 2000 payloads (18000 values): {touched} touched, by rule {wrong}")
    assert touched <= 40  # one commit id in a hundred holds a Luhn-valid row of digits


def test_dates_ids_and_numbers_beside_each_other_do_not_become_a_card() -> None:
    rnd = random.Random(3)
    touched = sum(
        bool(PLAIN.clean([str(rnd.randint(10**6, 10**7)), f"20{rnd.randint(10, 29)}-05-1{rnd.randint(0, 9)}", "12"])[1])
        for _ in range(2000)
    )
    assert touched == 0


# -- shape ---------------------------------------------------------------------------------------------------------

pieces = st.sampled_from(
    [*ALL.values(), CANARY, "4711", b64(f"x {CANARY} y"), "[email]",
     "[secret]", "[", "]", "4", "11", "\n", " ", "\u200b", "ß",
     *WORDS, "%40", "bob", "@example.org", "eyJ", "-----BEGIN PRIVATE KEY-----",
     "password: ", "://a:", "+49", "00", "sk-"]
)  # fmt: skip
texts = st.lists(pieces, max_size=14).map("".join) | st.lists(pieces, max_size=40).map(" ".join) | st.text(max_size=60)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(values)
@settings(max_examples=200, deadline=None)
def test_cleaning_never_fails_and_cleaning_again_changes_nothing(value: Any) -> None:
    new, found = REDACTOR.clean(value)
    again, more = REDACTOR.clean(new)
    assert repr(again) == repr(new)
    assert more == []
    assert bool(found) == (repr(new) != repr(value))


@given(texts)
@settings(max_examples=200, deadline=None)
def test_redacting_a_text_again_changes_nothing(text: str) -> None:
    new, _ = REDACTOR.text(text)
    assert REDACTOR.text(new) == (new, [])


def test_deep_and_large_values_are_cleaned_without_recursion() -> None:
    value: Any = CANARY
    for _ in range(20_000):
        value = [value]
    new, found = REDACTOR.clean(value)
    assert found == [Finding("[0]" * 20_000, "secret")]
    while isinstance(new, list):
        new = new[0]
    assert new == "[secret]"


def test_the_value_itself_comes_back_when_nothing_was_found() -> None:
    value = {"a": ["clean", 1, None]}
    assert REDACTOR.clean(value)[0] is value
    assert Redactor().clean({"a": CANARY}) == ({"a": CANARY}, [])


def test_a_find_leaves_the_value_given_as_it_was() -> None:
    value = {"a": [CANARY], CANARY: 1}
    REDACTOR.clean(value)
    assert value == {"a": [CANARY], CANARY: 1}


# -- streams -------------------------------------------------------------------------------------------------------


@given(st.lists(texts, max_size=6).map(" ".join), st.integers(1, 400), st.randoms())
@settings(max_examples=200, deadline=None)
def test_a_stream_says_what_the_whole_says(text: str, most: int, rnd: random.Random) -> None:
    held, out, at = REDACTOR.held(), [], 0
    while at < len(text):
        step = rnd.randint(1, most)
        out.append(held.feed(text[at : at + step]))
        at += step
    out.append(held.flush())
    assert "".join(out) == REDACTOR.text(text)[0]


@pytest.mark.parametrize("name", [*sorted(ALL), "known"])
def test_no_prefix_of_a_stream_holds_a_part_of_a_canary(name: str) -> None:
    datum = CANARY if name == "known" else ALL[name]
    middle = CANARY if name == "known" else core(name)
    filler = "the customer wrote to us again and would like an answer soon "
    text = f"{filler * 9}{datum} {filler * 9}"
    held, out = REDACTOR.held(), ""
    for char in text:
        out += held.feed(char)
        assert middle[:8] not in out
    assert len(out) > len(text) - 500
    assert out + held.flush() == REDACTOR.text(text)[0]


def test_a_stream_is_let_go_while_it_runs() -> None:
    held, text = REDACTOR.held(), "a few words of an answer " * 40
    behind = 0
    for place, char in enumerate(text):
        behind += 1 - len(held.feed(char))
        assert behind <= REDACTOR.window + 160, place


@pytest.mark.parametrize(
    "unit",
    ["Bob,bob@example.org,+44 20 7946 0958\n", "password: hunter22 ", '"pwd" : "hunter22" , ', "bob@example.org ",
     "4111111111111111\n", "aws key AKIAIOSFODNN7EXAMPLE "],
)  # fmt: skip
def test_a_stream_full_of_finds_is_let_go_while_it_runs(unit: str) -> None:
    held, behind = REDACTOR.held(), 0
    for char in unit * (6000 // len(unit)):
        behind = 0 if held.feed(char) else behind + 1
        assert behind < 3 * 128


@pytest.mark.parametrize("name", ["keyword", "aws_key", "ibm_cloud_key", "ibm_cos_key", "cloudant_key"])
@given(st.integers(0, 300), st.sampled_from(["bob@example.org ", "ok ", "pwd: hunter22 "]), st.integers(1, 90))
@settings(max_examples=40, deadline=None)
def test_no_cut_stands_between_a_value_and_the_name_it_is_found_by(name: str, pad: int, unit: str, most: int) -> None:
    text = f"{'a' * (pad % 7)} {unit * (pad // 4)}{ALL[name]} {unit * 40}"
    held = REDACTOR.held()
    out = "".join(held.feed(text[at : at + most]) for at in range(0, len(text), most)) + held.flush()
    assert core(name) not in out
    assert out == REDACTOR.text(text)[0]


def test_a_key_is_cut_whole_however_many_stand_before_it() -> None:
    key = ALL["anthropic_key"]
    assert REDACTOR.text(" ".join([key] * 50))[0] == " ".join(["[anthropic_key]"] * 50)


# -- what it costs -------------------------------------------------------------------------------------------------

DENSE = ["Bob,bob@example.org,+44 20 7946 0958\n", "password: hunter22 ", "bob@example.org "]
UNITS = [
    "bob@example.org,", "sk-", "sk-T3BlbkFJ", "GB29NWBK60161331926819 ", "DE89 ", "BEGIN PRIVATE KEY", "4111 1111 ",
    "078-05-1120,", "bob%40example.org ", "key: ", "aws", "eyJ.", "A1b2" * 20 + "\n", "\u200bé", f"{CANARY} ", "0 ",
]  # fmt: skip


class _Counted:
    """A detector that finds nothing and counts what is judged."""

    name, window = "counted", 1

    def __init__(self) -> None:
        self.characters = 0

    def spans(self, text: str) -> list[tuple[int, int]]:
        self.characters += len(text)
        return []


def _judged(monkeypatch: pytest.MonkeyPatch, text: str, known: dict[str, str] = KNOWN) -> int:
    counted = _Counted()
    monkeypatch.setitem(DETECTORS, "counted", counted)
    Redactor((*EVERY, "counted"), known).text(text)
    return counted.characters


def _steps(text: str) -> int:
    """How many functions are called, the interpreter's own included, to redact a text."""
    steps = 0

    def count(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal steps
        steps += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        REDACTOR.text(text)
    finally:
        sys.setprofile(None)
    return steps


@pytest.mark.parametrize("unit", [*DENSE, *UNITS])
def test_every_character_is_judged_a_few_times(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = (50_000, 100_000, 200_000) if unit == DENSE[0] else (10_000, 40_000)
    for size in sizes:
        assert _judged(monkeypatch, (unit * (size // len(unit) + 1))[:size]) < 12 * size


@pytest.mark.parametrize("unit", DENSE)
def test_a_long_known_value_does_not_make_every_step_long(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = unit * (40_000 // len(unit))
    assert _judged(monkeypatch, text, {"a statement " * 200: "personal"}) < 16 * len(text)


@pytest.mark.parametrize("unit", [*DENSE, *UNITS])
def test_twice_the_text_takes_twice_the_steps(unit: str) -> None:
    text = unit * (24_000 // len(unit))
    REDACTOR.text(text[:2000])  # what is compiled or imported once is not counted
    assert _steps(text) < 2.6 * _steps(text[:12_000])


def test_known_values_cost_no_more_the_more_there_are_and_the_more_alike() -> None:
    text = "customer-000007 and customer-0000 " * 200

    def steps(count: int) -> int:
        known = Known({f"customer-{n:06d}": "personal" for n in range(count)})
        looks = 0

        def count_calls(frame: FrameType, event: str, arg: Any) -> None:
            nonlocal looks
            looks += event in ("call", "c_call")

        sys.setprofile(count_calls)
        try:
            assert len(known.find(text)) == 200
        finally:
            sys.setprofile(None)
        return looks

    assert steps(5000) <= 1.1 * steps(100)


def test_two_values_that_are_each_other_backwards_are_both_found() -> None:
    known = Known({"abc-defgh": "one", "hgfe-dcba": "two"})
    assert {rule for *_, rule in known.find("so abc-defgh and hgfe-dcba")} == {"one", "two"}


# -- hostile texts -------------------------------------------------------------------------------------------------


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "unit",
    [
        "eyJ", "eyJhbGciOiJIUzI1NiJ9.", "://a:", "@", "a@b.", "AKIA", "aws key ", "//:_authToken", "xoxb-1-",
        "key" + " " * 70,
        "-----BEGIN PRIVATE KEY-----", "4 ",
        "41111111111111111", "+49 ", "00 1", "DE89 ", "DE89A1",
        "password=", "%25", "&#37;", "ab12", "A1b2" * 20 + "\n", "softlayer", "[email]", "glagent-", "1-",
        "AC", "\\u0025", "12.34.", "a\u200b", '{"a":',
    ],
)  # fmt: skip
def test_a_hostile_text_costs_no_more_than_its_length(unit: str) -> None:
    text = (unit * (20_000 // len(unit) + 1))[:20_000]
    REDACTOR.clean([text])
