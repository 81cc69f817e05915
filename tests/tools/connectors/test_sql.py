"""SQL on real databases: what a query shows, that its connection changes nothing, and what a declared change does."""

from __future__ import annotations

import pickle
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import psycopg
import pytest
from edgewright.contracts.errors import (
    CallDenied,
    EffectConflict,
    SqlFailed,
    SqlRefused,
    ToolFailed,
    ToolInvalid,
    ToolRefusal,
)
from edgewright.ledger.records import CallJudged, EffectDone, EffectFailed, EffectIntended, EffectRefused
from edgewright.tools.connectors.sql import Rows, Sql, Statement
from edgewright.tools.connectors.sql_connections import driver, engine_of
from edgewright.tools.sealed import SealedTool
from pydantic import Field, SecretStr
from sqlalchemy.exc import InternalError, OperationalError
from support.postgres import SERVER, execute
from support.systems import PERMIT_ALL, inside

SCHEMA = (
    "CREATE TABLE people (id INTEGER PRIMARY KEY, secret TEXT NOT NULL)",
    "CREATE TABLE tickets (id INTEGER PRIMARY KEY, status TEXT NOT NULL CHECK (status <> 'bad'), note TEXT, "
    "person INTEGER REFERENCES people (id) DEFERRABLE INITIALLY DEFERRED)",
    "CREATE VIEW open_tickets AS SELECT tickets.id, people.secret FROM tickets JOIN people ON people.id = person",
    "INSERT INTO people VALUES (1, 'hidden one'), (2, 'hidden two')",
    *(
        f"INSERT INTO tickets VALUES ({i}, '{'open' if i % 2 else 'closed'}', 'note {i}', {i % 2 + 1})"
        for i in range(1, 11)
    ),
)
CANARY = "canary-77aa3c"


@dataclass(frozen=True, kw_only=True)
class Base:
    """A database with tickets, and its owner's way to it."""

    dialect: Literal["sqlite", "postgres"]
    url: str

    def execute(self, *statements: str) -> None:
        """As its owner."""
        if self.dialect == "postgres":
            execute(self.url, *statements)
            return
        with closing(self.file()) as connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self, statement: str, values: Mapping[str, Any] | None = None) -> list[list[Any]]:
        """What a statement finds, asked as it stands."""
        if self.dialect == "postgres":
            with psycopg.connect(self.url) as postgres:
                query = statement.encode()
                return [list(r) for r in postgres.execute(query, values)]
        with closing(self.file()) as connection:
            return [list(r) for r in connection.execute(statement, values or {})]

    def file(self) -> sqlite3.Connection:
        """The SQLite file."""
        return sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None)

    def content(self) -> list[Any]:
        """All that it holds, and how it is built."""
        built = "SELECT name, sql FROM sqlite_master ORDER BY name"
        if self.dialect == "postgres":
            built = "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY relname"
        return [self.rows(f"SELECT * FROM {t} ORDER BY 1") for t in ("tickets", "people")] + [self.rows(built)]

    def sql(self, **options: Any) -> Sql:
        """A connector to it."""
        return Sql(url=self.url, **options)


@pytest.fixture(params=["sqlite", "postgres"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Base:
    if request.param == "postgres":
        made = Base(dialect="postgres", url=request.getfixturevalue("postgres_url"))
    else:
        made = Base(dialect="sqlite", url=f"sqlite:///{tmp_path / 'tickets ä #.db'}")
    made.execute(*SCHEMA)
    return made


@pytest.fixture
def sqlite_base(tmp_path: Path) -> Base:
    made = Base(dialect="sqlite", url=f"sqlite:///{tmp_path / 'tickets.db'}")
    made.execute(*SCHEMA)
    return made


@pytest.fixture
def postgres_base(postgres_url: str) -> Base:
    made = Base(dialect="postgres", url=postgres_url)
    made.execute(*SCHEMA)
    return made


def read(sql: Sql, statement: str, **parameters: Any) -> Rows:
    """What the function behind the query tool does."""
    return sql._read(statement, parameters)


def refusal(work: Callable[[], Any]) -> SqlRefused:
    """The refusal that some work ends in."""
    with pytest.raises(SqlRefused) as caught:
        work()
    return caught.value


def named(sql: Sql, name: str) -> SealedTool:
    """The tool of that name."""
    return {t.name: t for t in sql.tools()}[name]


# -- what a query shows ----------------------------------------------------------------------------------------------


def test_a_query_shows_columns_and_rows_in_the_order_that_was_asked_for(base: Base) -> None:
    found = read(base.sql(), "SELECT id, status AS state FROM tickets WHERE id > :id ORDER BY id DESC", id=7)
    assert found == {"columns": ["id", "state"], "rows": [[10, "closed"], [9, "open"], [8, "closed"]], "cut": ""}


def test_a_large_result_stays_in_order(base: Base) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT i FROM n"
    found = read(base.sql(max_rows=5000), f"{numbers} ORDER BY (i * 7919) % 3001")
    assert [r[0] for r in found["rows"]] == sorted(range(1, 3001), key=lambda i: i * 7919 % 3001)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM tickets ORDER BY id",
        "SELECT status, count(*), min(id), max(note) FROM tickets GROUP BY status HAVING count(*) > 1 ORDER BY status",
        "SELECT id FROM tickets WHERE status = 'open' UNION SELECT id FROM people ORDER BY 1",
        "WITH a AS (SELECT id FROM tickets), people AS (SELECT id FROM a) SELECT id FROM people ORDER BY 1",
        "SELECT t.id, p.secret FROM tickets AS t JOIN people AS p ON p.id = t.person WHERE p.id = 1 ORDER BY t.id",
        "SELECT id, row_number() OVER (PARTITION BY status ORDER BY id DESC) FROM tickets ORDER BY id",
        "SELECT CASE WHEN id > 5 THEN 'late' ELSE 'early' END AS x, id % 3, -id, id * 2.5 FROM tickets ORDER BY id",
        "SELECT id FROM tickets WHERE note LIKE '%1%' OR note LIKE '%\\%' ORDER BY id",
        "SELECT 'it''s', ':id', '100%', '%(x)s', '--', '/* */', ';' FROM people",
        "SELECT coalesce(NULL, note), upper(note), length(note), replace(note, 'note', '%') FROM tickets ORDER BY id",
        "SELECT id FROM tickets AS t WHERE EXISTS (SELECT 1 FROM people AS p WHERE p.id = t.person) ORDER BY 1",
        "SELECT id, id, note AS edgewright_rows FROM tickets ORDER BY id LIMIT 3 OFFSET 1",
        "VALUES (1, 'a'), (2, NULL)",
        "SELECT CAST('12' AS INTEGER), CAST(1 AS TEXT)",
        "SELECT sum(id) FILTER (WHERE status = 'open') FROM tickets",
        "SELECT * FROM open_tickets ORDER BY id",
    ],
)
def test_what_is_written_anew_finds_what_was_asked(base: Base, statement: str) -> None:
    assert read(base.sql(), statement)["rows"] == [
        [str(v) if type(v).__name__ == "Decimal" else v for v in row] for row in base.rows(statement)
    ]


