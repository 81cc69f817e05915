"""A signature covers all of an answer: whatever is changed of it, or of what it is for, it proves nothing any more."""

from __future__ import annotations

from typing import Any

import pytest
from edgewright.contracts.review import ReviewAnswer, Reviewer, Signature
from edgewright.ledger.memory import MemoryLedger
from edgewright.tools import signing
from hypothesis import given
from hypothesis import strategies as st

KEY = b"k" * 32
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
names = st.text("abcdefgh", min_size=1, max_size=8)
answers = st.builds(
    ReviewAnswer,
    decision=st.sampled_from(["approve", "edit", "reject"]),
    reason=texts,
    arguments=st.none() | st.dictionaries(texts, values, max_size=3),
)
people = st.builds(Reviewer, names, st.frozensets(names, max_size=3), names)


def _signed(answer: ReviewAnswer, who: Reviewer | None, key: bytes = KEY) -> ReviewAnswer:
    return signing.signed(key, answer, review="r1", binding="b1", reviewer=who, tenant="local")


def _holds(answer: ReviewAnswer, *, key: bytes = KEY, review: str = "r1", binding: str = "b1") -> bool:
    return signing.vouched(key, answer, review=review, binding=binding)


@given(answers, st.none() | people)
def test_what_was_signed_is_vouched_for_and_survives_the_wire(answer: ReviewAnswer, who: Reviewer | None) -> None:
    signed = _signed(answer, who)
    assert _holds(signed)
    assert _holds(ReviewAnswer.model_validate_json(signed.model_dump_json()))
    assert _holds(ReviewAnswer.model_validate(signed.model_dump(mode="json")))


@given(answers, people, st.data())
def test_any_changed_field_is_refused(answer: ReviewAnswer, who: Reviewer, data: st.DataObject) -> None:
    """threats 28, 29 and 30."""
    signed = _signed(answer, who)
    assert signed.signature is not None
    name = data.draw(st.sampled_from(["decision", "reason", "arguments", "reviewer", *Signature.model_fields]))
    other: Any
    if name in Signature.model_fields and name != "reviewer":
        before = getattr(signed.signature, name)
        drawn: dict[str, st.SearchStrategy[Any]] = {
            "roles": st.lists(names, max_size=3),
            "time": st.floats(0, 2e9),
            "until": st.floats(0, 2e9),
        }
        other = data.draw(drawn.get(name, texts).filter(lambda v: v != before))
        changed = signed.model_copy(update={"signature": signed.signature.model_copy(update={name: other})})
    elif name == "reviewer":  # in both places, as a forger would
        other = data.draw(names.filter(lambda v: v != who.id))
        mine = signed.signature.model_copy(update={"reviewer": other})
        changed = signed.model_copy(update={"reviewer": other, "signature": mine})
        assert not _holds(signed.model_copy(update={"reviewer": other}))
    else:
        drawn = {
            "decision": st.sampled_from(["approve", "edit", "reject"]),
            "reason": texts,
            "arguments": st.none() | st.dictionaries(texts, values, max_size=3),
        }
        other = data.draw(drawn[name].filter(lambda v: not _same(v, getattr(signed, name))))
        changed = signed.model_copy(update={name: other})
    assert not _holds(changed)


def _same(one: Any, other: Any) -> bool:
    return bool(repr(one) == repr(other) or (one == other and not isinstance(one, dict)))


@given(answers, people)
def test_a_signature_is_for_one_question_and_one_key(answer: ReviewAnswer, who: Reviewer) -> None:
    """threat 29."""
    signed = _signed(answer, who)
    assert not _holds(signed, review="r2")
    assert not _holds(signed, binding="b2")
    assert not _holds(signed, key=b"K" * 32)
    assert not _holds(answer)


def test_two_signatures_of_one_answer_differ_and_the_key_is_the_ledgers_own() -> None:
    answer, one, two = ReviewAnswer(decision="approve", reason="fine"), MemoryLedger(), MemoryLedger()
    signed = [_signed(answer, None, signing.key_of(one)) for _ in range(2)]
    assert signed[0].signature != signed[1].signature
    assert signing.key_of(one) == signing.key_of(one) != signing.key_of(two)
    assert signing.key_of(one) not in (one.keyring.subkey("mark"), one.keyring.exported())


@pytest.mark.parametrize("reason", ["\ud800", "fine"])
@pytest.mark.parametrize("arguments", [{"a": 2**70}, {"a": float("nan")}, {"\ud800": 1}])
def test_what_is_no_json_cannot_be_signed(reason: str, arguments: dict[str, Any]) -> None:
    answer = ReviewAnswer.model_construct(
        decision="edit", reason=reason, arguments=arguments, reviewer="", review="", signature=None
    )
    with pytest.raises(TypeError):
        _signed(answer, None)
    whole = _signed(ReviewAnswer(decision="edit", reason="fine", arguments={"a": 1}), None)
    assert not _holds(whole.model_copy(update={"arguments": arguments}))
