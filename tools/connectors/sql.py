"""SQL, for agents: queries that only read, and changes that a person declared statement by statement.

A query is read only twice over: what it may be is judged by its parser (`sql_reading.py`), and the connection that runs
it can change nothing by itself (`sql_connections.py`). Each declared statement is a tool of its own, with typed
parameters, a limit on the rows that it may change, and, on request, its outcome kept in the same transaction.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, cast, get_args

from pydantic import Field, SecretStr
from pydantic_core import to_jsonable_python

from ...contracts.errors import SqlRefused, ToolInvalid
from ...contracts.labels import SENSITIVITIES, Sensitivity
from ...contracts.tool import Effect, Idempotency, Role, Trust
from ..run import ToolContext
from ..sealed import SealedTool, tool
from .sql_connections import Place
from .sql_reading import MAX_STATEMENT, Dialect, Rules, declared_faults, declared_parameters, folded, judged
from .sql_running import Changed, Database, Job, Rows

if TYPE_CHECKING:
    from sqlalchemy import URL

__all__ = ["Changed", "Rows", "Sql", "Statement"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
_DRIVERS: Mapping[str, tuple[Dialect, str]] = {
    "sqlite": ("sqlite", "sqlite+pysqlite"),
    "sqlite+pysqlite": ("sqlite", "sqlite+pysqlite"),
    "postgresql": ("postgres", "postgresql+psycopg"),
    "postgresql+psycopg": ("postgres", "postgresql+psycopg"),
}
_GRACE = 10.0
"""The gate's own time-out is that much later than the database's, whose end of a statement is certain."""

Scalar = str | int | float | bool | None


class Reach(TypedDict):
    """What policy reads of a query (`context.facts`): the tables that it names, as `schema.table`."""

    tables: list[str]


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A statement that a person wrote, as a tool. What is not declared has the most dangerous value.

    Attributes:
        sql: one INSERT, UPDATE, DELETE, MERGE, or, where `effect` is `irreversible`, CREATE, ALTER, DROP, TRUNCATE;
            where it is `read`, a query. Parameters are written `:name`. The model reads it.
        description: what it is for; the model reads that too.
        effect: what it does to the world.
        parameters: for each parameter its type, as a tool's function has it (`int`, `Annotated[str, Field(...)]`).
        roles: what the parameters are; see `edgewright.contracts.tool.ToolSpec`.
        most: how many rows it may change; with one more, nothing is changed and the call is refused. What triggers and
            foreign keys change is not counted. None: any number, also where rows are not counted. SQLite's foreign
            keys are enforced.
        once: its outcome is kept under the effect's key, in the same transaction, and given back for the same key: its
            idempotency then is `key`. The table for that is made by `Sql.prepare`.
        idempotency: `natural` if repeating it with the same parameters changes nothing more.
    """

    sql: str
    description: str = ""
    effect: Effect = "irreversible"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    most: int | None = 1
    once: bool = False
    idempotency: Idempotency = "none"


