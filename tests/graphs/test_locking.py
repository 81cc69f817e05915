"""A system as a lock holds it: everything that it is made of, the same at every build."""

from __future__ import annotations

import orjson
from edgewright import Agent, Contract, Pipeline, Policy, System, tool
from edgewright.contracts.lock import read_lock
from edgewright.contracts.lock_changes import changes
from edgewright.graphs.locking import lock_of_system, lock_of_systems
from support.systems import ANSWER, PERMIT_ALL, QUESTION, plays


@tool(effect="read", output="trusted", sink=False)
def look(text: str) -> str:
    """Look."""
    return text


def made(policy: str = PERMIT_ALL, prompt: str = "Do it.", entry: Contract = QUESTION) -> System:
    one = Agent("one", version=1, prompt=prompt, tools=[look], model=plays())
    two = Agent("two", version=1, function=lambda payload: {"text": payload["text"]})
    return System(
        "desk",
        version=1,
        topology=Pipeline(stages=[one, two], contracts=[entry, ANSWER, ANSWER]),
        policy=Policy(text=policy),
    )


def test_a_lock_names_every_part_of_a_system() -> None:
    system = made()
    found = lock_of_system(system)
    assert found["digest"] == system.digest
    assert found["topology"] == "pipeline"
    assert set(found["agents"]) == {"one", "two"}
    assert found["agents"]["one"]["tools"] == ["look"]
    assert found["agents"]["two"]["code"]
    assert set(found["contracts"]) == {"Question@1", "Answer@1"}
    assert [(e["source"], e["target"]) for e in found["edges"]] == [("one", "two"), ("start", "one"), ("two", "end")]
    assert found["tools"]["look"]["effect"] == "read"
    assert set(found["policy"]["rules"]) == {"all"}


def test_two_builds_of_one_system_have_one_lock() -> None:
    one, other = (orjson.dumps(lock_of_systems({"desk": made()}), option=orjson.OPT_SORT_KEYS) for _ in range(2))
    assert one == other
    assert read_lock(orjson.loads(one), name="x")


def test_a_rule_is_known_by_what_it_says_not_by_its_spaces_or_its_place() -> None:
    first, second = '@id("a") permit(principal, action, resource);', '@id("b") forbid(principal, action, resource);'
    rules = [
        lock_of_system(made(policy))["policy"]["rules"]
        for policy in (f"{first}\n{second}", f"// a word\n{second}\n\n{first.replace(', ', ' ,  ')}")
    ]
    assert rules[0] == rules[1]
    stricter = lock_of_system(made(f"{first}\n{second[:-1]} when {{ context.calls > 3 }};"))["policy"]["rules"]
    assert stricter["a"] == rules[0]["a"]
    assert stricter["b"] != rules[0]["b"]


def test_a_change_of_a_real_system_is_found() -> None:
    old, new = lock_of_systems({"desk": made()}), lock_of_systems({"desk": made(prompt="Do it twice.")})
    assert {(f.kind, f.subject) for f in changes(old, new)} == {
        ("safe", "agent"),
        ("same_version", "agent"),
        ("same_version", "system"),
    }
