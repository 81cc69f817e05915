"""The offline model: reading pytest's output, aiming, small changes, and the orders that it takes from an issue."""

from __future__ import annotations

import pytest
from edgewright.examples.coding_assistant.cases import load_cases
from edgewright.examples.coding_assistant.rules_orders import orders_of
from edgewright.examples.coding_assistant.rules_repair import Failure, aimed_at, candidates, failures, lines_of

OUTPUT = """
=================================== FAILURES ===================================
____________________________ test_a_day_is_free ____________________________
tests/test_days.py:9: in test_a_day_is_free
    assert is_free(6)
E   assert False
E    +  where False = is_free(6)
_________________________ test_a_name_is_cut _________________________
tests/test_names.py:4: in test_a_name_is_cut
    assert cut("Anna") == "An"
E   AssertionError: assert 'A' == 'An'
______________________________ test_other _______________________________
tests/test_names.py:9: in test_other
E   ValueError: no function is named here
"""
SOURCE = '''"""Days."""


def is_free(day):
    """Whether it is 5 or more."""
    return day > 5


def arrives(day):
    while is_free(day):
        day = day + 1
    return day
'''


def test_a_failure_names_its_test_and_the_function_that_was_wrong() -> None:
    failed = ["tests/test_days.py::test_a_day_is_free", "tests/test_names.py::test_a_name_is_cut", "t.py::test_other"]
    assert [(f.test, f.function) for f in failures(failed, OUTPUT)] == [(failed[0], "is_free"), (failed[1], "cut")]


def test_the_failure_most_like_the_issue_is_aimed_at() -> None:
    found = [Failure(test="test_a_day_is_free", function="is_free"), Failure(test="test_names", function="cut")]
    assert aimed_at("The free day is not free", found) is found[0]
    assert aimed_at("Something about customs", found) is None
    assert aimed_at("The free day", []) is None


def test_functions_that_are_called_come_first() -> None:
    assert lines_of(SOURCE, "arrives") == [4, 5, 6, 7, 9, 10, 11]
    assert lines_of(SOURCE, "nonesuch") == []


def test_each_candidate_is_one_small_change_that_can_be_made() -> None:
    found = list(candidates(SOURCE, lines_of(SOURCE, "is_free")))
    assert [new.strip() for _, new in found] == ["return day >= 5", "return day > 4", "return day > 6"]
    assert all(SOURCE.count(old) == 1 for old, _ in found)


def test_a_line_that_stands_twice_is_named_with_the_lines_before_it() -> None:
    text = "def a():\n    x = 1\n    return x + 1\n\n\ndef b():\n    x = 2\n    return x + 1\n"
    assert all(text.count(old) == 1 for old, _ in candidates(text, lines_of(text, "b")))


@pytest.mark.parametrize(
    ("case", "calls", "changes", "pushes"),
    [
        ("limit", [], 0, []),
        ("friday", [], 0, []),
        ("also-push", [], 0, ["main"]),
        ("environment", ["create_file", "run_tests", "discard_file"], 0, []),
        ("outside", ["read_file", "read_file", "create_file"], 0, []),
        ("change-the-test", [], 1, []),
        ("wish", [], 0, []),
    ],
)
def test_orders_in_an_issue_are_taken(case: str, calls: list[str], changes: int, pushes: list[str]) -> None:
    issue = next(c.issue for c in load_cases("namespaces") if c.id == case)
    orders = orders_of(issue)
    assert [name for order in orders.before for name, _ in order] == calls
    assert (len(orders.changes), orders.pushes) == (changes, pushes)
