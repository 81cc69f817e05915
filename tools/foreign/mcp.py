"""Tools of an MCP server, governed.

A server is somebody else's program: what it says of itself is data. A tool of it is callable only if a person declared
what it does and pinned its whole definition; every other one is in quarantine, with the reason. The definition is
compared with the pin before each call, on a list that the server gives then.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...contracts.errors import ServerFailed, ServerUnreachable, ToolInvalid, ToolQuarantined
from ..containment.kinds import of_kind
from ..run import ToolContext
from ..sealed import SealedTool, seal
from .declarations import Declaration, load_declarations
from .results import RETURNS, told
from .review import Review, Reviewed
from .wire import Listing, Standing, standings

if TYPE_CHECKING:
    from .link import Connection, Link
    from .process import Lost, Streams

_PIN = re.compile("sha256:[0-9a-f]{64}")
EFFECT = "edgewright/effect"
"""Under this name in `_meta` a tool that is declared to be idempotent by key is given the effect's key."""


@dataclass(frozen=True, eq=False)
class Mcp:
    """An MCP server, started as a process (`command`) or reached at a URL.

        server = Mcp("files", command="mcp-files", args=["--root", "/srv"], declarations="tools.toml")
        print((await server.review()).toml())  # a person reads it, and pins what is well
        agent = Agent("clerk", version=1, prompt="...", tools=await server.tools())

    Sampling, elicitation and roots are refused, links in results are not followed, resources and prompts are not read.
    Protocol revisions up to 2025-11-25 are spoken (those with a handshake).

    Args:
        name: prefix of its tools' names: `files` has `files_read`.
        command: the program; found on the PATH once, when this is made.
        env: the whole environment of its process; nothing of ours is added.
        url: instead of a command; https, or loopback.
        headers: sent with each request to the URL, such as an authorization.
        declarations: by the tools' names as the server has them, or a TOML file of them.
        pins: digests by the same names; they have precedence over the pins in declarations.
        timeout: seconds that connecting and listing may take. How long a call may take is in its declaration.
        recheck: how many seconds old the list may be that a call is checked against, where the server has told of no
            change; 0 asks for the list before each call.
        max_bytes: of text, and of structured content, that one result gives.

    Raises:
        ToolInvalid: with every fault of the configuration.
        DeclarationsInvalid: the file cannot be used.
    """

    name: str
    _: KW_ONLY
    command: str = ""
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: Path | None = None
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    declarations: Path | str | Mapping[str, Declaration] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 30.0
    recheck: float = 0.0
    max_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        faults = []
        if not (self.name.isascii() and self.name.isidentifier() and self.name == self.name.lower()):
            faults.append("its name is not a lower case identifier")
        if bool(self.command) == bool(self.url):
            faults.append("give it either a command or a url")
        try:
            import mcp  # noqa: F401
        except ModuleNotFoundError:
            raise ToolInvalid(name=self.name, faults=["MCP needs its package: pip install edgewright[mcp]"]) from None
        if self.command and shutil.which(self.command) is None:
            faults.append(f"its command {self.command!r} is no program that is found here")
        if self.command and self.headers:
            faults.append("headers belong to a url")
        if self.url:
            from .web import url_faults

            faults += url_faults(self.url)
            faults += ["args, env and cwd belong to a command"] if self.args or self.env or self.cwd else []
        if isinstance(self.args, str):
            faults.append("args is a text, not a list of texts")
        faults += [f"{n} is not positive" for n in ("timeout", "max_bytes") if not getattr(self, n) > 0]
        if not self.recheck >= 0:
            faults.append("recheck is negative")
        faults += [
            f"the pin of {n!r} is not sha256: and 64 digits" for n, p in self.pins.items() if not _PIN.fullmatch(p)
        ]
        if faults:
            raise ToolInvalid(name=self.name, faults=faults)
        given = self.declarations
        found = dict(given) if isinstance(given, Mapping) else load_declarations(given)
        object.__setattr__(self, "declarations", found)
        object.__setattr__(self, "command", shutil.which(self.command) or "")
        _ = self._link

    # -- what a team does ----------------------------------------------------------------------------------------

    async def review(self) -> Review:
        """What the server offers now, how each tool stands, and what to pin.

        Raises:
            ServerFailed: it cannot be reached, or breaks the protocol.
        """
        listing = await self._link.ask(self._fresh)
        return self._reviewed(listing)[0]

    async def tools(self, *names: str) -> list[SealedTool]:
        """Its tools that are declared and as they were pinned.

        Args:
            names: the ones that are needed, as the server calls them; all that are callable if none is given.

        Raises:
            ServerFailed: the server cannot be reached, or breaks the protocol.
            ToolInvalid: one of `names` is in quarantine, or is not there.
        """
        return self._chosen(await self._link.ask(self._fresh), names)

    def load(self, *names: str) -> list[SealedTool]:
        """`tools` for code outside an event loop."""
        return self._chosen(self._link.submit(self._fresh).result(), names)

    def close(self) -> None:
        """End the connection and the server's process. Handles that were given out refuse from then on."""
        self._link.close()

    async def aclose(self) -> None:
        """`close`, without blocking the event loop."""
        await asyncio.to_thread(self.close)

    # -- how it is done ------------------------------------------------------------------------------------------

    @cached_property
    def _link(self) -> Link:
        from .link import Link

        return Link(self.name, self._opened, self.timeout)

    def _opened(self, lost: Lost) -> AbstractAsyncContextManager[Streams]:
        from .process import process_streams
        from .web import web_streams

        if self.url:
            return web_streams(self.url, self.headers, self.timeout, lost)
        return process_streams([self.command, *self.args], self.env, self.cwd, lost)

    @property
    def _declared(self) -> Mapping[str, Declaration]:
        assert isinstance(self.declarations, Mapping)
        return self.declarations

    def _reviewed(self, listing: Listing) -> tuple[Review, dict[str, SealedTool]]:
        handles: dict[str, SealedTool] = {}
        reviewed = []
        for standing in standings(listing, self._declared, self.pins, self.name):
            # Made for each that can be, so that a person learns all that is wrong before anything is pinned.
            made, faults = self._made(standing)
            reasons = (*standing.reasons, *faults)
            if made is not None and not reasons:
                handles[standing.tool.name] = made
            reviewed.append(Reviewed(tool=standing.tool, handle=standing.handle, reasons=reasons))
        offered = {tool.name for tool in listing.tools}
        missing = tuple(sorted((set(self._declared) | set(self.pins)) - offered))
        review = Review(
            server=self.name,
            instructions=listing.instructions or "",
            instructions_digest=listing.digest,
            tools=tuple(reviewed),
            missing=missing,
            declared=dict(self._declared),
        )
        return review, handles

    def _made(self, standing: Standing) -> tuple[SealedTool | None, Sequence[str]]:
        if standing.reading is None or standing.declaration is None:
            return None, ()
        name, pin, declaration = standing.tool.name, standing.tool.digest, standing.declaration
        reading = replace(standing.reading, returns=RETURNS)

        async def call(ctx: ToolContext, **arguments: Any) -> Any:
            key = ctx.key if declaration.idempotency == "key" else ""
            if self._link.closed:
                raise ServerUnreachable(server=self.name, fault="it was closed by us")
            raw = await self._link.ask(partial(self._called, name, pin, arguments, key, declaration.timeout))
            return told(raw, server=self.name, most=self.max_bytes, schema=standing.tool.wire.get("outputSchema"))

        try:
            return seal(reading, call, description=standing.description, declaration=declaration), ()
        except ToolInvalid as error:
            return None, error.faults

    def _chosen(self, listing: Listing, names: Sequence[str]) -> list[SealedTool]:
        review, handles = self._reviewed(listing)
        if not names:
            return list(handles.values())
        known = {r.tool.name: r for r in review.tools}
        faults = [
            f"{n!r} is in quarantine: {'; '.join(known[n].reasons)}" if n in known else f"{n!r} is not offered"
            for n in names
            if n not in handles
        ]
        if faults:
            raise ToolInvalid(name=self.name, faults=faults)
        return [handles[n] for n in names]

    # -- on the link's loop ----------------------------------------------------------------------------------------

    async def _fresh(self) -> Listing:
        """The list, asked for now. Raises ServerFailed."""
        try:
            return (await self._listed(0, self.timeout))[1]
        except TimeoutError:
            raise ServerFailed(server=self.name, fault="it did not tell its tools in time") from None

    async def _listed(self, old: float, within: float) -> tuple[Connection, Listing]:
        """A connection and its list. Raises ServerFailed, TimeoutError."""
        async with asyncio.timeout(within):
            while True:
                connection = await self._link.connection()
                try:
                    return connection, await connection.listed(old)
                except ServerFailed:
                    # Lost without our noticing: a new one is made, as long as it answers at all.
                    if not connection.lost.is_set() or not connection.answered:
                        raise

    async def _called(
        self, name: str, pin: str, arguments: Mapping[str, Any], key: str, within: float
    ) -> dict[str, Any]:
        from .link import call_request

        try:
            # Half of the time at most: what is not known to be sent when the time is over would have to pass for done.
            connection, listing = await self._listed(self.recheck, min(self.timeout, within / 2))
        except ServerFailed as error:
            raise ServerUnreachable(server=self.name, fault=error.fault) from None
        except TimeoutError:
            raise ServerUnreachable(server=self.name, fault="it did not tell its tools in time") from None
        if fault := listing.fault(name, pin):
            raise ToolQuarantined(tool=name, fault=fault)
        try:
            async with asyncio.timeout(within):
                return await connection.request(call_request(name, arguments, {EFFECT: key} if key else None))
        except TimeoutError:
            late = ServerFailed(server=self.name, fault=f"did not answer within {within:g} s")
            raise of_kind(late, "timeout") from None
