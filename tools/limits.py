"""Limits that add up: how much of a tool's arguments passed in a run and in a day, and how fast what is final goes.

The sum and its limit are held in the ledger's database, in the transaction that writes an effect's intent: side by
side, in several runs and processes, no more passes than the limit (threats 53, 55).
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import Any

from ..contracts.budget import Amounts, exceeded
from ..contracts.digest import digest
from ..contracts.errors import BudgetExceeded, LimitReached
from ..contracts.tool import ToolSpec
from ..ledger.counts import Count, Release, Window
from . import signing
from .reserving import unspent
from .steps import Call, Counted, Step

DAY, MINUTE = 86_400.0, 60.0


def limit_faults(spec: ToolSpec, arguments: Mapping[str, Any]) -> list[str]:
    """Which amounts of one call are beyond what one call may move, or are no amounts."""
    return [
        f"{name}: is {arguments[name]}; one call moves at most {limit.most}"
        if arguments[name] >= 0
        else f"{name}: is {arguments[name]}; what is limited is not negative"
        for name, limit in spec.limits.items()
        if arguments[name] < 0 or (limit.most is not None and arguments[name] > limit.most)
    ]


def large(spec: ToolSpec, arguments: Mapping[str, Any]) -> frozenset[str]:
    """Amounts of a call that are asked about where other people's text says them.

    What a tool that cannot be undone does not say, counts as the most dangerous: every amount is large.
    """
    found = set()
    for name, value in arguments.items():
        if spec.roles.get(name) == "scalar" and isinstance(value, int | float) and not isinstance(value, bool):
            limit = spec.limits.get(name)
            most = limit.ask if limit is not None and limit.ask is not None else None
            if value > most if most is not None else spec.effect == "irreversible":
                found.add(name)
    return frozenset(found)


def amounts_of(call: Call, arguments: Mapping[str, Any]) -> Generator[Step, Any, dict[str, dict[str, int]]]:
    """What each limited argument adds up to, this call included: in its run, and in this day."""
    found = {}
    for name in call.spec.limits:
        run = yield Counted(key=_key(call, name, arguments, run=True), since=0.0)
        day = yield Counted(key=_key(call, name, arguments), since=_midnight())
        found[name] = {"run": run + arguments[name], "day": day + arguments[name]}
    return found


def recent(call: Call) -> Generator[Step, Any, int]:
    """How many irreversible effects the system began for this tenant within the last minute."""
    if call.spec.effect != "irreversible":
        return 0
    found: int = yield Counted(key=_pace(call), since=signing.now() - MINUTE)
    return found


def counts_of(call: Call, arguments: Mapping[str, Any]) -> tuple[Count, ...]:
    """What an effect counts when it is intended."""
    by, found = _by(call), list[Count]()
    for name, limit in call.spec.limits.items():
        said = f"{call.spec.name}.{name}" + (f" per {limit.per}" if limit.per else "")
        for key, most, since, span in (
            (_key(call, name, arguments, run=True), limit.run, 0.0, "run"),
            (_key(call, name, arguments), limit.day, _midnight(), "day"),
        ):
            window = Window(limit=most, since=since)
            found.append(Count(key=key, by=by, amount=arguments[name], windows=(window,), name=f"{said} in a {span}"))
    if call.spec.effect == "irreversible":
        window = Window(limit=call.activation.run.grounds.budget.irreversible_per_minute, since=signing.now() - MINUTE)
        found.append(
            Count(key=_pace(call), by=by, amount=1, windows=(window,), name="irreversible effects in a minute")
        )
    return tuple(found)


def releases_of(call: Call, arguments: Mapping[str, Any]) -> tuple[Release, ...]:
    """What an effect takes back that is known not to have happened."""
    return tuple(Release(key=count.key, by=count.by) for count in counts_of(call, arguments))


def asking(call: Call) -> Count:
    """What a question to a person counts."""
    grounds = call.activation.run.grounds
    window = Window(limit=grounds.budget.asks_per_hour, since=signing.now() - 60 * MINUTE)
    key = f"asks/{grounds.tenant}/{_system(call)}"
    return Count(key=key, by=_by(call), amount=1, windows=(window,), name=_ASKS)


_ASKS = "questions to a person in an hour"


def out_of_asks(call: Call, error: BudgetExceeded | LimitReached, *, asked: str) -> BudgetExceeded:
    """What stops a run that would ask a person too often: in itself, in a shared budget, or within an hour."""
    if isinstance(error, BudgetExceeded):
        return error
    if error.name != _ASKS:
        return unspent(call.activation, Amounts(asks=1), error, call=asked)
    return exceeded("system", "asks_per_hour", limit=error.limit, used=error.used, more=error.asked)


def _by(call: Call) -> str:
    return f"{call.activation.run.grounds.run}/{call.at}"


def _system(call: Call) -> str:
    return call.activation.run.grounds.system.partition("@")[0]


def _pace(call: Call) -> str:
    return f"irreversible/{call.activation.run.grounds.tenant}/{_system(call)}"


def _key(call: Call, name: str, arguments: Mapping[str, Any], *, run: bool = False) -> str:
    """What a sum is kept under. The values that it is kept by are hashed: they may be nobody's business."""
    grounds, limit = call.activation.run.grounds, call.spec.limits[name]
    parts = ["amount", grounds.tenant, call.spec.name, name]
    parts += [digest(_folded(arguments.get(limit.per)))[:32]] if limit.per else []
    return "/".join([*parts, "run", grounds.run] if run else parts)


def _midnight() -> float:
    return signing.now() // DAY * DAY


def _folded(value: Any) -> Any:
    """One account in any of its spellings: letters and digits only."""
    return re.sub(r"[\W_]+", "", value).casefold() if isinstance(value, str) else value
