"""A run that a crash cut off right after its request had crossed goes on as itself: none is left behind as running."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BEGUN = """
import json, os, random, signal, sys
from functools import partial
from pathlib import Path
from bench.crash.audit import in_a_process, of_both
from bench.crash.fuse import Kill
from bench.crash.governed import life_of
from bench.crash.lives import forked
from bench.crash.systems import Play, planned
from edgewright.ledger.checkpoints import LedgerSaver

put_writes = LedgerSaver.aput_writes

async def aput_writes(self, config, writes, task_id, task_path=""):
    if any(channel == "run" for channel, _ in writes):  # of the step in which the request crossed; not kept any more
        self._ledger.writer.submit(lambda conn: None).result()  # what the step had noted is durable
        os.kill(os.getpid(), signal.SIGKILL)
    return await put_writes(self, config, writes, task_id, task_path)

async def cut_short():
    LedgerSaver.aput_writes = aput_writes
    return await life()

folder, slots = Path(sys.argv[2]), planned("message", random.Random(1), asking=False)
life = partial(life_of, Play(scenario="message", durability=sys.argv[1], slots=slots, folder=folder), answers=False)
assert forked(cut_short, Kill(seconds=50.0)) is None
assert forked(life) == {"status": "completed"}
print(json.dumps(forked(in_a_process(partial(of_both, slots, folder, frozenset(), runs=1)))))
"""


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["sync", "async"])
def test_a_run_killed_right_after_its_request_had_crossed_is_gone_on_with(durability: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEGUN, durability, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["left"], found["faults"]) == (0, [])
