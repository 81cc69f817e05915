"""Databases that the ledger's twins are kept in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.postgres import database, execute


@pytest.fixture(scope="session")
def counts_database() -> Iterator[str]:
    """A PostgreSQL database of this process's own. Skips where no server runs; in CI, that fails."""
    with database() as url:
        yield url


@pytest.fixture
def counts_url(counts_database: str) -> str:
    """The URL of an empty PostgreSQL database."""
    execute(counts_database, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    return counts_database
