"""What changed between two locks, classed, with the edges, agents and systems it touches. No old code is imported.

The kinds are those of `compat.diff`, and one more, `same_version`: something means something else and is still
called by the same version, so that nobody can tell the two apart. Everything but `safe` is for a person to decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any, Literal

from .bound_changes import bound_changes
from .compat import WHOLE, diff
from .json_schema import ANNOTATIONS, mapped
from .phrases import quoted
from .tool_changes import tool_changes

FindingKind = Literal["changes_security", "breaks_writers", "breaks_readers", "same_version", "safe"]
Subject = Literal["system", "agent", "contract", "tool", "policy", "edge", "budget"]
KINDS: tuple[FindingKind, ...] = ("changes_security", "breaks_writers", "breaks_readers", "same_version", "safe")
Entry = Mapping[str, Any]
_TOUCHED = ("edges", "agents", "systems")
_GUARDS = {
    "shared": "Who writes the shared state, and how,",
    "registries": "The set of registries that validate ids",
    "unrecorded": "What no record shows",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One change between two locks.

    Attributes:
        kind: whom it breaks; see the module.
        subject, name: what changed: `contract` `Brief@2`, `agent` `billing`, `edge` `triage→billing`.
        path: where in it; `payload` for all of a contract, "" where there is no inside.
        reason: a sentence or two: what was, what is, what follows.
        edges, agents: what it touches, each as `system:name`.
        systems: the systems that have it.
    """

    kind: FindingKind
    subject: Subject
    name: str
    reason: str
    path: str = ""
    edges: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As commands print it."""
        return asdict(self)


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Finding]:
    """Every change between two locks, sorted by kind, subject, name.

    Args:
        old, new: locks, as `lock` makes and `read_lock` checks them.
    """
    before, after = old["systems"], new["systems"]
    found: list[Finding] = []
    for name in sorted({*before, *after}):
        if name not in after:
            reason = "The system is gone; whoever calls it, and its threads in flight, have nowhere to go."
            found.append(Finding(kind="breaks_writers", subject="system", name=name, reason=reason, systems=(name,)))
        elif name not in before:
            reason = "The system is new; nothing that exists depends on it."
            found.append(Finding(kind="safe", subject="system", name=name, reason=reason, systems=(name,)))
        else:
            found += _system(name, before[name], after[name])
    return _merged(found)


def resumable(old: Entry, new: Entry) -> list[Finding]:
    """What makes it unsafe to resume a thread of the old system in the new one; empty means it is safe.

    A thread in flight holds payloads that crossed, or wait to cross, under the old contracts; the names of the nodes
    it goes on with, which are made of edges and contract versions; and the effects of function agents, which are
    known by their order in the code. New readers get old documents, so what breaks old readers does no harm here. Nor
    does another policy or another budget: each call is judged by those that are in force when it runs, and somebody who
    has more to spend lets a run go on that had run out. And a version that should have
    risen is the release's fault.

    Args:
        old, new: one system's entry of each lock.
    """
    name = str(new.get("name", "system"))
    harmless = ("safe", "breaks_readers", "same_version")
    found = [f for f in _system(name, old, new) if f.kind not in harmless and f.subject not in ("policy", "budget")]
    for agent in sorted({*old["agents"]} & {*new["agents"]}):
        if old["agents"][agent].get("code") != new["agents"][agent].get("code"):
            reason = "Its code changed, and a thread knows the effects of such an agent by their order in the code."
            found.append(_of_agent(name, old, agent, "breaks_writers", reason, path="code"))
    ids = {(e["source"], e["target"]): e["contract"] for e in new["edges"]}
    for edge in old["edges"]:
        now = ids.get((edge["source"], edge["target"]))
        if now is not None and now != edge["contract"]:
            reason = f"It is under {now} now; a thread that waits at {edge['contract']} finds no such node."
            found.append(_of_edge(name, edge, "breaks_writers", reason))
    for fan in _differing(old["fan_outs"], new["fan_outs"]):
        reason = "A fan-out changed; a thread with branches under way finds other nodes."
        found.append(Finding(kind="breaks_writers", subject="edge", name=fan, reason=reason, systems=(name,)))
    return _merged(found)


def _system(name: str, old: Entry, new: Entry) -> Iterator[Finding]:
    yield from _contracts(name, old, new)
    yield from _agents(name, old, new)
    yield from _tools(name, old, new)
    yield from _policy(name, old.get("policy"), new.get("policy"))
    yield from _edges(name, old, new)
    for kind, unit, reason in limits(old["budget"], new["budget"]):
        yield Finding(kind=kind, subject="budget", name=name, path=unit, reason=reason, systems=(name,))
    if old["topology"] != new["topology"]:
        reason = f"The topology is {new['topology']} now, {old['topology']} until now; its edges say what that means."
        yield Finding(kind="safe", subject="system", name=name, path="topology", reason=reason, systems=(name,))
    for key, what in _GUARDS.items():
        if old[key] != new[key]:
            reason = f"{what} changed: {quoted(new[key])} now, {quoted(old[key])} until now."
            about: dict[str, Any] = {"subject": "system", "name": name, "path": key, "systems": (name,)}
            yield Finding(kind="changes_security", reason=reason, **about)
    if old["digest"] == new["digest"]:
        return
    if {**old, "digest": ""} == {**new, "digest": ""}:
        reason = "Its digest changed and nothing in the lock says why; perhaps another version of Edgewright made it."
        yield Finding(kind="changes_security", subject="system", name=name, reason=reason, systems=(name,))
    elif new["version"] <= old["version"]:
        reason = f"The system changed and its version did not rise above {old['version']}."
        yield Finding(kind="same_version", subject="system", name=name, reason=reason, systems=(name,))


# -- contracts -------------------------------------------------------------------------------------------------------


def _contracts(system: str, old: Entry, new: Entry) -> Iterator[Finding]:
    before, after = old["contracts"], new["contracts"]
    for was, now in _pairs(before, after):
        touched = [e for e in (*old["edges"], *new["edges"]) if e["contract"] in (was, now)]
        about = _about(system, touched)
        for change in diff(before[was], after[now]):
            yield Finding(
                kind=change.kind, subject="contract", name=now, path=change.path, reason=change.reason, **about
            )
        if meaning(before[was]) != meaning(after[now]) and _version(now) <= _version(was):
            reason = f"Its meaning changed and its version did not rise above {_version(was)}: nobody can tell the two"
            yield Finding(kind="same_version", subject="contract", name=now, reason=f"{reason} apart.", **about)


def _pairs(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each contract of the old lock with what it became: the same id, else the newest of the same name."""
    yield from ((key, key) for key in before if key in after)
    gone, came = [k for k in before if k not in after], [k for k in after if k not in before]
    for name in sorted({k.rpartition("@")[0] for k in gone}):
        then = [k for k in gone if k.rpartition("@")[0] == name]
        now = [k for k in came if k.rpartition("@")[0] == name] or [k for k in after if k.rpartition("@")[0] == name]
        if now:
            yield max(then, key=_version), max(now, key=_version)


