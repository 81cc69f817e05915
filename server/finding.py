"""Finding what a command names: a run among the ledgers that are there, a system among a project's."""

from __future__ import annotations

from collections.abc import Callable

from ..contracts.errors import NotFound
from ..graphs.home import FILE, Home
from ..graphs.system import System
from ..ledger.store import Ledger
from ..ledger.transcript import find_run
from .settings import Settings


def ledger_of(wanted: str) -> tuple[Ledger, str, Callable[[], None]]:
    """The ledger that has a run, the home's own or the demo's in it; the run's id; and what closes the ledger.

    Args:
        wanted: a run's id, its first characters, a thread's id, or `last`.

    Raises:
        NotFound: there is none, or several.
    """
    home = Settings().home
    known: list[str] = []
    for folder in (home, home / "demo"):
        if not (folder / FILE).is_file():
            continue
        place = Home(folder)
        ledger = place.open()[0]
        runs = ledger.runs(limit=1_000_000)
        known += [r.run for r in runs]
        ids = [r.run for r in runs[:1]] if wanted == "last" else find_run([r.run for r in runs], wanted)
        ids = ids or [r.run for r in runs if r.thread == wanted][:1]
        if len(ids) == 1:
            return ledger, ids[0], place.close
        place.close()
        if ids:
            raise NotFound(kind="single run that begins with", name=wanted, known=ids[:10])
    raise NotFound(kind="run", name=wanted, known=[r[:8] for r in known[:10]])


def system_of_run(systems: list[System], wanted: str) -> tuple[System, str]:
    """The run, and the system of its name whose ledger has it. Raises NotFound."""
    found: dict[str, System] = {}
    for system in systems:
        if system.home.path is not None and (system.home.path / FILE).is_file():
            own = [r.run for r in system.ledger.runs(limit=1_000_000) if r.system.partition("@")[0] == system.name]
            found |= dict.fromkeys(find_run(own, wanted), system)
    if len(found) > 1:
        raise NotFound(kind="single run that begins with", name=wanted, known=sorted(found)[:10])
    if not found:
        raise NotFound(kind="run of this project's systems", name=wanted, known=sorted(s.name for s in systems))
    [(run, system)] = found.items()
    return system, run
