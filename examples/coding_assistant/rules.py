"""The offline model: what plays the assistant when no provider is configured.

It repairs by trying: it runs the tests, takes the failing test whose words are most like the issue's, finds the
function that the test calls, and tries one small change after another (`rules_repair.py`) until that test passes and
none is lost. It knows no issue and no file. And it is gullible: it does what the issue orders (`rules_orders.py`), so
that tools, sandbox and policy have something to stop.

Each turn it goes through its work from the start again, with the results of the calls that were made, as far as those
reach: a function of the turn and of nothing else.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NoReturn

import orjson
from edgewright import Call, OfflineModel, Price, Say, Turn

from .rules_orders import Orders, orders_of
from .rules_repair import Failure, aimed_at, candidates, failures, lines_of

FAILED = ("Denied by policy", "Refused:", "Rejected by reviewer:")
MOST_TRIES = 12


class _NextCall(Exception):
    """The work has come to a call that was not made yet."""

    def __init__(self, call: Call) -> None:
        self.call = call


class _Over(Exception):
    """The work is at its end."""


class Work:
    """The work so far: results that were given are handed out in order, the first call without one ends the turn."""

    def __init__(self, turn: Turn) -> None:
        self._results = deque(turn.results)
        self.issue = str(turn.request.get("issue", ""))
        self.push_to: str | None = turn.request.get("push_to")
        self.isolation = "not_run"
        self.commit: str | None = None
        self.pushed_to: str | None = None

    def do(self, name: str, **arguments: Any) -> str:
        """The text of a call's result."""
        if not self._results:
            raise _NextCall(Call(name, arguments))
        return self._results.popleft()[2]

    def tests(self) -> dict[str, Any] | None:
        """What the tests told; None where they may not run."""
        found: dict[str, Any] | None = _read(self.do("run_tests"))
        self.isolation = found["isolation"] if found else self.isolation
        return found

    def submit(self, outcome: str, summary: str) -> NoReturn:
        """Give the report."""
        told = {"outcome": outcome, "summary": summary[:1000], "isolation": self.isolation}
        self.do("submit", **told, commit=self.commit, pushed_to=self.pushed_to)
        raise _Over


def rules(turn: Turn) -> Say | list[Call]:
    """The next thing to say or to call."""
    try:
        _repair(Work(turn))
    except _NextCall as next_:
        return [next_.call]
    except _Over:
        pass
    return Say("The issue has been dealt with.")


def _repair(work: Work) -> NoReturn:
    base = work.tests()
    if base is None:
        work.submit("stopped", "The tests may not run here, so nothing was changed.")
    if not base["told"]:
        work.submit("stopped", "The tests did not come to their end, so nothing was changed.")
    orders = orders_of(work.issue)
    _obeyed(work, orders)
    failure = aimed_at(work.issue, failures(base["failed"], base["output"]))
    if failure is None:
        work.submit("nothing_done", "No failing test shows what the issue is about, so nothing was changed.")
    path = _mended(work, failure, base)
    if path is None:
        work.submit("nothing_done", f"No small change makes {failure.test} pass, so nothing was left changed.")
    made = _read(work.do("commit", message=f"Mend {failure.function}\n\n{failure.test} passes."))
    if made is None:
        work.submit("stopped", f"{path} is mended, but the commit was not allowed.")
    work.commit = made["commit"]
    for branch in (*([work.push_to] if work.push_to else []), *orders.pushes):
        if not work.do("push", branch=branch).startswith(FAILED):
            work.pushed_to = branch
    where = f", and pushed to {work.pushed_to}" if work.pushed_to else ""
    work.submit("fixed", f"{path} is mended: {failure.test} passes. Committed{where}.")


def _obeyed(work: Work, orders: Orders) -> None:
    """Do what the issue orders. What is refused is left; what a person rejects ends the work."""
    for order in orders.before:
        for name, arguments in order:
            work.do(name, **arguments)
    for old, new in orders.changes:
        hits = _read(work.do("search", words=old)) or []
        for hit in hits[:1]:
            answer = work.do("edit_file", path=str(hit["path"]), old=f"{old}\n", new=f"{new}\n")
            if answer.startswith("Rejected by reviewer:"):
                work.submit("stopped", "The change that the issue asks for was rejected.")


def _mended(work: Work, failure: Failure, base: dict[str, Any]) -> str | None:
    """Try small changes until the test passes and none is lost; the file that was mended, or None."""
    hits = _read(work.do("search", words=f"def {failure.function}("))
    if not isinstance(hits, list) or not hits:
        return None
    path = str(hits[0]["path"])
    text = work.do("read_file", path=path)
    for tried, (old, new) in enumerate(candidates(text, lines_of(text, failure.function))):
        if tried == MOST_TRIES or work.do("edit_file", path=path, old=old, new=new).startswith(FAILED):
            return None
        told = work.tests()
        if told and failure.test in told["passed"] and set(base["passed"]) <= set(told["passed"]):
            return path
        work.do("discard_file", path=path)
    return None


def _read(text: str) -> Any:
    """A result, if it is one."""
    if text.startswith(FAILED):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


model = OfflineModel("coding_assistant", rules, price=Price(input_per_million="0.15", output_per_million="0.60"))
