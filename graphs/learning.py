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
from ..ledger.records import CallJudged, ContractPassed, EffectDone, EffectFailed, EffectRefused, RunInside
from ..tools.run import Run
from .standing import Standing


def learn_again(run: Run, entries: list[Entry], standing: Standing, tools: Mapping[str, ToolSpec]) -> None:
    """Take in what the ledger has sealed of a run. Blocks."""
    knows, contracts = run.knows, standing.contracts if standing.watches else {}
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
            case RunInside(at=at, label=label):
                knows.heard(at, Label.from_json(label))
            case _:
                pass


def _exact(run: Run, ref: str) -> Any:
    """A payload as it was; None where it was erased."""
    body = run.ledger.exact(run.grounds.run, ref)
    return None if body is None else orjson.loads(body)
