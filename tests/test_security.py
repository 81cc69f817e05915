"""The map from threats to tests is true: every test that it names is there, and every case that it owes is on it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROWS = re.findall(
    r"^\| (\d+) \| (.+?) \| `(tests/[^`:]+)::(\w+)` \|$", (ROOT / "docs/security.md").read_text("utf-8"), re.M
)
OWED = {*range(1, 39), 40, 53, 54, 55, 57, 60}
"""The cases of gate, arguments, MCP and approvals, and those of storage and budgets that the gate holds."""


@pytest.mark.parametrize(("path", "name"), sorted({(path, name) for _, _, path, name in ROWS}))
def test_every_test_that_the_map_names_is_there(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    found = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in found


def test_every_case_is_on_the_map() -> None:
    assert {int(number) for number, *_ in ROWS} >= OWED


def test_every_line_of_a_table_is_read() -> None:
    text = (ROOT / "docs/security.md").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| threat", "| ---"))]
    assert len(lines) == len(ROWS)
