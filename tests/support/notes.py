"""A server whose definitions can be changed, and ways to it that are closed again."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgewright.tools.foreign.declarations import Declaration
from edgewright.tools.foreign.mcp import Mcp
from edgewright.tools.foreign.review import Review
from edgewright.tools.sealed import SealedTool
from support.mcp_server import NAMES
from support.systems import Inside, inside

TESTS = Path(__file__).parent.parent
READ = Declaration(effect="read", sensitivity="internal", timeout=20)
WRITE = Declaration(effect="write", sensitivity="internal", timeout=20)


@dataclass
class Notes:
    """The server, and how it is reached."""

    folder: Path
    pins: Mapping[str, str] = field(default_factory=dict)
    made: list[Mcp] = field(default_factory=list)

    @property
    def arguments(self) -> list[str]:
        """Where its state and its log are."""
        return [str(self.folder / "state.json"), str(self.folder / "log")]

    def state(self, **state: Any) -> None:
        """Have the server be so from now on."""
        written = self.folder / "state.new"
        written.write_text(json.dumps(state))
        written.replace(self.folder / "state.json")

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The calls that reached the server."""
        log = self.folder / "log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    @property
    def called(self) -> list[str]:
        """The names of the tools that were called."""
        return [call["tool"] for call in self.calls]

    def mcp(self, **options: Any) -> Mcp:
        """A way to it. By default everything is declared to read, and pinned as it was at first."""
        given: dict[str, Any] = {
            "command": sys.executable,
            "args": ["-m", "support.mcp_server", "stdio", *self.arguments],
            "cwd": TESTS,
            "declarations": dict.fromkeys(NAMES, READ),
            "pins": self.pins,
            **options,
        }
        self.made.append(found := Mcp("notes", **given))
        return found

    def close(self) -> None:
        """Close all ways to it."""
        for each in self.made:
            each.close()


async def run(tool: SealedTool, arguments: dict[str, Any] | None = None, **options: Any) -> Inside:
    """Call a tool as an agent would, through the gate."""
    return await inside(lambda: tool.call(arguments or {}), tool, **options)


async def handle(mcp: Mcp, name: str) -> SealedTool:
    """One tool of a server, by the server's name."""
    [found] = await mcp.tools(name)
    return found


def reasons(review: Review, name: str) -> list[str]:
    """Why a tool is in quarantine."""
    [found] = [each for each in review.tools if each.tool.name == name]
    return list(found.reasons)
