"""Commands, for agents: each program that is named becomes a tool of its own, started without a shell.

A program is found once, when the connector is made. What an agent gives it is a list of arguments, each of which must
be on the command's list; nothing in them has a meaning to a shell. The command has a clean environment, nothing to
read, limits, and the isolation that the machine has to offer, which stands in the tool's description, in its facts and
in every result (`isolation.py`). Only a command's author knows what its program can be talked into: an interpreter, or
a program that starts others, does whatever its arguments say.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import re
import shutil
import stat
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from ...contracts.digest import digest
from ...contracts.errors import CommandFailed, ToolInvalid, ToolRefusal
from ...contracts.labels import Origin, Sensitivity
from ...contracts.tool import Effect, Idempotency, Role, Trust
from ..foreign.declarations import Declaration
from ..function import read_function
from ..sealed import SealedTool, seal
from .isolation import GRACE, ISOLATIONS, PATH, Box, Isolation, Limits, found_box

Allowed = str | re.Pattern[str] | tuple[str, re.Pattern[str]]
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"}
LONGEST = 4096
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DIGEST = re.compile(r"(sha256:[0-9a-f]{64})?")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Characters that do not show, or that end a line."""
_OF_THE_KERNEL = ("/proc", "/sys", "/dev")


class Ran(TypedDict):
    """How a command ended. What was cut out of its output is marked there."""

    exit_code: int
    over: Annotated[str, Origin("trusted")]
    stdout: str
    stderr: str
    isolation: Annotated[str, Origin("trusted")]


class Surroundings(TypedDict):
    """What policy reads of a command (`context.facts`): what keeps it apart, and whether it sees the network."""

    isolation: str
    network: bool


@dataclass(frozen=True, kw_only=True)
class Command:
    """A program that may be started, and with what.

    Attributes:
        path: an absolute path, or a name that is looked for in `/usr/local/bin`, `/usr/bin` and `/bin`.
        description: what a model reads of it.
        before: arguments that always come first (`("log",)` of git).
        arguments: what each further argument must be. A text stands for itself: an option (`"-l"`), a word. A pattern
            stands for what matches it whole, read as ASCII, and never for what begins with `-`, unless the pattern
            itself begins so. A pair of both is an option and, in the next argument, its value.
        most: how many arguments there may be.
        digest: `sha256:` and the digest of the program's file; where it is given, the file is read before every start.
        effect, output, sensitivity, sink, idempotency: as in `ToolSpec`, with the most dangerous defaults.
        role: of the arguments.
    """

    path: str
    description: str
    before: tuple[str, ...] = ()
    arguments: tuple[Allowed, ...] = ()
    most: int = 16
    digest: str = ""
    effect: Effect = "irreversible"
    output: Trust = "untrusted"
    sensitivity: Sensitivity = "secret"
    sink: bool = True
    role: Role = "target"
    idempotency: Idempotency = "none"

    @cached_property
    def program(self) -> str | None:
        """The absolute path of the program, as it was found first; None where there is none."""
        if os.path.isabs(self.path):
            return os.path.normpath(self.path)
        return None if "/" in self.path else shutil.which(self.path, path=PATH)

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], ...]:
        return tuple(_ascii(a) for a in self.arguments if isinstance(a, re.Pattern))

    @cached_property
    def _options(self) -> dict[str, re.Pattern[str]]:
        return {a[0]: _ascii(a[1]) for a in self.arguments if isinstance(a, tuple)}

    def fault_in(self, arguments: list[str]) -> str | None:
        """Why the program is not started with these arguments; None where it is."""
        if len(arguments) > self.most:
            return f"there are {len(arguments)} arguments, at most {self.most} are allowed"
        left = iter(enumerate(arguments, 1))
        for index, argument in left:
            if fault := _unprintable(argument):
                return f"argument {index} {fault}"
            if (value := self._options.get(argument)) is not None:
                index, argument = next(left, (index + 1, "-"))
                if argument.startswith("-") or _unprintable(argument) or not value.fullmatch(argument):
                    return f"argument {index} is no value that the option before it takes"
            elif argument not in self.arguments and not self._matches(argument):
                return f"argument {index} is none that this command takes"
        return None

    def _matches(self, argument: str) -> bool:
        patterns = (p for p in self._patterns if p.pattern.startswith("-") or not argument.startswith("-"))
        return any(p.fullmatch(argument) for p in patterns)

    @property
    def told(self) -> str:
        """What it takes, in words for a model."""
        if not self.arguments or not self.most:
            return "It takes no arguments."
        shown = (
            a
            if isinstance(a, str)
            else f"/{a.pattern}/"
            if isinstance(a, re.Pattern)
            else f"{a[0]} and /{a[1].pattern}/"
            for a in self.arguments
        )
        return f"It takes up to {self.most} arguments, each of them one of: {', '.join(shown)}."

    @property
    def terms(self) -> list[Any]:
        """What may be started, and with what, as plain data: it rises into the digest of the tool."""
        allowed = [[_plain(part) for part in (a if isinstance(a, tuple) else (a,))] for a in self.arguments]
        return [self.program, list(self.before), allowed, self.most, self.digest]

    def faults(self) -> Iterator[str]:
        """What is wrong with it."""
        if not self.description.strip():
            yield "has no description, which is what a model reads"
        if self.program is None:
            yield f"path {self.path!r} is no absolute path, and no program in {PATH}"
        else:
            yield from _faults_of_program(self.program)
        given: Any = (self.arguments, self.before)  # one text would be taken for the letters in it
        if not all(isinstance(each, tuple) for each in given):
            yield "before and arguments are tuples"
            return
        yield from (f"argument {a!r} cannot be allowed: {f}" for a in self.arguments if (f := _fault_of_allowed(a)))
        yield from (f"argument {a!r} cannot come before: it {f}" for a in self.before if (f := _unprintable(a)))
        names = [a[0] if isinstance(a, tuple) else a for a in self.arguments if isinstance(a, str | tuple)]
        yield from (f"argument {n!r} is allowed twice" for n in sorted({n for n in names if names.count(n) > 1}))
        if self.most < 0:
            yield "most is a number of arguments"
        if not _DIGEST.fullmatch(self.digest):
            yield "digest is `sha256:` and 64 hexadecimal digits"
        elif self.program and self.digest and _is_file(self.program) and _digest_of(self.program) != self.digest:
            yield f"{self.program} has another digest: {_digest_of(self.program)}"
        if self.idempotency == "key":
            yield "idempotency 'key' is not offered: a program does not get the key; declare 'natural' or 'none'"


