"""The assistant's tools: reading and editing its copy, running the tests, committing, pushing.

What they return was written by whoever wrote the repository, so none of it is believed. There is no tool that runs a
command: code is run by the tests alone, in the sandbox.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from edgewright import Origin, ToolContext, tool
from edgewright.contracts.errors import PathRefused
from edgewright.tools.connectors.files_paths import parts_of
from edgewright.tools.connectors.isolation import GRACE
from pydantic import Field
from typing_extensions import TypedDict  # Pydantic reads the standard one only from Python 3.12 on

from .contracts import Branch
from .repositories import Workspaces
from .sandbox import LIMITS, Told
from .workspace import Standing, Workspace

FilePath = Annotated[str, Field(min_length=1, max_length=200)]
Passage = Annotated[str, Field(min_length=1, max_length=8000)]
Message = Annotated[str, Field(min_length=3, max_length=600)]


class FileFacts(TypedDict):
    """What kind of file it is, and whether it was there when the run began.

    `settings` is whatever says how tests are found and run, and all that is no Python; `outside` is no file of the
    copy.
    """

    area: Literal["source", "tests", "settings", "outside"]
    known: bool


class RunFacts(TypedDict):
    """What keeps the code apart that will run."""

    isolation: Literal["bubblewrap", "namespaces", "none"]


class Place(TypedDict):
    """Where something was changed. A line counts from 1."""

    path: str
    line: int


class Written(TypedDict):
    """A new file."""

    path: str
    bytes: int


class Discarded(TypedDict):
    """What a file is now."""

    path: str
    now: Literal["as it was", "gone"]


class Hit(TypedDict):
    """A line that holds the words."""

    path: str
    line: int
    text: str


class Committed(TypedDict):
    """A commit, and the files that it changes."""

    commit: Annotated[str, Origin("trusted")]
    files: list[str]


class Pushed(TypedDict):
    """Where a commit was pushed."""

    branch: str
    commit: Annotated[str, Origin("trusted")]


def file_facts(path: str, *, ctx: ToolContext) -> FileFacts:
    """What kind of file a path names, and what the repository knows of it."""
    try:
        parts = parts_of(path)
    except PathRefused:
        parts = ()
    if not parts:
        return {"area": "outside", "known": False}
    known = _here(ctx).known(path)
    if not parts[-1].endswith(".py") or parts[-1] == "conftest.py":
        return {"area": "settings", "known": known}
    return {"area": "tests" if parts[0] == "tests" else "source", "known": known}


def run_facts(*, ctx: ToolContext) -> RunFacts:
    """What the sandbox found at the start."""
    sandbox = ctx.resource(Workspaces).sandbox
    sandbox.check()
    return {"isolation": sandbox.isolation}


def standing(*, ctx: ToolContext) -> Standing:
    """How the tests of the tree stand."""
    return _here(ctx).standing()


@tool(effect="read", output="untrusted", sensitivity="internal", sink=False)
def list_files(*, ctx: ToolContext) -> list[str]:
    """List the files of the repository."""
    return _here(ctx).files()


@tool(effect="read", output="untrusted", sensitivity="internal", sink=False, roles={"path": "ref"})
def read_file(path: FilePath, *, ctx: ToolContext) -> str:
    """Read a text file of the repository, by its path from the top of it."""
    return _here(ctx).read(path)


@tool(effect="read", output="untrusted", sensitivity="internal", sink=False, roles={"words": "content"})
def search(words: Annotated[str, Field(min_length=2, max_length=200)], *, ctx: ToolContext) -> list[Hit]:
    """Find the lines that hold these words exactly as they are written; at most 50."""
    return [Hit(path=hit["path"], line=hit["line"], text=hit["text"]) for hit in _here(ctx).search(words)]


@tool(
    effect="write",
    output="untrusted",
    sensitivity="internal",
    sink=False,
    roles={"path": "target", "old": "content", "new": "content"},
    idempotency="key",
    facts=file_facts,
)
def edit_file(path: FilePath, old: Passage, new: Annotated[str, Field(max_length=8000)], *, ctx: ToolContext) -> Place:
    """Replace a passage of a file. `old` has to stand in it exactly once, with its white space and line ends."""
    done = _here(ctx).edit(ctx.key, path, old, new)
    return Place(path=done["path"], line=done["line"])


@tool(
    effect="write",
    output="untrusted",
    sensitivity="internal",
    sink=False,
    roles={"path": "target", "text": "content"},
    idempotency="natural",
    facts=file_facts,
)
def create_file(path: FilePath, text: Annotated[str, Field(max_length=8000)], *, ctx: ToolContext) -> Written:
    """Write a new file into a folder that is there."""
    done = _here(ctx).create(path, text)
    return Written(path=done["path"], bytes=done["bytes"])


@tool(
    effect="write",
    output="untrusted",
    sensitivity="internal",
    sink=False,
    roles={"path": "target"},
    idempotency="natural",
    facts=file_facts,
)
def discard_file(path: FilePath, *, ctx: ToolContext) -> Discarded:
    """Put a file back as it was at the beginning; a file that was not there goes."""
    done = _here(ctx).discard(path)
    return Discarded(path=done["path"], now=done["now"])


@tool(
    effect="write",
    output="untrusted",
    sensitivity="internal",
    sink=False,
    idempotency="natural",
    facts=run_facts,
    timeout=LIMITS.seconds + 2 * GRACE,
    breaker="off",  # that the tests of one tree hang says nothing about the next
)
async def run_tests(*, ctx: ToolContext) -> Told:
    """Run all tests, and say which passed and which failed, with the end of what pytest printed."""
    here = await asyncio.to_thread(_here, ctx)
    return await here.test(ctx.resource(Workspaces).sandbox)


@tool(
    effect="write",
    output="untrusted",
    sensitivity="internal",
    sink=False,
    roles={"message": "content"},
    idempotency="key",
    facts=standing,
)
def commit(message: Message, *, ctx: ToolContext) -> Committed:
    """Commit all changes. The first line of the message says what the commit does."""
    done: dict[str, Any] = _here(ctx).commit(ctx.key, message)
    return Committed(commit=done["commit"], files=done["files"])


@tool(
    effect="irreversible",
    output="untrusted",
    sensitivity="internal",
    sink=True,
    roles={"branch": "target"},
    idempotency="natural",
    facts=standing,
)
def push(branch: Branch, *, ctx: ToolContext) -> Pushed:
    """Push the commits to a branch of the origin, where others see them."""
    done = _here(ctx).push(branch)
    return Pushed(branch=done["branch"], commit=done["commit"])


TOOLS = (list_files, read_file, search, edit_file, create_file, discard_file, run_tests, commit, push)


def _here(ctx: ToolContext) -> Workspace:
    return ctx.resource(Workspaces).of(ctx.run)
