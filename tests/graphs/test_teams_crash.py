"""Three levels deep, two questions open at once: answered in any order, each in a process, nothing is repeated."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.nested import Desk, nested

BOUND = 60.0
TESTS = Path(__file__).parents[1]
ONCE = ("opened", "split", "east asked its model", "west asked its model", "joined", "closed")


def play(folder: Path, *part: str) -> dict[str, Any]:
    """Play a part in a process of its own; how the thread stands then. Empty where it was killed."""
    command = [sys.executable, "-m", "support.nested_child", str(folder), *part]
    ended = subprocess.run(command, timeout=BOUND, check=False, capture_output=True, text=True, cwd=TESTS)
    if ended.returncode == -signal.SIGKILL:
        return {}
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def settled(folder: Path) -> list[str]:
    """What was settled, as its counterpart counts that: a key that comes again is the same settling."""
    return sorted(line.split()[1] for line in {*Desk(folder).happened} if line.startswith("settled"))


def expect_once(folder: Path) -> None:
    """No node that had ended, no model and no effect came twice."""
    counts = Counter(Desk(folder).happened)
    assert {line: counts[line] for line in ONCE} == dict.fromkeys(ONCE, 1)
    assert settled(folder) == ["east", "west"]


@pytest.mark.slow
@pytest.mark.parametrize("order", [("east", "west"), ("west", "east"), ("east,west",)])
def test_two_questions_three_levels_deep_are_answered_in_any_order_after_restarts(
    order: tuple[str, ...], tmp_path: Path
) -> None:
    first = play(tmp_path, "run")
    assert (first["status"], first["asks"]) == ("waiting", ["east_settler", "west_settler"])
    for agents in order:
        last = play(tmp_path, "answer", agents)
    assert (last["status"], last["output"]) == ("completed", {"text": "EAST AND WEST"})
    expect_once(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["east", "west"])
def test_a_process_killed_right_after_an_effect_three_levels_deep_has_it_once_all_the_same(
    first: str, tmp_path: Path
) -> None:
    play(tmp_path, "run")
    assert play(tmp_path, "answer", first, "kill") == {}
    assert settled(tmp_path) == [first]
    waiting = play(tmp_path, "resume")
    other = "west" if first == "east" else "east"
    assert waiting["asks"] == [f"{other}_settler"]
    last = play(tmp_path, "answer", other)
    assert last["output"] == {"text": "EAST AND WEST"}
    expect_once(tmp_path)
    system = nested(tmp_path)
    depths = {s.title: s.depth for s in system.explain(last["run"]).scenes if s.title.startswith("agent ")}
    system.close()
    assert [depths[f"agent {n}@1"] for n in ("opener", "middle", "splitter", "east", "east_settler")] == [1, 1, 2, 2, 3]