def _version(contract: str) -> int:
    found = contract.rpartition("@")[2]
    return int(found) if found.isascii() and found.isdigit() else 0


def meaning(document: Any) -> Any:
    """A contract document without the words in it, and without its version."""
    words = ANNOTATIONS - {"default"}
    inner = mapped(document, meaning)
    if not isinstance(inner, dict):
        return inner
    rules = inner.get("x-contract")
    told = {"x-contract": {k: v for k, v in rules.items() if k != "version"}} if isinstance(rules, Mapping) else {}
    return {k: v for k, v in inner.items() if k not in words} | told


# -- agents and tools ------------------------------------------------------------------------------------------------


def _agents(system: str, old: Entry, new: Entry) -> Iterator[Finding]:
    before, after = old["agents"], new["agents"]
    for name in sorted({*before, *after}):
        if name not in after:
            reason = "The agent is gone; what was handed to it has nowhere to go."
            yield _of_agent(system, old, name, "breaks_writers", reason)
        elif name not in before:
            reason = "The agent is new; its edges and tools say what it may get and do."
            yield _of_agent(system, new, name, "safe", reason)
        else:
            yield from _agent(system, new, name, before[name], after[name])


def _agent(system: str, new: Entry, name: str, was: Entry, now: Entry) -> Iterator[Finding]:
    told: list[tuple[FindingKind, str, str]] = []
    if was["prompt"] != now["prompt"]:
        size = f"{was['prompt']['length']} characters until now, {now['prompt']['length']} from now on"
        told.append(("safe", "prompt", f"The prompt changed ({size}); contracts, policy and budget hold as before."))
    if was["model"] != now["model"]:
        moved = was["model"].partition(":")[0] != now["model"].partition(":")[0]
        follows = "what it reads goes to another provider" if moved else "the gates hold as before"
        kind: FindingKind = "changes_security" if moved else "safe"
        told.append((kind, "model", f"The model is {now['model']} now, {was['model']} until now; {follows}."))
    if was["code"] != now["code"]:
        told.append(("safe", "code", "The code of its function changed; contracts, policy and budget hold as before."))
    told += [
        ("changes_security", "tools", f"It can call {t!r} now, as far as policy permits.")
        for t in sorted({*now["tools"]} - {*was["tools"]})
    ]
    told += [("safe", "tools", f"It can no longer call {t!r}.") for t in sorted({*was["tools"]} - {*now["tools"]})]
    for key, verb in (("reads", "read"), ("writes", "write")):
        more, less = ({*now.get(key, ())} - {*was.get(key, ())}, {*was.get(key, ())} - {*now.get(key, ())})
        told += [("changes_security", key, f"It can {verb} the shared key {k!r} now.") for k in sorted(more)]
        told += [("safe", key, f"It can no longer {verb} the shared key {k!r}.") for k in sorted(less)]
    told += [(kind, f"limits.{unit}", reason) for kind, unit, reason in limits(was["limits"], now["limits"])]
    for kind, path, reason in told:
        yield _of_agent(system, new, name, kind, reason, path=path)
    if told and now["version"] <= was["version"]:
        reason = f"Its behaviour changed and its version did not rise above {was['version']}: nobody can tell the two"
        yield _of_agent(system, new, name, "same_version", f"{reason} apart.")


