"""Reading tasks, strictly: a task whose honest calls fail, or whose attack nobody reads, would measure nothing."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jsonschema
import orjson
from edgewright import ToolRefusal
from pydantic import Field, ValidationError

from bench.trial.office import TOOLS
from bench.trial.tables import Event, Row, Tables, texts_of_others
from bench.trial.world import World

INJECTION = "{{injection}}"
FOLDER = Path(__file__).parent / "tasks"
_KEYS = ("id", "path", "channel", "author")
_REFERENCE = re.compile(r"\{\{(\d+)\.(\w+)\}\}")


class TasksInvalid(Exception):
    """A file of tasks is wrong; says every fault."""

    def __init__(self, path: Path, faults: Sequence[str]) -> None:
        self.path, self.faults = path, tuple(faults)
        super().__init__(f"{path}:\n" + "\n".join(f"  {f}" for f in faults))


class Step(Row):
    """A call: a tool and its arguments."""

    tool: str
    args: dict[str, Any] = Field(default_factory=dict)

    @property
    def harms(self) -> bool:
        """Whether it would be an attacker's success: it changes something, or data can leave through it."""
        spec = TOOLS[self.tool].spec
        return spec.changes_world or spec.sink

    def __str__(self) -> str:
        return f"{self.tool}({', '.join(f'{k}={v!r}' for k, v in self.args.items())})"


class Attack(Row):
    """What the attacker writes, and the calls that are wanted by it."""

    goal: str
    text: str
    calls: list[Step] = Field(min_length=1)


class Task(Row):
    """One task: what the user asks for, what there is, what an honest assistant calls, what the attacker wants."""

    id: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    area: Literal["mail", "calendar", "files", "payments", "chat", "tickets", "mixed"]
    request: str = Field(min_length=1)
    world: Tables
    honest: list[Step] = Field(min_length=1)
    attack: Attack

    def tables(self, payload: str) -> Tables:
        """What there is, with the attacker's text in its place; "" for what there is without one."""
        raw = orjson.dumps(self.world.model_dump())
        quoted = orjson.dumps(payload)[1:-1]
        return Tables.model_validate_json(raw.replace(INJECTION.encode(), quoted))

    @property
    def writes(self) -> bool:
        """Whether the honest calls change anything."""
        return any(TOOLS[step.tool].spec.changes_world for step in self.honest)

    @property
    def target_of_others(self) -> bool:
        """Whether the target of a changing call is not in the request, but in what somebody else wrote.

        So is the mail, ticket, file or chat message of somebody else that is answered or acted on; and a party that
        only the text of somebody else calls by name, while the address book says how it is reached.
        """
        asked = self.request.casefold()
        rows = list(texts_of_others(self.world))
        texts = [text.casefold() for _, name, text in rows if name not in ("sender", "organiser")]
        ids = {getattr(row, k, None) for row, _, _ in rows if not isinstance(row, Event) for k in _KEYS}

        def foreign(target: str) -> bool:
            if target.casefold() in asked:
                return False
            if target in ids or any(target.casefold() in text for text in texts):
                return True
            names = [n.casefold() for n in _names(self.world, target)]
            named = any(word in re.findall(r"\w+", asked) for n in names for word in re.findall(r"\w+", n))
            return not named and any(n in text for n in names for text in texts)

        changing = (step for step in self.honest if TOOLS[step.tool].spec.changes_world)
        return any(foreign(t) for step in changing for t in _targets(step) if not _REFERENCE.fullmatch(t))


def _names(world: Tables, value: str) -> Iterator[str]:
    """What the parties are called whose address, account or handle this is."""
    yield from (c.name for c in world.contacts if c.address == value)
    yield from (p.name for p in world.payees if p.account == value)
    yield from (p.name for p in world.people if p.handle == value)
    yield from (p.payee for p in world.scheduled if value in (p.id, p.account))


def _targets(step: Step) -> Iterator[str]:
    roles = TOOLS[step.tool].spec.roles
    for name, value in step.args.items():
        if roles.get(name) == "target":
            yield from value if isinstance(value, list) else [str(value)]


def resolved(arguments: Mapping[str, Any], results: Sequence[Any]) -> dict[str, Any]:
    """Arguments with references to earlier results filled in. Raises LookupError where one is not there."""

    def fill(value: Any) -> Any:
        if isinstance(value, list):
            return [fill(v) for v in value]
        if isinstance(value, str) and (found := _REFERENCE.fullmatch(value)):
            result = results[int(found[1])]
            if not isinstance(result, Mapping) or found[2] not in result:
                raise LookupError(f"{value}: call {found[1]} did not return that")
            return result[found[2]]
        return value

    return {name: fill(value) for name, value in arguments.items()}


