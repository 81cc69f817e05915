"""Services that connectors speak to."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import psycopg
import pytest

SERVER = "postgresql://postgres@127.0.0.1:5432"
EMPTY = """
DO $$ DECLARE name text; BEGIN
  FOR name IN SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema' LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', name);
  END LOOP;
  CREATE SCHEMA public;
  GRANT USAGE ON SCHEMA public TO PUBLIC;
END $$
"""


def execute(url: str, *statements: str) -> None:
    """Run statements on PostgreSQL, each by itself."""
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[str]:
    """A PostgreSQL database of this process's own. Skips where no server runs; in CI, that fails."""
    name = f"edgewright_{uuid.uuid4().hex}"
    try:
        execute(
            f"{SERVER}/postgres",
            f"CREATE DATABASE {name} TEMPLATE template0",
            # No test pulls the plug, so none waits for the disk.
            f"ALTER DATABASE {name} SET synchronous_commit = off",
        )
    except psycopg.OperationalError as error:
        if os.environ.get("CI"):
            pytest.fail(f"PostgreSQL must be running at 127.0.0.1:5432 in CI: {error}")
        pytest.skip("no PostgreSQL at 127.0.0.1:5432")
    try:
        yield f"{SERVER}/{name}"
    finally:
        execute(f"{SERVER}/postgres", f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_url(postgres_database: str) -> str:
    """The URL of an empty PostgreSQL database, for a superuser. Skips where no server runs; in CI, that fails."""
    execute(postgres_database, EMPTY)
    return postgres_database
