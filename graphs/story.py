"""A run's story as an object: printed in a terminal, shown as a table in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import orjson

from ..contracts.review import ReviewRequest
from ..ledger.transcript import Scene, Tone, plain

_COLOURS: dict[Tone, str] = {
    "run": "#57606a",
    "agent": "#0969da",
    "contract": "#8250df",
    "model": "#1b7c83",
    "tool": "#57606a",
    "review": "#bf8700",
    "good": "#1a7f37",
    "bad": "#cf222e",
    "quiet": "#8c959f",
}
_CUT = 400
_CODE = "white-space:pre-wrap;overflow-wrap:anywhere"
_CELL = "padding:2px 8px;vertical-align:top;text-align:left"


@dataclass(frozen=True, slots=True)
class Story:
    """The scenes of one run: plain text by `str()`, a table in a notebook, both without bookkeeping steps."""

    run: str
    scenes: Sequence[Scene]

    def _shown(self) -> list[Scene]:
        return [s for s in self.scenes if s.tone != "quiet"]

    def __str__(self) -> str:
        lines = [f"run {self.run}"]
        for scene in self._shown():
            indent = "  " * scene.depth
            lines.append(f"{scene.seconds * 1000:7.0f} ms  {indent}{plain(scene.title, cut=_CUT)}")
            lines += [f"{'':10}  {indent}  {label}: {plain(value, cut=_CUT)}" for label, value in scene.facts]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = []
        for scene in self._shown():
            facts = "".join(
                f'<div style="opacity:.85"><span style="opacity:.7">{escape(label)}</span> '
                f"<code style='{_CODE}'>{escape(plain(value, cut=_CUT))}</code></div>"
                for label, value in scene.facts
            )
            title = f'<b style="color:{_COLOURS[scene.tone]}">{escape(plain(scene.title, cut=_CUT))}</b>'
            rows.append(
                f'<tr><td style="{_CELL};text-align:right;opacity:.6;white-space:nowrap">{scene.seconds * 1000:.0f} ms'
                f'</td><td style="{_CELL};padding-left:{8 + 20 * scene.depth}px">{title}{facts}</td></tr>'
            )
        head = f"<div style='opacity:.7'>run <code>{escape(self.run)}</code></div>"
        return f"{head}<table style='border-collapse:collapse;font-size:90%'>{''.join(rows)}</table>"


def result_html(status: str, run: str, output: Any, reviews: Sequence[ReviewRequest]) -> str:
    """How a run stands, for a notebook."""
    colour = _COLOURS["good"] if status == "completed" else _COLOURS["review"]
    parts = [f"<b style='color:{colour}'>{escape(status)}</b> <span style='opacity:.6'>run {escape(run[:8])}</span>"]
    if output is not None:
        text = orjson.dumps(output, option=orjson.OPT_INDENT_2).decode()
        parts.append(f"<pre style='margin:4px 0;white-space:pre-wrap'>{escape(plain(text, cut=None))}</pre>")
    for review in reviews:
        asks = "".join(
            f"<li>{escape(plain(r.reason or r.id))} <span style='opacity:.6'>(asks {escape(r.approver)})</span></li>"
            for r in review.rules
        ) or "".join(f"<li>{escape(plain(fault))}</li>" for fault in review.faults)
        wanted = orjson.dumps(review.arguments, option=orjson.OPT_INDENT_2).decode()
        parts.append(
            f"<div style='border-left:3px solid {_COLOURS['review']};padding-left:10px;margin-top:6px'>"
            f"<b>{escape(review.agent)}</b> wants <b>{escape(review.tool or review.edge)}</b> "
            f"<span style='opacity:.6'>review {escape(review.id)}</span>"
            f"<pre style='margin:4px 0;white-space:pre-wrap'>{escape(plain(wanted, cut=None))}</pre>"
            f"<ul style='margin:0'>{asks}</ul></div>"
        )
    return "".join(parts)