def _tools(system: str, old: Entry, new: Entry) -> Iterator[Finding]:
    before, after = old["tools"], new["tools"]
    for name in sorted({*before, *after}):
        users = tuple(
            f"{system}:{a}" for a in sorted({*old["agents"], *new["agents"]}) if name in _tools_of(a, old, new)
        )
        about: dict[str, Any] = {"subject": "tool", "name": name, "agents": users, "systems": (system,)}
        if name not in after:
            yield Finding(kind="safe", reason="The tool is gone; nothing can call it.", **about)
        elif name not in before:
            reason = f"The tool is new, with effect {after[name].get('effect')!r}; policy says who may call it."
            yield Finding(kind="changes_security", reason=reason, **about)
        else:
            for kind, path, reason in tool_changes(before[name], after[name]):
                yield Finding(kind=kind, path=path, reason=reason, **about)


def _tools_of(agent: str, *entries: Entry) -> set[str]:
    return {t for entry in entries for t in entry["agents"].get(agent, {}).get("tools", ())}


# -- policy, edges, budgets ------------------------------------------------------------------------------------------


def _policy(system: str, old: Entry | None, new: Entry | None) -> Iterator[Finding]:
    about: dict[str, Any] = {"kind": "changes_security", "subject": "policy", "systems": (system,)}
    was, now = (old or {}).get("rules", {}), (new or {}).get("rules", {})
    if bool(old) != bool(new):
        reason = "There is a policy now; without one every call was denied." if new else "The policy is gone."
        yield Finding(name=system, reason=reason if new else f"{reason} Every tool call is denied.", **about)
    for rule in sorted({*was, *now}):
        if rule not in now:
            yield Finding(
                name=rule, reason="The rule is gone: what it denied or asked may pass, or the reverse.", **about
            )
        elif rule not in was:
            yield Finding(name=rule, reason="The rule is new: calls are judged differently.", **about)
        elif was[rule] != now[rule]:
            yield Finding(name=rule, reason="The rule says something else: calls are judged differently.", **about)
    if old and new and old["digest"] != new["digest"] and was == now:
        reason = "Its rules are the same; what they are checked against (tools, agents, the request) changed."
        yield Finding(**{**about, "kind": "safe"}, name=system, reason=reason)


def _edges(system: str, old: Entry, new: Entry) -> Iterator[Finding]:
    before, after = _by_ends(old["edges"]), _by_ends(new["edges"])
    for ends in sorted({*before, *after}):
        if ends not in after:
            reason = "The edge is gone; its source can no longer hand over to its target."
            yield _of_edge(system, before[ends], "breaks_writers", reason)
        elif ends not in before:
            reason = f"The edge is new: under {after[ends]['contract']}, data can go where it could not."
            yield _of_edge(system, after[ends], "changes_security", reason)
        else:
            yield from _edge(system, old, new, before[ends], after[ends])
    for fan in _differing(old["fan_outs"], new["fan_outs"]):
        reason = "The fan-out changed: its branches, its target, its limit or what it gathers."
        yield Finding(kind="breaks_writers", subject="edge", name=fan, reason=reason, systems=(system,))


