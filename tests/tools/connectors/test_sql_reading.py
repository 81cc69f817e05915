"""Reading SQL: what a model may ask passes in one form; every way round that we know, and any change, is refused."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

import pytest
import sqlglot
from edgewright.contracts.errors import SqlRefused
from edgewright.tools.connectors import sql_reading, sql_words
from edgewright.tools.connectors.sql_reading import (
    MAX_DEPTH,
    MAX_STATEMENT,
    Dialect,
    Rules,
    declared_faults,
    declared_parameters,
    judged,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlglot import exp

DIALECTS: tuple[Dialect, ...] = ("sqlite", "postgres")
SCHEMA = {"sqlite": "main", "postgres": "public"}


def rules(dialect: Dialect, *tables: str, functions: Iterable[str] = ()) -> Rules:
    """Rules that open these tables of the schema; without any, all of them."""
    schema = SCHEMA[dialect]
    names = frozenset(t if "." in t else f"{schema}.{t}" for t in tables) if tables else None
    return Rules(dialect=dialect, schema=schema, tables=names, functions=frozenset(functions))


def refusal(statement: str, known: Rules) -> str:
    """The rule that refuses a statement."""
    with pytest.raises(SqlRefused) as caught:
        judged(statement, known)
    return str(caught.value.facts["rule"])


both = pytest.mark.parametrize("dialect", DIALECTS)


# -- what passes -----------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "SELECT 1;",
        "  select 1 ; ; ",
        "SELECT 1 -- and no more",
        "SELECT 1 /* ; DROP TABLE tickets */",
        "VALUES (1, 'a'), (2, 'b')",
        "(SELECT 1)",
        "SELECT * FROM tickets WHERE status = :status AND id BETWEEN :low AND :high",
        "SELECT t.id, count(*) AS n FROM tickets AS t GROUP BY t.id HAVING count(*) > 1 ORDER BY n LIMIT 5 OFFSET 2",
        "SELECT id FROM tickets UNION ALL SELECT id FROM people EXCEPT SELECT 3 INTERSECT SELECT 4",
        "WITH a AS (SELECT id FROM tickets), b AS (SELECT id FROM a) SELECT b.id FROM b JOIN a AS x ON x.id = b.id",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT sum(i) FROM n",
        "SELECT CASE WHEN (id) > 1 THEN ('a') ELSE ('b') END, CAST(id AS TEXT), coalesce(status, 'x') FROM tickets",
        "SELECT row_number() OVER (PARTITION BY status ORDER BY id ROWS 1 PRECEDING) FROM tickets",
        "SELECT * FROM tickets WHERE EXISTS (SELECT 1 FROM people WHERE people.id = tickets.id) AND id IN (1, 2)",
        "SELECT 'it''s; DROP TABLE tickets --', '/*', ':not', '%s', '\\' FROM tickets",
        'SELECT "status" FROM "tickets"',
        "SELECT tickets.* FROM tickets LEFT JOIN people USING (id)",
        "SELECT count(*) FILTER (WHERE status = 'open') FROM tickets",
        "SELECT CURRENT_TIMESTAMP, current_date",
        "SELECT x.id FROM (SELECT id FROM tickets) AS x CROSS JOIN people",
        "SELECT 'Größe', \"Größe\" FROM tickets",
    ],
)
def test_a_query_passes_and_its_form_is_final(dialect: Dialect, statement: str) -> None:
    known = rules(dialect, "tickets", "people")
    found = judged(statement, known)
    assert judged(found.text, known) == found
    assert found.tables <= known.tables  # type: ignore[operator]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT a ->> 'x.y', a -> 0, a #>> '{a,b}', a @> '{}', a ? 'k' FROM tickets",
        "SELECT date_trunc('month', at), extract(year FROM at), at + INTERVAL '1 day', at::date, now() FROM tickets",
        "SELECT id FROM tickets WHERE id = ANY(ARRAY[1]) OR status ILIKE 'o%' OR status ~ 'x' FETCH FIRST 3 ROWS ONLY",
        "SELECT DISTINCT ON (status) id FROM tickets CROSS JOIN LATERAL (SELECT tickets.id) AS l",
        "SELECT string_agg(status, ',' ORDER BY id), percentile_cont(0.5) WITHIN GROUP (ORDER BY id) FROM tickets",
        "SELECT status, sum(id) FROM tickets GROUP BY GROUPING SETS ((status), ())",
    ],
)
def test_a_query_in_the_words_of_postgres_passes(statement: str) -> None:
    judged(statement, rules("postgres", "tickets"))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT a ->> 'x.y', json_extract(a, '$.x'), a -> '$[0]' FROM tickets",
        "SELECT strftime('%Y', at), date('now', '-1 day'), julianday(at) FROM tickets",
        "SELECT group_concat(status, ','), total(id), iif(id = 1, 2, 3), status GLOB 'o*' FROM tickets",
        "SELECT [status], `id`, id == 1, status IS NOT 'x' FROM [tickets]",
    ],
)
def test_a_query_in_the_words_of_sqlite_passes(statement: str) -> None:
    judged(statement, rules("sqlite", "tickets"))


def test_a_statement_of_the_greatest_length_passes_although_its_form_is_longer() -> None:
    statement = "SELECT 1 FROM t" + ", t" * ((MAX_STATEMENT - 15) // 3 // 4)
    statement += " " * (MAX_STATEMENT - len(statement))
    assert len(judged(statement, rules("postgres")).text) > MAX_STATEMENT
    assert refusal(statement + " ", rules("postgres")) == "text"


def test_paths_into_json_stay_as_they_are_written() -> None:
    assert "-> 'x.y'" in judged("SELECT a -> 'x.y' FROM t", rules("sqlite")).sql
    assert "-> 'x.y'" in judged("SELECT a -> 'x.y' FROM t", rules("postgres")).sql


def test_a_table_is_written_with_its_schema_and_an_expression_under_a_name_that_no_table_has() -> None:
    found = judged(
        "WITH people AS (SELECT 1 AS id) SELECT people.id FROM people, Tickets", rules("postgres", "tickets")
    )
    assert found.sql == (
        "WITH edgewright_1 AS (SELECT 1 AS id) SELECT people.id FROM edgewright_1 AS people "
        'CROSS JOIN "public"."tickets"'
    ) or found.sql.endswith('FROM edgewright_1 AS people, "public"."tickets"')
    assert found.tables == {"public.tickets"}


def test_parameters_are_written_for_the_driver_and_nothing_else_is_taken_for_one() -> None:
    statement = "SELECT ':no', '%(no)s', '%', id % 2 FROM tickets WHERE id = :id AND status LIKE :pattern"
    sqlite, postgres = (judged(statement, rules(d, "tickets")) for d in DIALECTS)
    assert sqlite.parameters == postgres.parameters == {"id", "pattern"}
    assert "':no', '%(no)s', '%', id % 2" in sqlite.sql
    assert "':no', '%%(no)s', '%%', id %% 2" in postgres.sql
    assert "id = %(id)s AND status LIKE %(pattern)s" in postgres.sql


def test_a_function_can_be_opened_by_name() -> None:
    assert refusal("SELECT similarity('a', 'b')", rules("postgres")) == "function"
    judged("SELECT similarity('a', 'b')", rules("postgres", functions=["similarity"]))


def test_a_system_table_can_be_opened_by_name() -> None:
    judged("SELECT * FROM information_schema.columns", rules("postgres", "information_schema.columns"))
    judged("SELECT * FROM sqlite_master", rules("sqlite", "sqlite_master"))


# -- ways round ------------------------------------------------------------------------------------------------------

# Refused in both dialects, whatever tables are open.
BYPASSES = {
    "nothing": "",
    "only a comment": "-- SELECT 1",
    "only semicolons": ";;",
    "two statements": "SELECT 1; DROP TABLE tickets",
    "two queries": "SELECT 1; SELECT 2",
    "a second statement behind a comment": "SELECT 1 /* x */; /* y */ DELETE FROM tickets",
    "a second statement behind a line comment": "SELECT 1 -- x\n; DELETE FROM tickets",
    "a first statement before it": "DROP TABLE tickets; SELECT 1",
    "insert": "INSERT INTO tickets VALUES (1)",
    "insert or replace": "INSERT OR REPLACE INTO tickets VALUES (1)",
    "replace": "REPLACE INTO tickets VALUES (1)",
    "insert from a query": "INSERT INTO tickets SELECT * FROM tickets",
    "insert behind with": "WITH a AS (SELECT 1) INSERT INTO tickets SELECT * FROM a",
    "update": "UPDATE tickets SET status = 'x'",
    "update returning": "UPDATE tickets SET status = 'x' RETURNING *",
    "delete": "DELETE FROM tickets",
    "delete behind with": "WITH a AS (SELECT 1) DELETE FROM tickets",
    "delete in a common table expression": "WITH d AS (DELETE FROM tickets RETURNING *) SELECT * FROM d",
    "insert in a nested expression": "SELECT * FROM (WITH i AS (INSERT INTO t VALUES (1) RETURNING *) SELECT 1) x",
    "update in a common table expression": "WITH u AS (UPDATE tickets SET id = 1 RETURNING id) SELECT id FROM u",
    "merge": "MERGE INTO tickets USING people ON tickets.id = people.id WHEN MATCHED THEN DELETE",
    "delete in parentheses": "(DELETE FROM tickets)",
    "delete after union": "SELECT 1 UNION DELETE FROM tickets",
    "select into": "SELECT * INTO copied FROM tickets",
    "select into a temporary table": "SELECT * INTO TEMP copied FROM tickets",
    "create table as": "CREATE TABLE copied AS SELECT * FROM tickets",
    "create view": "CREATE VIEW v AS SELECT 1",
    "create function": "CREATE FUNCTION f() RETURNS int AS 'SELECT 1' LANGUAGE sql",
    "create trigger": "CREATE TRIGGER t AFTER INSERT ON tickets BEGIN SELECT 1; END",
    "drop": "DROP TABLE tickets",
    "drop in capitals and comments": "/**/dRoP/**/tAbLe/**/tickets",
    "alter": "ALTER TABLE tickets ADD COLUMN x int",
    "truncate": "TRUNCATE tickets",
    "grant": "GRANT ALL ON tickets TO PUBLIC",
    "copy to a program": "COPY tickets TO PROGRAM 'cat > /tmp/x'",
    "copy from a file": "COPY tickets FROM '/etc/passwd'",
    "copy of a query": "COPY (SELECT 1) TO '/tmp/x'",
    "explain": "EXPLAIN SELECT 1",
    "explain analyze of a delete": "EXPLAIN ANALYZE DELETE FROM tickets",
    "explain with options": "EXPLAIN (ANALYZE, BUFFERS) DELETE FROM tickets",
    "for update": "SELECT * FROM tickets FOR UPDATE",
    "for share": "SELECT * FROM tickets FOR SHARE",
    "for no key update": "SELECT * FROM tickets FOR NO KEY UPDATE SKIP LOCKED",
    "for update in a subquery": "SELECT * FROM (SELECT * FROM tickets FOR UPDATE) x",
    "set": "SET statement_timeout = 0",
    "set transaction": "SET TRANSACTION READ WRITE",
    "reset": "RESET ALL",
    "begin": "BEGIN",
    "commit": "COMMIT",
    "savepoint": "SAVEPOINT a",
    "do": "DO $$ BEGIN DELETE FROM tickets; END $$",
    "call": "CALL p()",
    "prepare": "PREPARE p AS DELETE FROM tickets",
    "execute": "EXECUTE p",
    "declare": "DECLARE c CURSOR FOR SELECT 1",
    "lock": "LOCK TABLE tickets",
    "listen": "LISTEN x",
    "notify": "NOTIFY x, 'data'",
    "vacuum": "VACUUM",
    "vacuum into": "VACUUM INTO '/tmp/x'",
    "analyze": "ANALYZE",
    "reindex": "REINDEX tickets",
    "pragma": "PRAGMA writable_schema = ON",
    "pragma that asks": "PRAGMA table_info(tickets)",
    "attach": "ATTACH DATABASE '/tmp/x' AS x",
    "detach": "DETACH DATABASE x",
    "table": "TABLE tickets",
    "refresh": "REFRESH MATERIALIZED VIEW v",
    "discard": "DISCARD ALL",
    "checkpoint": "CHECKPOINT",
    "a table function": "SELECT * FROM generate_series(1, 1000000000)",
    "rows from": "SELECT * FROM ROWS FROM (pg_ls_dir('/')) AS x",
    "lateral function": "SELECT * FROM tickets, LATERAL pg_ls_dir('/') AS x",
    "a sample": "SELECT * FROM tickets TABLESAMPLE system (1)",
    "a position as a parameter": "SELECT ?",
    "a dollar as a parameter": "SELECT $1",
    "an at as a parameter": "SELECT @x",
    "NUL": "SELECT 1\0; DROP TABLE tickets",
    "a control character": "SELECT \x01 1",
    "a zero-width space": "SELECT\u200b1",
    "a bidirectional override": "SELECT '\u202e'",
    "a line separator": "SELECT 1 --\u2028DROP TABLE tickets",
    "a field of a row": "SELECT (t).pg_sleep FROM tickets AS t",
    "an unfinished text": "SELECT 'abc",
    "an unfinished comment": "SELECT 1 /* abc",
    "nonsense": "SELECT FROM WHERE",
    "too deep": f"SELECT {'(' * (MAX_DEPTH + 1)}1{')' * (MAX_DEPTH + 1)}",
    "cases too deep": f"SELECT {'CASE WHEN ' * (MAX_DEPTH + 1)}1{' THEN 1 END' * (MAX_DEPTH + 1)}",
    "a tower of negations": "SELECT " + "NOT " * 2400 + "1",
    "too long": "SELECT '" + "x" * MAX_STATEMENT + "'",
    "other database": "SELECT * FROM other.main.tickets",
}


@both
@pytest.mark.parametrize("statement", BYPASSES.values(), ids=BYPASSES.keys())
def test_what_is_no_single_plain_query_is_refused(
    dialect: Dialect, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    refusal(statement, rules(dialect))
    refusal(statement, rules(dialect, "tickets", "people"))
    # The parser logs what it does not know, statement and all.
    assert caplog.records == []


FUNCTIONS = {
    "postgres": [
        "pg_read_file('/etc/passwd')",
        "pg_read_binary_file('x')",
        "pg_ls_dir('/')",
        "pg_stat_file('/')",
        "pg_sleep(9)",
        "pg_sleep_for('1 hour')",
        "lo_import('/etc/passwd')",
        "lo_export(1, '/tmp/x')",
        "lo_get(1)",
        "lo_unlink(1)",
        "lo_from_bytea(0, 'x')",
        "loread(1, 2)",
        "dblink('host=evil', 'SELECT 1')",
        "dblink_exec('x', 'y')",
        "dblink_connect('host=evil')",
        "set_config('a', 'b', false)",
        "current_setting('is_superuser')",
        "nextval('s')",
        "setval('s', 1)",
        "currval('s')",
        "lastval()",
        "pg_terminate_backend(1)",
        "pg_cancel_backend(1)",
        "pg_advisory_lock(1)",
        "pg_try_advisory_xact_lock(1)",
        "pg_advisory_unlock_all()",
        "pg_notify('a', 'b')",
        "query_to_xml('DELETE FROM tickets', true, true, '')",
        "query_to_xmlschema('SELECT 1', true, true, '')",
        "table_to_xml('people', true, true, '')",
        "database_to_xml(true, true, '')",
        "schema_to_xml('a', true, true, '')",
        "cursor_to_xml('c', 1, true, true, '')",
        "xpath('/a', '<a/>')",
        "xmlparse(document '<a/>')",
        "ts_stat('SELECT 1')",
        "pg_reload_conf()",
        "pg_rotate_logfile()",
        "pg_switch_wal()",
        "pg_create_restore_point('x')",
        "pg_promote()",
        "txid_current()",
        "pg_current_xact_id()",
        "pg_export_snapshot()",
        "pg_logical_emit_message(true, 'a', 'b')",
        "pg_drop_replication_slot('x')",
        "pg_relation_size('people')",
        "pg_get_viewdef('v')",
        "has_table_privilege('a', 'b')",
        "version()",
        "current_database()",
        "inet_server_addr()",
        "repeat('x', 1000000000)",
        "lpad('x', 1000000000)",
        "rpad('x', 1000000000)",
        "format('%1000000000s', 'x')",
        "generate_series(1, 1000000000)",
        "unnest(a)",
        "crosstab('SELECT 1')",
        "plpy_anything()",
        "crypt('a', 'b')",
        "gen_random_bytes(9)",
        "to_regclass('people')",
        "jsonb_path_query(a, '$')",
        "regexp_split_to_table('a', 'b')",
        "row_security_active('people')",
        "lower(pg_sleep(9))",
    ],
    "sqlite": [
        "load_extension('x')",
        "readfile('/etc/passwd')",
        "writefile('/tmp/x', 'y')",
        "edit('x')",
        "lsdir('/')",
        "fts3_tokenizer('x', 'y')",
        "randomblob(1000000000)",
        "zeroblob(1000000000)",
        "printf('%.*c', 1000000000, 'x')",
        "format('%1000000000d', 1)",
        "sqlite_compileoption_get(1)",
        "sqlite_source_id()",
        "last_insert_rowid()",
        "changes()",
        "total_changes()",
        "sqlite_version()",
        "json_each('[]')",
        "json_tree('[]')",
        "generate_series(1, 9)",
        "pragma_table_info('people')",
        "sqlar_uncompress('x', 1)",
        "sha3('x')",
        "sqlite_log(1, 'x')",
        "regexp('a', 'b')",
        "lower(load_extension('x'))",
        "sqlite_offset(id)",
        "icu_load_collation('x', 'y')",
        "rtreecheck('x')",
    ],
}
# Where a call can stand, and how it can be written.
PLACES = {
    "as a column": "SELECT {}",
    "after the words of a column": "SELECT 1 AS a, {} AS b FROM tickets",
    "where": "SELECT 1 FROM tickets WHERE {} IS NULL",
    "order by": "SELECT 1 FROM tickets ORDER BY {}",
    "group by and having": "SELECT 1 FROM tickets GROUP BY id HAVING {} IS NULL",
    "limit": "SELECT 1 FROM tickets LIMIT {}",
    "values": "VALUES (1, {})",
    "a subquery": "SELECT (SELECT {})",
    "a common table expression": "WITH a AS (SELECT {} AS b) SELECT b FROM a",
    "from": "SELECT * FROM {}",
    "a join": "SELECT * FROM tickets JOIN people ON {} IS NULL",
    "a window": "SELECT count(*) OVER (ORDER BY {}) FROM tickets",
    "a filter": "SELECT count(*) FILTER (WHERE {} IS NULL) FROM tickets",
    "a case": "SELECT CASE WHEN 1 = 1 THEN {} END",
    "a cast": "SELECT CAST({} AS TEXT)",
    "a list": "SELECT 1 IN (2, {})",
    "after a union": "SELECT 'a' UNION ALL SELECT {}",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
@both
def test_a_function_that_is_not_known_is_refused_wherever_it_stands(dialect: Dialect, place: str) -> None:
    for call in FUNCTIONS[dialect]:
        refusal(place.format(call), rules(dialect))


@pytest.mark.parametrize(("dialect", "call"), [(d, c) for d in DIALECTS for c in FUNCTIONS[d]])
def test_a_function_that_is_not_known_is_refused_however_it_is_written(dialect: Dialect, call: str) -> None:
    name, rest = call.split("(", 1)
    spelled = [
        f"{name.upper()}({rest}",
        f"{name} ({rest}",
        f"{name}/**/({rest}",
        f"{name}--\n({rest}",
        f'"{name}"({rest}',
        f"pg_catalog.{name}({rest}",
        f'"pg_catalog"."{name}"({rest}',
        f"main.{name}({rest}",
        f"({call})",
        f"{call}::text",
        f"NOT {call}",
        f"-{call}",
        f"{call} || 'x'",
    ]
    for written in spelled:
        refusal(f"SELECT {written}", rules(dialect))


def test_no_word_that_opens_a_parenthesis_is_taken_for_a_function_that_may_be_called() -> None:
    for word in sql_words.OPENING:
        for dialect in DIALECTS:
            try:
                tree = sqlglot.parse_one(f"SELECT {word}(id) FROM tickets", dialect=dialect)
            except sqlglot.ParseError:
                continue
            if any(isinstance(n, exp.Anonymous) for n in tree.walk()):
                assert refusal(f"SELECT {word}(id) FROM tickets", rules(dialect)) == "function"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT current_user",
        "SELECT session_user",
        "SELECT user",
        "SELECT current_role",
        "SELECT current_catalog",
        "SELECT current_schema",
        "SELECT 'people'::regclass",
        "SELECT CAST(1 AS regproc)",
        "SELECT '<a/>'::xml",
        "SELECT CAST('a' AS my_type)",
        "SELECT a OPERATOR(pg_catalog.+) b FROM tickets",
        "SELECT U&'\\0041'",
        "SELECT E'a\\'; DROP TABLE tickets; --'",
        "SELECT x'41', b'1'",
        "SELECT * FROM ONLY people",
        "SELECT * FROM (TABLE people) AS x",
        "SELECT 1 WHERE EXISTS (TABLE people)",
        "SELECT * FROM XMLTABLE('x' PASSING y COLUMNS a int)",
        "SELECT * FROM JSON_TABLE(x, '$' COLUMNS (a int))",
        "SELECT NEXT VALUE FOR s",
    ],
)
def test_what_postgres_has_beside_plain_queries_is_refused(statement: str) -> None:
    refusal(statement, rules("postgres", "tickets"))


def test_a_text_in_dollars_is_rewritten_as_a_plain_one_or_refused() -> None:
    known = rules("postgres")
    try:
        found = judged("SELECT $$a; DROP TABLE tickets$$", known)
    except SqlRefused:
        return
    assert found.sql == "SELECT 'a; DROP TABLE tickets'"


# -- tables ----------------------------------------------------------------------------------------------------------

# Each reads `people`, which is not open.
READS_PEOPLE = {
    "plainly": "SELECT * FROM people",
    "quoted": 'SELECT * FROM "people"',
    "a join": "SELECT * FROM tickets JOIN people ON 1 = 1",
    "a comma": "SELECT * FROM tickets, people",
    "a natural join": "SELECT * FROM tickets NATURAL JOIN people",
    "a cross join in parentheses": "SELECT * FROM (tickets CROSS JOIN people)",
    "a subquery": "SELECT * FROM (SELECT * FROM people) AS x",
    "a scalar": "SELECT (SELECT max(id) FROM people)",
    "where in": "SELECT 1 FROM tickets WHERE id IN (SELECT id FROM people)",
    "where exists": "SELECT 1 FROM tickets WHERE EXISTS (SELECT 1 FROM people)",
    "order by": "SELECT 1 FROM tickets ORDER BY (SELECT id FROM people)",
    "limit": "SELECT 1 FROM tickets LIMIT (SELECT 1 FROM people)",
    "a union": "SELECT id FROM tickets UNION SELECT id FROM people",
    "an intersection": "SELECT id FROM tickets INTERSECT SELECT id FROM people",
    "values": "VALUES ((SELECT id FROM people))",
    "a common table expression": "WITH a AS (SELECT * FROM people) SELECT * FROM a",
    "an expression that is not used": "WITH a AS (SELECT * FROM people) SELECT 1",
    "an alias of an open table": "SELECT * FROM people AS tickets",
    "an expression named as an open table": "WITH tickets AS (SELECT * FROM people) SELECT * FROM tickets",
    "beside the scope of an expression": "SELECT * FROM (WITH people AS (SELECT 1) SELECT * FROM people) AS a, people",
    "before the scope of an expression": "WITH a AS (SELECT * FROM people), people AS (SELECT 1) SELECT * FROM a",
    "after the scope of an expression": "SELECT (WITH people AS (SELECT 1 AS id) SELECT id FROM people) FROM people",
    "on the other side of a union": "(WITH people AS (SELECT 1) SELECT * FROM people) UNION SELECT id FROM people",
    "named like a column": "SELECT people.id FROM tickets, people",
    "with its schema past an expression": "WITH people AS (SELECT 1) SELECT * FROM {schema}.people",
    "a lateral subquery": "SELECT * FROM tickets CROSS JOIN LATERAL (SELECT * FROM people) AS x",
    "a window": "SELECT sum(id) OVER (ORDER BY (SELECT id FROM people)) FROM tickets",
    "a case": "SELECT CASE WHEN 1 = 1 THEN (SELECT id FROM people) END",
    "a join condition": "SELECT * FROM tickets AS a JOIN tickets AS b ON a.id = (SELECT max(id) FROM people)",
    "behind comments": "SELECT/**/*/**/FROM/**/people--",
}


@pytest.mark.parametrize("statement", READS_PEOPLE.values(), ids=READS_PEOPLE.keys())
@both
def test_a_table_that_is_not_open_is_refused_wherever_it_stands(dialect: Dialect, statement: str) -> None:
    statement = statement.format(schema=SCHEMA[dialect])
    assert refusal(statement, rules(dialect, "tickets")) == "table"
    judged(statement, rules(dialect, "tickets", "people"))


def test_an_expression_that_reads_the_table_of_its_own_name_reads_that_table() -> None:
    statement = "WITH people AS (SELECT * FROM people) SELECT * FROM people"
    assert refusal(statement, rules("postgres", "tickets")) == "table"
    # SQLite takes it for one that reads itself, and so does what is written: the database refuses it.
    assert '"people"' not in judged(statement, rules("sqlite", "tickets")).sql


def test_the_right_side_of_in_is_no_table() -> None:
    assert refusal("SELECT 1 FROM tickets WHERE id IN people", rules("sqlite", "tickets")) == "syntax"
    assert refusal("SELECT 1 FROM tickets WHERE id IN main.people", rules("sqlite", "tickets")) == "syntax"
    assert refusal("SELECT 1 FROM tickets WHERE id IN people", rules("sqlite")) == "syntax"


@pytest.mark.parametrize(
    ("dialect", "table"),
    [
        *(("sqlite", t) for t in ("sqlite_master", "SQLITE_SCHEMA", "sqlite_temp_master", "sqlite_sequence", "dbstat")),
        *(("sqlite", t) for t in ("main.sqlite_master", "temp.x", "pragma_table_list", '"PRAGMA_function_list"')),
        *(("sqlite", t) for t in ("other.tickets", "edgewright_effects", '"Edgewright_Effects"', "sqlite_dbpage")),
        *(("postgres", t) for t in ("pg_shadow", "PG_AUTHID", "pg_catalog.pg_class", '"pg_catalog"."pg_authid"')),
        *(("postgres", t) for t in ("information_schema.tables", "private.tickets", "edgewright_effects", "pg_temp.x")),
        *(("postgres", t) for t in ("public.pg_stat_activity", '"pg_settings"', "pg_toast.x")),
    ],
)
def test_system_tables_and_other_schemas_are_refused_unless_they_are_listed(dialect: Dialect, table: str) -> None:
    assert refusal(f"SELECT * FROM {table}", rules(dialect)) == "table"


def test_names_are_compared_as_the_database_does() -> None:
    judged("SELECT * FROM TICKETS", rules("postgres", "tickets"))
    assert refusal('SELECT * FROM "TICKETS"', rules("postgres", "tickets")) == "table"
    judged('SELECT * FROM "Tickets"', rules("postgres", "Tickets"))
    assert refusal("SELECT * FROM Tickets", rules("postgres", "Tickets")) == "table"
    judged('SELECT * FROM "TICKETS"', rules("sqlite", "tickets"))
    # Only A to Z are folded: the Kelvin sign is no k.
    assert refusal("SELECT * FROM tic\u212aets", rules("postgres", "tickets")) == "table"
    assert refusal("SELECT * FROM tic\u212aets", rules("sqlite", "tickets")) == "table"


# -- properties ------------------------------------------------------------------------------------------------------

CHANGES = [
    "INSERT INTO t VALUES (1)",
    "INSERT INTO t SELECT 1",
    "REPLACE INTO t VALUES (1)",
    "UPDATE t SET a = 1",
    "DELETE FROM t WHERE a = 1",
    "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE",
    "CREATE TABLE x (a int)",
    "CREATE INDEX i ON t (a)",
    "CREATE TABLE x AS SELECT 1",
    "DROP TABLE t",
    "DROP VIEW IF EXISTS t",
    "ALTER TABLE t DROP COLUMN a",
    "TRUNCATE TABLE t",
    "SELECT 1 INTO x",
    "SELECT a FROM t FOR UPDATE",
    "SET a = 1",
    "PRAGMA a = 1",
    "COPY t TO '/tmp/x'",
    "GRANT ALL ON t TO u",
    "ATTACH 'x' AS y",
    "COMMIT",
    "VACUUM",
    "CALL f()",
    "ANALYZE t",
    "COMMENT ON TABLE t IS 'x'",
]
WRAPS = [
    "{}",
    "{};",
    "({})",
    "EXPLAIN {}",
    "EXPLAIN ANALYZE {}",
    "WITH a AS ({}) SELECT 1",
    "WITH a AS ({} RETURNING *) SELECT * FROM a",
    "WITH a AS (SELECT 1) {}",
    "SELECT * FROM ({}) AS x",
    "SELECT ({})",
    "SELECT 1 UNION {}",
    "SELECT 1 WHERE EXISTS ({})",
    "SELECT 1; {}",
    "{}; SELECT 1",
    "BEGIN; {}; COMMIT",
]
# By which sqlglot says that a statement changes something, or that it does not know what it does.
CHANGING = (
    *(
        exp.DDL,
        exp.DML,
        exp.Command,
        exp.Into,
        exp.Lock,
        exp.Set,
        exp.Pragma,
        exp.Attach,
        exp.Detach,
        exp.Copy,
        exp.Drop,
    ),
    *(exp.Alter, exp.TruncateTable, exp.Transaction, exp.Commit, exp.Rollback, exp.Grant, exp.Analyze, exp.Comment),
    *(exp.Merge, exp.Use, exp.Kill),
)
# A query is a `DDL` node to sqlglot's class tree only where it makes something.
QUERYING = (exp.Select, exp.SetOperation, exp.Subquery, exp.Values)


@st.composite
def noisy(draw: st.DrawFn) -> str:
    """A change, wrapped, with comments and spaces where there was a space, in any case."""
    statement = draw(st.sampled_from(CHANGES))
    for _ in range(draw(st.integers(0, 2))):
        statement = draw(st.sampled_from(WRAPS)).format(statement)
    gap = st.sampled_from([" ", "\n", "\t", "/**/", " /* SELECT */ ", " -- x\n", "  "])
    words = [draw(st.sampled_from([w, w.upper(), w.lower(), w.title()])) for w in statement.split(" ")]
    return words[0] + "".join(draw(gap) + word for word in words[1:])


def changes(statement: str, dialect: Dialect) -> bool:
    """Whether sqlglot, by itself, reads something that changes in a statement."""
    try:
        trees = sqlglot.parse(statement, dialect=dialect)
    except sqlglot.errors.SqlglotError:
        return False
    return any(
        isinstance(node, CHANGING) and not isinstance(node, QUERYING)
        for t in trees
        if t is not None
        for node in t.walk()
    )


@pytest.mark.parametrize("dialect", DIALECTS)
@given(statement=noisy())
@settings(max_examples=300, deadline=None)
@example(statement="SELECT 1 INTO x")
def test_whatever_sqlglot_reads_a_change_in_is_refused(dialect: Dialect, statement: str) -> None:
    logging.disable(logging.CRITICAL)  # sqlglot warns of what it does not know
    try:
        changing = changes(statement, dialect)
    finally:
        logging.disable(logging.NOTSET)
    for known in (rules(dialect), rules(dialect, "t", "u")):
        try:
            found = judged(statement, known)
        except SqlRefused:
            continue
        # The wrap may have turned it into a comment or an alias; then nothing in it may change anything.
        assert not changing, statement
        assert not changes(found.text, dialect), statement


@both
def test_the_property_above_is_about_something(dialect: Dialect, caplog: pytest.LogCaptureFixture) -> None:
    assert sum(changes(c, dialect) for c in CHANGES) >= len(CHANGES) - 3


NAMES = st.sampled_from(["tickets", "people", "a", "b", "Tickets", '"people"', "secrets"])


@st.composite
def queries(draw: st.DrawFn, depth: int = 3) -> str:
    """A query over tables and common table expressions whose names get in each other's way."""
    source = draw(NAMES)
    if depth and draw(st.booleans()):
        source = f"({draw(queries(depth - 1))}) AS {draw(NAMES)}"
    body = f"SELECT * FROM {source}"
    if depth and draw(st.booleans()):
        body += f" WHERE EXISTS ({draw(queries(depth - 1))})"
    if depth and draw(st.booleans()):
        body += f" UNION {draw(queries(depth - 1))}"
    if depth and draw(st.booleans()):
        inner = ", ".join(f"{draw(NAMES)} AS ({draw(queries(depth - 1))})" for _ in range(draw(st.integers(1, 2))))
        body = f"WITH {draw(st.sampled_from(['', 'RECURSIVE ']))}{inner} {body}"
        return f"SELECT * FROM ({body}) AS {draw(NAMES)}"
    return body


