"""A server whose definitions can be changed, and ways to it that are closed again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.notes import Notes


@pytest.fixture(scope="session")
def pins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests of the server's tools as they are at first: what a person pins."""
    notes = Notes(tmp_path_factory.mktemp("first"))
    try:
        review = asyncio.run(notes.mcp().review())
        return {each.tool.name: each.tool.digest for each in review.tools}
    finally:
        notes.close()


@pytest.fixture
def notes(tmp_path: Path, pins: dict[str, str]) -> Iterator[Notes]:
    """A server of a test's own."""
    found = Notes(tmp_path, pins)
    yield found
    found.close()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory, pins: dict[str, str]) -> Iterator[Notes]:
    """A server that the tests of a file share, with one way to it; each test leaves it as it was."""
    found = Notes(tmp_path_factory.mktemp("lasting"), pins)
    found.mcp()
    yield found
    found.close()
