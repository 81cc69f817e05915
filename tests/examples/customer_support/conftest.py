"""A freshly seeded help desk for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from edgewright.examples.customer_support.database import HelpDesk


@pytest.fixture
def desk(tmp_path: Path) -> HelpDesk:
    """A help desk on a database of its own."""
    return HelpDesk.create(tmp_path / "help_desk.db")