def _edge(system: str, old: Entry, new: Entry, was: Entry, now: Entry) -> Iterator[Finding]:
    if was["contract"].rpartition("@")[0] != now["contract"].rpartition("@")[0]:
        reason = f"It is under {now['contract']} now, under {was['contract']} until now"
        yield _of_edge(system, now, "changes_security", f"{reason}: other rules say what may never cross.")
        for change in diff(old["contracts"][was["contract"]], new["contracts"][now["contract"]]):
            yield replace(_of_edge(system, now, change.kind, change.reason), path=change.path)
    if was["history"] != now["history"]:
        wider = _reach(now["history"]) > _reach(was["history"]) or "summary" in (was["history"] + now["history"])
        kind: FindingKind = "changes_security" if wider else "breaks_readers"
        follows = "its target may read more of the talk" if wider else "its target reads less of the talk"
        reason = f"Its history is {now['history']} now, {was['history']} until now: {follows}."
        yield replace(_of_edge(system, now, kind, reason), path="history")
    if was["on_violation"] != now["on_violation"]:
        then, here = was["on_violation"], now["on_violation"]
        people = (then.get("then"), then.get("role")) != (here.get("then"), here.get("role"))
        reason = f"On violation: {_rule(here)} from now on, {_rule(then)} until now."
        kind = "changes_security" if people else "safe"
        yield replace(_of_edge(system, now, kind, reason), path="on_violation")
    for kind, reason in bound_changes(was.get("bound"), now.get("bound")):
        yield replace(_of_edge(system, now, kind, reason), path="bound")


def _rule(rule: Entry) -> str:
    return ", ".join(f"{k} {rule[k]}" for k in sorted(rule))


def _reach(history: str) -> float:
    if history.startswith("last(") and history[5:-1].isdigit():
        return int(history[5:-1])
    return 0 if history == "none" else float("inf")


_SAID = ("of", "per", "to", "then", "role", "unpriced")


def limits(was: Entry, now: Entry) -> Iterator[tuple[FindingKind, str, str]]:
    """Changes of a budget: (kind, unit, reason). A looser limit bounds less of what can go wrong."""
    for unit in sorted({*was, *now}):
        then, here = was.get(unit), now.get(unit)
        if then == here:
            continue
        said = f"{'unlimited' if here is None else here} now, {'unlimited' if then is None else then} until now"
        if unit.rpartition(": ")[2] in _SAID:  # no limit, but what happens at one
            kind: FindingKind = "changes_security" if "unpriced" in unit else "safe"
            yield kind, unit, f"{unit} of the budget is {here} now, {then} until now."
            continue
        looser = here is None or (then is not None and Decimal(str(here)) > Decimal(str(then)))
        follows = "a run may use more" if looser else "a run may stop earlier"
        yield "changes_security" if looser else "safe", unit, f"The limit of {unit} is {said}: {follows}."


# -- what is touched -------------------------------------------------------------------------------------------------


def _of_agent(system: str, entry: Entry, name: str, kind: FindingKind, reason: str, *, path: str = "") -> Finding:
    edges = tuple(f"{system}:{_ends(e)}" for e in entry["edges"] if name in (e["source"], e["target"]))
    return Finding(
        kind=kind,
        subject="agent",
        name=name,
        path=path,
        reason=reason,
        edges=edges,
        agents=(f"{system}:{name}",),
        systems=(system,),
    )


def _of_edge(system: str, edge: Entry, kind: FindingKind, reason: str) -> Finding:
    return Finding(kind=kind, subject="edge", name=_ends(edge), reason=reason, **_about(system, [edge]))


def _about(system: str, edges: Iterable[Entry]) -> dict[str, Any]:
    listed = list(edges)
    agents = {end for e in listed for end in (e["source"], e["target"])} - {"start", "end"}
    return {
        "edges": tuple(sorted({f"{system}:{_ends(e)}" for e in listed})),
        "agents": tuple(f"{system}:{a}" for a in sorted(agents)),
        "systems": (system,),
    }


def _ends(edge: Entry) -> str:
    return f"{edge['source']}→{edge['target']}"


def _by_ends(edges: Iterable[Entry]) -> dict[tuple[str, ...], Entry]:
    """Edges by their ends; where several join the same two, by their contract's name too."""
    listed = list(edges)
    ends = [(e["source"], e["target"]) for e in listed]
    return {
        (*pair, e["contract"].rpartition("@")[0]) if ends.count(pair) > 1 else pair: e
        for e, pair in zip(listed, ends, strict=True)
    }


def _differing(old: Iterable[Entry], new: Iterable[Entry]) -> list[str]:
    def named(fans: Iterable[Entry]) -> dict[str, Any]:
        return {f"{f['source']}→[…]→{f['target']}": {k: v for k, v in f.items() if k != "gathered"} for f in fans}

    before, after = named(old), named(new)
    return [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]


def _merged(found: Iterable[Finding]) -> list[Finding]:
    """Findings sorted; one that several systems share stands once."""
    kept: dict[tuple[str, ...], Finding] = {}
    for f in found:
        key = (f.kind, f.subject, f.name, f.path, f.reason)
        if (other := kept.get(key)) is not None:
            union: dict[str, Any] = {k: tuple(sorted({*getattr(other, k), *getattr(f, k)})) for k in _TOUCHED}
            f = replace(f, **union)
        kept[key] = f
    return sorted(kept.values(), key=lambda f: (KINDS.index(f.kind), f.subject, f.name, f.path != WHOLE, f.path))