@dataclass(frozen=True, kw_only=True, eq=False)
class Sql:
    """A SQLite file or a PostgreSQL database: `<name>_query(statement, parameters)`, and a tool for each statement.

    Each call has a connection of its own. PostgreSQL: give the URL of a user who may read, and change, no more than the
    agents should; a superuser reads as `pg_read_all_data` (PostgreSQL 14 and newer), never as itself.

    Attributes:
        name: the prefix of the tools' names.
        url: `sqlite:///path` (an existing file) or `postgresql://user:password@host/database`; never shown.
        tables: what a query may read, as `table` or `schema.table`, named as the database has them; None: every table
            and view of `schema`. System catalogs only if they are listed.
        statements: by name; the tool of `close` is `<name>_close`.
        query: whether there is a tool for free queries.
        functions: names that a query may call beside the common ones (see `sql_words.py`).
        schema: where tables are that are named without one: `public` unless said otherwise; SQLite has only `main`.
        max_rows, max_bytes: how much of a result is shown; what is cut off is said.
        max_seconds: how long the database may work on a statement.
        output, sensitivity: of what is returned.
        sink: whether data can leave the house through it: others may read the database, or its log of statements.

    Raises:
        ToolInvalid: with everything that is wrong with it.
    """

    name: str = "sql"
    url: str | SecretStr = field(repr=False)
    tables: tuple[str, ...] | None = None
    statements: Mapping[str, Statement] = field(default_factory=dict)
    query: bool = True
    functions: tuple[str, ...] = ()
    schema: str | None = None
    max_rows: int = 200
    max_bytes: int = 64 * 1024
    max_seconds: float = 5.0
    output: Trust = "untrusted"
    sensitivity: Sensitivity = "secret"
    sink: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", SecretStr(self._plain_url))
        # Each stage stands on the one before it.
        faults = [*_missing("sqlalchemy", "sqlglot"), *_faults_of_limits(self)]
        faults = faults or [*self._faults_of_place()] or [*self._faults_of_statements()]
        if faults:
            raise ToolInvalid(name=str(self.name), faults=faults)

    def tools(self) -> list[SealedTool]:
        """The governed tools: the query first, then the statements by name."""
        made = [self._query()] if self.query else []
        return made + [self._declared(key, self.statements[key]) for key in sorted(self.statements)]

    def prepare(self) -> None:
        """Make the table `edgewright_effects`, in which statements that are done once keep their outcomes.

        Once per database, by a user who may create tables. Raises SqlRefused.
        """
        self._database.prepare()

    # -- tools -------------------------------------------------------------------------------------------------------

    def _query(self) -> SealedTool:
        def query(
            statement: Annotated[str, Field(max_length=MAX_STATEMENT)], parameters: dict[str, Scalar] | None = None
        ) -> Rows:
            return self._read(statement, parameters or {})

        def reach(statement: str) -> Reach:
            return {"tables": sorted(judged(statement, self._rules).tables)}

        readable = "all" if self.tables is None else ", ".join(self.tables) or "none"
        query.__doc__ = (
            f"Read from the {self._kind} database with one statement: SELECT, WITH, VALUES or a set operation.\n\n"
            f"Give values in `parameters`, and write :name for them in the statement. Tables: {readable}. "
            f"At most {self.max_rows} rows and {self.max_bytes} bytes are shown; `cut` says what is missing."
        )
        return tool(
            name=f"{self.name}_query",
            effect="read",
            output=self.output,
            sensitivity=self.sensitivity,
            sink=self.sink,
            facts=reach,
            timeout=self._timeout,
        )(query)

    def _read(self, statement: str, parameters: Mapping[str, Any]) -> Rows:
        found = judged(statement, self._rules)
        if found.parameters != set(parameters):
            wanted = ", ".join(sorted(found.parameters)) or "none"
            fault = f"the parameters of the statement are {wanted}; give exactly those"
            raise SqlRefused(rule="parameter", fault=fault)
        return self._database.rows(found.sql, parameters, found.called)

    def _declared(self, key: str, statement: Statement) -> SealedTool:
        from sqlalchemy import text

        reads, known = statement.effect == "read", f"{self.name}_{key}"
        idempotency: Idempotency = "key" if statement.once else statement.idempotency
        job = Job(
            tool=known,
            clause=text(statement.sql),
            most=statement.most,
            once=statement.once,
            repeats=idempotency != "none",
        )

        def run(*, ctx: ToolContext, **given: Any) -> Any:
            values = {k: to_jsonable_python(v) for k, v in given.items()}
            return self._read(statement.sql, values) if reads else self._database.change(job, values, ctx.key)

        return tool(
            name=known,
            effect=statement.effect,
            output=self.output,
            sensitivity=self.sensitivity,
            sink=self.sink,
            roles=statement.roles,
            idempotency=idempotency,
            timeout=self._timeout,
        )(_typed(run, statement, Rows if reads else Changed))

    # -- what it stands on -------------------------------------------------------------------------------------------

    @property
    def _plain_url(self) -> str:
        return self.url.get_secret_value() if isinstance(self.url, SecretStr) else str(self.url)

    @property
    def _kind(self) -> str:
        return "SQLite" if self._rules.dialect == "sqlite" else "PostgreSQL"

    @property
    def _timeout(self) -> float:
        return 3 * self.max_seconds + _GRACE

    @cached_property
    def _rules(self) -> Rules:
        dialect = _DRIVERS[self._parsed_url.drivername][0]
        schema = "main" if dialect == "sqlite" else self.schema or "public"
        names = None if self.tables is None else frozenset(_whole(t, schema, dialect) for t in self.tables)
        functions = frozenset(f.lower() for f in self.functions)
        return Rules(dialect=dialect, schema=schema, tables=names, functions=functions)

    @cached_property
    def _database(self) -> Database:
        url = self._parsed_url.set(drivername=_DRIVERS[self._parsed_url.drivername][1])
        if self._rules.dialect == "sqlite":
            # Where it is must not depend on what the process does later.
            url = url.set(database=str(Path(str(url.database)).absolute()))
        place = Place(
            url=url,
            rules=self._rules,
            max_rows=self.max_rows,
            max_bytes=self.max_bytes,
            max_seconds=self.max_seconds,
        )
        return Database(place)

    @property
    def _parsed_url(self) -> URL:
        from sqlalchemy import make_url

        return make_url(self._plain_url)

    def _faults_of_place(self) -> Iterator[str]:
        from sqlalchemy.exc import ArgumentError

        try:
            url = self._parsed_url
            driver = url.drivername
        except (ArgumentError, ValueError):  # its text holds the URL
            driver = ""
        if driver not in _DRIVERS:
            yield "its URL is none of sqlite:///path and postgresql://user:password@host/database"
        elif _DRIVERS[driver][0] == "sqlite":
            if not url.database or url.database == ":memory:" or url.database.startswith("file:") or url.query:
                yield "its URL names no file of SQLite: sqlite:///path, without anything behind the path"
            if self.schema not in (None, "main"):
                yield f"SQLite has no schema {self.schema!r}, only 'main'"
        elif not url.database:
            yield "its URL names no database"
        else:
            yield from _missing("psycopg")

    def _faults_of_statements(self) -> Iterator[str]:
        for key, statement in self.statements.items():
            if not _NAME.fullmatch(key) or key == "query":
                yield f"statement {key!r}: its name is lower case letters, digits and underscores, and not 'query'"
            yield from (f"statement {key!r}: {fault}" for fault in self._faults_of(statement))

    def _faults_of(self, statement: Statement) -> Iterator[str]:
        from sqlalchemy import text

        dialect = self._rules.dialect
        if statement.effect not in get_args(Effect):
            yield f"effect {statement.effect!r} is none of {', '.join(get_args(Effect))}"
        if statement.most is not None and statement.most < 0:
            yield "most is negative"
        if statement.idempotency not in ("natural", "none"):
            yield f"idempotency {statement.idempotency!r} is declared by once=True, or is 'natural' or 'none'"
        if statement.once and (statement.effect == "read" or statement.idempotency != "none"):
            yield "once=True is for what changes something, and says all about its idempotency"
        try:
            if statement.effect == "read":
                found = judged(statement.sql, self._rules).parameters
            else:
                yield from declared_faults(statement.sql, dialect=dialect, effect=statement.effect, most=statement.most)
                found = declared_parameters(statement.sql, dialect)
                if found != set(text(statement.sql).compile().params):
                    yield "a colon in a text is taken for a parameter; write \\: there"
        except SqlRefused as refusal:
            yield str(refusal)
            return
        if found != set(statement.parameters):
            yield f"its parameters are {', '.join(sorted(found)) or 'none'}; declare a type for exactly those"