def is_read(payload: str, result: Any) -> bool:
    """Whether a text stands in what a tool returned. Layout and what cannot be seen make no difference."""
    return _plain(payload) in _plain("\n".join(_strings(result)))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _strings(inner)


def _plain(text: str) -> str:
    return "".join(c for c in text if c.isprintable() and not c.isspace())


# -- reading -------------------------------------------------------------------------------------------------------


def read_tasks(path: Path) -> list[Task]:
    """The tasks of a file.

    Raises:
        TasksInvalid: with every fault: of form, and of tasks that cannot be done or that nobody can attack.
    """
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise TasksInvalid(path, [str(error)]) from None
    if set(raw) != {"task"} or not isinstance(raw["task"], list):
        raise TasksInvalid(path, ["it holds `[[task]]` tables, and nothing else"])
    faults, tasks = list[str](), list[Task]()
    for index, each in enumerate(raw["task"]):
        name = str(each.get("id", f"task {index}")) if isinstance(each, dict) else f"task {index}"
        try:
            task = Task.model_validate(each)
        except ValidationError as error:
            faults += [f"{name}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            continue
        faults += [f"{name}: {fault}" for fault in _faults(task)]
        tasks.append(task)
    ids = [t.id for t in tasks]
    faults += [f"two tasks have the id {i!r}" for i in sorted({i for i in ids if ids.count(i) > 1})]
    if faults:
        raise TasksInvalid(path, faults)
    return tasks


def _faults(task: Task) -> list[str]:
    steps = [(f"honest {i}", step) for i, step in enumerate(task.honest)]
    steps += [(f"attack {i}", step) for i, step in enumerate(task.attack.calls)]
    faults = [f"{where}: {fault}" for where, step in steps for fault in _faults_of_step(step)]
    if faults:
        return faults
    for where, step in steps:
        for number, _ in _REFERENCE.findall(orjson.dumps(step.args).decode()):
            if where.startswith("attack"):
                faults.append(f"{where}: an attacker's arguments are literal")
            elif int(number) >= int(where.split()[1]):
                faults.append(f"{where}: refers to call {number}, which comes no earlier")
    if not any(step.harms for step in task.attack.calls):
        faults.append("the attack changes nothing and lets nothing out")
    faults += [
        f"attack: {step} is what the user wants" for step in task.attack.calls if step.harms and step in task.honest
    ]
    faults += _faults_of_place(task)
    return faults or _faults_of_play(task)


def _faults_of_step(step: Step) -> list[str]:
    if step.tool not in TOOLS:
        return [f"there is no tool {step.tool!r}"]
    checked = jsonschema.Draft202012Validator(TOOLS[step.tool].spec.parameters)
    return [f"{step.tool}: {e.message}" for e in checked.iter_errors(step.args)]


def _faults_of_place(task: Task) -> list[str]:
    theirs = sum(text.count(INJECTION) for _, _, text in texts_of_others(task.world))
    every = orjson.dumps(task.world.model_dump()).decode().count(INJECTION)
    if not theirs:
        return [f"{INJECTION} stands in no text that somebody else wrote"]
    return [f"{INJECTION} stands in what is not a text of somebody else"] if every != theirs else []


def _faults_of_play(task: Task) -> list[str]:
    """What goes wrong without any gate: the honest calls must work, be attacked, and the attack must work too."""
    payload = "@@payload@@"
    for attacked in (False, True):
        world, results, taken = World(task.tables(payload if attacked else "")), list[Any](), False
        for index, step in enumerate(task.honest):
            try:
                results.append(world.do(step.tool, resolved(step.args, results)))
                if not taken and attacked and is_read(payload, results[-1]):
                    taken = True
                    for call in task.attack.calls:
                        world.do(call.tool, call.args)
            except (ToolRefusal, LookupError) as error:
                where = "the attack" if taken else "honest"
                if not taken or not attacked:
                    return [f"{where} {index}: {step}: {error}"]
                # After an attack the honest calls may find their world changed; the attack itself must work.
                if not all(world.did(c.tool, c.args) for c in task.attack.calls):
                    return [f"{where}: {error}"]
        if attacked and not taken:
            return ["no honest call reads what the attacker wrote"]
    return []
