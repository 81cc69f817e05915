"""LangGraph's store with versions: what runs remember in common, without lost updates.

`BaseStore.put` writes over whatever is there. Here every item has a version, and a put says, or is taken to mean, which
version it is based on:

- `put(..., expected=3)` writes if the item is at version 3, and `expected=0` if it is not there.
- `put(...)` writes if the item is as the writer last read it (`get`, `search`) or wrote it. An item that the writer
  never read must not be there yet.
- `put(..., expected=None)` writes over whatever is there. `delete` takes `expected` in the same way.

Anything else is RecordConflict, and nothing was written: get the item again, and put again.

What was read counts where it was read: in the same context (`contextvars`), so for the code that goes on after it and
for what that code starts, but not for what runs beside it. Inside a run of a `System` what an agent read counts for its
later steps too, and for the run's other agents as long as they have not read the item themselves. It is remembered in
the process: a run that another process takes over reads again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from threading import Lock
from typing import Any, Literal, cast

from langgraph.config import get_config
from langgraph.store.base import (
    NOT_PROVIDED,
    BaseStore,
    GetOp,
    ListNamespacesOp,
    NotProvided,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
)
from langgraph.store.base import Item as StoreItem

from ..contracts.errors import StoreInvalid
from ..ledger.items import Item, Put
from ..ledger.shared import Writer, shared_of
from ..ledger.store import Ledger
from ..tools.run import active
from ._matching import fits, matches

READERS = 4096
"""How many agents' reads a store remembers. Who is forgotten is taken to have read nothing."""
READ_HERE = 1024
"""How many items' versions one context remembers, the latest read."""
_At = tuple[str, tuple[str, ...], str]
_NUMBERS = count()
_HERE: ContextVar[Mapping[tuple[int, tuple[str, ...], _At], int] | None] = ContextVar("edgewright_reads", default=None)


class VersionedItem(SearchItem):
    """An item of a `VersionedStore`: a LangGraph item with its `version`."""

    __slots__ = ("version",)

    def __init__(self, item: Item) -> None:
        super().__init__(
            namespace=item.namespace,
            key=item.key,
            value=dict(item.value or {}),
            created_at=datetime.fromtimestamp(item.created, UTC),
            updated_at=datetime.fromtimestamp(item.updated, UTC),
        )
        self.version = item.version

    def dict(self) -> dict[str, Any]:
        """As LangGraph's, with the version."""
        return {**super().dict(), "version": self.version}


class _Unsaid:
    """The caller said nothing of the version it expects."""


UNSAID = _Unsaid()
Expected = int | _Unsaid | None


@dataclass(frozen=True, slots=True)
class _Who:
    """Who reads and writes: its tenant, its name on the ledger, and under which names its reads are remembered."""

    tenant: str
    writer: Writer
    names: tuple[tuple[str, ...], ...] = ()

    @property
    def own(self) -> tuple[str, ...]:
        return self.names[0] if self.names else ()


