"""Try the gate on an office's tasks, and print what came of it beside the same without a gate."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from edgewright import Policy, starter
from rich.console import Console

from bench.trial.assistant import Trial, tried
from bench.trial.encodings import ENCODINGS
from bench.trial.report import Set, as_json, explain, faults, show, together
from bench.trial.tasks import FOLDER, Task, TasksInvalid, read_tasks

SETS = ("seen", "unseen", "holdout")
"""By whom tasks were written: by who wrote the tools' declarations; and by two who had seen neither the gate nor each
other's tasks."""
ON_TRIAL, NO_GATE = starter("permit", "flow"), starter("permit")


async def plays(task: Task, *, fixes: bool = True, gate: Policy = ON_TRIAL) -> list[Trial]:
    """A task, honest and in each encoding, under the gate and without one."""
    found = []
    for gated, policy in ((True, gate), (False, NO_GATE)):
        found.append(await tried(task, policy, payload=None, encoding="", gated=gated, fixes=fixes))
        for encoding, encode in ENCODINGS.items():
            payload = encode(task.attack)
            found.append(await tried(task, policy, payload=payload, encoding=encoding, gated=gated, fixes=fixes))
    return found


async def _trial(path: Path, only: Sequence[str], *, fixes: bool, gate: Policy) -> Set:
    tasks = [t for t in read_tasks(path) if not only or t.id in only]
    trials = [trial for task in tasks for trial in await plays(task, fixes=fixes, gate=gate)]
    return Set(name=path.stem, tasks=tuple(tasks), trials=tuple(trials))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial. Returns 1 where a file of tasks is wrong or the trial itself is at fault."""
    parser = argparse.ArgumentParser(prog="python -m bench.trial", description=__doc__)
    parser.add_argument("--tasks", nargs="+", type=Path, default=[FOLDER / f"{name}.toml" for name in SETS])
    parser.add_argument("--only", nargs="+", default=[], metavar="ID", help="only these tasks")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--explain", action="store_true", help="print every verdict of the gate")
    parser.add_argument("--unfixed", action="store_true", help="the assistant does not say which tools it will need")
    parser.add_argument("--strict", action="store_true", help="with the starter `strict` beside `flow`")
    given = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 160)
    try:
        gate = ON_TRIAL + starter("strict") if given.strict else ON_TRIAL
        sets = [asyncio.run(_trial(path, given.only, fixes=not given.unfixed, gate=gate)) for path in given.tasks]
    except TasksInvalid as error:
        print(error, file=sys.stderr)
        return 1
    if not any(s.tasks for s in sets):
        print(f"no task is named {', '.join(given.only)}", file=sys.stderr)
        return 1
    if given.json:
        print(json.dumps(as_json(sets), indent=2, ensure_ascii=False))
    else:
        if given.explain:
            tasks = {t.id: t for s in sets for t in s.tasks}
            for trial in (t for s in sets for t in s.trials if t.gated):
                explain(trial, tasks[trial.task], console)
        show(sets, console)
    return 1 if faults(together(sets)) else 0


if __name__ == "__main__":
    sys.exit(main())
