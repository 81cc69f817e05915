"""Errors as whoever runs a system may see them: without what no reader of its runs may see.

A tool, a function or a model's client may quote anything in what it raises. The type of an error and the rest of what
it says stay; where its words cannot be changed, they are hidden whole. Tracebacks show code, and no values.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any

from ..contracts.errors import EdgewrightError, TooMuchToHide
from ..contracts.failure import chain_of
from ..contracts.redaction import Redactor

_OF_OS = ("strerror", "filename", "filename2")  # what an OSError says, beside its arguments


def told(error: Exception, redactors: Sequence[Redactor]) -> Exception:
    """The error itself where neither it nor what led to it quotes anything; else without that, and alone.

    Returns:
        The same object, changed, or one in its place: of its type for an error of ours, an EdgewrightError for one that
        does not let its words be changed.
    """
    if isinstance(error, TooMuchToHide):  # then every word would be hidden, and this one quotes nothing
        return error
    if not any(_quotes(each, redactors) for each in chain_of(error)):
        return error
    shown = _without(error, redactors)
    if shown is None:
        shown = EdgewrightError(detail=f"{type(error).__name__}: what it said is hidden; the ledger tells the rest")
    shown.__cause__, shown.__context__, shown.__suppress_context__ = None, None, True
    return shown.with_traceback(error.__traceback__)


def _clean(value: Any, redactors: Sequence[Redactor]) -> Any:
    for redactor in redactors:
        value = redactor.clean(value)[0]
    return value


def _quotes(error: BaseException, redactors: Sequence[Redactor]) -> bool:
    said = ["".join(traceback.format_exception_only(error)), repr(error), *(repr(v) for v in vars(error).values())]
    return any(_clean(text, redactors) != text for text in said)


def _without(error: Exception, redactors: Sequence[Redactor]) -> Exception | None:
    """The error without what it quotes; None if that cannot be had."""
    try:
        if isinstance(error, EdgewrightError):
            shown: Exception = error._from_facts({k: _part(v, redactors) for k, v in error.facts.items()})
        else:
            shown = error
            shown.args = tuple(_part(a, redactors) for a in error.args)
            held = {n: getattr(error, n) for n in _OF_OS if isinstance(error, OSError)}
            for name, value in {**held, **vars(error)}.items():
                setattr(shown, name, _part(value, redactors))
    except Exception:  # noqa: BLE001 - whatever an error of others does when it is changed
        return None
    return None if _quotes(shown, redactors) or isinstance(shown, BaseExceptionGroup) else shown


def _part(value: Any, redactors: Sequence[Redactor]) -> Any:
    """A part of an error, of its type where it is plain; what is no plain value and quotes something is left out."""
    cleaned = _clean(value, redactors)
    if isinstance(value, tuple) and isinstance(cleaned, list):
        cleaned = tuple(cleaned)
    return None if _clean(repr(cleaned), redactors) != repr(cleaned) else cleaned