@dataclass(frozen=True, kw_only=True, eq=False)
class Shell:
    """Commands as tools: `<name>_<command>(arguments)`.

    A command of effect "read" that is ended for a limit gives back what it had written; one that changes something
    raises CommandFailed then, because nobody knows how far it came. An exit code is data, whatever it is.

    Attributes:
        name: the prefix of the tools' names.
        commands: by the names that tools get.
        cwd: where commands begin; they can read it.
        env: variables beside PATH, LANG and HOME. They are given to every command, so that its output may hold them.
        isolation: `bubblewrap` or `namespaces` or `none`: exactly that, or it is refused here; `best`: the first of
            them that works on this machine. Under `none` a command can do all that its user can, to this process too,
            and `network`, `readable` and `writable` say nothing.
        readable, writable: files and folders beside the system's own and `cwd` that commands see, and may change.
        network: whether commands see the machine's network, its loopback included.
        seconds, cpu_seconds, memory_bytes, files_bytes, processes, max_output: see `isolation.Limits`.

    Raises:
        ToolInvalid: with everything that is wrong with it.
    """

    name: str = "shell"
    commands: Mapping[str, Command]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    isolation: Isolation | Literal["best"] = "best"
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    network: bool = False
    seconds: float = Limits.seconds
    cpu_seconds: int = Limits.cpu_seconds
    memory_bytes: int = Limits.memory_bytes
    files_bytes: int = Limits.files_bytes
    processes: int = Limits.processes
    max_output: int = Limits.max_output

    def __post_init__(self) -> None:
        if faults := [*_faults_of(self)]:
            raise ToolInvalid(name=self.name, faults=faults)
        _ = self.box

    @cached_property
    def box(self) -> Box:
        """What the commands run in, in the isolation that was found."""
        limits = Limits(**{f.name: getattr(self, f.name) for f in fields(Limits)})
        asked = Box(
            isolation="none",
            cwd=self.cwd.resolve(),
            readable=tuple(path.resolve() for path in self.readable),
            writable=tuple(path.resolve() for path in self.writable),
            network=self.network,
            env={**ENVIRONMENT, **self.env},
            limits=limits,
        )
        found, why = found_box(self.isolation, asked)
        if found is None:
            raise ToolInvalid(name=self.name, faults=[f"there is no such isolation here: {'; '.join(why)}"])
        return found

    @property
    def terms(self) -> str:
        """What keeps the commands apart, in words."""
        match self.box.isolation:
            case "none":
                return "Isolation: none; it can do what the user can who runs this, over the network too."
            case isolation:
                network = "it sees the network" if self.network else "it sees no network"
                places = ", ".join(map(str, self.box.writable)) or "nothing"
                return f"Isolation: {isolation}; {network}, and can change {places}."

    def tools(self) -> list[SealedTool]:
        """The governed tools, one for each command."""
        return [self._sealed(name, command) for name, command in self.commands.items()]

    def _sealed(self, name: str, command: Command) -> SealedTool:
        async def facts(arguments: list[str]) -> Surroundings:
            # Here too, so that nobody is asked to approve what would be refused.
            _check(command, arguments)
            network = self.network or self.box.isolation == "none"
            return {"isolation": self.box.isolation, "network": network}

        async def run(arguments: list[str]) -> Ran:
            _check(command, arguments)
            return await self._ran(command, arguments)

        declared = Declaration(
            effect=command.effect,
            output=command.output,
            sensitivity=command.sensitivity,
            sink=command.sink,
            roles={"arguments": command.role},
            idempotency=command.idempotency,
            timeout=self.seconds + 2 * GRACE,
            breaker="off",  # that one command takes too long says nothing about the next
        )
        told = " ".join([f"Runs {' '.join([str(command.program), *command.before])}.", command.told, self.terms])
        reading = read_function(run, f"{self.name}_{name}")
        limits = {f.name: getattr(self.box.limits, f.name) for f in fields(Limits)}
        places = [str(self.box.cwd), *map(str, self.box.readable)]
        reading = replace(reading, code=digest([reading.code, told, command.terms, limits, sorted(self.env), places]))
        return seal(reading, run, description=f"{command.description}\n\n{told}", declaration=declared, facts=facts)

    async def _ran(self, command: Command, arguments: list[str]) -> Ran:
        program = str(command.program)
        if command.digest and await asyncio.to_thread(_digest_of, program) != command.digest:
            raise ToolRefusal(f"{program} is not the program that was declared: its digest has changed")
        done = await self.box.run(program, (*command.before, *arguments))
        if done.over and command.effect != "read":
            raise CommandFailed(program=program, fault=f"was ended in the middle: it went over its {done.over}")
        return {
            "exit_code": done.exit_code,
            "over": done.over,
            "stdout": done.output.text,
            "stderr": done.error.text,
            "isolation": self.box.isolation,
        }


