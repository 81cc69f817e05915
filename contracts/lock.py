"""The lock: what a project's systems are made of, as a JSON document that can be compared without their code.

    {"edgewright_lock": 1, "systems": {name: {
        "name", "version", "digest", "topology",
        "agents":    {name: {version, prompt: {digest, length}, model, tools, limits, code, reads, writes,
                             takes, gives}},
        "contracts": {"Name@1": document},
        "edges":     [{source, target, contract, history, on_violation}],
        "fan_outs":  [{source, branches, target, gathered, limit}],
        "tools":     {name: declaration},
        "policy":    {digest, rules: {id: digest}} or null,
        "budget":    limits,
        "shared":    {key: declaration}, "registries": [name], "unrecorded": never}}}

It holds no prompt and no code, only their digests: it can be committed beside them and shown to anybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import orjson

from .agent import AgentSpec
from .budget import Budget
from .contract import Contract
from .digest import canonical, digest_text
from .edge import Edge, FanOut
from .errors import LockInvalid
from .join import ALL
from .loops import LOOPS, Loops
from .tool import LATER, ToolSpec

LOCK_VERSION = 1
_PARTS: dict[str, type | tuple[type, ...]] = {
    "version": int,
    "digest": str,
    "topology": str,
    "agents": Mapping,
    "contracts": Mapping,
    "edges": list,
    "fan_outs": list,
    "tools": Mapping,
    "policy": (Mapping, type(None)),
    "budget": Mapping,
    "shared": Mapping,
    "registries": list,
    "unrecorded": Mapping,
}
_AGENT: dict[str, type] = {
    **{"version": int, "prompt": Mapping, "model": str, "tools": list, "limits": Mapping, "code": str},
    **{"reads": list, "writes": list, "takes": list, "gives": list},
}
_EDGE: dict[str, type] = {"source": str, "target": str, "contract": str, "history": str, "on_violation": Mapping}
_FAN: dict[str, type] = {"source": str, "branches": list, "target": str, "gathered": str, "limit": int}
_TEXT = ("name", "description", "digest")


def lock_of(
    *,
    name: str,
    version: int,
    digest: str,
    topology: str,
    agents: Iterable[AgentSpec],
    tools: Iterable[ToolSpec],
    edges: Sequence[Edge],
    fan_outs: Sequence[FanOut] = (),
    policy: tuple[str, Mapping[str, str]] | None,
    budget: Budget,
    budgets: Sequence[Budget] = (),
    loops: Loops = LOOPS,
    shared: Mapping[str, Any] | None = None,
    registries: Iterable[str] = (),
    unrecorded: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One system as a lock holds it.

    Args:
        topology: its kind, `supervisor`, say.
        edges: every edge, those of fan-outs included.
        budget, budgets: of a run; of all runs of a thread, the system or a tenant.
        policy: its digest, and a digest of each rule by its id; None where there is none.
        shared: the keys of shared state, each as JSON.
        registries: names of the look-ups that validate ids.
        unrecorded: what no record shows, as JSON.
    """
    contracts = {e.contract.id: e.contract for e in edges} | {f.gathered.id: f.gathered for f in fan_outs}
    return {
        "name": name,
        "version": version,
        "digest": digest,
        "topology": topology,
        "agents": {a.name: _agent(a, edges) for a in sorted(agents, key=lambda a: a.name)},
        "contracts": {key: _document(contracts[key]) for key in sorted(contracts)},
        "edges": sorted((e.as_json() for e in edges), key=lambda e: (e["source"], e["target"], e["contract"])),
        "fan_outs": [_fan_out(f) for f in sorted(fan_outs, key=lambda f: (f.source, f.target))],
        "tools": {t.name: _tool(t) for t in sorted(tools, key=lambda t: t.name)},
        "policy": {"digest": policy[0], "rules": dict(sorted(policy[1].items()))} if policy else None,
        "budget": budget.as_json()
        | {f"{b.name}: {k}": v for b in budgets for k, v in b.as_json().items()}
        | {f"loop: {rule}": most for rule, most in loops.as_json().items() if most is not None},
        "shared": dict(sorted((shared or {}).items())),
        "registries": sorted(registries),
        "unrecorded": dict(unrecorded or {}),
    }


