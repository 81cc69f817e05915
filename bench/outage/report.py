"""What the scenes tell: times side by side, what became of the runs, and by name whatever should not be."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from bench.outage.load import Done, Load
from bench.outage.office import COOLDOWN, FAILURES, LATER, TAKES, TIMEOUT
from bench.outage.plain import TAKES as SHORT
from bench.outage.plain import THREADS, Plain
from bench.outage.scene import Scene

AIM = 1.2
"""How many times their usual time the ninety may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long runs took, in seconds: of each by itself, and until the last of all was over."""

    p50: float
    p95: float
    total: float

    def ratios(self, usual: Times) -> tuple[float, float, float]:
        """How many times as long as usual."""
        return self.p50 / usual.p50, self.p95 / usual.p95, self.total / usual.total

    def cells(self) -> list[str]:
        """As a table shows them."""
        return [f"{value:.2f} s" for value in (self.p50, self.p95, self.total)]


def times(groups: Iterable[Sequence[Done]]) -> Times:
    """The times of the runs of several scenes together; `total` is the mean of theirs."""
    each = [group for group in groups if group]
    seconds = sorted(done.seconds for group in each for done in group)
    totals = [max(done.ended for done in group) for group in each]
    return Times(p50=_quantile(seconds, 0.5), p95=_quantile(seconds, 0.95), total=sum(totals) / len(totals))


def _quantile(ordered: Sequence[float], share: float) -> float:
    """The least of the values which at least that share of them do not exceed."""
    return ordered[math.ceil(share * len(ordered)) - 1]


# -- what should not be -----------------------------------------------------------------------------------------------


def faults(scene: Scene, load: Load) -> list[str]:
    """What should not be in a scene, times apart."""
    found = [f"{scene.dead or 'well'}: {fault}" for fault in (*_of_runs(scene, load), *_of_effects(scene))]
    return found + [f"{scene.dead}: {fault}" for fault in _of_breaker(scene) if scene.dead is not None]


def _of_runs(scene: Scene, load: Load) -> list[str]:
    wanted = Counter(load.desks())
    ended = Counter(d.desk for d in scene.done if not d.later)
    found = [f"{wanted - ended} are missing, or {ended - wanted} too many"] if ended != wanted else []
    strange = [d for d in scene.done if not _as_declared(d, scene)]
    return found + [f"{d.order} ({d.desk}) ended with {d.answer!r} {d.marks} {d.error}" for d in strange]


def _as_declared(done: Done, scene: Scene) -> bool:
    whole = bool(done.answer) and not done.marks and not done.error
    if done.desk == "biller" or scene.returned is None:
        return whole
    if done.later and whole:  # it came when the warehouse was back
        return done.ended >= scene.returned
    match done.desk:
        case "shipper":
            return done.error in ("ToolFailed", "ToolUnavailable")
        case "courier":
            return (done.answer, done.marks, done.error) == (LATER, ("degraded",), "")
        case _:
            return (done.answer, done.marks, done.error) == ("", ("gap",), "")


def _of_breaker(scene: Scene) -> list[str]:
    moves = scene.moves
    ways = [(m.before, m.after) for m in moves]
    probes = (len(moves) - 2) // 2
    again = [("open", "half_open"), ("half_open", "open")] * probes
    found = []
    if ways != [("closed", "open"), *again, ("open", "half_open"), ("half_open", "closed")]:
        return [f"the breaker moved {ways}"]
    if moves[0].failures != FAILURES:
        found.append(f"the breaker opened after {moves[0].failures} failures")
    if scene.returned is None or moves[-1].at < scene.returned:
        found.append("the breaker closed while the warehouse was dead")
    opened, closed = moves[0].at, moves[-1].at
    others = [c for c in scene.calls if c.at > opened and c.tries and not c.probe]
    if through := [c for c in others if c.became == "failed" or c.ended < closed]:
        found.append(f"{len(through)} calls were let through while it was open")
    if sum(c.probe for c in scene.calls) != probes + 1:
        found.append(f"{sum(c.probe for c in scene.calls)} calls were let through to try it, in {probes + 1} times")
    if not any(c.became == "refused" for c in scene.calls if opened < c.at < closed):
        found.append("nothing was refused while it was open")
    reached = sum(c.tries for c in scene.calls if c.became == "done" or scene.dead == "hangs")
    # A call whose time is over before it is sent got through the breaker, and no further.
    if scene.reached > reached or (scene.dead != "hangs" and scene.reached != reached):
        found.append(f"the warehouse got {scene.reached} requests, and {reached} were let through")
    return found


def _of_effects(scene: Scene) -> list[str]:
    found = [f"order {order} was shipped {n} times" for order, n in scene.effects.items() if n != 1]
    dead = sorted(d.order for d in scene.done if d.error)
    if dead != sorted(scene.letters):
        found.append(f"{dead} failed, and the dead letters are {sorted(scene.letters)}")
    found += [f"the retry of {order} ended with {how}" for order, how in scene.retried.items() if how != "completed"]
    found += [f"{order} was retried and not shipped" for order in scene.letters if order not in scene.effects]
    return found + ([f"{scene.left} dead letters are left"] if scene.left else [])


def slow(scenes: Sequence[Scene], aim: float = AIM) -> list[str]:
    """Where the ninety took too long beside an outage."""
    usual = times(s.ninety for s in scenes if s.dead is None)
    found = []
    for how in dict.fromkeys(s.dead for s in scenes if s.dead):
        ratios = times(s.ninety for s in scenes if s.dead == how).ratios(usual)
        names = zip(("p50", "p95", "total"), ratios, strict=True)
        found += [f"{how}: the ninety took {r:.2f} times their usual time ({name})" for name, r in names if r > aim]
    return found


# -- on a screen ------------------------------------------------------------------------------------------------------


def show(scenes: Sequence[Scene], load: Load, plain: Plain | None, console: Console) -> None:
    """Print what was seen."""
    _show_times(scenes, load, plain, console)
    for scene in scenes:
        if scene.dead is not None:
            _show_outage(scene, console)


def _show_times(scenes: Sequence[Scene], load: Load, plain: Plain | None, console: Console) -> None:
    needing = sum(desk != "biller" for desk in load.desks())
    ninety = load.runs - needing
    title = f"{ninety} runs that do not need what is dead, beside {needing} that do; {TAKES:g} s to wait each"
    table = Table("", "finished", "p50", "p95", "total", "ratio", title=title, title_justify="left")
    usual = times(s.ninety for s in scenes if s.dead is None)
    for how in dict.fromkeys(s.dead for s in scenes):
        groups = [s.ninety for s in scenes if s.dead == how]
        found = times(groups)
        ratio = " / ".join(f"{r:.2f}" for r in found.ratios(usual)) if how else ""
        count = f"{sum(map(len, groups))} of {len(groups) * ninety}"
        table.add_row(f"it {how}" if how else "it is well", count, *found.cells(), ratio)
    console.print(table)
    if plain is not None:
        well, dead = (sum(d.desk == "biller" for d in runs) for runs in (plain.well, plain.dead))
        last = max(d.ended for d in plain.well if d.desk == "biller")
        console.print(
            f"Plain LangGraph with LangChain's tools, which block, in {THREADS} threads; {SHORT:g} s to wait each\n"
            f"  it is well: {well} of {ninety} finished, within {last:.1f} s\n"
            f"  it hangs: {dead} of {ninety} finished; after {plain.stuck:.1f} s it held every thread, and no run "
            "could end any more\n",
            highlight=False,
            soft_wrap=True,
        )


def _show_outage(scene: Scene, console: Console) -> None:
    def say(text: str) -> None:
        console.print(f"  {text}", highlight=False, soft_wrap=True)

    console.print(f"[bold]The integration {scene.dead}[/], back after {scene.returned or 0:.2f} s", highlight=False)
    ends = Counter(f"{d.desk} {d.error or 'answered'}{''.join(f', marked {m}' for m in d.marks)}" for d in scene.ten)
    say("of the ten: " + "; ".join(f"{n} {how}" for how, n in sorted(ends.items())))
    for moved in scene.moves[:1]:
        say(
            f"breaker: {moved.after} at {moved.at:.2f} s after {moved.failures} failures "
            f"(declared: {FAILURES} in a row, calls of {TIMEOUT:g} s, {COOLDOWN:g} s until it is tried again)"
        )
    trail = ", ".join(f"{m.after.replace('_', ' ')} at {m.at:.2f} s" for m in scene.moves[1:])
    say(f"then {trail}; one call each time")
    quick = sorted(d.seconds for d in scene.done if d.later and (d.marks or d.error))
    knew = f"; the further runs knew after {_quantile(quick, 0.5):.2f} s (p50)" if quick else ""
    say(f"refused while it was open: {sum(c.became == 'refused' for c in scene.calls)} calls{knew}")
    say(f"requests that reached it: {scene.reached}, which is every call that was let through and found somebody there")
    back = Counter(scene.retried.values())
    say(
        f"dead letters: {len(scene.letters)}; retried: {', '.join(f'{n} {how}' for how, n in back.items())}; left: "
        f"{scene.left}; asked again under a known key: {scene.repeated}; orders shipped twice: "
        f"{sum(n > 1 for n in scene.effects.values())}"
    )
    console.print()
