"""Where a run works: a clone of its own. The tree is changed by the operations here and by nothing else.

Its folder has `tree` (the files), `git` (the repository, which the tree knows nothing of) and `state.json` (what was
edited under which key, what the tests told).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypedDict

from edgewright import ToolRefusal
from edgewright.contracts.errors import PathRefused
from edgewright.tools.connectors.files_disk import Root, check_alone, look, opened, refusing, replace, taken, text_of
from edgewright.tools.connectors.files_paths import is_listed, parts_of, shown

from .git import Git
from .sandbox import Sandbox, Told

MOST_BYTES, MOST_HITS = 64 * 1024, 50


class Standing(TypedDict):
    """How the tests of a tree stand: whether the last run was of this very tree, and what it won and lost.

    Won is a test that failed before anything was changed: one that was written since shows nothing.
    """

    tested: bool
    gained: int
    lost: int


class Workspace:
    """The clone of one run. All of it blocks; threads may share it."""

    def __init__(self, folder: Path, git: Git) -> None:
        assert git.tree is not None
        self.folder, self.git, self.tree = folder, git, git.tree
        self.lock = threading.RLock()
        self._root = Root(self.tree)

    # Reading

    def files(self) -> list[str]:
        """The files of the tree that can be named, sorted. Links are no files."""
        found = []
        for here, folders, names in os.walk(self.tree):
            folders[:] = [name for name in folders if is_listed(name)]
            inside = Path(here).relative_to(self.tree)
            found += [(inside / n).as_posix() for n in names if is_listed(n) and not Path(here, n).is_symlink()]
        return sorted(found)

    def read(self, path: str) -> str:
        """A file's text. Raises PathRefused for what is outside, hidden, a link, too large or no text."""
        with self._at(path) as (folder, name), opened(path, folder, name) as (file, _), refusing(path):
            body = taken(file, MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            raise PathRefused(path=shown(path), rule="large", fault=f"it is larger than {MOST_BYTES} bytes")
        return text_of(path, body, whole=True)

    def search(self, words: str) -> list[dict[str, Any]]:
        """The lines of the tree that hold these words, as they are written; the first of them."""
        found: list[dict[str, Any]] = []
        for path in self.files():
            try:
                lines = self.read(path).splitlines()
            except PathRefused:
                continue
            found += [{"path": path, "line": n, "text": t[:300]} for n, t in enumerate(lines, 1) if words in t]
        return found[:MOST_HITS]

    def known(self, path: str) -> bool:
        """Whether the file was there when the run began."""
        parts_of(path)
        return self.git.asked("cat-file", "-e", f"origin/main:{path}")[0] == 0

    # Changing

    def edit(self, key: str, path: str, old: str, new: str) -> dict[str, Any]:
        """Replace one passage, which stands in the file exactly once. Once per key."""
        with self.lock:
            text, state = self.read(path), self._state()
            done = state["edits"].get(key)
            if done is not None and done["after"] == _digest(text):
                return {"path": path, "line": done["line"]}
            if text.count(old) != 1:
                raise ToolRefusal(
                    f"nothing was changed: the passage stands {text.count(old)} times in {path}, not once"
                )
            made = text.replace(old, new)
            line = text[: text.index(old)].count("\n") + 1
            state["edits"][key] = {"after": _digest(made), "line": line}
            self._keep(state)
            self._put(path, made)
            return {"path": path, "line": line}

    def create(self, path: str, text: str) -> dict[str, Any]:
        """Write a new file; the folder has to be there. Doing it again does nothing more."""
        with self.lock:
            with suppress(PathRefused):
                if self.read(path) == text:
                    return {"path": path, "bytes": len(text.encode())}
            with self._at(path) as (folder, name):
                with refusing(path):
                    is_there = check_alone(path, folder, name)
                if is_there:
                    raise ToolRefusal(f"nothing was written: there is a file at {path}; edit it")
            self._put(path, text)
            return {"path": path, "bytes": len(text.encode())}

    def discard(self, path: str) -> dict[str, Any]:
        """Put a file back as it was when the run began; one that was not there goes."""
        with self.lock:
            if self.known(path):
                self._put(path, self.git("show", f"origin/main:{path}"))
                return {"path": path, "now": "as it was"}
            with self._at(path) as (folder, name):
                look(path, folder, name)
                with refusing(path):
                    os.unlink(name, dir_fd=folder)
            return {"path": path, "now": "gone"}

    def commit(self, key: str, message: str) -> dict[str, Any]:
        """Commit all that was changed. Once per key: its digest stands in the commit."""
        with self.lock:
            trailer = f"Effect: {_digest(key)}"
            found = self.git("log", "--format=%H", "--fixed-strings", f"--grep={trailer}", "origin/main..HEAD").split()
            if not found:
                self.git("add", "--all", "--", ".")
                if not self.git("status", "--porcelain").strip():
                    raise ToolRefusal("nothing was committed: nothing is changed")
                self.git("commit", "--quiet", "--no-verify", f"--message={message.strip()}\n\n{trailer}")
                found = self.git("rev-parse", "HEAD").split()
            return {"commit": found[0], "files": self.touched(found[0])}

    def touched(self, commit: str) -> list[str]:
        """The files that a commit changes."""
        return self.git("diff-tree", "--no-commit-id", "--name-only", "-r", "-z", commit).split("\0")[:-1]

    def push(self, branch: str) -> dict[str, Any]:
        """Push the commits of the run to a branch. What is there is never written over."""
        with self.lock:
            if not self.git("rev-list", "origin/main..HEAD").split():
                raise ToolRefusal("nothing was pushed: nothing is committed")
            code, _, error = self.git.asked("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
            if code:
                raise ToolRefusal(f"the push was not taken: {error.strip()[:300]}")
            return {"branch": branch, "commit": self.git("rev-parse", "HEAD").strip()}

    # Tests

    async def test(self, sandbox: Sandbox) -> Told:
        """Run all tests, and keep what they told of this tree."""
        before = self.digest()
        told = await sandbox.test(self.tree)
        with self.lock:
            state = self._state()
            state["last"] = {"tree": before, "passed": told["passed"], "failed": told["failed"], "told": told["told"]}
            if before == state["began"] and told["told"]:
                state["base"], state["broken"] = told["passed"], told["failed"]
            self._keep(state)
        return told

    def standing(self) -> Standing:
        """How the tests of the tree stand, as it is now."""
        with self.lock:
            state = self._state()
        last, base = state["last"], state["base"]
        if last is None or base is None or not last["told"] or last["tree"] != self.digest():
            return {"tested": False, "gained": 0, "lost": 0}
        passed = set(last["passed"])
        return {"tested": True, "gained": len(passed & set(state.get("broken", ()))), "lost": len(set(base) - passed)}

    def digest(self) -> str:
        """Digest of the whole tree."""
        found = hashlib.sha256()
        for path in self.files():
            body = (self.tree / path).read_bytes()
            found.update(f"{path}\0{len(body)}\0".encode() + body)
        return found.hexdigest()

    # Its own files

    @contextmanager
    def _at(self, path: str) -> Iterator[tuple[int, str]]:
        """The open folder of a file, and its name in there."""
        parts = parts_of(path)
        if not parts:
            raise PathRefused(path=shown(path), rule="kind", fault="it names a folder, not a file")
        with self._root.folder(path, parts[:-1]) as folder:
            yield folder, parts[-1]

    def _put(self, path: str, text: str) -> None:
        body = text.encode()
        if len(body) > MOST_BYTES:
            raise PathRefused(path=shown(path), rule="large", fault=f"it would be larger than {MOST_BYTES} bytes")
        with self._at(path) as (folder, name):
            with refusing(path):
                is_there = check_alone(path, folder, name)
            there = look(path, folder, name) if is_there else None
            replace(folder, name, body, there)

    def _state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "state.json").read_text("utf-8"))
        return found

    def _keep(self, state: dict[str, Any]) -> None:
        draft = self.folder / "state.json.new"
        draft.write_text(json.dumps(state), encoding="utf-8")
        draft.replace(self.folder / "state.json")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
