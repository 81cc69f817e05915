"""The repositories: the origin, made of the written data once, and the clones of it in which runs work."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

from .git import Git
from .sandbox import Sandbox
from .workspace import Workspace

DATA = Path(__file__).with_name("data")
SUFFIX = ".txt"
WRITTEN = "2026-03-02T09:00:00+00:00"
"""The date of the first commit: its id is the same on every machine."""


class Workspaces:
    """The clones of all runs, and what code is run in.

    Args:
        folder: where they stand; made if it is missing.
        sandbox: what runs the tests.

    Raises:
        ToolInvalid: git is not installed.
    """

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder, self.sandbox = folder.resolve(), sandbox
        self.origin = self.folder / "origin.git"
        self._lock, self._open = threading.Lock(), dict[str, Workspace]()
        _make_origin(self.origin)

    def of(self, run: str) -> Workspace:
        """The workspace of a run, cloned if there is none yet. Blocks."""
        with self._lock:
            if run not in self._open:
                folder = self.folder / "runs" / hashlib.sha256(run.encode()).hexdigest()[:32]
                if not folder.exists():
                    self._clone(folder)
                self._open[run] = Workspace(folder, Git.at(folder / "git", folder / "tree"))
            return self._open[run]

    def branches(self) -> dict[str, str]:
        """The branches of the origin, with their commits."""
        told = Git.at(self.origin)("for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads").splitlines()
        return {name: commit for name, _, commit in (line.partition(" ") for line in told)}

    def _clone(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.parent))
        try:
            git = Git.at(draft / "git", draft / "tree")
            (draft / "tree").mkdir()
            git("init", "--quiet", "--template=")
            git("remote", "add", "origin", str(self.origin))
            git("fetch", "--quiet", "origin", "main")
            git("checkout", "--quiet", "-b", "work", "origin/main")
            # Opened for a moment, to know the tree as it is before anything is changed.
            began = Workspace(draft, git).digest()
            state: dict[str, Any] = {"began": began, "base": None, "last": None, "edits": {}}
            (draft / "state.json").write_text(json.dumps(state), encoding="utf-8")
            draft.rename(folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            if not folder.exists():  # otherwise another process was first
                raise


def _make_origin(place: Path) -> None:
    """Make the repository of the written data, complete or not at all."""
    if place.exists():
        Git.at(place)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=place.parent))
    try:
        write_files(DATA / "repository", draft / "tree")
        git = Git.at(draft / "git", draft / "tree")
        git("init", "--quiet", "--template=", "--initial-branch=main")
        git("add", "--all", "--", ".")
        git("commit", "--quiet", "--no-verify", "--message=parcels 0.3.0", moment=WRITTEN)
        git("config", "core.bare", "true")
        (draft / "git").rename(place)
    except OSError:
        if not place.exists():  # otherwise another process was first
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_files(source: Path, target: Path) -> None:
    """Write the files of the data under their own names."""
    for path in sorted(source.rglob(f"*{SUFFIX}")):
        place = target / path.relative_to(source).as_posix().removesuffix(SUFFIX)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
