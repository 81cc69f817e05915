"""Where the assistant's code runs: the best isolation that the machine has, tried out by breaking out of it.

The boxes are those of the shell connector (`edgewright.tools.connectors.isolation`). Here they show less: Python,
pytest and the tree, which cannot be changed. The tests run on a copy in the box's own memory, so a run leaves nothing
behind.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypedDict

from edgewright import Origin
from edgewright.contracts.errors import CommandFailed, ToolInvalid, ToolRefusal
from edgewright.tools.connectors.isolation import ISOLATIONS, Box, Finished, Isolation, Limits, found_box

from .inside import MARK
from .trial import WRITTEN

LIBRARIES = ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments")
"""What the box shows beside Python itself: pytest and what it imports, and no other package of this environment."""
NOT_SHOWN = frozenset({"/etc/passwd", "/etc/group"})
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/nonexistent",
    "TMPDIR": "/tmp",  # noqa: S108 - of the box's own, in memory
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}
LIMITS = Limits(
    seconds=10.0,
    cpu_seconds=6,
    memory_bytes=384 * 1024 * 1024,
    files_bytes=16 * 1024 * 1024,
    processes=12,
    max_output=48 * 1024,
)
MOST_SHOWN = 8000
"""Characters of pytest's output that an agent is shown: the last ones."""
ELSEWHERE = "code is run on Linux only: elsewhere nothing keeps it apart, and nothing is sure to end it"
_HERE = Path(__file__).resolve().parent
_INSIDE, _TRIAL = _HERE / "inside.py", _HERE / "trial.py"


class Told(TypedDict):
    """What a run of the tests told. `over`: the limit that ended it; `told`: whether it came to its end and said so."""

    isolation: Annotated[Literal["bubblewrap", "namespaces", "none"], Origin("trusted")]
    over: Annotated[str, Origin("trusted")]
    exit_code: int
    told: bool
    passed: list[str]
    failed: list[str]
    output: str


@dataclass(frozen=True, kw_only=True)
class CodeBox(Box):
    """A box that does not show who has an account on the machine."""

    def binds(self, program: str) -> list[tuple[str, str, bool]]:
        """As any box's, less the lists of users and groups."""
        return [bind for bind in super().binds(program) if bind[0] not in NOT_SHOWN]


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """Runs the tests of a tree.

    Attributes:
        box: what they run in; its folder and what it shows are set for each run.
        why: why it is in no better isolation.
    """

    box: Box
    why: tuple[str, ...]

    @classmethod
    def found(cls, house: Path, *, asked: Isolation | Literal["best"] = "best", limits: Limits = LIMITS) -> Self:
        """The best isolation of this machine, or exactly the one that was asked for. Blocks for a moment.

        Each is tried by a program that tries to get out of it. If that succeeds in any way, the isolation does not
        count as one.

        Args:
            house: a folder of which nothing may be seen from inside.

        Raises:
            ToolInvalid: pytest is not installed, or there is no such isolation here.
        """
        base = Path(sys.base_prefix).resolve()
        box = CodeBox(isolation="none", cwd=base, readable=(base, *_libraries()), env=ENVIRONMENT, limits=limits)
        if not sys.platform.startswith("linux"):
            if asked in ("best", "none"):
                return cls(box=box, why=(ELSEWHERE,))
            raise ToolInvalid(name="run_tests", faults=[f"there is no isolation {asked!r} here: {ELSEWHERE}"])
        why: list[str] = []
        for isolation in ISOLATIONS if asked == "best" else (asked,):
            found, faults = found_box(isolation, box)
            faults += [f"{isolation}: {way}" for way in (_ways_out(found, house) if found else ())]
            if found and not faults:
                return cls(box=found, why=tuple(why))
            why += faults
        raise ToolInvalid(name="run_tests", faults=[f"there is no such isolation here: {'; '.join(why)}"])

    @property
    def isolation(self) -> Isolation:
        """What keeps the tests apart from the machine."""
        return self.box.isolation

    def check(self) -> None:
        """Raise ToolRefusal where nothing can be run at all, so that nobody is asked to approve it."""
        if ELSEWHERE in self.why:
            raise ToolRefusal(ELSEWHERE)

    async def test(self, tree: Path) -> Told:
        """Run all tests of a tree, on a copy.

        Raises:
            ToolRefusal: nothing was started.
            CommandFailed: it may have begun, and nobody knows how it ended.
        """
        self.check()
        tree = await asyncio.to_thread(tree.resolve)
        if self.isolation != "none":
            return self._told(await self._ran(tree, self.box))
        # There is no memory of its own to work in, so it gets a folder that goes with it.
        scratch = await asyncio.to_thread(tempfile.mkdtemp)
        try:
            box = replace(self.box, env={**self.box.env, "TMPDIR": scratch})
            return self._told(await self._ran(tree, box))
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)

    async def _ran(self, tree: Path, box: Box) -> Finished:
        # One file of this folder, for beside it stand the tests that the agent never sees.
        box = replace(box, cwd=tree, readable=(*box.readable, _INSIDE, tree))
        places = sorted({str(path.parent) for path in _libraries()})
        return await box.run(_python(), ("-I", "-S", str(_INSIDE), str(tree), *places))

    def _told(self, done: Finished) -> Told:
        told: dict[str, Any] | None = None
        if not done.over:
            told = _told_in(done.error.text)
        output = done.output.text if told else f"{done.output.text}\n{done.error.text}".strip()
        if len(output) > MOST_SHOWN:
            output = f"[{len(output) - MOST_SHOWN} characters before this were cut]\n{output[-MOST_SHOWN:]}"
        return {
            "isolation": self.isolation,
            "over": done.over,
            "exit_code": done.exit_code,
            "told": told is not None,
            "passed": told["passed"] if told else [],
            "failed": told["failed"] if told else [],
            "output": output,
        }


