"""How a command is kept apart from the machine: by bubblewrap, by namespaces, or not at all; and how it is run.

The first two show a command the same: the system's programs and libraries, what is named, and nothing else; its own
processes; no network unless asked; nothing writable but what is named and a scratch folder in memory. They are tried
out when a box is made, with the very arguments that commands will get. Under every isolation a command has limits,
and ends with all that it began (`launcher.py`).
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from asyncio.subprocess import Process, SubprocessStreamProtocol
from codecs import getincrementaldecoder
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ...contracts.errors import CommandFailed, ToolRefusal

Isolation = Literal["bubblewrap", "namespaces", "none"]
ISOLATIONS: tuple[Isolation, ...] = get_args(Isolation)
PATH = "/usr/local/bin:/usr/bin:/bin"
"""Where programs are looked for, whatever the environment says."""
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SETTINGS = (
    *("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf"),
    *("/etc/ssl/openssl.cnf", "/etc/mime.types"),
)
NETWORK_SETTINGS = ("/etc/resolv.conf", "/etc/hosts", "/etc/services", "/etc/ssl/certs")
SCRATCH = ("/tmp", "/dev/shm")  # noqa: S108 - of the box's own, in memory
GRACE = 15.0
"""Seconds for beginning and for ending everything, beyond those that a command has."""
LAUNCHER = str(Path(__file__).with_name("launcher.py"))
_ENDING = set[asyncio.Task[bool]]()
_AROUND: Mapping[Isolation, int] = {"bubblewrap": 2, "namespaces": 1, "none": 0}
"""How many of the processes that the launcher counts are not the command's."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a command may use.

    Attributes:
        seconds: from its begin to its end.
        cpu_seconds, memory_bytes: of each of its processes; the memory is address space.
        files_bytes: of each file that it writes, and of each scratch folder.
        processes: processes and threads at one time.
        max_output: bytes of output, and of error output, that are kept.
    """

    seconds: float = 10.0
    cpu_seconds: int = 10
    memory_bytes: int = 1024 * 1024 * 1024
    files_bytes: int = 64 * 1024 * 1024
    processes: int = 64
    max_output: int = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a command wrote: text, in which what is no UTF-8 and what was cut is marked; and the bytes cut."""

    text: str
    cut: int


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How a command ended.

    Attributes:
        exit_code: as shells give it: 128 and the signal's number where a signal ended it.
        over: the limit for which it was ended, `seconds` or `processes`, or an empty text.
    """

    exit_code: int
    over: str
    output: Output
    error: Output


@dataclass(frozen=True, kw_only=True)
class Box:
    """What commands run in.

    Attributes:
        isolation: what keeps them apart from the machine.
        cwd: where they begin.
        readable, writable: files and folders that they see beside the system's, and those that they may change.
        network: whether they see the machine's network.
        env: their environment, all of it.
    """

    isolation: Isolation
    cwd: Path
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    network: bool = False
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    limits: Limits = field(default_factory=Limits)

    async def run(self, program: str, arguments: tuple[str, ...]) -> Finished:
        """Run a program, and end all that it began.

        Raises:
            ToolRefusal: it did not begin.
            CommandFailed: it may have begun, and nobody knows how it ended.
        """
        status, told = os.pipe()
        loop = asyncio.get_running_loop()
        try:
            try:
                # What `create_subprocess_exec` does, which does not give out the transport that must be closed.
                transport, protocol = await loop.subprocess_exec(
                    lambda: SubprocessStreamProtocol(limit=64 * 1024, loop=loop),
                    *(sys.executable, "-I", "-S", LAUNCHER, str(told)),
                    env={},
                    cwd="/",
                    pass_fds=(told,),
                    start_new_session=True,
                )
            except OSError as error:
                raise ToolRefusal(f"{program} did not begin: {error.strerror}") from None
            finally:
                os.close(told)
            plan = json.dumps(self._plan(program, arguments, told)).encode() + b"\n"
            outputs = await self._watched(Process(transport, protocol, loop), transport, plan, program)
            return self._finished(program, _read(status), *outputs)
        finally:
            os.close(status)

    async def _watched(
        self, launcher: Process, transport: asyncio.SubprocessTransport, plan: bytes, program: str
    ) -> tuple[Output, Output]:
        assert launcher.stdin is not None
        assert launcher.stdout is not None
        assert launcher.stderr is not None
        outputs = [
            asyncio.create_task(_taken(stream, self.limits.max_output)) for stream in (launcher.stdout, launcher.stderr)
        ]
        everything = {*outputs, asyncio.create_task(launcher.wait())}
        try:
            launcher.stdin.write(plan)
            await asyncio.wait(everything, timeout=self.limits.seconds + GRACE)
        finally:
            # Of its own, so that it is done to the end even if this here is cancelled once more.
            ending = asyncio.create_task(_ended(launcher.stdin, transport, everything))
            _ENDING.add(ending)
            ending.add_done_callback(_ENDING.discard)
            left = await asyncio.shield(ending)
        if left:
            raise CommandFailed(program=program, fault="something that it began could not be ended")
        return outputs[0].result(), outputs[1].result()

    def _plan(self, program: str, arguments: tuple[str, ...], status: int) -> dict[str, Any]:
        """What the launcher is told; `status` is the file descriptor on which it answers."""
        binds = self.binds(program)
        links = [(place, os.readlink(place)) for place in SYSTEM if os.path.islink(place)]
        limits = {
            "AS": self.limits.memory_bytes,
            "CPU": self.limits.cpu_seconds,
            "FSIZE": self.limits.files_bytes,
            "NOFILE": 256,
            "CORE": 0,
        }
        return {
            "mode": self.isolation,
            "command": [program, *arguments],
            "env": dict(self.env),
            "cwd": str(self.cwd),
            "network": self.network,
            "binds": binds,
            "links": links,
            "scratch": SCRATCH,
            "wrapper": self._bubblewrap(binds, links, status) if self.isolation == "bubblewrap" else [],
            "limits": limits,
            "seconds": self.limits.seconds,
            "processes": self.limits.processes,
            "overhead": _AROUND[self.isolation],
        }

    def binds(self, program: str) -> list[tuple[str, str, bool]]:
        """What of the machine is shown: where, what is there, and whether it may be changed; outer folders first."""
        settings = (*SETTINGS, *(NETWORK_SETTINGS if self.network else ()))
        shown = {
            p: False for p in (*SYSTEM, *settings) if os.path.exists(p) and not (p in SYSTEM and os.path.islink(p))
        }
        for path in self.readable:
            shown[str(path)] = False
        for path in self.writable:
            shown[str(path)] = True
        # Shown again by itself, a folder inside a writable one would not be writable.
        for path in (Path(program), self.cwd):
            if not any(path.is_relative_to(place) for place in (*shown, *SYSTEM)):
                shown[str(path)] = False
        inner = sorted(shown, key=lambda place: (place.count("/"), place))
        return [(place, os.path.realpath(place), shown[place]) for place in inner]

    def _bubblewrap(self, binds: list[tuple[str, str, bool]], links: list[tuple[str, str]], status: int) -> list[str]:
        found = ["--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--cap-drop", "ALL"]
        found += ["--share-net"] if self.network else []
        found += ["--json-status-fd", str(status), "--dev", "/dev"]
        for place in SCRATCH:
            found += ["--size", str(self.limits.files_bytes), "--perms", "1777", "--tmpfs", place]
        for place, target in links:
            found += ["--symlink", target, place]
        for place, source, writable in binds:
            found += ["--bind" if writable else "--ro-bind", source, place]
        # Settings of the kernel stand in /proc, and root stays the owner of them in any namespace.
        found += ["--proc", "/proc", "--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/"]
        return [shutil.which("bwrap", path=PATH) or "bwrap", *found, "--chdir", str(self.cwd), "--"]

    def _finished(self, program: str, told: Mapping[str, Any], output: Output, error: Output) -> Finished:
        if "failed" in told:
            raise ToolRefusal(f"{program} did not begin: {told['failed']}")
        if "ended" not in told or told["left"]:
            fault = "what ran it is gone, or something that it began could not be ended"
            raise CommandFailed(program=program, fault=fault)
        over, code = told["ended"] or "", told["code"]
        if self.isolation == "bubblewrap" and not over:
            if "exit-code" not in told and code < 128:  # it tells one of every program that began and ended
                raise ToolRefusal(f"{program} did not begin: {error.text[:200].strip()}")
            if "exit-code" not in told:
                raise CommandFailed(program=program, fault=f"bubblewrap itself ended with {code}")
            code = told["exit-code"]
        return Finished(exit_code=code, over=over, output=output, error=error)

    def fault(self) -> str | None:
        """Why commands cannot be run in it, by trying; None where they can. Blocks for a moment."""
        if self.isolation == "bubblewrap" and shutil.which("bwrap", path=PATH) is None:
            return "bubblewrap is not installed"
        program = shutil.which("true", path=PATH)
        if program is None:
            return "there is no program `true` to try it with"
        # In a thread, because there may be an event loop here that is running.
        with ThreadPoolExecutor(1) as pool:
            try:
                done = pool.submit(lambda: asyncio.run(self.run(program, ()))).result()
            except (ToolRefusal, CommandFailed) as error:
                return str(error)
        return None if done.exit_code == 0 else f"`true` ended with {done.exit_code}: {done.error.text[:200]}"


def found_box(asked: Isolation | Literal["best"], box: Box) -> tuple[Box | None, list[str]]:
    """The box in the isolation that was asked for, or in the best there is.

    Returns:
        The box, or None where there is none; and why it is not in a better one.
    """
    why: list[str] = []
    for isolation in ISOLATIONS if asked == "best" else (asked,):
        tried = replace(box, isolation=isolation)
        if (fault := tried.fault()) is None:
            return tried, why
        why.append(f"{isolation}: {fault}")
    return None, why


# -- reading -----------------------------------------------------------------------------------------------------------


async def _ended(lifeline: asyncio.StreamWriter, transport: asyncio.SubprocessTransport, tasks: set[Any]) -> bool:
    """Let the launcher end the command, if that has not ended yet. Returns whether something is left of it."""
    try:
        lifeline.close()
        _, left = await asyncio.wait(tasks, timeout=GRACE)
        for task in left:
            task.cancel()
        return bool(left)
    finally:
        transport.close()


async def _taken(stream: asyncio.StreamReader, most: int) -> Output:
    """All that a stream has to say, of which `most` bytes are kept."""
    kept, size = bytearray(), 0
    while part := await stream.read(64 * 1024):
        kept += part[: most - len(kept)]
        size += len(part)
    cut = size - len(kept)
    # Without the last character, where that was cut in two.
    text = getincrementaldecoder("utf-8")("replace").decode(bytes(kept), final=not cut)
    return Output(text=f"{text}\n[{cut} bytes more were cut]" if cut else text, cut=cut)


def _read(status: int) -> dict[str, Any]:
    """What launcher and bubblewrap told."""
    os.set_blocking(status, False)
    told: dict[str, Any] = {}
    try:
        lines = os.read(status, 64 * 1024).splitlines()
    except BlockingIOError:
        lines = []
    for line in lines:
        told |= json.loads(line)
    return told
