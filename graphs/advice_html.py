"""Advice as a notebook shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

_BLUE, _AMBER = "#2563eb", "#b45309"
_CELL = "padding:3px 14px 3px 0;text-align:left;vertical-align:top"
_DIM = "opacity:.65"


def advice_html(told: Mapping[str, Any]) -> str:
    """The facts of an advice, as `Advice.as_json` tells them, for a notebook."""
    now = told["meanwhile"] or told
    head = (
        f"<div style='border-left:4px solid {_BLUE if told['there'] else _AMBER};padding-left:12px'>"
        f"<div style='font-size:120%'><b>{escape(told['title'].capitalize())}</b>{_declared(told)}</div>"
        f"<div>{escape(told['what'])}</div>"
        f"<div style='margin-top:6px'><code>{escape(told['command'])}</code></div>"
        + (f"<div style='color:{_AMBER}'>{escape(told['then'])}</div>" if told["then"] else "")
        + "</div>"
    )
    return head + "".join(
        _table(title, rows)
        for title, rows in (
            ("Why", [(escape(r["answer"]), escape(r["why"])) for r in told["reasons"]]),
            ("How it fails, and what stands against that", _failures(told)),
            (f"How a {now['title']} fails", _failures(now) if now is not told else []),
            ("Considered, too", [(escape(c["title"]), escape("; ".join(c["why"]))) for c in told["considered"]]),
        )
        if rows
    )


def _declared(told: Mapping[str, Any]) -> str:
    words = f"<code>{escape(told['declared'])}</code>" if told["there"] else "not there yet"
    return f" <span style='{_DIM};font-size:80%'>{words}</span>"


def _failures(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(escape(f["mode"]), f"<code>{escape(f['guard'])}</code>") for f in told["failures"]]


def _table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td style='{_CELL}'>{left}</td><td style='{_CELL}'>{right}</td></tr>" for left, right in rows)
    return (
        f"<div style='margin:10px 0 2px'><b>{escape(title)}</b></div>"
        f"<table style='border-collapse:collapse;font-size:90%'>{cells}</table>"
    )
