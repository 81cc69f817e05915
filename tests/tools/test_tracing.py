"""LangSmith tracing: off without its settings; on, every trace tells what governance knows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.langsmith_sink import Sink, environment, langsmith_sink, metadata

CHILD = Path(__file__).parents[1] / "support" / "traced_child.py"


def _played(settings: Mapping[str, str]) -> dict[str, Any]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("LANGSMITH_", "LANGCHAIN_"))}
    done = subprocess.run(
        [sys.executable, str(CHILD)], env=clean | dict(settings), capture_output=True, text=True, timeout=60, check=True
    )
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["status"] == "completed"
    return told


def test_without_settings_nothing_is_sent() -> None:
    with langsmith_sink() as sink:
        _played({"LANGSMITH_ENDPOINT": sink.url, "LANGSMITH_API_KEY": "lsv2_test"})
    assert sink.paths == []


@pytest.fixture(scope="module")
def traced() -> tuple[Sink, dict[str, Any]]:
    with langsmith_sink() as sink:
        told = _played(environment(sink))
    return sink, told


def test_every_trace_carries_run_system_and_agent_versions(traced: tuple[Sink, dict[str, Any]]) -> None:
    sink, told = traced
    assert len(sink.roots) == 2  # until the question, and from the answer on
    for root in sink.roots:
        found = metadata(root)
        assert found["edgewright_run"] == told["run"]
        assert found["edgewright_system"] == f"traced@3 {told['system'][:12]}"
        assert found["edgewright_agents"] == {
            "triage": f"triage@7 {told['digests']['triage'][:12]}",
            "billing": f"billing@9 {told['digests']['billing'][:12]}",
        }


def test_every_trace_carries_its_verdicts(traced: tuple[Sink, dict[str, Any]]) -> None:
    first, second = sorted(traced[0].roots, key=lambda r: str(r["dotted_order"]))
    assert sorted(metadata(first)["edgewright_verdicts"]) == ["pay: allow [small]", "pay: ask [large]", "pay: deny []"]
    assert metadata(second)["edgewright_verdicts"] == ["pay: allow [small]"]


def test_every_tool_call_in_a_trace_carries_its_verdict_and_rules(traced: tuple[Sink, dict[str, Any]]) -> None:
    sink, told = traced
    calls = [metadata(r) for r in sink.of("tool")]
    assert {c["edgewright_run"] for c in calls} == {told["run"]}
    assert {c["edgewright_agent"] for c in calls} == {"billing@9"}
    verdicts = sorted((c["edgewright_verdict"], *c["edgewright_rules"]) for c in calls)
    assert verdicts == [("allow", "small"), ("allow", "small"), ("ask", "large"), ("deny",)]


def test_every_model_call_in_a_trace_carries_run_and_agent(traced: tuple[Sink, dict[str, Any]]) -> None:
    sink, told = traced
    calls = [metadata(r) for r in sink.of("llm")]
    assert {c["edgewright_run"] for c in calls} == {told["run"]}
    assert {c["edgewright_agent"] for c in calls} == {"triage@7", "billing@9"}
