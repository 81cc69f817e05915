"""Every error constructs, says what is wrong, carries its facts, and survives pickling and copying."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil
from typing import Any

import edgewright
import pytest
from edgewright.contracts import errors
from edgewright.contracts.errors import DefinitionError, EdgewrightError, LedgerUnavailable, ToolRefusal

LISTS = {"cycle", "faults", "marks", "rules", "reasons", "rounds", "targets", "open", "known"}
NUMBERS = {"seq", "found"}


def _all_errors() -> list[type[EdgewrightError]]:
    for module in pkgutil.walk_packages(edgewright.__path__, "edgewright."):
        if module.name.split(".")[1] in {"contracts", "ledger", "tools", "agents", "graphs"}:
            importlib.import_module(module.name)
    found: list[type[EdgewrightError]] = []
    left: list[type[EdgewrightError]] = [EdgewrightError]
    while left:
        cls = left.pop()
        left += cls.__subclasses__()
        if cls.__module__.startswith("edgewright."):
            found.append(cls)
    return sorted(set(found), key=lambda c: c.__qualname__)


def _value(cls: type[EdgewrightError], name: str) -> Any:
    if name in LISTS and not (name == "known" and cls is errors.LedgerVersion):
        return [f"first {name}", f"second {name}"]
    if name in NUMBERS or name == "known":
        return 7
    return name == "unknown" or f"the {name}"


def _made(cls: type[EdgewrightError]) -> tuple[EdgewrightError, dict[str, Any]]:
    if cls is ToolRefusal:
        return ToolRefusal("the reason"), {"reason": "the reason"}
    wanted = inspect.signature(cls).parameters
    if any(p.kind is p.VAR_KEYWORD for p in wanted.values()):  # a base class: any facts, shown as `detail`
        return cls(detail="what happened"), {"detail": "what happened"}
    given = {name: _value(cls, name) for name in wanted}
    return cls(**given), given


ERRORS = _all_errors()
INTERNAL = {"CallRejected", "ToolOutsideRun", "CallDenied", "ToolFailed"}


def test_the_walk_finds_every_class_of_the_page() -> None:
    page = {c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, EdgewrightError)}
    assert page <= set(ERRORS)
    assert len(page) > 20
    for cls in page:
        assert cls.__name__ in str(errors.__doc__), f"{cls.__name__} is not in the drawn hierarchy"


@pytest.mark.parametrize("cls", ERRORS, ids=lambda c: c.__name__)
def test_an_error_carries_its_facts_as_attributes(cls: type[EdgewrightError]) -> None:
    error, given = _made(cls)
    for name, value in given.items():
        found = getattr(error, name)
        assert list(found) == value if isinstance(value, list) else found == value


@pytest.mark.parametrize("cls", ERRORS, ids=lambda c: c.__name__)
def test_an_error_says_in_its_message_what_it_was_given(cls: type[EdgewrightError]) -> None:
    error, given = _made(cls)
    said = str(error)
    assert "{" not in said
    hidden = {"agent", "unknown"}  # in the attributes, for callers; the message goes to that very agent
    if cls.__name__ in INTERNAL:
        hidden |= {"tool"} if "Rejected" in cls.__name__ or "Denied" in cls.__name__ else set()
    for name, value in given.items():
        if name in hidden:
            continue
        for part in value if isinstance(value, list) else [value]:
            assert str(part) in said, f"{name} is not in: {said}"


@pytest.mark.parametrize("cls", ERRORS, ids=lambda c: c.__name__)
def test_an_error_survives_pickling_and_copying(cls: type[EdgewrightError]) -> None:
    error, given = _made(cls)
    again = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    for other in [*again, copy.copy(error), copy.deepcopy(error)]:
        assert type(other) is cls
        assert str(other) == str(error)
        assert other.facts == error.facts
        for name in given:
            assert getattr(other, name) == getattr(error, name)


def test_a_fact_that_is_not_there_is_an_attribute_error_naming_those_that_are() -> None:
    error = LedgerUnavailable(where="here", cause="full")
    assert not hasattr(error, "nothing")
    with pytest.raises(AttributeError, match=r"no fact 'nothing'.*cause.*where"):
        _ = error.nothing


def test_braces_in_a_fact_stay_as_they_are() -> None:
    assert "{where} {0} {}" in str(LedgerUnavailable(where="w", cause="{where} {0} {}"))


def test_a_definition_error_lists_every_fault() -> None:
    one, two = DefinitionError(name="n", faults=["a"]), DefinitionError(name="n", faults=["a", "b"])
    assert str(one) == "definition 'n': a"
    assert str(two).splitlines()[1:] == ["  - a", "  - b"]
    assert DefinitionError(name="n", faults=iter(["a"])).faults == ("a",)  # type: ignore[arg-type]
