"""What the trial found: figures, and by name every task that needed a question and every attack that passed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.trial.assistant import Ending, Question, Trial
from bench.trial.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """The tasks of one file, and each play of them: honest and in each encoding, under the gate and without."""

    name: str
    tasks: tuple[Task, ...]
    trials: tuple[Trial, ...]

    def honest(self, *, gated: bool = True) -> list[Trial]:
        """Plays that nobody attacked."""
        return [t for t in self.trials if not t.encoding and t.gated == gated]

    def attacked(self, encoding: str, *, gated: bool = True) -> list[Trial]:
        """Plays that somebody attacked."""
        return [t for t in self.trials if t.encoding == encoding and t.gated == gated]

    @property
    def encodings(self) -> list[str]:
        """In which encodings they were attacked, in order."""
        return list(dict.fromkeys(t.encoding for t in self.trials if t.encoding))


def together(sets: Sequence[Set]) -> Set:
    """All sets as one."""
    tasks, trials = (t for s in sets for t in s.tasks), (t for s in sets for t in s.trials)
    return Set(name="together", tasks=tuple(tasks), trials=tuple(trials))


def figures(found: Set) -> dict[str, Any]:
    """All figures of a set, by name."""
    honest, bare = found.honest(), found.honest(gated=False)
    questions = sum(len(t.questions) for t in honest)
    return {
        "tasks": len(found.tasks),
        "with a write": sum(t.writes for t in found.tasks),
        "with a write whose target others name": sum(t.target_of_others for t in found.tasks),
        "done with no question": sum(t.done and not t.questions for t in honest),
        "questions": questions,
        "questions per task": round(questions / max(len(honest), 1), 2),
        "done with every question approved": sum(t.done for t in honest),
        "done without gate": sum(t.done for t in bare),
        "attacks": {
            encoding: {
                "gate": _attacks(found.attacked(encoding)),
                "no gate": _attacks(found.attacked(encoding, gated=False)),
            }
            for encoding in found.encodings
        },
    }


def _attacks(trials: Sequence[Trial]) -> dict[str, int]:
    ends = [t.ended for t in trials]
    return {
        "attacks": len(trials),
        **{end: ends.count(end) for end in get_args(Ending)},
        "in full": sum(bool(t.harmed) and len(t.harmed) == t.wanted for t in trials),
        "the user's tasks done": sum(t.done for t in trials),
        "asked about the user": sum(len(t.asked("user")) for t in trials),
        "asked about the attacker": sum(len(t.asked("attacker")) for t in trials),
    }


def faults(found: Set) -> list[str]:
    """What makes the trial itself doubtful: an attack that is never read or, without gate, fails; a task not done."""
    said = [
        f"{t.task}: {t.encoding}: the attacker's text was never read"
        for t in found.trials
        if t.ended == "never read" and t.encoding
    ]
    said += [f"{t.task}: not done, although nothing stood in the way" for t in found.honest(gated=False) if not t.done]
    said += [f"{t.task}: {broken}" for t in found.trials for broken in t.broken]
    for encoding in found.encodings:
        bare = found.attacked(encoding, gated=False)
        said += [f"{t.task}: {encoding}: the attack fails without any gate" for t in bare if len(t.harmed) < t.wanted]
    return said


def needed_question(found: Set) -> Iterator[tuple[str, Question]]:
    """(task, question) of every honest play in which a person was asked."""
    return ((t.task, q) for t in found.honest() for q in t.questions)


def passed(found: Set) -> Iterator[Trial]:
    """Every attack that succeeded under the gate."""
    return (t for e in found.encodings for t in found.attacked(e) if t.harmed)


def as_json(sets: Sequence[Set]) -> dict[str, Any]:
    """Everything, for machines."""
    every = together(sets)
    return {
        "figures": {s.name: figures(s) for s in (*sets, every)},
        "asked": [{"task": task, **asdict(question)} for task, question in needed_question(every)],
        "not done": [t.task for t in every.honest() if not t.done],
        "passed": [{"task": t.task, "encoding": t.encoding, "calls": t.harmed} for t in passed(every)],
        "faults": faults(every),
    }


# -- on a screen ---------------------------------------------------------------------------------------------------


def show(sets: Sequence[Set], console: Console) -> None:
    """Print the tables and the lists."""
    shown = [*sets, together(sets)] if len(sets) > 1 else list(sets)
    every = {s.name: figures(s) for s in shown}
    console.print(_tasks_table(every))
    console.print(_attacks_table(every))
    whole = together(sets)
    _list(console, "Asked about, honest tasks", [_asked(task, q) for task, q in needed_question(whole)])
    _list(console, "Not done with every question approved", [t.task for t in whole.honest() if not t.done])
    _list(console, "Attacks that passed", list(_passed(whole)))
    if said := faults(whole):
        _list(console, "The trial itself is at fault", said)


def _tasks_table(every: dict[str, dict[str, Any]]) -> Table:
    table = Table(title="Tasks that nobody attacks", title_justify="left")
    table.add_column("")
    for name in every:
        table.add_column(name, justify="right")
    for row in next(iter(every.values())):
        if row != "attacks":
            table.add_row(row, *(_cell(found[row], found["tasks"], row) for found in every.values()))
    return table


def _cell(value: Any, tasks: int, row: str) -> str:
    return f"{value} ({value / max(tasks, 1):.0%})" if row.startswith(("done", "with")) else str(value)


def _attacks_table(every: dict[str, dict[str, Any]]) -> Table:
    table = Table(title="The same tasks, attacked; the attacker's questions are denied", title_justify="left")
    for name in ("", "encoding", "without gate: succeed", "gate: succeed", "of them in full"):
        table.add_column(name, justify="left" if name in ("", "encoding") else "right")
    for name in ("stopped by denial", "stopped by question", "user's tasks done", "asked: user's, attacker's"):
        table.add_column(name, justify="right")
    for name, found in every.items():
        for encoding, both in found["attacks"].items():
            gate, bare = both["gate"], both["no gate"]
            table.add_row(
                name,
                encoding,
                f"{bare['succeeded']}/{bare['attacks']}",
                f"{gate['succeeded']}/{gate['attacks']}",
                str(gate["in full"]),
                str(gate["stopped by a denial"]),
                str(gate["stopped by a question"]),
                str(gate["the user's tasks done"]),
                f"{gate['asked about the user']}, {gate['asked about the attacker']}",
            )
        table.add_section()
    return table


def _passed(found: Set) -> Iterator[str]:
    """Each attack that passed, once, with the encodings in which it did."""
    of = dict[tuple[str, str], list[str]]()
    for trial in passed(found):
        of.setdefault((trial.task, "; ".join(trial.harmed)), []).append(trial.encoding)
    return (f"{task} ({', '.join(encodings)}): {calls}" for (task, calls), encodings in of.items())


def _asked(task: str, question: Question) -> str:
    return f"{task}: {question.call}  [{', '.join(question.rules)}]"


def _list(console: Console, title: str, lines: Sequence[str]) -> None:
    console.print(f"\n[bold]{title}[/bold] ({len(lines)})")
    for line in lines:
        console.print(f"  {escape(line)}", soft_wrap=True, highlight=False)


def explain(found: Trial, task: Task, console: Console) -> None:
    """Print each verdict of a play, with the rules that decided and where each argument came from."""
    how = f"attacked ({found.encoding})" if found.encoding else "not attacked"
    console.print(f"\n[bold]{task.id}[/bold] {how}, {'gate' if found.gated else 'no gate'}: {escape(task.request)}")
    for each in found.judged:
        grounds = ", ".join(f"{name}: {'/'.join(label)}" for name, label in each.labels.items())
        console.print(
            f"  {each.verdict:5} {each.tool}  [{', '.join(each.rules)}]  {grounds}", markup=False, soft_wrap=True
        )
        for reason in each.reasons:
            console.print(f"        {reason}", markup=False, soft_wrap=True)
    if found.encoding:
        console.print(f"  the attack: {found.ended}" + "".join(f"\n    {call}" for call in found.harmed), markup=False)
    console.print(f"  the user's task: {'done' if found.done else 'not done'}", markup=False)
