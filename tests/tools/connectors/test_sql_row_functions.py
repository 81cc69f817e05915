"""PostgreSQL calls f(t) for `t.f`: no query calls a function by such a name, nor one that stands after LATERAL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from edgewright.contracts.errors import SqlRefused
from edgewright.tools.connectors.sql import Rows, Sql
from edgewright.tools.connectors.sql_reading import Rules, judged
from support.postgres import execute

RULES = Rules(dialect="postgres", schema="public", tables=frozenset({"public.t"}))
LONG = "f" * 63
SCHEMA = (
    "CREATE TABLE t (a text, oldest text, point float8)",
    "INSERT INTO t VALUES ('x', 'y', 1.5)",
    "CREATE TABLE vault (pw text)",
    "INSERT INTO vault VALUES ('canary-5b1e')",
    *(
        f"CREATE FUNCTION {name}(r t) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT pw FROM public.vault'"
        for name in ("computed", '"Computed"', "oldest", LONG)
    ),
    "CREATE FUNCTION password_of(x text) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT pw FROM public.vault'",
)
LATERAL = (
    "SELECT f.password_of FROM t JOIN LATERAL concat('root') AS f ON TRUE",
    "SELECT f.pg_read_file FROM t JOIN LATERAL concat('PG_VERSION') AS f ON TRUE",
    "SELECT f.pg_ls_dir FROM t CROSS JOIN LATERAL concat('.') AS f",
    "SELECT f.pg_sleep FROM t, LATERAL abs(0.5::float8) AS f",
    "SELECT f.pg_cancel_backend FROM t LEFT JOIN LATERAL abs(1) AS f ON TRUE",
)


@dataclass(frozen=True)
class Reader:
    """A way to the database for somebody who may read one table of it."""

    url: str

    def read(self, statement: str) -> Rows:
        """What the function behind the query tool does."""
        return Sql(url=self.url, tables=("t",))._read(statement, {})

    def refusal(self, statement: str) -> SqlRefused:
        """What a statement is refused by."""
        with pytest.raises(SqlRefused) as caught:
            self.read(statement)
        return caught.value


@pytest.fixture
def reader(postgres_url: str) -> Iterator[Reader]:
    execute(postgres_url, *SCHEMA)
    name = postgres_url.rpartition("/")[2]
    role = f"rows_{name}"
    execute(postgres_url, f"CREATE ROLE {role} LOGIN", f"GRANT SELECT ON t TO {role}")
    try:
        yield Reader(f"postgresql://{role}@127.0.0.1:5432/{name}")
    finally:
        execute(postgres_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


@pytest.mark.parametrize("statement", LATERAL)
def test_lateral_takes_no_function(statement: str) -> None:
    with pytest.raises(SqlRefused) as caught:
        judged(statement, RULES)
    assert caught.value.facts["rule"] == "function"
    judged("SELECT l.a FROM t CROSS JOIN LATERAL (SELECT t.a) AS l", RULES)


def test_every_name_behind_a_tables_is_looked_up_unless_it_is_a_known_function() -> None:
    statement = (
        'WITH w AS (SELECT 1.0 AS b) SELECT t.a, x.Computed, t."Computed", w.lower FROM t JOIN t AS x ON x.on_ = 1, w'
    )
    assert judged(statement, RULES).called == {"a", "computed", "Computed", "on_"}
    assert judged(statement, Rules(dialect="sqlite", schema="main")).called == frozenset()
    for written in ("SELECT (t).computed FROM t", "SELECT (x.y).pg_sleep FROM t AS x"):
        with pytest.raises(SqlRefused):
            judged(written, RULES)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT t.computed FROM t",
        "SELECT x.computed FROM t AS x",
        'SELECT t."Computed" FROM t',
        "SELECT a FROM t WHERE t.computed LIKE 'c%'",
        "SELECT a FROM t ORDER BY t.computed",
        "SELECT x.computed FROM (SELECT t.computed FROM t) AS x",
        "WITH w AS (SELECT a FROM t) SELECT (SELECT t.computed FROM t) FROM w",
        "SELECT t.hash_record FROM t",
        f"SELECT t.{LONG}{'f' * 5} FROM t",
        "SELECT t.oldest FROM t",
    ],
)
def test_no_function_of_a_tables_rows_is_called_by_the_name_of_a_column(reader: Reader, statement: str) -> None:
    refused = reader.refusal(statement)
    assert (refused.rule, "without its table" in str(refused)) == ("function", True)


@pytest.mark.parametrize("statement", [*LATERAL, "SELECT password_of('root')", "SELECT computed(t) FROM t"])
def test_no_other_way_leads_to_a_function_either(reader: Reader, statement: str) -> None:
    assert reader.refusal(statement).rule == "function"


def test_columns_are_read_with_and_without_their_table(reader: Reader) -> None:
    assert reader.read("SELECT t.a, oldest, t.point, upper(t.a) AS up FROM t WHERE t.a = 'x'")["rows"] == [
        ["x", "y", 1.5, "X"]
    ]
    with psycopg.connect(reader.url) as connection:  # what the database itself would have told
        assert connection.execute("SELECT t.computed FROM t").fetchall() == [("canary-5b1e",)]