@pytest.mark.parametrize("dialect", DIALECTS)
@given(statement=queries())
@settings(max_examples=200, deadline=None)
def test_no_scope_makes_a_table_readable_that_is_not_open(dialect: Dialect, statement: str) -> None:
    known = rules(dialect, "tickets")
    try:
        found = judged(statement, known)
    except SqlRefused:
        return
    # What is left are tables with their schema, which are open, and names that no table has.
    sources = re.findall(r'(?:FROM|JOIN|,)\s+("?\w+"?(?:\."\w+")?)', found.sql)
    allowed = {f'"{SCHEMA[dialect]}"."tickets"'}
    assert all(s in allowed or re.fullmatch(r"edgewright_\d+", s) for s in sources), found.sql
    assert judged(found.text, known) == found


def test_a_form_that_is_not_read_back_as_it_was_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    forms = iter(["SELECT 1", "SELECT 2", "SELECT 1", "SELECT 1"])
    monkeypatch.setattr(sql_reading, "_rendered", lambda tree, dialect: next(forms))
    assert refusal("SELECT 3", rules("postgres")) == "syntax"
    assert judged("SELECT 4", rules("postgres")).sql == "SELECT 1"


@pytest.mark.parametrize("dialect", DIALECTS)
@given(
    st.one_of(
        st.text(max_size=200),
        st.lists(
            st.sampled_from(
                [
                    *(
                        "SELECT",
                        "FROM",
                        "WHERE",
                        "WITH",
                        "AS",
                        "UNION",
                        "IN",
                        "CASE",
                        "END",
                        ":a",
                        "::",
                        "1",
                        "t",
                        "--",
                    ),
                    *("/*", "*/", "(", ")", ",", ";", "*", "'", '"', ".", "[", "]", "$", "?", "@", "%", "\\"),
                ]
            ),
            max_size=30,
        ).map(" ".join),
    )
)
@settings(max_examples=200, deadline=None)
def test_no_text_does_more_than_be_refused_or_have_a_final_form(dialect: Dialect, text: str) -> None:
    known = rules(dialect)
    try:
        found = judged(text, known)
    except SqlRefused:
        return
    assert judged(found.text, known) == found


