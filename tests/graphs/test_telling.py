"""What the errors of a failed run say to whoever runs it."""

from __future__ import annotations

import pickle
import traceback
from typing import Any

import pytest
from edgewright.contracts.errors import CallDenied, EdgewrightError, ToolFailed
from edgewright.contracts.redaction import Redactor
from edgewright.graphs.telling import told
from pydantic import BaseModel, ValidationError
from support.systems import with_code

KEY = "AKIA" + "QXTZ7WPLM4RVK2NB"
RULES = [Redactor(("secret",)), Redactor((), {"Zvonimira Quastenflosse": "personal"})]


def _all_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)) + repr(error.__context__)


def _raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except Exception as raised:  # noqa: BLE001 - what a test raised
        return raised


def test_an_error_that_quotes_nothing_is_left_as_it_is() -> None:
    cause = KeyError("claim")
    error = _raised(ValueError("no claim", {"at": 3}), cause)
    assert told(error, RULES) is error
    assert error.__cause__ is cause


def test_what_an_error_quotes_is_cut_out_of_it_and_its_type_stays() -> None:
    error = OSError(13, f"no access with {KEY}")
    error.add_note(f"for Zvonimira Quastenflosse and {KEY}")
    shown = told(_raised(error), RULES)
    assert isinstance(shown, PermissionError)
    assert "no access with [aws_key]" in str(shown)
    assert shown.__notes__ == ["for [personal] and [aws_key]"]
    assert KEY not in _all_of(shown)
    assert shown.__traceback__ is not None


def test_an_error_of_ours_keeps_its_facts_without_what_they_quote() -> None:
    shown = told(_raised(ToolFailed(tool="pay", error=f"bad key {KEY}", unknown=True)), RULES)
    assert isinstance(shown, ToolFailed)
    assert (shown.tool, shown.error, shown.unknown) == ("pay", "bad key [aws_key]", True)
    assert KEY not in _all_of(shown)
    assert str(pickle.loads(pickle.dumps(shown))) == str(shown)
    denied = told(_raised(CallDenied(tool="pay", agent="a", rules=["r"], reasons=(f"is {KEY}",))), RULES)
    assert isinstance(denied, CallDenied)
    assert list(denied.reasons) == ["is [aws_key]"]


@pytest.mark.parametrize("where", ["cause", "context", "group"])
def test_an_error_stands_alone_where_what_led_to_it_quotes_something(where: str) -> None:
    inner = ValueError(f"it is {KEY}")
    if where == "group":
        error: Exception = ExceptionGroup("two failed", [inner, KeyError("x")])
    else:
        error = RuntimeError("failed")
        error.__cause__, error.__context__ = (inner, None) if where == "cause" else (None, inner)
    shown = told(error, RULES)
    assert KEY not in _all_of(shown)
    assert "failed" in str(shown) or "ExceptionGroup" in str(shown)
    assert shown.__cause__ is shown.__context__ is None


class Amount(BaseModel):
    cents: int


class Stubborn(Exception):
    """Says what it wants, whatever its arguments are."""

    def __str__(self) -> str:
        return f"key {KEY}"


def test_an_error_whose_words_cannot_be_changed_is_hidden_whole() -> None:
    with pytest.raises(ValidationError) as caught:
        Amount.model_validate({"cents": KEY})
    for error in (caught.value, Stubborn()):
        shown = told(error, RULES)
        assert type(shown) is EdgewrightError
        assert type(error).__name__ in str(shown)
        assert KEY not in _all_of(shown)


def test_an_object_that_an_error_carries_goes_if_it_quotes_something() -> None:
    class Reply:
        def __repr__(self) -> str:
            return f"<reply {KEY}>"

    error: Any = RuntimeError("refused", Reply())
    error.response, error.status = Reply(), 403
    shown: Any = told(error, RULES)
    assert (shown.args, shown.response, shown.status) == (("refused", None), None, 403)


async def test_what_a_function_raises_reaches_the_caller_without_credentials() -> None:
    def work(_: dict[str, Any]) -> dict[str, str]:
        try:
            raise KeyError(KEY)
        except KeyError as error:
            raise LookupError(f"nothing under {KEY}") from error

    with pytest.raises(LookupError) as failed:
        await with_code(work).arun({"text": "go"})
    assert str(failed.value) == "nothing under [aws_key]"
    assert KEY not in _all_of(failed.value)
