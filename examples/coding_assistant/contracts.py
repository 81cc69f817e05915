"""What crosses each edge: an issue comes in, a report goes out."""

from __future__ import annotations

from typing import Annotated, Literal

from edgewright import Contract, Origin
from pydantic import BaseModel, Field

BRANCH = r"^[a-z0-9][a-z0-9_-]{0,40}(/[a-z0-9][a-z0-9_-]{0,60})?$"
Branch = Annotated[str, Field(pattern=BRANCH)]
Words = Annotated[str, Field(min_length=1, max_length=1000)]


class Task(BaseModel):
    """An issue as a stranger wrote it, and the branch to push to, if the user wants that."""

    issue: Annotated[str, Field(min_length=1, max_length=8000), Origin("untrusted")]
    push_to: Branch | None = None


class Report(BaseModel):
    """What was done, and what kept the code apart that was run for it (`not_run`: none was)."""

    outcome: Literal["fixed", "nothing_done", "stopped"]
    summary: Words
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    pushed_to: Branch | None = None
    isolation: Literal["bubblewrap", "namespaces", "none", "not_run"]


TASK = Contract(Task, version=1, policy_fields=("push_to",))
REPORT = Contract(Report, version=1)
