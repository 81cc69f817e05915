"""Registries: look-ups that say whether an id exists, so that a field declared `Id(...)` is a closed type."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ..contracts.budget import Budget
from ..contracts.contract import Contract
from ..contracts.labels import REGISTRY, Leaf
from ..tools.run import Activation, Run, activated
from ..tools.sealed import SealedTool

Registry = Callable[[str], Any] | SealedTool
"""Takes an id, says whether it is known (or gives a promise of it). A governed tool counts by what it returns."""
SECONDS = 10.0


def faults_of_registries(contracts: Mapping[str, Contract], registries: Mapping[str, Registry]) -> list[str]:
    """What is wrong with the registries of a system: one is missing, or a tool that may not be believed."""
    faults = []
    for contract in contracts.values():
        faults += [
            f"contract {contract.id} validates ids by registry {name!r}, which the system was not given; "
            f"known: {sorted(registries)}"
            for name in sorted(_named(contract.schema))
            if name not in registries
        ]
    for name, registry in registries.items():
        if isinstance(registry, SealedTool):
            if registry.spec.output != "trusted" or registry.spec.effect != "read":
                faults.append(f"registry {name!r} is tool {registry.name!r}, which is not a trusted read")
            if len(registry.spec.parameters.get("properties", {})) != 1:
                faults.append(f"registry {name!r} is tool {registry.name!r}, which does not take just an id")
    return list(dict.fromkeys(faults))


def _named(schema: Any) -> set[str]:
    if isinstance(schema, Mapping):
        own = {str(schema[REGISTRY])} if REGISTRY in schema else set()
        return own.union(*map(_named, schema.values()))
    return set().union(*map(_named, schema)) if isinstance(schema, list) else set()


async def unknown_ids(
    leaves: list[Leaf], registries: Mapping[str, Registry], *, run: Run, agent: str, ns: str
) -> list[str]:
    """A fault for each id that its registry does not know. One that cannot be checked is a fault too."""
    faults = []
    for leaf in leaves:
        if not leaf.registry:
            continue
        try:
            async with asyncio.timeout(SECONDS):
                known = await _known(registries[leaf.registry], leaf.value, run=run, agent=agent, ns=ns)
        except Exception as error:  # noqa: BLE001 - an error is never permission
            faults.append(f"{leaf.path}: could not be checked by registry {leaf.registry!r}: {type(error).__name__}")
        else:
            if not known:
                faults.append(f"{leaf.path}: registry {leaf.registry!r} knows no such id")
    return list(dict.fromkeys(faults))


async def _known(registry: Registry, value: Any, *, run: Run, agent: str, ns: str) -> Any:
    if isinstance(registry, SealedTool):
        name = next(iter(registry.spec.parameters["properties"]))
        with activated(Activation(run=run, agent=agent, limits=Budget(), ns=ns)):
            return await registry.call({name: value})
    if inspect.iscoroutinefunction(registry):
        return await registry(value)
    found = await asyncio.to_thread(registry, value)
    return await found if inspect.isawaitable(found) else found
