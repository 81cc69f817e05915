"""A policy is swapped as a whole, without a restart: the old set or the new one judges, never none."""

from __future__ import annotations

import asyncio

import pytest
from edgewright import Call, Never, Policy, System, tool
from edgewright.contracts.errors import PolicyInvalid
from edgewright.ledger.records import CallJudged, RunStarted
from support.systems import PERMIT_ALL, answers, asking, inside, of_kind, plays, with_model

done: list[str] = []
FORBID = '@id("none") permit(principal, action, resource) when { false };'


@tool(effect="write", idempotency="natural", sink=False)
def touch(what: str) -> str:
    """Touch something."""
    done.append(what)
    return "touched"


@pytest.fixture(autouse=True)
def _fresh() -> None:
    done.clear()


def desk(policy: str = PERMIT_ALL) -> System:
    return with_model(plays([Call("touch", {"what": "it"})]), touch, policy=policy)


async def test_a_run_that_begins_after_a_reload_is_judged_by_the_new_policy() -> None:
    system = desk()
    before, old = await system.arun({"text": "x"}), system.policy
    system.reload(Policy(text=FORBID))
    after = await system.arun({"text": "x"})
    assert done == ["it"]
    judged = [of_kind(system, r.run, CallJudged)[0] for r in (before, after)]
    assert [j.verdict for j in judged] == ["allow", "deny"]
    assert old is not None
    assert system.policy is not None
    assert [j.policy_digest for j in judged] == [old.digest, system.policy.digest]
    assert of_kind(system, after.run, RunStarted)[0].policy_digest == system.policy.digest


@pytest.mark.parametrize("text", ["", "permit(", '@id("a") permit(principal, action, resource) when { context.nope };'])
async def test_a_policy_that_does_not_fit_changes_nothing(text: str) -> None:
    """Threat 8: a half-written policy file."""
    system = desk(FORBID)
    with pytest.raises(PolicyInvalid):
        system.reload(Policy(text=text))
    await system.arun({"text": "x"})
    assert done == []


async def test_an_approval_under_the_old_policy_does_not_count_under_the_new() -> None:
    """Threat 30: a policy that changed between ask and execute."""
    system = desk(PERMIT_ALL + asking("touch"))
    waiting = await system.arun({"text": "x"})
    system.reload(Policy(text=PERMIT_ALL + asking("touch", rule="ask", approver="owner")))
    result = await system.aresume(waiting.thread, answers(waiting, "approve"))
    assert done == []
    assert result.status == "waiting"
    again = await system.aresume(result.thread, answers(result, "approve"))
    assert again.status == "completed"
    assert done == ["it"]


async def test_a_reload_in_the_midst_of_calls_leaves_none_unjudged() -> None:
    """Threat 8."""
    system: list[System] = []

    async def work() -> None:
        for n in range(20):
            if system and n == 10:
                system[0].reload(Policy(text=FORBID))
            await asyncio.gather(touch.call({"what": str(n)}), return_exceptions=True)

    found = await inside(work, touch)
    system.append(found.system)
    await found.system.arun({"text": "go"})
    await found.system.arun({"text": "go"})
    verdicts = [r.verdict for run in found.system.ledger.runs() for r in of_kind(found.system, run.run, CallJudged)]
    assert len(verdicts) == 60
    assert verdicts.count("allow") == len(done) == 40


def test_a_policy_that_reads_what_the_runs_do_not_keep_is_refused() -> None:
    system = with_model(plays(), touch, unrecorded=Never())
    reads = PERMIT_ALL + '@id("p") forbid(principal, action, resource) when { !context.private.isEmpty() };'
    with pytest.raises(PolicyInvalid, match="build it again"):
        system.reload(Policy(text=reads))