def _told_in(text: str) -> dict[str, Any] | None:
    """What the runner told last; None where it told nothing that can be read."""
    lines = [line.removeprefix(MARK) for line in text.splitlines() if line.startswith(MARK)]
    if not lines:
        return None
    try:
        told = json.loads(lines[-1])
    except (ValueError, RecursionError):  # a number or a depth that no reader takes is no JSON, either
        return None
    if not isinstance(told, dict):
        return None
    lists = [told.get("passed"), told.get("failed")]
    fine = all(isinstance(each, list) and all(_is_text(name) for name in each) for each in lists)
    return told if fine else None


def _is_text(name: Any) -> bool:
    """Whether it is a text that can be written down: half of a surrogate pair cannot."""
    return isinstance(name, str) and not any("\ud800" <= char <= "\udfff" for char in name)


def _python() -> str:
    """The interpreter itself: that of a virtual environment would look for the environment, which is not shown."""
    return os.path.realpath(sys.executable)


def _libraries() -> tuple[Path, ...]:
    """Where pytest and what it imports stand. Raises ToolInvalid where it is not installed."""
    found = []
    for name in LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            fault = f"{name} is not installed; the tests run by it: pip install 'edgewright[examples]'"
            raise ToolInvalid(name="run_tests", faults=[fault])
        found.append(Path(spec.submodule_search_locations[0] if spec.submodule_search_locations else spec.origin))
    return tuple(found)


def _ways_out(box: Box, house: Path) -> list[str]:
    """The ways out of a box that a program in it found, or why that could not be told."""
    if box.isolation == "none":
        return []
    with tempfile.TemporaryDirectory(dir=house) as folder, socket.create_server(("127.0.0.1", 0)) as server:
        secret, tree = Path(folder) / "secret", Path(folder) / "tree"
        secret.write_text("of the house", encoding="utf-8")
        tree.mkdir()
        shown = replace(box, readable=(*box.readable, _TRIAL, tree.resolve()))
        port = str(server.getsockname()[1])
        arguments = ("-I", "-S", str(_TRIAL), str(secret.resolve()), str(tree.resolve()), port)
        try:
            done = _blocking(lambda: shown.run(_python(), arguments))
        except (ToolRefusal, CommandFailed) as error:
            return [str(error)]
        written = [
            str(path) for path in (secret.with_name(WRITTEN), tree / WRITTEN, Path("/") / WRITTEN) if path.exists()
        ]
    if written:
        return [f"code in it has written {path}" for path in written]
    if done.over or done.exit_code:
        return [f"the trial ended with {done.exit_code}: {done.error.text[:200].strip()}"]
    try:
        ways = json.loads(done.output.text)
    except json.JSONDecodeError:
        return ["the trial told nothing"]
    return [f"code in it {way}" for way in ways]


def _blocking(work: Callable[[], Awaitable[Finished]]) -> Finished:
    """Run it in a thread, because there may be an event loop here that is running."""

    async def run() -> Finished:
        return await work()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(run())).result()