# -- declared --------------------------------------------------------------------------------------------------------


def faults(sql: str, *, effect: str = "write", most: int | None = 1, dialect: Dialect = "postgres") -> str:
    return " ".join(declared_faults(sql, dialect=dialect, effect=effect, most=most))


@both
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE tickets SET status = 'closed' WHERE id = :id",
        "INSERT INTO tickets (id) VALUES (:id) RETURNING id",
        "INSERT INTO tickets (id) VALUES (:id) ON CONFLICT (id) DO UPDATE SET status = 'x'",
        "DELETE FROM tickets WHERE id = :id",
        "INSERT INTO tickets SELECT * FROM people WHERE id = :id",
    ],
)
def test_a_change_of_rows_can_be_declared(dialect: Dialect, sql: str) -> None:
    assert faults(sql, dialect=dialect) == ""
    assert declared_parameters(sql, dialect) == {"id"}


@pytest.mark.parametrize("sql", ["DROP TABLE tickets", "CREATE TABLE x (a int)", "ALTER TABLE t ADD COLUMN a int"])
def test_a_change_of_the_database_itself_is_declared_irreversible_and_counts_no_rows(sql: str) -> None:
    assert "its effect is irreversible" in faults(sql, most=None)
    assert "declare most=None" in faults(sql, effect="irreversible")
    assert faults(sql, effect="irreversible", most=None) == ""


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("SELECT 1", "is Select"),
        ("GRANT ALL ON tickets TO PUBLIC", "which is none of"),
        ("COPY tickets TO PROGRAM 'cat'", "which is none of"),
        ("SET statement_timeout = 0", "which is none of"),
        ("COMMIT", "which is none of"),
        ("PRAGMA writable_schema = ON", "which is none of"),
        ("UPDATE tickets SET id = 1; DROP TABLE tickets", "more than one statement"),
        ("WITH d AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM d", "changes more inside itself"),
        ("INSERT OR REPLACE INTO tickets VALUES (1)", "OR REPLACE removes rows"),
        ("", "there is no statement"),
        ("UPDATE tickets SET WHERE (", "cannot be read"),
    ],
)
def test_nothing_else_can_be_declared(sql: str, fault: str) -> None:
    dialect: Dialect = "sqlite" if "REPLACE" in sql or "PRAGMA" in sql else "postgres"
    assert fault in faults(sql, effect="irreversible", most=None, dialect=dialect)


@pytest.mark.parametrize("sql", ["DELETE FROM t WHERE id = ?", "DELETE FROM t WHERE id = $1"])
def test_a_declared_parameter_has_a_name(sql: str) -> None:
    with pytest.raises(SqlRefused, match="a colon and a name"):
        declared_parameters(sql, "postgres")
