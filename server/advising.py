"""`edgewright advise`: which topology fits, by seven answers, asked on a terminal or given as options."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import orjson
import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..contracts.errors import AnswersInvalid
from ..graphs.advice import QUESTIONS, Advice, advise

YesNo = Literal["yes", "no"]
TAKES: Mapping[str, str] = {"sequence": "known|unknown", "tools": "NUMBER"}
"""What an option takes, where that is not yes or no."""
_WORDS = {"y": "yes", "n": "no", "k": "known", "u": "unknown"}


def register(app: typer.Typer) -> None:
    """Mount the command on the program."""
    app.command("advise")(advise_command)


def advise_command(
    sequence: Annotated[Literal["known", "unknown"] | None, typer.Option(help=QUESTIONS["sequence"])] = None,
    audit: Annotated[YesNo | None, typer.Option(help=QUESTIONS["audit"])] = None,
    parallel: Annotated[YesNo | None, typer.Option(help=QUESTIONS["parallel"])] = None,
    plan: Annotated[YesNo | None, typer.Option(help=QUESTIONS["plan"])] = None,
    talk: Annotated[YesNo | None, typer.Option(help=QUESTIONS["talk"])] = None,
    events: Annotated[YesNo | None, typer.Option(help=QUESTIONS["events"])] = None,
    tools: Annotated[int | None, typer.Option(min=0, help=QUESTIONS["tools"])] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say which topology fits the work, why, how it fails, and what begins a project with it.

    What no option answers is asked on the terminal.
    """
    said = {
        "sequence": sequence,
        "audit": audit,
        "parallel": parallel,
        "plan": plan,
        "talk": talk,
        "events": events,
        "tools": tools,
    }
    answers: dict[str, Any] = {name: _meant(value) for name, value in {**said, **_asked(said)}.items()}
    advice = advise(**answers)
    if json:
        sys.stdout.write(orjson.dumps(advice.as_json(), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        Console(highlight=False).print(shown(advice))


def _asked(said: Mapping[str, Any]) -> dict[str, Any]:
    """What is not answered yet, asked of whoever sits there, beside the output. Raises AnswersInvalid: nobody does."""
    missing = [name for name, answer in said.items() if answer is None]
    if missing and not (sys.stdin.isatty() and sys.stderr.isatty()):
        wanted = " ".join(f"--{name} {TAKES.get(name, 'yes|no')}" for name in missing)
        fault = f"{len(missing)} questions have no answer, and there is no terminal to ask on; give {wanted}"
        raise AnswersInvalid(name="advise", faults=[fault])
    return {name: _ask(name) for name in missing}


def _ask(name: str) -> Any:
    kind: Any = int if name == "tools" else str
    takes = TAKES.get(name, "yes|no")
    while True:
        answer = typer.prompt(f"{QUESTIONS[name]} [{takes}]", type=kind, err=True)
        if name == "tools" and answer >= 0:
            return answer
        word = _WORDS.get(answer, answer) if name != "tools" else None
        if word in takes.split("|"):
            return word
        typer.echo(
            f"It takes one of {takes.replace('|', ', ')}." if name != "tools" else "It takes 0 or more.", err=True
        )


def _meant(answer: Any) -> Any:
    return {"yes": True, "no": False}.get(answer, answer)


def shown(advice: Advice) -> RenderableType:
    """An advice as a terminal shows it."""
    return Group(*_parts(advice))


def _parts(advice: Advice) -> Iterator[RenderableType]:
    state = f"  {advice.declared}" if advice.there else "  not there yet"
    yield Text.assemble((advice.title.capitalize(), "bold"), (state, "dim" if advice.there else "bold yellow"))
    yield Text(advice.what)
    yield _table("Why", [(r.answer, r.why) for r in advice.reasons])
    yield _table("How it fails, and what stands against that", [(f.mode, f.guard) for f in advice.failures], code=True)
    if advice.meanwhile is not None:
        now = advice.meanwhile
        yield _table(f"How a {now.title} fails", [(f.mode, f.guard) for f in now.failures], code=True)
    yield _table("Considered, too", [(c.title, "; ".join(c.why)) for c in advice.considered])
    yield Text()
    if advice.then:
        yield Text(advice.then, "yellow")
    yield Text.assemble(("Next  ", "dim"), (advice.command, "bold"))


def _table(title: str, rows: list[tuple[str, str]], *, code: bool = False) -> Table:
    table = Table(
        title=f"\n{title}", title_justify="left", title_style="bold", box=None, show_header=False, pad_edge=False
    )
    table.add_column(ratio=2, overflow="fold")
    table.add_column(ratio=3, overflow="fold", style="cyan" if code else "")
    for left, right in rows:
        table.add_row(Text(left), Text(right))
    return table
