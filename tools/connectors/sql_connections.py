"""Connections to databases: one kind that cannot change anything, one that changes, with limits on both.

Each call has a connection of its own, so no setting outlives it. The reading one holds by itself, whatever it is given:
SQLite opens the file read only, with `query_only` and an authorizer that knows tables and functions; PostgreSQL gets a
read only transaction, in a cursor (which takes nothing but one query), and never as a superuser.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...contracts.errors import SqlRefused
from .sql_reading import EFFECTS, SYSTEM, Dialect, Rules, folded

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

TOO_LARGE = "edgewright: a row of bytes: "
_STEPS = 1000
_SQLITE_VALUE = 1024 * 1024
# Functions that SQLite calls for operators.
_OPERATORS = frozenset({"like", "glob", "match", "->", "->>"})


@dataclass(frozen=True, kw_only=True)
class Place:
    """A database, and the limits within which it is used."""

    url: URL = field(repr=False)
    rules: Rules
    max_rows: int
    max_bytes: int
    max_seconds: float

    @property
    def dialect(self) -> Dialect:
        """Which database it is."""
        return self.rules.dialect

    @property
    def schema(self) -> str:
        """The schema, as a statement names it."""
        return '"{}"'.format(self.rules.schema.replace('"', '""'))

    @property
    def effects(self) -> str:
        """The table that keeps the outcomes of statements that are done once."""
        return f"{self.schema}.{EFFECTS}"


@contextmanager
def connected(engine: Engine) -> Iterator[Connection]:
    """A connection for one call; what was not committed is rolled back. Raises SqlRefused if there is none."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        connection = engine.connect()
    except SQLAlchemyError:
        # What the driver says of it names hosts, users, files.
        fault = "the database cannot be reached, or does not let this connector in"
        raise SqlRefused(rule="connection", fault=fault) from None
    with connection:
        yield connection


@contextmanager
def reader(engine: Engine, place: Place, deadline: float) -> Iterator[Connection]:
    """A connection on which nothing can be changed, and no other table read than those that may be."""
    with connected(engine) as connection:
        if place.dialect == "sqlite":
            views = connection.exec_driver_sql("SELECT name FROM main.sqlite_master WHERE type = 'view'").scalars()
            judge = _authorizer(place.rules, frozenset(folded(v) for v in views))
            watch(connection, deadline)
            driver(connection).set_authorizer(judge)
        else:
            path = {"path": f"pg_catalog, {place.schema}"}
            is_superuser = "SELECT set_config('search_path', %(path)s, true), current_setting('is_superuser')"
            if connection.exec_driver_sql(is_superuser, path).one()[1] == "on":
                # A superuser may read and write files of the server, in a read only transaction too.
                connection.exec_driver_sql("SET LOCAL ROLE pg_read_all_data")
        yield connection


@contextmanager
def writer(engine: Engine, place: Place) -> Iterator[Connection]:
    """A connection in a transaction that changes the database when it is committed."""
    with connected(engine) as connection:
        if place.dialect == "sqlite":
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
            watch(connection, time.monotonic() + place.max_seconds)
            # Here and not at the first change: what waits for the file then waits before anything was done.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("SELECT set_config('search_path', %(path)s, true)", {"path": place.schema})
        yield connection


def engine_of(place: Place, *, reading: bool) -> Engine:
    """The engine behind `reader` or `writer`."""
    if place.dialect == "sqlite":
        return _sqlite(place, "ro" if reading else "rw")
    return _postgres(place, reading=reading)


def _sqlite(place: Place, mode: str) -> Engine:
    from sqlalchemy import NullPool, create_engine

    uri = f"{Path(str(place.url.database)).as_uri()}?mode={mode}"

    def connect() -> sqlite3.Connection:
        made = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=place.max_seconds)
        try:
            made.text_factory = lambda found: found.decode("utf-8", "replace")
            # A schema that somebody else wrote calls no function that could do harm.
            made.execute("PRAGMA trusted_schema = OFF")
            if mode == "ro":
                made.execute("PRAGMA query_only = ON")
                made.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(16 * place.max_bytes, _SQLITE_VALUE))
                made.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 200)
                made.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        except BaseException:
            made.close()
            raise
        return made

    return create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)


def _postgres(place: Place, *, reading: bool) -> Engine:
    from sqlalchemy import NullPool, create_engine

    within = max(1, int(place.max_seconds * 1000))
    settings = {
        "standard_conforming_strings": "on",
        "statement_timeout": within,
        "lock_timeout": within,
        "idle_in_transaction_session_timeout": 10 * within,
        "default_transaction_read_only": "on" if reading else "off",
    }
    given = place.url.query.get("options", "")
    options = " ".join([*([given] if isinstance(given, str) else given), *(f"-c {k}={v}" for k, v in settings.items())])
    return create_engine(
        place.url.difference_update_query(["options"]),
        connect_args={"options": options, "connect_timeout": max(2, math.ceil(place.max_seconds))},
        poolclass=NullPool,
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        execution_options={"postgresql_readonly": reading},
    )


def driver(connection: Connection) -> sqlite3.Connection:
    """The connection to SQLite itself."""
    found = connection.connection.driver_connection
    assert isinstance(found, sqlite3.Connection)
    return found


def watch(connection: Connection, deadline: float) -> None:
    """Stop whatever runs on a SQLite connection when its time is over."""
    driver(connection).set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)


def _authorizer(rules: Rules, views: frozenset[str]) -> Any:
    """What SQLite asks about everything that a statement would do."""
    functions = rules.known_functions | _OPERATORS
    refuse, take = sqlite3.SQLITE_DENY, sqlite3.SQLITE_OK

    def is_readable(schema: str | None, name: str | None) -> bool:
        table = folded(name or "")
        whole = f"{folded(schema or 'main')}.{table}"
        if rules.tables is not None:
            return whole in rules.tables
        return whole.startswith("main.") and not table.startswith(SYSTEM["sqlite"])

    def judge(action: int, first: str | None, second: str | None, schema: str | None, view: str | None) -> int:
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return take
        if action == sqlite3.SQLITE_READ:
            # What a view reads, it reads for those who may read the view. `view` can be the name of anything else too.
            through = rules.tables is not None and folded(view or "") in views and is_readable(schema, view)
            return take if through or is_readable(schema, first) else refuse
        if action == sqlite3.SQLITE_FUNCTION:
            return take if second in functions else refuse
        return refuse

    return judge


def guarded(sql: str, place: Place) -> str:
    """The query such that the server itself refuses to send a row that is too large: the driver would take it whole."""
    if place.dialect == "sqlite":  # the connection has such a limit
        return sql
    # As the row lies in memory: its text would cost more than the row itself.
    size = "pg_column_size(edgewright_rows.*)"
    # Text that is no boolean is an error, raised for that row only; a constant one would be raised at once.
    raised = f"CAST('{TOO_LARGE}' || {size} AS boolean)"
    # The order of rows stays: a query with an ORDER BY is not merged into the one around it.
    return (
        f"SELECT * FROM ({sql}) AS edgewright_rows "  # noqa: S608
        f"WHERE CASE WHEN {size} > {2 * place.max_bytes} THEN {raised} ELSE TRUE END"
    )