def _check(command: Command, arguments: list[str]) -> None:
    if fault := command.fault_in(arguments):
        raise ToolRefusal(f"nothing was started: {fault}. {command.told}")


def _ascii(pattern: re.Pattern[str]) -> re.Pattern[str]:
    """The pattern, for which a digit is one of ten: a program may read others as something else."""
    return re.compile(pattern.pattern, pattern.flags & ~re.UNICODE | re.ASCII)


def _plain(allowed: str | re.Pattern[str]) -> list[Any]:
    return [allowed] if isinstance(allowed, str) else [allowed.pattern, allowed.flags]


def _unprintable(argument: str) -> str | None:
    if len(argument) > LONGEST:
        return f"is longer than {LONGEST} characters"
    if any(unicodedata.category(c) in _HIDDEN for c in argument):
        return "holds a character that does not show"
    return None


def _is_file(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.R_OK)


def _digest_of(path: str) -> str:
    with open(path, "rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


# -- faults ------------------------------------------------------------------------------------------------------------


def _fault_of_allowed(allowed: Any) -> str | None:
    match allowed:
        case str():
            return _unprintable(allowed)
        case re.Pattern(pattern=str()):
            return None
        case (str() as option, re.Pattern(pattern=str())):
            return _unprintable(option) if option.startswith("-") else "an option begins with `-`"
        case _:
            return "it is no text, no pattern, and no pair of an option and a pattern"


def _faults_of_program(path: str) -> Iterator[str]:
    try:
        found = os.stat(path)
    except OSError as error:
        yield f"program {path}: {error.strerror}"
        return
    if not stat.S_ISREG(found.st_mode) or not os.access(path, os.X_OK):
        yield f"program {path} is no file that can be executed"
    if found.st_mode & stat.S_IWOTH:
        yield f"program {path} can be changed by anybody"


def _faults_of(shell: Shell) -> Iterator[str]:
    if not sys.platform.startswith("linux"):
        yield "commands are kept apart, limited and ended by means that only Linux has"
    if not _NAME.fullmatch(shell.name):
        yield "its name begins tools' names: lower case ASCII letters, digits and underscores, at most 41"
    if not shell.commands:
        yield "there are no commands"
    if shell.isolation not in (*ISOLATIONS, "best"):
        yield f"isolation {shell.isolation!r} is none of {', '.join(ISOLATIONS)} and best"
    for name, command in shell.commands.items():
        yield from (f"command {name}: {fault}" for fault in command.faults())
    for name, value in shell.env.items():
        if not _VARIABLE.fullmatch(name) or "\0" in value:
            yield f"variable {name!r} cannot be set"
    for what, path in (("cwd", shell.cwd), *(("path", p) for p in (*shell.readable, *shell.writable))):
        if not path.is_absolute() or not path.exists() or (what == "cwd" and not path.is_dir()):
            yield f"{what} {path} is no absolute path of something that exists"
        elif path.resolve() == Path("/") or any(path.resolve().is_relative_to(kernel) for kernel in _OF_THE_KERNEL):
            yield f"{what} {path} would show more of the machine than a command may see"
    for limit in fields(Limits):
        value = getattr(shell, limit.name)
        if not 0 < value < math.inf or (limit.name != "seconds" and not isinstance(value, int)):
            yield f"{limit.name} {value} is no positive number"
