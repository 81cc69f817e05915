"""A PostgreSQL database for tests."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

SERVER = "postgresql://postgres@127.0.0.1:5432"


def execute(url: str, *statements: str) -> None:
    """Run statements on PostgreSQL, each by itself."""
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@contextmanager
def database() -> Iterator[str]:
    """The URL of a new database, dropped afterwards. Skips where no server runs; in CI, that fails."""
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