def lock(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The whole lock: what `lock_of` made of each system, by the name the project gives it."""
    return {"edgewright_lock": LOCK_VERSION, "systems": {name: dict(systems[name]) for name in sorted(systems)}}


def read_lock(found: Any, *, name: str) -> dict[str, Any]:
    """A lock that was parsed from JSON, checked as far as comparing needs it.

    Args:
        name: what to call it in an error: its path.

    Raises:
        LockInvalid: with every fault.
    """
    if not isinstance(found, Mapping) or "edgewright_lock" not in found:
        raise LockInvalid(name=name, faults=["is not a lock; make one with `edgewright lock`"])
    if found["edgewright_lock"] != LOCK_VERSION:
        fault = f"is of version {found['edgewright_lock']!r}; this program reads version {LOCK_VERSION}"
        raise LockInvalid(name=name, faults=[f"{fault}: make it again with `edgewright lock`"])
    systems = found.get("systems")
    if not isinstance(systems, Mapping):
        raise LockInvalid(name=name, faults=["has no systems"])
    faults = [fault for key, entry in systems.items() for fault in _faults(str(key), entry)]
    if faults:
        raise LockInvalid(name=name, faults=faults)
    return dict(found)


def _faults(key: str, entry: Any) -> list[str]:
    if not isinstance(entry, Mapping):
        return [f"system {key!r} is not an object"]
    faults = [
        f"system {key!r}: {part!r} is missing or of the wrong type"
        for part, kind in _PARTS.items()
        if not isinstance(entry.get(part, "" if part == "policy" else None), kind)
    ]
    if faults:
        return faults
    faults += [
        f"system {key!r}: agent {n!r} is incomplete" for n, v in entry["agents"].items() if not _whole(v, _AGENT)
    ]
    faults += [f"system {key!r}: a fan-out is incomplete" for v in entry["fan_outs"] if not _whole(v, _FAN)]
    for part in ("contracts", "tools"):
        faults += [f"system {key!r}: {part} {n!r} is not an object" for n, v in entry[part].items() if not _object(v)]
    ids = set(entry["contracts"])
    for edge in entry["edges"]:
        if not _whole(edge, _EDGE):
            faults.append(f"system {key!r}: an edge is incomplete")
        elif edge["contract"] not in ids:
            faults.append(f"system {key!r}: an edge names contract {edge['contract']!r}, which the lock does not hold")
    return faults


def _whole(value: Any, parts: Mapping[str, type]) -> bool:
    return isinstance(value, Mapping) and all(isinstance(value.get(k), kind) for k, kind in parts.items())


def _object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _agent(spec: AgentSpec, edges: Sequence[Edge]) -> dict[str, Any]:
    return {
        "version": spec.version,
        "prompt": {"digest": digest_text(spec.prompt), "length": len(spec.prompt)},
        "model": spec.model,
        "tools": sorted(n for n, _ in spec.tools),
        "limits": spec.limits.as_json(),
        "code": spec.code,
        "reads": sorted(spec.reads),
        "writes": sorted(spec.writes),
        "takes": sorted({e.contract.id for e in edges if e.target == spec.name}),
        "gives": sorted({e.contract.id for e in edges if e.source == spec.name}),
    }


def _document(contract: Contract) -> dict[str, Any]:
    document = dict(contract.document)
    canonical(document)  # what is not JSON would show up only when the lock is written
    return document


def _fan_out(fan: FanOut) -> dict[str, Any]:
    return {
        "source": fan.source,
        "branches": sorted(fan.branches),
        "target": fan.target,
        "gathered": fan.gathered.id,
        "limit": fan.limit,
        **({"join": fan.join.as_json()} if fan.join != ALL else {}),
    }


def _tool(spec: ToolSpec) -> dict[str, Any]:
    """Every declared fact; of the description only the digest. A fact that is added later is locked by itself."""
    told = {f.name: getattr(spec, f.name) for f in fields(spec) if f.name not in _TEXT}
    said = {k: v for k, v in told.items() if v or k not in LATER}
    # As it is read back: a lock that was just made is compared with one that was stored.
    plain = orjson.loads(canonical(said))
    return {**plain, "roles": dict(spec.roles), "description": digest_text(spec.description)}
