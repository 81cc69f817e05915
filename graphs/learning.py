"""What a run knew, made again: what its agents read, what must not be shown.

A node that was done before is not executed again, so nothing else would tell what its tools had told it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ..contracts.labels import Label
from ..contracts.tool import ToolSpec
from ..ledger.entry import Entry
from ..ledger.records import (
    CallJudged,
    ContractPassed,
    EffectDone,
    EffectFailed,
    EffectRefused,
    RunInside,
    RunRestarted,
    RunStarted,
)
from ..tools.run import Run
from .standing import Standing


def learn_again(run: Run, entries: list[Entry], standing: Standing, tools: Mapping[str, ToolSpec]) -> None:
    """Take in what the ledger has sealed of a run. Blocks."""
    knows, contracts = run.knows, standing.contracts if run.knows.watches else {}
    for entry in entries:
        match entry.record:
            case ContractPassed(contract=name, payload=ref) if name in contracts:
                knows.learn(contracts[name].leaves(_exact(run, ref) or {}))
            case CallJudged(at=at, arguments=ref, labels=labels, strayed=strayed, verdict="allow"):
                # A record from before grounds were kept leads nowhere, and believes nothing.
                grounds = {name: label[2] if len(label) > 2 else "untrusted" for name, label in labels.items()}
                knows.given(at, _exact(run, ref) or {}, grounds, strayed=strayed)
            case EffectDone(effect=at, tool=name, outcome=ref):
                knows.told(at, _exact(run, ref), tools.get(name))
            case EffectRefused(effect=at, tool=name, reason=said) | EffectFailed(effect=at, tool=name, error=said):
                knows.told(at, said, tools.get(name))
            case RunInside(at=at, label=label, private=ref):
                knows.heard(at, Label.from_json(label))
                for text, level in _exact(run, ref) or [] if ref else []:
                    knows.learn_value(text, level)
            case RunRestarted(run=earlier):
                learn_private(run, earlier, standing, tools)
            case _:
                pass


def learn_private(run: Run, earlier: str, standing: Standing, tools: Mapping[str, ToolSpec]) -> None:
    """Take in the sensitive values of an earlier run, of which this one goes on with a part. Blocks."""
    knows, contracts = run.knows, standing.contracts
    if not knows.watches:
        return

    def exact(ref: str) -> Any:
        body = run.ledger.exact(earlier, ref) if ref else None
        return None if body is None else orjson.loads(body)

    for entry in run.ledger.entries(earlier):
        match entry.record:
            case RunStarted(request=ref):
                knows.learn(standing.entry.leaves(exact(ref) or {}))
            case ContractPassed(contract=name, payload=ref) if name in contracts:
                knows.learn(contracts[name].leaves(exact(ref) or {}))
            case EffectDone(tool=name, outcome=ref):
                tool = tools.get(name)
                knows.learn_value(exact(ref), tool.sensitivity if tool else "secret")
            case EffectRefused(tool=name, reason=said) | EffectFailed(tool=name, error=said):
                tool = tools.get(name)
                knows.learn_value(said, tool.sensitivity if tool else "secret")
            case RunInside(private=ref):
                for text, level in exact(ref) or []:
                    knows.learn_value(text, level)
            case RunRestarted(run=before):
                learn_private(run, before, standing, tools)
            case _:
                pass


def _exact(run: Run, ref: str) -> Any:
    """A payload as it was; None where it was erased."""
    body = run.ledger.exact(run.grounds.run, ref)
    return None if body is None else orjson.loads(body)