def test_parameters_are_values_and_never_words(base: Base) -> None:
    evil = "x'; DROP TABLE tickets; --"
    found = read(base.sql(), "SELECT :a AS a, :b AS b FROM people WHERE id = :id", a=evil, b="%s :id ?", id=1)
    assert found["rows"] == [[evil, "%s :id ?"]]
    assert read(base.sql(), "SELECT id FROM tickets WHERE note = :note", note="' OR 1 = 1 --")["rows"] == []


@pytest.mark.parametrize("given", [{}, {"id": 1, "more": 2}, {"ID": 1}])
def test_parameters_are_those_of_the_statement(base: Base, given: dict[str, Any]) -> None:
    refused = refusal(lambda: read(base.sql(), "SELECT * FROM tickets WHERE id = :id", **given))
    assert refused.rule == "parameter"
    assert "are id; give exactly those" in str(refused)


@pytest.mark.parametrize("value", [True, None, 1.5, -1, 2**62, "ä€😀", ""])
def test_values_come_back_as_they_were_given(base: Base, value: Any) -> None:
    cast = {bool: "BOOLEAN", float: "DOUBLE PRECISION", int: "BIGINT"}.get(type(value), "TEXT")
    [[found]] = read(base.sql(), f"SELECT CAST(:v AS {cast})", v=value)["rows"]
    assert found == value


def test_a_value_that_no_database_holds_is_refused(base: Base) -> None:
    assert refusal(lambda: read(base.sql(), "SELECT CAST(:v AS BIGINT)", v=2**64)).rule == "database"
    lone = refusal(lambda: read(base.sql(), "SELECT CAST(:v AS TEXT)", v="\ud800"))
    assert lone.rule == "database"


def test_values_that_json_has_not_are_told_in_words(postgres_base: Base) -> None:
    statement = (
        "SELECT CAST('2026-01-31' AS DATE), CAST('2026-01-31 10:00:00' AS TIMESTAMP), CAST(1.10 AS NUMERIC(5, 2)), "
        "CAST('{1,2}' AS INT[]), CAST('{\"a\": [1.5]}' AS JSONB), CAST('NaN' AS DOUBLE PRECISION), "
        "CAST('00000000-0000-0000-0000-000000000001' AS UUID), INTERVAL '1 day'"
    )
    [row] = read(postgres_base.sql(), statement)["rows"]
    assert row == [
        *("2026-01-31", "2026-01-31T10:00:00", "1.10", [1, 2], {"a": [1.5]}, "nan"),
        *("00000000-0000-0000-0000-000000000001", "1 day, 0:00:00"),
    ]


def test_binary_values_and_texts_that_are_none_are_told_of(sqlite_base: Base) -> None:
    sqlite_base.execute("CREATE TABLE odd (a, b)", "INSERT INTO odd VALUES (x'00ff00', CAST(x'41ff42' AS TEXT))")
    assert read(sqlite_base.sql(), "SELECT a, b FROM odd")["rows"] == [["(binary, 3 bytes)", "A\ufffdB"]]


def test_what_the_database_says_is_told_without_a_stack_and_short(base: Base) -> None:
    refused = refusal(lambda: read(base.sql(), "SELECT nothing FROM tickets"))
    assert refused.rule == "database"
    assert "nothing" in str(refused)
    assert "\n" not in str(refused)
    assert refused.__cause__ is None
    assert len(str(refusal(lambda: read(base.sql(), f"SELECT {'n' * 500} FROM tickets")))) < 300


# -- limits ----------------------------------------------------------------------------------------------------------

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"


def test_of_more_rows_than_are_shown_the_first_are_and_it_is_said(base: Base) -> None:
    found = read(base.sql(max_rows=3), f"{ENDLESS} SELECT i FROM n")
    assert (found["rows"], found["cut"]) == ([[1], [2], [3]], "the first 3 rows are shown; there are more")
    assert read(base.sql(max_rows=10), "SELECT id FROM tickets")["cut"] == ""


def test_of_more_bytes_than_are_shown_whole_rows_are_and_it_is_said(base: Base) -> None:
    found = read(base.sql(max_bytes=100), "SELECT note FROM tickets ORDER BY id")
    assert 0 < len(found["rows"]) < 10
    assert "over 100 bytes" in found["cut"]
    assert found["rows"][0] == ["note 1"]


# 20 MB in the end.
DOUBLED = "WITH RECURSIVE n(i, k) AS (SELECT CAST('0123456789' AS TEXT), 1 UNION ALL SELECT i || i, k + 1 FROM n)"