def _typed(run: Any, statement: Statement, returns: Any) -> Any:
    """The function with the parameters of a statement, as `tool` reads them."""
    keyword, types = inspect.Parameter.KEYWORD_ONLY, dict(statement.parameters)
    named = [inspect.Parameter(n, keyword, annotation=t) for n, t in types.items()]
    made = cast(Any, run)
    made.__signature__ = inspect.Signature([*named, inspect.Parameter("ctx", keyword)])
    made.__annotations__ = {**types, "return": returns}
    limit = (
        "" if statement.effect == "read" or statement.most is None else f"\n\nChanges at most {statement.most} rows."
    )
    # A reviewer's yes is bound to what a tool is: its statement is part of that.
    made.__doc__ = f"{statement.description or 'Run a statement.'}\n\nIt runs: {statement.sql.strip()}{limit}"
    return made


def _whole(table: str, schema: str, dialect: Dialect) -> str:
    whole = table if "." in table else f"{schema}.{table}"
    return folded(whole) if dialect == "sqlite" else whole


def _missing(*modules: str) -> Iterator[str]:
    if missing := [m for m in modules if find_spec(m) is None]:
        yield f"it needs {' and '.join(missing)}: pip install edgewright[sql] (for PostgreSQL also psycopg[binary])"


def _faults_of_limits(sql: Sql) -> Iterator[str]:
    if not _NAME.fullmatch(sql.name):
        yield "its name is lower case letters, digits and underscores, at most 41"
    for what in ("max_rows", "max_bytes"):
        if getattr(sql, what) < 1:
            yield f"{what} is less than 1"
    if not (0 < sql.max_seconds < math.inf):
        yield f"max_seconds {sql.max_seconds} is not a positive number of seconds"
    if sql.output not in get_args(Trust):
        yield f"output {sql.output!r} is none of {', '.join(get_args(Trust))}"
    if sql.sensitivity not in SENSITIVITIES:
        yield f"sensitivity {sql.sensitivity!r} is none of {', '.join(SENSITIVITIES)}"
    if any(not t.strip(".") or t.count(".") > 1 for t in sql.tables or ()):
        yield "a table is named as table, or as schema.table"
    if not sql.query and not sql.statements:
        yield "it has neither queries nor statements, so it has no tools"
