"""Git, as a program: only on folders that are named, without the settings, hooks and helpers of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from edgewright.contracts.errors import CommandFailed, ToolInvalid
from edgewright.tools.connectors.isolation import PATH

SECONDS = 30.0
NAME, MAIL = "Edgewright coding assistant", "assistant@example.invalid"
_SETTINGS = (
    *(
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "core.attributesFile=/dev/null",
        "core.excludesFile=/dev/null",
    ),
    *("protocol.allow=never", "protocol.file.allow=always", "gc.auto=0", "commit.gpgSign=false", "safe.directory=*"),
    *("core.quotePath=false", "core.autocrlf=false", "init.defaultBranch=main", "advice.detachedHead=false"),
)
_ENVIRONMENT = {
    "PATH": PATH,
    "LANG": "C.UTF-8",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": NAME,
    "GIT_AUTHOR_EMAIL": MAIL,
    "GIT_COMMITTER_NAME": NAME,
    "GIT_COMMITTER_EMAIL": MAIL,
}


@dataclass(frozen=True, kw_only=True)
class Git:
    """A repository and the tree that is checked out of it, which hold nothing of each other.

    The repository stands outside the tree: what is written into the tree, under whatever name, is never its settings.
    """

    program: str
    repository: Path
    tree: Path | None = None

    @classmethod
    def at(cls, repository: Path, tree: Path | None = None) -> Self:
        """Raises ToolInvalid where git is not installed."""
        program = shutil.which("git", path=PATH)
        if program is None:
            fault = (
                f"git is not installed: there is no program `git` in {PATH}; install it, for example: apt install git"
            )
            raise ToolInvalid(name="git", faults=[fault])
        return cls(program=program, repository=repository, tree=tree)

    def __call__(self, *arguments: str, moment: str = "") -> str:
        """What git says. Blocks.

        Args:
            moment: the date of what is made, instead of now.

        Raises:
            CommandFailed: it ended with an error, or not in time.
        """
        code, said, error = self.asked(*arguments, moment=moment)
        if code:
            raise CommandFailed(program=f"git {arguments[0]}", fault=f"it ended with {code}: {error.strip()[:300]}")
        return said

    def asked(self, *arguments: str, moment: str = "") -> tuple[int, str, str]:
        """Exit code, output and error output, whatever the code is. Raises CommandFailed where it took too long."""
        dates = {"GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment} if moment else {}
        where = [f"--git-dir={self.repository}", *([f"--work-tree={self.tree}"] if self.tree else [])]
        command = [self.program, *(part for s in _SETTINGS for part in ("-c", s)), *where, *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - a list of arguments, and no shell
                command,
                env={**_ENVIRONMENT, **dates},
                cwd=self.tree or self.repository.parent,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            fault = f"it did not end in {SECONDS:g} seconds"
            raise CommandFailed(program=f"git {arguments[0]}", fault=fault) from None
        return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