def test_a_single_row_beyond_the_limit_is_refused_before_it_is_sent(base: Base) -> None:
    import tracemalloc

    tracemalloc.start()
    try:
        refused = refusal(lambda: read(base.sql(), f"{DOUBLED} SELECT i FROM n WHERE k = 22 LIMIT 1"))
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert refused.rule == "limit"
    assert "a part of a text with substr()" in str(refused)
    base.execute(f"INSERT INTO people VALUES (3, '{'x' * 100_000}')")
    assert "a single row has" in str(refusal(lambda: read(base.sql(), "SELECT secret FROM people WHERE id = 3")))
    assert read(base.sql(), "SELECT substr(secret, 1, 3) FROM people WHERE id = 3")["rows"] == [["xxx"]]


def test_more_columns_than_a_hundred_are_refused(base: Base) -> None:
    assert len(read(base.sql(), f"SELECT {', '.join(['1'] * 100)}")["columns"]) == 100
    assert refusal(lambda: read(base.sql(), f"SELECT {', '.join(['1'] * 101)}")).rule == "limit"


def test_what_takes_too_long_is_stopped(base: Base) -> None:
    began = time.monotonic()
    refused = refusal(lambda: read(base.sql(max_seconds=0.3), f"{ENDLESS} SELECT sum(i) FROM n"))
    assert time.monotonic() - began < 10
    assert (refused.rule, refused.fault) == ("limit", "it took longer than 0.3 s, and was stopped")


def test_of_what_takes_too_long_that_is_shown_which_was_there_in_time(base: Base) -> None:
    slow = (
        f"SELECT t.id FROM tickets AS t WHERE t.id < 3 OR EXISTS ({ENDLESS} SELECT 1 FROM n WHERE i < 0 AND t.id > 0)"
    )
    found = read(base.sql(max_seconds=0.5), f"{slow} ORDER BY t.id")
    assert found["rows"] in ([[1]], [[1], [2]])
    assert "the time limit of 0.5 s was met" in found["cut"]


def test_a_lock_that_somebody_holds_is_waited_for_no_longer_than_the_limit(postgres_base: Base) -> None:
    with psycopg.connect(postgres_base.url) as holding:
        holding.execute("LOCK TABLE tickets IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        assert refusal(lambda: read(postgres_base.sql(max_seconds=0.3), "SELECT * FROM tickets")).rule in (
            "limit",
            "database",
        )
        assert time.monotonic() - began < 10


# -- what may be read ------------------------------------------------------------------------------------------------


def test_only_tables_that_are_listed_can_be_read(base: Base) -> None:
    sql = base.sql(tables=("tickets",))
    assert len(read(sql, "SELECT * FROM tickets")["rows"]) == 10
    for statement in ("SELECT * FROM people", "SELECT * FROM open_tickets", "SELECT (SELECT max(secret) FROM people)"):
        assert refusal(partial(read, sql, statement)).rule == "table"


def test_a_view_that_is_listed_shows_what_it_reads_and_its_tables_stay_closed(base: Base) -> None:
    sql = base.sql(tables=("open_tickets",))
    assert read(sql, "SELECT secret FROM open_tickets WHERE id = 1")["rows"] == [["hidden two"]]
    assert refusal(lambda: read(sql, "SELECT secret FROM people")).rule == "table"


def test_a_system_catalog_is_read_where_it_is_listed(base: Base) -> None:
    name = "sqlite_master" if base.dialect == "sqlite" else "information_schema.tables"
    column = "name" if base.dialect == "sqlite" else "table_name"
    assert refusal(lambda: read(base.sql(), f"SELECT * FROM {name}")).rule == "table"
    found = read(base.sql(tables=(name,)), f"SELECT {column} FROM {name} WHERE {column} = 'tickets'")
    assert found["rows"] == [["tickets"]]


def test_another_schema_is_read_where_it_is_the_connectors(postgres_base: Base) -> None:
    postgres_base.execute('CREATE SCHEMA "Other"', 'CREATE TABLE "Other".tickets AS SELECT 99 AS id')
    assert read(postgres_base.sql(schema="Other"), "SELECT id FROM tickets")["rows"] == [[99]]
    assert refusal(lambda: read(postgres_base.sql(), 'SELECT id FROM "Other".tickets')).rule == "table"
    both = postgres_base.sql(tables=("tickets", "Other.tickets"))
    assert read(both, 'SELECT count(*) FROM tickets, "Other".tickets AS o')["rows"] == [[10]]


def test_a_function_of_the_schema_stands_in_for_none_of_the_database(postgres_base: Base) -> None:
    postgres_base.execute("CREATE FUNCTION lower(text) RETURNS text LANGUAGE sql AS $$ SELECT 'taken over' $$")
    assert read(postgres_base.sql(), "SELECT lower('ABC')")["rows"] == [["abc"]]


def test_a_regular_expression_that_nothing_could_stop_is_refused(sqlite_base: Base) -> None:
    assert refusal(lambda: read(sqlite_base.sql(), "SELECT note REGEXP '(n+)+$' FROM tickets")).rule == "function"
    inner = refusal(lambda: sqlite_base.sql()._database.rows("SELECT note REGEXP '(n+)+$' FROM tickets", {}))
    assert "not authorized" in str(inner)


# -- the connection by itself ----------------------------------------------------------------------------------------

