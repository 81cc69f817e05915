"""Systems as a lock holds them; see `contracts.lock`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..contracts.digest import digest_text
from ..contracts.lock import lock, lock_of
from ..contracts.policy import CompiledPolicy
from .definition import Definition
from .levels import levels_of


class Defined(Protocol):
    """A system, as far as a lock knows it."""

    @property
    def definition(self) -> Definition:
        """What it was built from."""
        ...


def lock_of_system(system: Defined) -> dict[str, Any]:
    """One system as a lock holds it: plain JSON, made of what the system was built from."""
    return lock_of_definition(system.definition)


def lock_of_definition(found: Definition) -> dict[str, Any]:
    """`lock_of_system`, of what it is built from."""
    return lock_of(
        name=found.name,
        version=found.version,
        digest=found.standing.digest,
        topology=type(found.topology).__name__.lower(),
        agents=found.specs.values(),
        tools=found.tools.values(),
        edges=found.edges,
        fan_outs=[fan for level in levels_of(found.topology) for fan in level.fan_outs],
        policy=(found.policy.digest, _rules(found.policy)) if found.policy else None,
        budget=found.budget,
        budgets=found.budgets,
        loops=found.standing.loops,
        shared={name: key.as_json() for name, key in found.shared.items()},
        registries=sorted(found.registries),
        unrecorded=found.standing.unrecorded.as_json(),
    )


def lock_of_systems(systems: Mapping[str, Defined]) -> dict[str, Any]:
    """The lock of a project: its systems, by the names that the project gives them."""
    return lock({name: lock_of_system(system) for name, system in systems.items()})


def _rules(policy: CompiledPolicy) -> dict[str, str]:
    """A digest of each rule, by its id: of what Cedar read, so that spaces and comments are no change."""
    read = policy._policies.to_pst().static_policies
    # Without the name that Cedar gives it by its place in the file.
    return {rule.annotations["id"]: digest_text(repr(_told(rule))) for rule in read.values()}


def _told(rule: Any) -> list[Any]:
    notes = sorted(rule.annotations.items())
    return [rule.effect, rule.principal, rule.action, rule.resource, rule.clauses, notes]
