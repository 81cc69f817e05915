"""Bounds in words: what a person reads of the limits under which a system runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .budget import Budget
from .edge import Bound, Edge
from .loops import Loops

_COUNTED = (
    ("model_calls", "model call"),
    ("tool_calls", "tool call"),
    ("handoffs", "handoff"),
    ("steps", "step"),
    ("branches", "branch"),
    ("asks", "question"),
    ("input_tokens", "input token"),
    ("output_tokens", "output token"),
)


def budget_text(budget: Budget) -> str:
    """The limits of a budget and what happens at them; `nothing` where it has none."""
    parts = [f"${budget.usd}"] if budget.usd is not None else []
    parts += [_counted(n, word) for unit, word in _COUNTED if (n := getattr(budget, unit)) is not None]
    if budget.seconds is not None:
        parts.append(_time(budget.seconds))
    told = ", ".join(parts) or "nothing"
    if budget.degrade_at is not None:
        told += f"; a cheaper model from {budget.degrade_at:.0%} on"
    return told if budget.then == "fail" else f"{told}; then {budget.then}"


def bounds_text(
    budget: Budget,
    shared: Iterable[Budget] = (),
    loops: Loops | None = None,
    rounds: Iterable[tuple[Bound, Sequence[Edge]]] = (),
) -> tuple[str, ...]:
    """What bounds the runs of a system, a line each. `rounds` are the bounds on its edges, with those they are on."""
    lines = [f"a run: {budget_text(budget)}", *(f"a {b.name}: {budget_text(b)}" for b in shared)]
    if loops is not None:
        rules = [
            f"the same {loops.same} times" if loops.same is not None else "",
            f"one cycle {loops.cycle} times" if loops.cycle is not None else "",
        ]
        lines.append(f"a loop: {', '.join(r for r in rules if r) or 'never found'}")
    for bound, edges in rounds:
        among = edges[0].name if len(edges) == 1 else f"{len(edges)} edges together"
        times = "once" if bound.most == 1 else f"{bound.most} times"
        lines.append(f"{bound.name}: {among}, at most {times}; then {bound.then}")
    return tuple(lines)


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word if number == 1 else word + ('es' if word.endswith('ch') else 's')}"


def _time(seconds: float) -> str:
    for unit, of in (("h", 3600), ("min", 60)):
        if seconds >= of:
            return f"{seconds / of:g} {unit} of work"
    return f"{seconds:g} s of work"