CHANGES = [
    "INSERT INTO tickets (id, status) VALUES (99, 'x')",
    "INSERT INTO tickets (id, status) VALUES (99, 'x') RETURNING id",
    "UPDATE tickets SET status = 'x'",
    "DELETE FROM tickets",
    "DELETE FROM tickets RETURNING id",
    "WITH d AS (DELETE FROM tickets RETURNING id) SELECT id FROM d",
    "CREATE TABLE made (a int)",
    "CREATE TEMP TABLE made (a int)",
    "DROP TABLE tickets",
    "ALTER TABLE tickets ADD COLUMN made int",
    "SELECT 1; DELETE FROM tickets",
    "SELECT 1; COMMIT; DELETE FROM tickets; COMMIT",
    "SELECT 1) AS edgewright_rows; DELETE FROM tickets; --",
    "COMMIT",
    "COMMIT; DELETE FROM tickets",
    "ROLLBACK; BEGIN READ WRITE; DELETE FROM tickets; COMMIT",
    "BEGIN IMMEDIATE",
    "VACUUM",
    "REINDEX",
]
CHANGES_OF = {
    "sqlite": [
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = ON",
        "PRAGMA journal_mode = WAL",
        "PRAGMA user_version = 5",
        "ATTACH DATABASE '{tmp}/made.db' AS made",
        "VACUUM INTO '{tmp}/made.db'",
        "SELECT load_extension('{tmp}/made')",
        "REPLACE INTO tickets (id, status) VALUES (1, 'x')",
        "SELECT * FROM pragma_journal_mode('wal')",
        "EXPLAIN DELETE FROM tickets",
    ],
    "postgres": [
        "TRUNCATE tickets",
        "SELECT * INTO made FROM tickets",
        "SELECT nextval('numbers')",
        "SELECT setval('numbers', 50)",
        "SELECT * FROM tickets FOR UPDATE",
        "SELECT changing()",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "SELECT set_config('transaction_read_only', 'off', true), changing()",
        "SET TRANSACTION READ WRITE",
        "COPY tickets TO PROGRAM 'cat > {tmp}/made'",
        "COPY tickets TO '{tmp}/made'",
        "DO $$ BEGIN DELETE FROM tickets; END $$",
        "EXPLAIN ANALYZE DELETE FROM tickets",
        "SELECT lo_export(1, '{tmp}/made')",
        "SELECT pg_read_file('/etc/hostname')",
        "SELECT pg_ls_dir('/')",
        "SELECT pg_read_file('/etc/hostname') FROM (SELECT set_config('role', 'postgres', true)) AS x",
        "CREATE ROLE made",
        "GRANT ALL ON tickets TO PUBLIC",
    ],
}


def test_the_connection_changes_nothing_whatever_it_is_given(base: Base, tmp_path: Path) -> None:
    if base.dialect == "postgres":
        base.execute(
            "CREATE SEQUENCE numbers",
            "CREATE FUNCTION changing() RETURNS int LANGUAGE sql AS $$ DELETE FROM tickets; SELECT 1 $$",
        )
    before, files = base.content(), sorted(tmp_path.iterdir())
    database = base.sql()._database
    for statement in [*CHANGES, *CHANGES_OF[base.dialect]]:
        with pytest.raises(SqlRefused):
            database.rows(statement.replace("{tmp}", str(tmp_path)), {})
        assert base.content() == before, statement
    assert sorted(tmp_path.iterdir()) == files
    if base.dialect == "postgres":
        assert base.rows("SELECT nextval('numbers')") == [[1]]
        # Before version 16 a read only transaction takes this; it ends as all of them do.
        with suppress(SqlRefused):
            database.rows("SELECT lo_from_bytea(0, 'x')", {})
        assert base.rows("SELECT count(*) FROM pg_largeobject_metadata") == [[0]]


def test_each_thing_that_keeps_the_connection_from_changing_is_there(base: Base) -> None:
    place = base.sql(max_seconds=7)._database._place
    engine = engine_of(place, reading=True)
    with engine.connect() as connection:
        if base.dialect == "sqlite":
            assert connection.exec_driver_sql("PRAGMA query_only").scalar_one() == 1
            assert connection.exec_driver_sql("PRAGMA trusted_schema").scalar_one() == 0
            driver(connection).execute("PRAGMA query_only = OFF")
            with pytest.raises(OperationalError, match="readonly database"):  # the file itself is open for reading
                connection.exec_driver_sql("DELETE FROM tickets")
        else:
            for name, value in (
                ("transaction_read_only", "on"),
                ("default_transaction_read_only", "on"),
                ("standard_conforming_strings", "on"),
                ("statement_timeout", "7s"),
                ("lock_timeout", "7s"),
            ):
                assert connection.exec_driver_sql(f"SHOW {name}").scalar_one() == value
            connection.rollback()
            # Where nothing asked for a read only transaction, all of them are.
            plain = connection.execution_options(postgresql_readonly=False, isolation_level="AUTOCOMMIT")
            with pytest.raises(InternalError, match="read-only transaction"):
                plain.exec_driver_sql("DELETE FROM tickets")
    assert len(base.rows("SELECT * FROM tickets")) == 10


def test_options_in_the_url_do_not_take_the_place_of_the_connectors_own(postgres_base: Base) -> None:
    given = "options=-c%20default_transaction_read_only%3Doff%20-c%20work_mem%3D5MB"
    place = Sql(url=f"{postgres_base.url}?{given}")._database._place
    with engine_of(place, reading=True).connect() as connection:
        assert connection.exec_driver_sql("SHOW default_transaction_read_only").scalar_one() == "on"
        assert connection.exec_driver_sql("SHOW work_mem").scalar_one() == "5MB"


def test_the_connection_to_sqlite_reads_no_table_that_is_not_listed(sqlite_base: Base) -> None:
    database = sqlite_base.sql(tables=("tickets",))._database
    assert len(database.rows("SELECT * FROM tickets", {})["rows"]) == 10
    for statement in (
        "SELECT * FROM people",
        "SELECT 1 FROM tickets WHERE id IN people",
        "SELECT count(*) FROM people",
        "SELECT * FROM open_tickets",
        "WITH tickets AS (SELECT * FROM people) SELECT * FROM tickets",
        "WITH open_tickets AS (SELECT * FROM people) SELECT * FROM open_tickets",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM pragma_table_info('people')",
        "SELECT hex(zeroblob(9))",
    ):
        refused = refusal(partial(database.rows, statement, {}))
        assert "prohibited" in str(refused) or "not authorized" in str(refused), statement


def test_a_superuser_of_postgres_reads_as_one_who_may_only_read(postgres_base: Base) -> None:
    database = postgres_base.sql()._database
    assert database.rows("SELECT current_user", {})["rows"] == [["pg_read_all_data"]]