class VersionedStore(BaseStore):
    """A LangGraph store on a ledger's shared items: `graph.compile(store=VersionedStore(ledger))`.

    Namespaces belong to a tenant: that of the run under way, `tenant` outside of one. Filters are applied to the
    documents here and never become SQL. There is no semantic search and no expiry.

    Args:
        ledger: keeps the items; the memory ledger keeps them in memory.

    Raises:
        RecordConflict: a put or delete that is based on another version than the one there is.
        StoreInvalid: a value that is no JSON object, a semantic `query`, an `index`, a filter that is not known.
        LedgerUnavailable: it could not be made durable.
    """

    __slots__ = ("_lock", "_number", "_reads", "_shared", "_tenant")

    def __init__(self, ledger: Ledger, *, tenant: str = "local") -> None:
        self._shared, self._tenant = shared_of(ledger), tenant
        self._number = next(_NUMBERS)  # not its id(): a context may outlive it
        self._reads: OrderedDict[tuple[str, ...], dict[_At, int]] = OrderedDict()
        self._lock = Lock()

    # -- LangGraph's interface ------------------------------------------------------------------------------------

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do operations: first the reads, then the puts in order, all of them or none."""
        return self._done([(op, UNSAID) for op in ops])

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """`batch`, off the event loop."""
        return await self._adone([(op, UNSAID) for op in ops])

    def put(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
        expected: Expected = UNSAID,
    ) -> None:
        """Write an item; see the module for `expected`."""
        self._done([(_put_op(namespace, key, value, index, ttl), expected)])

    async def aput(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
        expected: Expected = UNSAID,
    ) -> None:
        """`put`, off the event loop."""
        await self._adone([(_put_op(namespace, key, value, index, ttl), expected)])

    def delete(self, namespace: tuple[str, ...], key: str, *, expected: Expected = UNSAID) -> None:
        """Delete an item; its version goes on counting, should it come back."""
        self._done([(PutOp(namespace, str(key), None), expected)])

    async def adelete(self, namespace: tuple[str, ...], key: str, *, expected: Expected = UNSAID) -> None:
        """`delete`, off the event loop."""
        await self._adone([(PutOp(namespace, str(key), None), expected)])

    # -- doing it -------------------------------------------------------------------------------------------------

    def _done(self, ops: list[tuple[Op, Expected]]) -> list[Result]:
        who, read = self._who(), dict[_At, int]()
        results = self._batch(ops, who, read)
        self._remember(who, read)
        return results

    async def _adone(self, ops: list[tuple[Op, Expected]]) -> list[Result]:
        who, read = self._who(), dict[_At, int]()
        results = await asyncio.to_thread(self._batch, ops, who, read)
        self._remember(who, read)  # in the caller's context, not in the thread's copy of it
        return results

    def _batch(self, ops: list[tuple[Op, Expected]], who: _Who, read: dict[_At, int]) -> list[Result]:
        results: list[Result] = []
        puts: list[tuple[PutOp, Expected]] = []
        for op, expected in ops:
            match op:
                case GetOp():
                    results.append(self._get(op, who, read))
                case SearchOp():
                    results.append(self._search(op, who, read))
                case ListNamespacesOp():
                    results.append(self._namespaces(op, who))
                case PutOp():
                    puts.append((op, expected))
                    results.append(None)
                case _:
                    raise StoreInvalid(operation=type(op).__name__, detail="is not known to this store")
        if puts:
            self._put(puts, who, read)
        return results

    def _get(self, op: GetOp, who: _Who, read: dict[_At, int]) -> StoreItem | None:
        found = self._shared.item(who.tenant, op.namespace, op.key)
        read[who.tenant, op.namespace, op.key] = 0 if found is None else found.version
        return None if found is None or found.value is None else VersionedItem(found)

    def _search(self, op: SearchOp, who: _Who, read: dict[_At, int]) -> list[SearchItem]:
        if op.query:
            raise StoreInvalid(operation="search", detail="it has no semantic search; use a filter instead of a query")
        if op.offset < 0 or op.limit < 0:
            raise StoreInvalid(operation="search", detail="offset and limit are not below zero")
        there = self._shared.items(who.tenant, op.namespace_prefix)
        chosen = [i for i in there if fits(i.value or {}, op.filter or {})][op.offset : op.offset + op.limit]
        read.update({(who.tenant, item.namespace, item.key): item.version for item in chosen})
        return [VersionedItem(item) for item in chosen]

    def _namespaces(self, op: ListNamespacesOp, who: _Who) -> list[tuple[str, ...]]:
        conditions = op.match_conditions or ()
        found = [n for n in self._shared.namespaces(who.tenant) if all(matches(c, n) for c in conditions)]
        if op.max_depth is not None:
            found = sorted({n[: op.max_depth] for n in found})
        return found[op.offset : op.offset + op.limit]

    def _put(self, puts: list[tuple[PutOp, Expected]], who: _Who, read: dict[_At, int]) -> None:
        wishes, ahead = list[Put](), dict[_At, int | None]()
        for op, said in puts:
            _check(op)
            at = (who.tenant, op.namespace, op.key)
            expected = cast("int | None", said) if said is not UNSAID else ahead.get(at, self._seen(who, at))
            # A second put of one item in one batch is based on the first one.
            ahead[at] = None
            wishes.append(
                Put(
                    tenant=who.tenant,
                    namespace=op.namespace,
                    key=op.key,
                    value=op.value,
                    expected=expected,
                    by=who.writer,
                    asked=str(who.writer),
                )
            )
        written = self._shared.put(wishes).result()
        read.update({(item.tenant, item.namespace, item.key): item.version for item in written})

    # -- who reads, and what they read ----------------------------------------------------------------------------

    def _who(self) -> _Who:
        activation = active()
        if activation is not None:
            grounds = activation.run.grounds
            writer = Writer(run=grounds.run, system=grounds.system, agent=activation.agent, effect="")
            return _Who(grounds.tenant, writer, ((grounds.run, activation.agent), (grounds.run,)))
        return _Who(self._tenant, _outside())

    def _remember(self, who: _Who, read: Mapping[_At, int]) -> None:
        if not read:
            return
        here = dict(_HERE.get() or {})
        for at, version in read.items():
            name = (self._number, who.own, at)
            here.pop(name, None)
            here[name] = version
        while len(here) > READ_HERE:
            del here[next(iter(here))]
        _HERE.set(here)
        with self._lock:
            for known in who.names:
                self._reads.setdefault(known, {}).update(read)
                self._reads.move_to_end(known)
            while len(self._reads) > READERS:
                self._reads.popitem(last=False)

    def _seen(self, who: _Who, at: _At) -> int:
        """The version that a put without `expected` is based on; 0 for what the writer never read."""
        here = (_HERE.get() or {}).get((self._number, who.own, at))
        if here is not None:
            return here
        with self._lock:
            found = (self._reads.get(name, {}).get(at) for name in who.names)
            return next((version for version in found if version is not None), 0)


def _outside() -> Writer:
    """Who writes outside of a run: the thread and the node of a plain LangGraph graph, or some code."""
    try:
        config = get_config()
    except RuntimeError:
        return Writer(run="none", system="none", agent="code outside of a run", effect="")
    node = str((config.get("metadata") or {}).get("langgraph_node", "?"))
    thread = str((config.get("configurable") or {}).get("thread_id", "?"))
    return Writer(run=f"of thread {thread}", system="of plain LangGraph", agent=node, effect="")


def _put_op(
    namespace: tuple[str, ...],
    key: str,
    value: Mapping[str, Any],
    index: Literal[False] | list[str] | None,
    ttl: float | NotProvided | None,
) -> PutOp:
    return PutOp(namespace, str(key), value, index=index, ttl=None if isinstance(ttl, NotProvided) else ttl)


def _check(op: PutOp) -> None:
    if not op.namespace:
        raise StoreInvalid(operation="put", detail="an item needs a namespace")
    if op.index:
        raise StoreInvalid(operation="put", detail="it has no index; put the item without one")
    if op.ttl is not None:
        raise StoreInvalid(operation="put", detail="its items do not expire; put the item without a ttl")
