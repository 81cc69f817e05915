"""What a system undoes of a run that has ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from ..tools.compensation import Compensation
from .blocking import blocking
from .undoing import undo

if TYPE_CHECKING:
    from ..ledger.holds import Hold
    from .definition import Definition
    from .home import Home
    from .runs import Runs


class Undoable(ABC):
    """A system, as far as its runs are undone."""

    definition: Definition
    home: Home
    _runs: Runs

    @abstractmethod
    def hold(self, thread: str, *, nested: bool = False) -> Hold:
        """Hold a thread; see `System.hold`."""

    async def acompensate(self, run: str, *, by: str, again: bool = False, keep_going: bool = False) -> Compensation:
        """Undo what a run that has ended did, the last effect first, by the `compensate` of its tools.

        Each effect is undone once, whatever crashes and however often this is called. One that could not be undone
        stops the rest, for effects before it may be what it stands on.

        Args:
            by: who wants that; it goes on record.
            again: `by` has looked: an undoing that may have happened is done again, and a record that others changed
                since is taken as it is now.
            keep_going: do not stop.

        Raises:
            NotFound: there is no such run.
            UndoRefused: it has not ended, is another system's, was erased, or nobody is named.
            ThreadBusy: its thread is running, or somebody undoes it now.
            LedgerUnavailable, LedgerCorrupt: what was undone until then is on record.
        """
        ledger, learn = await self.home.ledger(), self._runs.learn_again
        options = {"again": again, "keep_going": keep_going}
        return await undo(self.definition, ledger, run, hold=self.hold, learn=learn, by=by, **options)

    def compensate(self, run: str, *, by: str, again: bool = False, keep_going: bool = False) -> Compensation:
        """`acompensate` for code without an event loop, notebooks included."""
        return blocking(self.acompensate(run, by=by, again=again, keep_going=keep_going))
