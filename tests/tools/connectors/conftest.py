"""Services that connectors speak to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.postgres import database, execute

EMPTY = """
DO $$ DECLARE name text; BEGIN
  FOR name IN SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema' LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', name);
  END LOOP;
  CREATE SCHEMA public;
  GRANT USAGE ON SCHEMA public TO PUBLIC;
END $$
"""


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[str]:
    """A PostgreSQL database of this process's own. Skips where no server runs; in CI, that fails."""
    with database() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_database: str) -> str:
    """The URL of an empty PostgreSQL database, for a superuser. Skips where no server runs; in CI, that fails."""
    execute(postgres_database, EMPTY)
    return postgres_database