def test_what_a_user_of_postgres_may_not_read_stays_closed(postgres_base: Base) -> None:
    name = postgres_base.url.rpartition("/")[2]
    plain = f"reader_{name}"
    postgres_base.execute(f"CREATE ROLE {plain} LOGIN", f"GRANT SELECT ON tickets TO {plain}")
    try:
        sql = Sql(url=f"postgresql://{plain}@127.0.0.1:5432/{name}")
        assert len(read(sql, "SELECT * FROM tickets")["rows"]) == 10
        assert "permission denied" in str(refusal(lambda: read(sql, "SELECT * FROM people")))
    finally:
        postgres_base.execute(f"DROP OWNED BY {plain}", f"DROP ROLE {plain}")


def test_a_query_opens_a_database_that_is_there_and_makes_none(tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"
    sql = Sql(url=f"sqlite:///{missing}", statements={"add": ADD})
    assert refusal(lambda: read(sql, "SELECT 1")).rule == "connection"
    assert refusal(lambda: change(sql, "add", id=1)).rule == "connection"
    assert not missing.exists()
    missing.write_text("no database at all, but long enough to be looked at by whoever opens it" * 20)
    assert refusal(lambda: read(sql, "SELECT 1")).rule == "database"


def test_a_file_that_others_write_meanwhile_is_read(sqlite_base: Base) -> None:
    sqlite_base.execute("PRAGMA journal_mode = WAL")
    sql = sqlite_base.sql()
    assert len(read(sql, "SELECT id FROM tickets")["rows"]) == 10
    with closing(sqlite_base.file()) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM tickets")
        assert len(read(sql, "SELECT id FROM tickets")["rows"]) == 10
        other.execute("COMMIT")
        assert read(sql, "SELECT id FROM tickets")["rows"] == []


def test_connections_are_closed_after_each_call(postgres_base: Base) -> None:
    for _ in range(3):
        read(postgres_base.sql(), "SELECT 1")
        refusal(lambda: read(postgres_base.sql(), "SELECT nothing"))
    name = postgres_base.url.rpartition("/")[2]
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = %(name)s AND pid <> pg_backend_pid()"
    deadline = time.monotonic() + 10
    while postgres_base.rows(others, {"name": name}) != [[0]]:  # the server takes a moment to notice
        assert time.monotonic() < deadline


# -- secrets ---------------------------------------------------------------------------------------------------------


def holds_canary(*things: object) -> bool:
    return any(CANARY in text for thing in things for text in (str(thing), repr(thing)))


@pytest.mark.parametrize("address", ["127.0.0.1:1/test", "127.0.0.1:5432/no_such_database_at_all", "[::1]:1/test"])
def test_the_password_is_in_no_error_and_in_no_picture_of_the_connector(address: str) -> None:
    sql = Sql(url=f"postgresql://{CANARY}u:{CANARY}p@{address}", max_seconds=2, statements={"add": ADD})
    errors = [
        refusal(lambda: read(sql, "SELECT 1")),
        refusal(sql.prepare),
        refusal(lambda: change(sql, "add", id=1)),
    ]
    assert errors[0].rule == "connection"
    for error in errors:
        assert not holds_canary(error, error.__cause__, error.facts, pickle.loads(pickle.dumps(error)))
        assert error.__suppress_context__
    assert not holds_canary(sql, vars(sql)["url"], sql._database._place, sql.tools())
    assert f"{CANARY}p" not in repr(sql._database._reading)
    assert not any(holds_canary(t.spec, t.description, t.args) for t in sql.tools())


@pytest.mark.parametrize("url", [f"nonsense {CANARY}", f"mysql://u:{CANARY}@h/d", f"postgresql://u:{CANARY}@h"])
def test_a_url_that_cannot_be_used_is_not_shown(url: str) -> None:
    with pytest.raises(ToolInvalid) as caught:
        Sql(url=url)
    assert not holds_canary(caught.value, caught.value.__cause__)


def test_what_a_database_says_of_the_password_is_cut_out(postgres_base: Base) -> None:
    sql = Sql(url=postgres_base.url.replace("postgres@", f"postgres:{CANARY}@"))
    refused = refusal(lambda: read(sql, "SELECT CAST(:v AS INTEGER)", v=CANARY))
    assert not holds_canary(refused)
    assert "…" in str(refused)


def test_a_url_may_be_given_as_a_secret(sqlite_base: Base) -> None:
    assert read(Sql(url=SecretStr(sqlite_base.url)), "SELECT 1")["rows"] == [[1]]


# -- declared statements ---------------------------------------------------------------------------------------------

ADD = Statement(sql="INSERT INTO tickets (id, status) VALUES (:id, 'new')", effect="write", parameters={"id": int})
CLOSE = Statement(
    sql="UPDATE tickets SET status = 'closed', note = :note WHERE id = :id",
    description="Close a ticket.",
    effect="write",
    parameters={"id": Annotated[int, Field(ge=1)], "note": Annotated[str, Field(max_length=20)] | None},
    roles={"id": "ref", "note": "content"},
)
ALL = Statement(sql="UPDATE tickets SET note = :note", effect="write", parameters={"note": str}, most=9)


def change(sql: Sql, name: str, key: str = "run/1", **given: Any) -> Any:
    """What the function behind a statement's tool does."""
    from edgewright.tools.connectors.sql_running import Job
    from sqlalchemy import text

    statement = sql.statements[name]
    job = Job(
        tool=f"{sql.name}_{name}",
        clause=text(statement.sql),
        most=statement.most,
        once=statement.once,
        repeats=statement.once or statement.idempotency != "none",
    )
    return sql._database.change(job, given, key)


def test_a_statement_is_a_tool_of_its_own_with_typed_parameters(base: Base) -> None:
    sql = base.sql(name="desk", statements={"close": CLOSE})
    spec = named(sql, "desk_close").spec
    assert (spec.effect, spec.idempotency, spec.output, spec.sensitivity) == ("write", "none", "untrusted", "secret")
    assert spec.parameters["properties"]["id"] == {"minimum": 1, "title": "Id", "type": "integer"}
    assert spec.parameters["required"] == ["id", "note"]
    assert spec.parameters["additionalProperties"] is False
    assert spec.roles == {"id": "ref", "note": "content"}
    assert "Close a ticket." in spec.description
    assert CLOSE.sql in spec.description
    assert [t.name for t in sql.tools()] == ["desk_query", "desk_close"]
    other = base.sql(name="desk", statements={"close": replace(CLOSE, sql=CLOSE.sql + " AND person = 1")})
    assert named(other, "desk_close").spec.digest != spec.digest


async def test_a_statement_runs_through_the_gate(base: Base) -> None:
    close = named(base.sql(statements={"close": CLOSE}), "sql_close")
    ran = await inside(lambda: close.call({"id": 3, "note": "it's; done"}), close)
    assert ran.value == {"changed": 1, "columns": [], "rows": []}
    assert base.rows("SELECT status, note FROM tickets WHERE id = 3") == [["closed", "it's; done"]]
    assert [len(ran.of(k)) for k in (EffectIntended, EffectDone)] == [1, 1]


@pytest.mark.parametrize(
    "given", [{"id": "3", "note": ""}, {"id": 0, "note": ""}, {"id": 3}, {"id": 3, "note": "x" * 21}]
)
async def test_a_statement_takes_no_value_of_another_type(sqlite_base: Base, given: dict[str, Any]) -> None:
    close = named(sqlite_base.sql(statements={"close": CLOSE}), "sql_close")
    before = sqlite_base.content()
    ran = await inside(lambda: close.call(given), close)
    assert isinstance(ran.error, CallDenied)
    assert sqlite_base.content() == before


async def test_a_statement_that_would_change_more_rows_than_declared_changes_none(base: Base) -> None:
    before = base.content()
    every = named(base.sql(statements={"all": ALL}), "sql_all")
    ran = await inside(lambda: every.call({"note": "x"}), every)
    assert isinstance(ran.error, ToolRefusal)
    assert [r.reason for r in ran.of(EffectRefused)] == [
        "it would change 10 rows, at most 9 may be; nothing was changed [limit]"
    ]
    assert base.content() == before
    enough = base.sql(statements={"all": replace(ALL, most=10)})
    assert change(enough, "all", note="x")["changed"] == 10


def test_rows_that_are_returned_are_counted_and_shown(base: Base) -> None:
    returning = replace(ALL, sql=ALL.sql + " RETURNING id, note")
    before = base.content()
    assert refusal(lambda: change(base.sql(statements={"all": returning}), "all", note="x")).rule == "limit"
    assert base.content() == before
    found = change(base.sql(statements={"all": replace(returning, most=None)}), "all", note="x")
    assert (found["changed"], found["columns"], len(found["rows"])) == (10, ["id", "note"], 10)


def test_a_statement_that_changes_nothing_says_so(base: Base) -> None:
    assert change(base.sql(statements={"close": CLOSE}), "close", id=99, note=None)["changed"] == 0


@pytest.mark.parametrize(
    ("sql", "given"),
    [
        (ADD.sql, {"id": 1}),
        ("UPDATE tickets SET status = 'bad' WHERE id = :id", {"id": 1}),
        # Checked when the transaction ends.
        ("UPDATE tickets SET person = 77 WHERE id = :id", {"id": 1}),
    ],
)
def test_what_a_constraint_forbids_is_refused_and_changes_nothing(base: Base, sql: str, given: dict[str, Any]) -> None:
    before = base.content()
    made = base.sql(statements={"x": Statement(sql=sql, effect="write", parameters={"id": int})})
    assert refusal(lambda: change(made, "x", **given)).rule == "database"
    assert base.content() == before


def test_where_it_may_be_a_repetition_an_error_is_no_refusal(base: Base) -> None:
    natural = base.sql(statements={"add": replace(ADD, idempotency="natural")})
    assert change(natural, "add", id=50)["changed"] == 1
    with pytest.raises(SqlFailed, match="sql_add"):
        change(natural, "add", id=50)


def test_a_change_that_takes_too_long_is_stopped_and_undone(base: Base) -> None:
    slow = f"UPDATE tickets SET note = :note WHERE id = ({ENDLESS} SELECT count(*) FROM n)"
    made = base.sql(max_seconds=0.3, statements={"slow": Statement(sql=slow, effect="write", parameters={"note": str})})
    before = base.content()
    assert refusal(lambda: change(made, "slow", note="x")).rule == "limit"
    assert base.content() == before


def test_a_change_waits_for_no_lock_longer_than_the_limit(base: Base) -> None:
    made = base.sql(max_seconds=0.3, statements={"close": CLOSE})
    began = time.monotonic()
    if base.dialect == "postgres":
        with psycopg.connect(base.url) as holding:
            holding.execute("UPDATE tickets SET note = 'mine' WHERE id = 1")
            refusal(lambda: change(made, "close", id=1, note="x"))
            holding.rollback()
    else:
        with closing(base.file()) as file:
            file.execute("BEGIN IMMEDIATE")
            refusal(lambda: change(made, "close", id=1, note="x"))
    assert time.monotonic() - began < 10
    assert base.rows("SELECT note FROM tickets WHERE id = 1") == [["note 1"]]


def test_readers_that_keep_sqlite_from_ending_a_change_leave_it_undone(sqlite_base: Base) -> None:
    made = sqlite_base.sql(max_seconds=0.3, statements={"close": CLOSE})
    with closing(sqlite_base.file()) as file:
        file.execute("BEGIN")
        file.execute("SELECT * FROM tickets").fetchone()
        assert refusal(lambda: change(made, "close", id=1, note="x")).rule == "database"
    assert sqlite_base.rows("SELECT note FROM tickets WHERE id = 1") == [["note 1"]]


DYING = (
    "CREATE FUNCTION dying() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$",
    "CREATE CONSTRAINT TRIGGER dying AFTER UPDATE ON tickets DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION dying()",
)


async def test_an_end_of_which_nobody_heard_is_unknown(postgres_base: Base) -> None:
    postgres_base.execute(*DYING)
    close = named(postgres_base.sql(statements={"close": CLOSE}), "sql_close")
    ran = await inside(lambda: close.call({"id": 1, "note": "x"}), close)
    assert isinstance(ran.error, ToolFailed)
    assert [f.unknown for f in ran.of(EffectFailed)] == [True]
    assert not ran.of(EffectRefused)


def test_a_change_of_the_database_itself_can_be_declared(base: Base) -> None:
    drop = Statement(sql="DROP VIEW open_tickets", most=None)
    made = base.sql(statements={"drop_view": drop})
    assert named(made, "sql_drop_view").spec.effect == "irreversible"
    assert change(made, "drop_view") == {"changed": None, "columns": [], "rows": []}
    assert refusal(lambda: read(base.sql(), "SELECT * FROM open_tickets")).rule == "database"


async def test_a_query_can_be_declared_and_changes_nothing_either(base: Base) -> None:
    by_id = Statement(sql="SELECT note FROM tickets WHERE id = :id", effect="read", parameters={"id": int})
    only = base.sql(query=False, statements={"by_id": by_id})
    [found] = only.tools()
    ran = await inside(lambda: found.call({"id": 2}), found)
    assert ran.value == {"columns": ["note"], "rows": [["note 2"]], "cut": ""}
    assert not ran.of(EffectIntended)


# -- once ------------------------------------------------------------------------------------------------------------

COUNT = Statement(
    sql="UPDATE people SET secret = secret || '!' WHERE id = :id", effect="write", parameters={"id": int}, once=True
)


def test_under_one_key_a_statement_is_done_once_and_its_outcome_given_back(base: Base) -> None:
    sql = base.sql(statements={"count": replace(COUNT, sql=COUNT.sql + " RETURNING secret")})
    assert named(sql, "sql_count").spec.idempotency == "key"
    sql.prepare()
    sql.prepare()
    first = change(sql, "count", key="run/1", id=1)
    assert first == {"changed": 1, "columns": ["secret"], "rows": [["hidden one!"]]}
    assert change(sql, "count", key="run/1", id=1) == first
    assert base.rows("SELECT secret FROM people WHERE id = 1") == [["hidden one!"]]
    assert change(sql, "count", key="run/2", id=1)["rows"] == [["hidden one!!"]]


def test_of_many_calls_at_once_under_one_key_one_has_an_effect(base: Base) -> None:
    sql = base.sql(statements={"count": COUNT}, max_seconds=20)
    sql.prepare()
    ready = threading.Barrier(8)

    def call(_: int) -> Any:
        ready.wait(20)
        return change(sql, "count", key="run/1", id=1)

    with ThreadPoolExecutor(8) as pool:
        assert {str(r) for r in pool.map(call, range(8))} == {str({"changed": 1, "columns": [], "rows": []})}
    assert base.rows("SELECT secret FROM people WHERE id = 1") == [["hidden one!"]]


def test_what_was_refused_leaves_its_key_free(base: Base) -> None:
    sql = base.sql(statements={"all": replace(ALL, once=True)})
    sql.prepare()
    assert refusal(lambda: change(sql, "all", note="x")).rule == "limit"
    assert base.rows("SELECT count(*) FROM edgewright_effects") == [[0]]
    base.execute("DELETE FROM tickets WHERE id = 1")
    assert change(sql, "all", note="x")["changed"] == 9


def test_an_end_that_failed_keeps_neither_effect_nor_outcome(postgres_base: Base) -> None:
    postgres_base.execute(*DYING)
    sql = postgres_base.sql(statements={"close": replace(CLOSE, once=True)})
    sql.prepare()
    with pytest.raises(SqlFailed, match="the end of its transaction failed"):
        change(sql, "close", id=1, note="x")
    assert postgres_base.rows("SELECT count(*) FROM edgewright_effects") == [[0]]
    assert postgres_base.rows("SELECT note FROM tickets WHERE id = 1") == [["note 1"]]


def test_a_key_of_another_statement_is_a_conflict(base: Base) -> None:
    sql = base.sql(statements={"count": COUNT, "close": replace(CLOSE, once=True)})
    sql.prepare()
    change(sql, "count", id=1)
    before = base.content()
    with pytest.raises(EffectConflict, match="sql_count"):
        change(sql, "close", id=1, note="x")
    assert base.content() == before


def test_without_the_table_that_keeps_outcomes_nothing_is_done(base: Base) -> None:
    refused = refusal(lambda: change(base.sql(statements={"count": COUNT}), "count", id=1))
    assert refused.rule == "prepare"
    assert "call prepare()" in str(refused)
    assert base.rows("SELECT secret FROM people WHERE id = 1") == [["hidden one"]]


def test_before_the_key_is_taken_an_error_says_nothing_of_an_earlier_try(base: Base) -> None:
    sql = base.sql(statements={"count": COUNT}, max_seconds=0.3)
    sql.prepare()
    if base.dialect == "postgres":
        with psycopg.connect(base.url) as holding:  # a try that is still under way
            holding.execute("INSERT INTO edgewright_effects VALUES ('run/1', '')")
            with pytest.raises(SqlFailed):
                change(sql, "count", key="run/1", id=1)
            holding.rollback()
    else:
        with closing(base.file()) as file:
            file.execute("BEGIN IMMEDIATE")
            with pytest.raises(SqlFailed):
                change(sql, "count", key="run/1", id=1)


async def test_the_key_is_the_effects_own(base: Base) -> None:
    sql = base.sql(statements={"count": COUNT})
    sql.prepare()
    count = named(sql, "sql_count")
    ran = await inside(lambda: count.call({"id": 1}), count)
    [done] = ran.of(EffectDone)
    assert base.rows("SELECT key FROM edgewright_effects") == [[f"{ran.result.run}/{done.effect}"]]


# -- the query through the gate --------------------------------------------------------------------------------------


async def test_a_query_runs_through_the_gate_and_is_labelled(base: Base) -> None:
    query = named(base.sql(sensitivity="personal"), "sql_query")
    asked = {"statement": "SELECT id FROM tickets WHERE id = :id", "parameters": {"id": 4}}
    ran = await inside(lambda: query.call(asked), query)
    assert ran.value == {"columns": ["id"], "rows": [[4]], "cut": ""}
    assert not ran.of(EffectIntended)
    spec = query.spec
    assert (spec.effect, spec.output, spec.sensitivity, spec.sink) == ("read", "untrusted", "personal", True)
    assert "at most" in spec.description.lower()


@pytest.mark.parametrize(
    "statement", ["DELETE FROM tickets", "SELECT 1; DROP TABLE tickets", "SELECT * FROM sqlite_master"]
)
async def test_what_is_no_plain_query_is_denied_before_it_reaches_the_database(
    sqlite_base: Base, statement: str
) -> None:
    query = named(sqlite_base.sql(), "sql_query")
    before = sqlite_base.content()
    ran = await inside(lambda: query.call({"statement": statement}), query)
    assert isinstance(ran.error, CallDenied)
    assert [j.verdict for j in ran.of(CallJudged)] == ["deny"]
    assert sqlite_base.content() == before


async def test_a_rule_can_forbid_a_table(sqlite_base: Base) -> None:
    rule = (
        '@id("people") @reason("not this table") forbid(principal, action == Action::"call:sql_query", resource) '
        'when { context.facts.tables.contains("main.people") };'
    )
    query = named(sqlite_base.sql(), "sql_query")
    hidden = "WITH a AS (SELECT * FROM people) SELECT 1 FROM tickets"
    denied = await inside(lambda: query.call({"statement": hidden}), query, policy=PERMIT_ALL + rule)
    assert isinstance(denied.error, CallDenied)
    assert "not this table" in str(denied.error)
    allowed = await inside(lambda: query.call({"statement": "SELECT 1"}), query, policy=PERMIT_ALL + rule)
    assert allowed.error is None


async def test_two_connectors_stand_beside_each_other(sqlite_base: Base, tmp_path: Path) -> None:
    other = Base(dialect="sqlite", url=f"sqlite:///{tmp_path / 'other.db'}")
    other.execute(*SCHEMA, "DELETE FROM tickets")
    tools = [*sqlite_base.sql(name="one").tools(), *other.sql(name="two").tools()]
    counts = "SELECT count(*) FROM tickets"
    ran = await inside(lambda: tools[1].call({"statement": counts}), *tools)
    assert ran.value["rows"] == [[0]]


# -- declarations ----------------------------------------------------------------------------------------------------


def faults(**options: Any) -> str:
    with pytest.raises(ToolInvalid) as caught:
        Sql(**{"url": "sqlite:///x.db", **options})
    return " | ".join(caught.value.faults)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"url": "sqlite://"}, "names no file of SQLite"),
        ({"url": "sqlite:///:memory:"}, "names no file of SQLite"),
        ({"url": "sqlite:///x.db?mode=rwc"}, "names no file of SQLite"),
        ({"url": "sqlite:///file:x.db"}, "names no file of SQLite"),
        ({"url": "mysql://h/d"}, "none of sqlite:///path and postgresql://"),
        ({"url": "postgresql+psycopg2://h/d"}, "none of sqlite:///path and postgresql://"),
        ({"url": "postgresql://h"}, "names no database"),
        ({"url": ""}, "none of sqlite:///path"),
        ({"schema": "other"}, "SQLite has no schema"),
        ({"name": "Bad Name"}, "its name is"),
        ({"max_rows": 0}, "max_rows"),
        ({"max_bytes": 0}, "max_bytes"),
        ({"max_seconds": 0}, "max_seconds"),
        ({"max_seconds": float("inf")}, "max_seconds"),
        ({"output": "maybe"}, "output"),
        ({"sensitivity": "some"}, "sensitivity"),
        ({"tables": ("a.b.c",)}, "a table is named as"),
        ({"query": False}, "no tools"),
        ({"statements": {"Bad": ADD}}, "statement 'Bad'"),
        ({"statements": {"query": ADD}}, "not 'query'"),
        ({"statements": {"x": replace(ADD, effect=cast(Any, "none"))}}, "effect 'none'"),
        ({"statements": {"x": replace(ADD, most=-1)}}, "most is negative"),
        ({"statements": {"x": replace(ADD, idempotency="key")}}, "declared by once=True"),
        ({"statements": {"x": replace(ADD, idempotency="natural", once=True)}}, "says all about its idempotency"),
        ({"statements": {"x": replace(ADD, parameters={})}}, "its parameters are id"),
        ({"statements": {"x": replace(ADD, parameters={"id": int, "more": int})}}, "its parameters are id"),
        ({"statements": {"x": replace(ADD, sql="UPDATE t SET a = 'x :id' WHERE id = :id2")}}, "taken for a parameter"),
        ({"statements": {"x": replace(ADD, sql="DROP TABLE tickets")}}, "its effect is irreversible"),
        ({"statements": {"x": replace(ADD, sql="SELECT :id")}}, "is Select"),
        ({"statements": {"x": replace(ADD, effect="read")}}, "no SELECT, WITH or VALUES"),
        ({"statements": {"x": replace(ADD, effect="read", once=True)}}, "once=True is for"),
    ],
)
def test_a_connector_that_cannot_work_is_refused_with_the_reason(options: dict[str, Any], fault: str) -> None:
    assert fault in faults(**options)


def test_every_fault_is_told_at_once() -> None:
    assert faults(name="X", max_rows=0, max_bytes=0).count("|") == 2
    wrong = {"a": replace(ADD, most=-1), "b": replace(ADD, parameters={})}
    assert faults(statements=wrong).count("|") == 1


def test_without_the_libraries_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sqlglot", None)
    assert "pip install edgewright[sql]" in faults()
    monkeypatch.undo()
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    assert "psycopg[binary]" in faults(url=f"{SERVER}/test")


def test_a_parameter_whose_name_a_tool_cannot_have_is_refused(sqlite_base: Base) -> None:
    reserved = replace(
        ADD, sql="UPDATE tickets SET note = :config WHERE id = :id", parameters={"id": int, "config": str}
    )
    with pytest.raises(ToolInvalid, match="reserved name"):
        sqlite_base.sql(statements={"x": reserved}).tools()
