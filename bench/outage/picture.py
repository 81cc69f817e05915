"""The picture of an outage, over time: the runs beside it, the runs that need what is dead, and the breaker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.outage.canvas import WIDTH, Anchor, Canvas, Point, width_of
from bench.outage.load import Done, Load
from bench.outage.scene import Scene

INK, MUTED, FAINT, GRID = "#1b2430", "#586473", "#a9b2bc", "#e4e8ec"
BLUE, AMBER, RED, GREEN = "#2f66cf", "#c98208", "#c2362f", "#1d8468"
STATES = {"closed": "#cfe9df", "open": "#f1b8b3", "half_open": "#f6d48f"}
OUTAGE, USUAL = "#fdf3f2", "#c6ced8"
LEFT, RIGHT = 62, WIDTH - 24
SMALL, TEXT, TITLE = 13, 14, 21
TOP, CURVES, ROW = 96, 236, 5.6


@dataclass(frozen=True, slots=True)
class Axis:
    """Seconds from left to right."""

    seconds: float

    def x(self, moment: float) -> float:
        """Where a moment is."""
        return LEFT + (RIGHT - LEFT) * min(moment, self.seconds) / self.seconds


def painted(well: Scene, dead: Scene, load: Load) -> bytes:
    """The picture of one outage, as PNG.

    Args:
        well: a scene without one, for comparison.
    """
    needing = sorted((d for d in dead.done if d.desk != "biller"), key=lambda d: d.began)
    axis = Axis(max(d.ended for d in (*well.ninety, *dead.done)) * 1.03)
    rows = TOP + CURVES + 58
    band = rows + ROW * len(needing) + 50
    canvas = Canvas(round(band + 152))
    _heading(canvas, dead, load)
    back = axis.x(dead.returned or 0.0)
    spans = ((TOP, TOP + CURVES), (rows, rows + ROW * len(needing)))
    for top, bottom in spans:
        canvas.box(LEFT, top, back, bottom, OUTAGE)
    _curves(canvas, axis, well, dead)
    _needing(canvas, axis, rows, needing)
    _band(canvas, axis, band, dead)
    canvas.line([(back, band - 8), (back, band - 1)], RED, 1.6)
    for top, bottom in spans:
        canvas.line([(back, top - 4), (back, bottom)], RED, 1.6, dashed=True)
    canvas.words((LEFT, TOP - 10), f"it {dead.dead}", SMALL, RED)
    canvas.words((back, TOP - 10), f"it is back after {dead.returned or 0:.1f} s", SMALL, RED, "middle")
    _seconds(canvas, axis, band + 26)
    _ending(canvas, dead, band + 126)
    return canvas.png()


def _heading(canvas: Canvas, dead: Scene, load: Load) -> None:
    canvas.words((LEFT, 34), "One dead integration under load", TITLE, INK)
    needing = sum(desk != "biller" for desk in load.desks())
    said = (
        f"{load.runs} runs side by side, {needing} of which need an integration that {dead.dead}; "
        f"then one more such run every {load.every:g} s"
    )
    canvas.words((LEFT, 58), said, TEXT, MUTED)


# -- the runs beside it -----------------------------------------------------------------------------------------------


def _curves(canvas: Canvas, axis: Axis, well: Scene, dead: Scene) -> None:
    most, bottom = len(well.ninety), TOP + CURVES
    step = 30 if most >= 60 else max(1, most // 3)

    def y(count: int) -> float:
        return bottom - (CURVES - 16) * count / most

    for count in range(0, most + 1, step):
        canvas.line([(LEFT, y(count)), (RIGHT, y(count))], GRID if count else FAINT, 1)
        canvas.words((LEFT - 8, y(count) + 4.5), str(count), SMALL, MUTED, "right")
    canvas.words((LEFT + 12, TOP + 34), f"finished, of the {most} that do not need it", TEXT, INK)
    # The wide one lies beneath, so that both are seen where they are one.
    lines = (("without an outage", well.ninety, USUAL, 8.0), ("during the outage", dead.ninety, BLUE, 2.4))
    for place, (name, done, colour, width) in enumerate(lines):
        canvas.line(_steps(axis, sorted(d.ended for d in done), y), colour, width)
        at = TOP + 60 + 22 * place
        canvas.line([(LEFT + 12, at - 4.5), (LEFT + 44, at - 4.5)], colour, width)
        canvas.words((LEFT + 54, at), name, SMALL, INK)


def _steps(axis: Axis, ends: Sequence[float], y: Callable[[int], float]) -> list[Point]:
    points: list[Point] = [(axis.x(0), y(0))]
    for count, moment in enumerate(ends, 1):
        points += [(axis.x(moment), y(count - 1)), (axis.x(moment), y(count))]
    return [*points, (axis.x(axis.seconds), y(len(ends)))]


# -- the runs that need it --------------------------------------------------------------------------------------------


def _needing(canvas: Canvas, axis: Axis, top: float, runs: Sequence[Done]) -> None:
    canvas.words((LEFT, top - 12), "runs that need it, from beginning to end", TEXT, INK)
    at = LEFT + width_of("runs that need it, from beginning to end", TEXT) + 28
    for name, colour in (("answered", GREEN), ("answered, marked", AMBER), ("failed: a dead letter", RED)):
        canvas.dot((at, top - 16.5), 4.2, colour)
        canvas.words((at + 10, top - 12), name, SMALL, INK)
        at += width_of(name, SMALL) + 34
    for place, done in enumerate(runs):
        y = top + ROW * (place + 0.5)
        colour = RED if done.error else AMBER if done.marks else GREEN
        canvas.line([(axis.x(done.began), y), (axis.x(done.ended), y)], colour, 1.6)
        canvas.dot((axis.x(done.ended), y), 2.7, colour)
    bottom = top + ROW * len(runs)
    canvas.line([(LEFT, bottom), (RIGHT, bottom)], FAINT, 1)


# -- the breaker ------------------------------------------------------------------------------------------------------


def _band(canvas: Canvas, axis: Axis, top: float, scene: Scene) -> None:
    canvas.words((LEFT, top - 10), "its breaker", TEXT, INK)
    states = [(0.0, "closed"), *((m.at, m.after) for m in scene.moves), (axis.seconds, "")]
    for (begins, state), (ends, _) in pairwise(states):
        left, right = axis.x(begins), max(axis.x(ends), axis.x(begins) + 3)
        canvas.box(left, top, right, top + 26, STATES[state])
        name = state.replace("_", " ")
        if width_of(name, SMALL) + 10 < right - left:
            canvas.words(((left + right) / 2, top + 18), name, SMALL, INK, "middle")
    # A probe that is answered at once is too short to be seen by its width alone.
    for begins, _ in (s for s in states if s[1] == "half_open"):
        canvas.line([(axis.x(begins), top - 5), (axis.x(begins), top + 31)], INK, 1.2)
    _below(canvas, axis, top + 62, scene)


def _below(canvas: Canvas, axis: Axis, y: float, scene: Scene) -> None:
    """What moved the breaker, where it did: each in the first line that has room."""
    told: list[tuple[float, str]] = []
    for move in scene.moves:
        match (move.before, move.after):
            case ("closed", "open"):
                told.append((move.at, f"{move.failures} failures"))
            case ("half_open", after):
                told.append((move.at, "a probe fails" if after == "open" else "a probe is answered"))
            case _:
                pass
    free = [float(LEFT), float(LEFT)]
    for moment, text in told:
        half, x = width_of(text, SMALL) / 2, axis.x(moment)
        line = next((i for i, end in enumerate(free) if x - half > end + 10), None)
        if line is None:
            continue
        free[line] = x + half
        canvas.line([(x, y - 36), (x, y + 20 * line - 13)], FAINT, 1)
        canvas.words((x, y + 20 * line), text, SMALL, INK, "middle")


def _seconds(canvas: Canvas, axis: Axis, top: float) -> None:
    """The scale of seconds, at the very bottom of the panels."""
    y = top + 76
    canvas.line([(LEFT, y - 16), (RIGHT, y - 16)], FAINT, 1)
    for second in range(int(axis.seconds) + 1):
        x = axis.x(second)
        anchor: Anchor = "middle"
        canvas.line([(x, y - 16), (x, y - 11)], FAINT, 1)
        canvas.words((x, y + 3), f"{second} s", SMALL, MUTED, anchor)


def _ending(canvas: Canvas, scene: Scene, y: float) -> None:
    done = sum(how == "completed" for how in scene.retried.values())
    twice = sum(n > 1 for n in scene.effects.values())
    said = (
        f"Afterwards: {len(scene.letters)} dead letters, retried; {done} completed. "
        f"Orders shipped twice: {twice or 'none'}."
    )
    canvas.words((LEFT, y + 14), said, TEXT, INK)
