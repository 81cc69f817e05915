"""Running SQL: queries, shown as far as the limits allow, and declared statements, in a transaction each."""

from __future__ import annotations

import datetime
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict

import orjson

from ...contracts.errors import EffectConflict, SqlFailed, SqlRefused
from .sql_connections import TOO_LARGE, Place, driver, engine_of, guarded, reader, writer
from .sql_reading import EFFECTS

if TYPE_CHECKING:
    from sqlalchemy import Connection, CursorResult, Engine, TextClause
    from sqlalchemy.exc import SQLAlchemyError

MAX_COLUMNS = 100
_SAID = 200
_BATCH = 50
_WIDEST = 2**63
# As `name[]`, so that what is too long is cut as an identifier is.
_OF_ROWS = (
    "SELECT DISTINCT p.proname::text FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_type y ON y.oid = p.proargtypes[0] "
    "WHERE p.proname = ANY(%(names)s::name[]) AND y.typtype <> 'b' ORDER BY 1"
)


class Rows(TypedDict):
    """What a query found. `cut` says what is missing, and is empty if nothing is."""

    columns: list[str]
    rows: list[list[Any]]
    cut: str


class Changed(TypedDict):
    """What a statement did: how many rows it changed (None where none are counted), and those that it returns."""

    changed: int | None
    columns: list[str]
    rows: list[list[Any]]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A declared statement, as it runs.

    Attributes:
        tool: the name of its tool.
        most: how many rows it may change; None: any number, also where they are not counted.
        once: whether its outcome is kept under the effect's key.
        repeats: whether a call may be the repetition of one whose outcome is not known. Then only what is kept under
            the key can say that nothing happened.
    """

    tool: str
    clause: TextClause
    most: int | None
    once: bool
    repeats: bool


class Database:
    """Runs statements at a place. Nothing in here judges them."""

    def __init__(self, place: Place) -> None:
        self._place = place

    @cached_property
    def _reading(self) -> Engine:
        return engine_of(self._place, reading=True)

    @cached_property
    def _changing(self) -> Engine:
        return engine_of(self._place, reading=False)

    # -- reading -----------------------------------------------------------------------------------------------------

    def rows(self, sql: str, values: Mapping[str, Any], called: frozenset[str] = frozenset()) -> Rows:
        """Run a query, written for the driver. Whatever it is, it changes nothing.

        Args:
            called: names that call a function where a table has no such column; see `Judged`.

        Raises:
            SqlRefused: the database did not take it, it would call a function by a name of `called`, or a limit was
                met before there was anything to show.
        """
        from sqlalchemy.exc import SQLAlchemyError

        deadline = time.monotonic() + self._place.max_seconds
        streamed = {"stream_results": True, "max_row_buffer": _BATCH}
        try:
            with reader(self._reading, self._place, deadline) as connection:
                if called:
                    _refuse_functions_of_rows(connection, called)
                guarded_ = guarded(sql, self._place)
                result = connection.exec_driver_sql(guarded_, dict(values), execution_options=streamed)
                with result:
                    return self._taken(result, deadline)
        except SQLAlchemyError as error:
            raise self._refused(error) from None
        except (OverflowError, ValueError):
            raise SqlRefused(rule="database", fault="a value is not one that the database can hold") from None

    def _taken(self, result: CursorResult[Any], deadline: float) -> Rows:
        columns = _columns(result)
        found: list[list[Any]] = []
        used, cut, place = 0, "", self._place
        if len(columns) > MAX_COLUMNS:
            raise SqlRefused(rule="limit", fault=f"{len(columns)} columns are asked for, at most {MAX_COLUMNS} may be")
        try:
            for row in result:
                values = [_json(v) for v in row]
                used += len(orjson.dumps(values))
                if len(found) == place.max_rows:
                    cut = f"the first {len(found)} rows are shown; there are more"
                elif used > place.max_bytes and not found:
                    raise SqlRefused(rule="limit", fault=_large(used, place))
                elif used > place.max_bytes:
                    cut = f"the first {len(found)} rows are shown; with more it would be over {place.max_bytes} bytes"
                elif time.monotonic() > deadline and found:
                    cut = f"the first {len(found)} rows are shown; the time limit of {place.max_seconds:g} s was met"
                if cut:
                    break
                found.append(values)
        except Exception as error:
            if not found or not _is_late(getattr(error, "orig", None)):
                raise
            cut = f"the first {len(found)} rows are shown; the time limit of {place.max_seconds:g} s was met"
        return {"columns": columns, "rows": found, "cut": cut}

    # -- changing ----------------------------------------------------------------------------------------------------

    def change(self, job: Job, values: Mapping[str, Any], key: str) -> Changed:
        """Run a declared statement in a transaction of its own.

        Raises:
            SqlRefused: nothing was changed, and nothing had been under this key.
            SqlFailed: it is not known whether it was.
            EffectConflict: the key is that of another statement.
        """
        from sqlalchemy.exc import SQLAlchemyError

        certain = not job.repeats
        try:
            with writer(self._changing, self._place) as connection:
                if job.once:
                    held = self._held(connection, job, key)
                    if held is not None:
                        return held
                    certain = True
                changed = self._changed(connection, job, values)
                if job.once:
                    self._hold(connection, job, key, changed)
                self._commit(connection, job)
                return changed
        except SqlRefused as error:
            if certain or error.facts["rule"] == "prepare":
                raise
            raise SqlFailed(statement=job.tool, fault=str(error)) from None
        except SQLAlchemyError as error:
            refusal = self._refused(error)
            raise (refusal if certain else SqlFailed(statement=job.tool, fault=str(refusal))) from None
        except (OverflowError, ValueError):
            raise SqlRefused(rule="database", fault="a value is not one that the database can hold") from None

    def prepare(self) -> None:
        """Make the table that keeps outcomes, if it is not there. Raises SqlRefused."""
        from sqlalchemy import text
        from sqlalchemy.exc import SQLAlchemyError

        made = f"CREATE TABLE IF NOT EXISTS {self._place.effects} (key TEXT PRIMARY KEY, result TEXT NOT NULL)"
        try:
            with writer(self._changing, self._place) as connection:
                connection.execute(text(made))
                connection.commit()
        except SQLAlchemyError as error:
            raise self._refused(error) from None

    def _held(self, connection: Connection, job: Job, key: str) -> Changed | None:
        """The outcome that is kept under a key; None where the key was free, and is taken now."""
        from sqlalchemy import text
        from sqlalchemy.exc import DBAPIError

        take = text(f"INSERT INTO {self._place.effects} (key, result) VALUES (:key, '') ON CONFLICT (key) DO NOTHING")  # noqa: S608
        try:
            taken = connection.execute(take, {"key": key}).rowcount
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == "42P01" or "no such table" in str(error.orig):
                fault = f"there is no table {EFFECTS} to keep outcomes in; call prepare() of the connector once"
                raise SqlRefused(rule="prepare", fault=fault) from None
            raise
        if taken:
            return None
        found = text(f"SELECT result FROM {self._place.effects} WHERE key = :key")  # noqa: S608
        held = orjson.loads(connection.execute(found, {"key": key}).scalar_one())
        if held["tool"] != job.tool:
            raise EffectConflict(key=key, recorded=held["tool"], asked=job.tool)
        outcome: Changed = held["outcome"]
        return outcome

    def _hold(self, connection: Connection, job: Job, key: str, outcome: Changed) -> None:
        from sqlalchemy import text

        keep = text(f"UPDATE {self._place.effects} SET result = :result WHERE key = :key")  # noqa: S608
        result = orjson.dumps({"tool": job.tool, "outcome": outcome}).decode()
        connection.execute(keep, {"key": key, "result": result})

    def _changed(self, connection: Connection, job: Job, values: Mapping[str, Any]) -> Changed:
        columns: list[str] = []
        rows: list[list[Any]] = []
        with connection.execute(job.clause, dict(values)) as result:
            if result.returns_rows:
                columns = _columns(result)
                rows = [[_json(v) for v in row] for row in result]
            count = len(rows) if columns else result.rowcount
        if job.most is not None:
            if count < 0:
                raise SqlRefused(rule="limit", fault="the database does not say how many rows it would change")
            if count > job.most:
                fault = f"it would change {count} rows, at most {job.most} may be; nothing was changed"
                raise SqlRefused(rule="limit", fault=fault)
        return {"changed": count if count >= 0 else None, "columns": columns, "rows": rows}

    def _commit(self, connection: Connection, job: Job) -> None:
        from sqlalchemy.exc import IntegrityError, SQLAlchemyError

        if self._place.dialect == "sqlite":
            driver(connection).set_progress_handler(None, 0)
        try:
            connection.commit()
        except IntegrityError:  # a constraint that is checked at the end did not hold
            raise
        except SQLAlchemyError as error:
            if getattr(getattr(error, "orig", None), "sqlite_errorname", "") == "SQLITE_BUSY":
                raise
            raise SqlFailed(statement=job.tool, fault="the end of its transaction failed") from None

    # -- errors ------------------------------------------------------------------------------------------------------

    def _refused(self, error: SQLAlchemyError) -> SqlRefused:
        """What a model may be told of an error: what the database says first, cut, without what is secret."""
        place, orig = self._place, getattr(error, "orig", None)
        primary = getattr(getattr(orig, "diag", None), "message_primary", None) or str(orig or type(error).__name__)
        if _is_late(orig):
            return SqlRefused(rule="limit", fault=f"it took longer than {place.max_seconds:g} s, and was stopped")
        if TOO_LARGE in primary:
            return SqlRefused(rule="limit", fault=_large(primary.partition(TOO_LARGE)[2].strip('"'), place))
        if getattr(orig, "sqlite_errorname", "") == "SQLITE_TOOBIG":
            return SqlRefused(rule="limit", fault=_large("too many", place))
        said = " ".join(primary.split("\n")[0].split())
        for secret in (place.url.password, place.url.username):
            said = re.sub(rf"(?<!\w){re.escape(str(secret))}(?!\w)", "…", said) if secret else said
        return SqlRefused(rule="database", fault=said if len(said) <= _SAID else f"{said[:_SAID]}…")


def _refuse_functions_of_rows(connection: Connection, names: frozenset[str]) -> None:
    """Raises SqlRefused: a name behind a table's could call a function that takes a whole row of it."""
    if found := connection.exec_driver_sql(_OF_ROWS, {"names": sorted(names)}).scalars().all():
        fault = f"{', '.join(found)} is a function of whole rows; name a column without its table"
        raise SqlRefused(rule="function", fault=fault)


# -- values ----------------------------------------------------------------------------------------------------------


def _columns(result: CursorResult[Any]) -> list[str]:
    return [str(column[0]) for column in getattr(result.cursor, "description", None) or ()]


def _json(value: object) -> Any:
    """A value of the database as JSON has it. Binary ones are told of, not shown."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if -_WIDEST <= value < _WIDEST else str(value)
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes() | bytearray() | memoryview():
            return f"(binary, {len(value)} bytes)"
        case Decimal():
            return str(value)
        case datetime.date() | datetime.time():
            return value.isoformat()
        case Mapping():
            return {str(k): _json(v) for k, v in value.items()}
        case list() | tuple():
            return [_json(v) for v in value]
        case _:
            return str(value)


def _is_late(orig: object) -> bool:
    return getattr(orig, "sqlite_errorname", "") == "SQLITE_INTERRUPT" or getattr(orig, "sqlstate", "") == "57014"


def _large(size: object, place: Place) -> str:
    return (
        f"a single row has {size} bytes, at most {place.max_bytes} are shown; "
        "ask for fewer columns, or for a part of a text with substr()"
    )
