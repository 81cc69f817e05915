"""The desk on its own written cases: each is run, the stated rule answers questions, and what came of it is checked."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgewright import System
from edgewright.ledger.records import CallJudged
from edgewright.server.showcase import Shown, unexpected

from .market import refuse_without_packages
from .reviewer import HEAD, review

CASES = Path(__file__).with_name("cases.toml")


def cases() -> list[dict[str, Any]]:
    """The written cases: `id`, `order`, `why`, `expected`."""
    found: list[dict[str, Any]] = tomllib.loads(CASES.read_text(encoding="utf-8"))["case"]
    return found


async def showcase(system: System) -> list[Shown]:
    """Run the system on every case, one after the other. Raises ProjectInvalid where a package is missing."""
    refuse_without_packages()
    return [await shown(system, case) for case in cases()]


async def shown(system: System, case: Mapping[str, Any]) -> Shown:
    """Run one case, and hold what came of it against what was written."""
    order, asked = case["order"], 0
    try:
        result = await system.arun(order)
        while result.status == "waiting":
            asked += len(result.reviews)
            answers = {request.id: review(request) for request in result.reviews}
            result = await system.aresume(result.thread, answers, reviewer=HEAD)
    except Exception as error:  # noqa: BLE001 - a provider that fails spoils its case, not the others
        return Shown(
            case=case["id"], run="", outcome="failed", faults=(f"{type(error).__name__}: {error}",), asked=asked
        )
    told = result.output or {}
    denied = await asyncio.to_thread(_denied, system, result.run)
    found = {
        **told,
        "dissent": [each["analyst"] for each in told.get("dissent", ())],
        "missing": [each["analyst"] for each in told.get("missing", ())],
        "asked": asked,
        "denied": denied,
        "marks": [mark.kind for mark in result.marks],
    }
    return Shown(
        case=case["id"],
        run=result.run,
        outcome=_in_words(order, told),
        faults=(*unexpected(case["expected"], found), *_missing_picture(system, told)),
        asked=asked,
        files=tuple(_pictures(system, told)),
        facts={**told, "denied": denied},
    )


def _denied(system: System, run: str) -> list[str]:
    records = [entry.record for entry in system.ledger.entries(run)]
    return [rule for r in records if isinstance(r, CallJudged) and r.verdict == "deny" for rule in r.rules]


def _pictures(system: System, told: Mapping[str, Any]) -> Sequence[Path]:
    home = system.home.path
    return [home / told["chart"]] if home is not None and told.get("chart") else []


def _missing_picture(system: System, told: Mapping[str, Any]) -> Sequence[str]:
    return [f"there is no picture at {path}" for path in _pictures(system, told) if not path.is_file()]


def _in_words(order: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    said = [f"{order['ticker']} {order['as_of']}: {told.get('recommendation')}, {told.get('status')}"]
    said += [f"{len(told.get('supporters', ()))} for {told.get('leaning')}"]
    said += [f"{each['analyst']} says {each['view']}" for each in told.get("dissent", ())]
    said += [f"{each['analyst']} is missing" for each in told.get("missing", ())]
    return "; ".join(said)
