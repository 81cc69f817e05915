"""Reading SQL: what a statement that a model wrote may be, and what a declared one may change. Pure, no database.

A model's statement is never executed as it came. It is parsed, judged by allow lists (syntax, functions, types,
tables), and written anew from the tree that was judged: every table with its schema, every common table expression
under a name that no table has. A comment, a spelling or a scope that two parsers read differently thus cannot part
what was judged from what runs: it ends as an error of the database. What was written is judged once more.

The rules that refuse: `text`, `several`, `depth`, `syntax`, `kind`, `type`, `function`, `table`, `parameter`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from ...contracts.errors import SqlRefused
from .sql_words import COMMON, FORBIDDEN, OPENING, POSTGRES, SQLITE, SYNTAX, TYPES

if TYPE_CHECKING:
    from sqlglot import exp

Dialect = Literal["sqlite", "postgres"]
MAX_STATEMENT = 10_000
MAX_DEPTH = 40
EFFECTS = "edgewright_effects"
"""The table in which statements that are done once keep their outcomes."""
SYSTEM = {"sqlite": ("sqlite_", "pragma_", "dbstat", EFFECTS), "postgres": ("pg_", EFFECTS)}
_MADE = re.compile(r"edgewright_\d+")
_NAME = re.compile(r"[^\W\d]\w*")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# No statement contains the character, so this can be nothing but a parameter.
_MARK, _MARKED = "\x01", re.compile("\x01([A-Za-z0-9_]+)\x01")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_QUERIES = frozenset({"Select", "Union", "Intersect", "Except", "Values", "Subquery"})
_CHANGES = frozenset({"Insert", "Update", "Delete", "Merge"})
_REBUILDS = frozenset({"Create", "Drop", "Alter", "TruncateTable"})
_TABLE_PARTS = frozenset({"this", "db", "alias", "joins"})
_DEEPER = frozenset({"L_PAREN", "L_BRACKET", "L_BRACE", "CASE"})
_HIGHER = frozenset({"R_PAREN", "R_BRACKET", "R_BRACE", "END"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a model's statement may touch.

    Attributes:
        schema: where a table is looked for that is named without one.
        tables: `schema.table` as the database has them (SQLite: in lower case); None: all of `schema`, system tables
            apart.
        functions: names, in lower case, beside those that every connector knows.
    """

    dialect: Dialect
    schema: str
    tables: frozenset[str] | None = None
    functions: frozenset[str] = frozenset()

    @property
    def known_functions(self) -> frozenset[str]:
        """Every function that a statement may call."""
        return COMMON | (SQLITE if self.dialect == "sqlite" else POSTGRES) | self.functions


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A statement that only reads.

    Attributes:
        sql: what is to be executed, with parameters as the dialect's driver wants them.
        text: the same, with parameters as `:name`.
        parameters: their names.
        tables: every table that it reads, as `schema.table`.
        called: names behind a table's that are no known functions: in PostgreSQL `t.f` is f(t) where t has no column f.
    """

    sql: str
    text: str
    parameters: frozenset[str]
    tables: frozenset[str]
    called: frozenset[str] = frozenset()


def judged(statement: str, rules: Rules) -> Judged:
    """The one form of a statement that may run. Raises SqlRefused, whatever is wrong with it."""
    if len(statement) > MAX_STATEMENT:
        raise SqlRefused(rule="text", fault=f"the statement has more than {MAX_STATEMENT} characters")
    try:
        found = _written(statement, rules)
        again = _written(found.text, rules)
    except RecursionError:
        raise SqlRefused(rule="depth", fault="the statement is nested too deeply; take it apart") from None
    if again != found:
        raise SqlRefused(rule="syntax", fault="the statement can be read in two ways; write it more plainly")
    return found


def declared_faults(sql: str, *, dialect: Dialect, effect: str, most: int | None) -> list[str]:
    """What is wrong with a changing statement that a person declared."""
    try:
        tree = _parsed(sql, dialect)
    except (SqlRefused, RecursionError) as error:
        return [str(error)]
    kind = type(tree).__name__
    faults = []
    if kind in _REBUILDS:
        if effect != "irreversible":
            faults.append(f"{kind} changes the database itself: its effect is irreversible")
        if most is not None:
            faults.append(f"{kind} counts no rows: declare most=None")
    elif kind not in _CHANGES:
        return [f"is {kind}, which is none of INSERT, UPDATE, DELETE, MERGE, CREATE, ALTER, DROP, TRUNCATE"]
    inner = {type(n).__name__ for n in tree.walk() if n is not tree} & (_CHANGES | _REBUILDS | {"Command"})
    if inner:
        faults.append(f"changes more inside itself ({', '.join(sorted(inner))}), where no rows are counted")
    if str(tree.args.get("alternative")).upper() == "REPLACE":
        faults.append("OR REPLACE removes rows that are not counted; write ON CONFLICT ... DO UPDATE")
    return faults


def declared_parameters(sql: str, dialect: Dialect) -> frozenset[str]:
    """The names of a declared statement's parameters. Raises SqlRefused for any that is not written `:name`."""
    return _parameters(_parsed(sql, dialect))


def folded(name: str) -> str:
    """A name as SQLite compares names, and as PostgreSQL keeps one that is not quoted: A to Z in lower case."""
    return "".join(c.lower() if c.isascii() else c for c in name)


def shown(text: str) -> str:
    """A piece of a statement as a message may hold it: escaped, and cut with a mark."""
    plain = "".join(c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in text)
    return repr(plain if len(plain) <= 60 else f"{plain[:60]}…")


# -- one statement ---------------------------------------------------------------------------------------------------


@lru_cache
def _dialect(name: Dialect) -> Any:
    """The dialect as sqlglot has it, except that it leaves the paths of JSON operators as they are written."""
    from sqlglot.dialects.dialect import Dialect as Known

    return type(
        f"Edgewright{name.title()}", (Known.get_or_raise(name).__class__,), {"to_json_path": lambda _, path: path}
    )


def _tokens(statement: str, dialect: Dialect) -> list[Any]:
    try:
        return list(_dialect(dialect)().tokenize(statement))
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001 - whatever the library stumbles over is not understood
        raise _unread() from None


def _unread() -> SqlRefused:
    fault = "the statement cannot be read; write plain SQL, with parameters whose names are no keywords"
    return SqlRefused(rule="syntax", fault=fault)


def _words_of(statement: str, dialect: Dialect) -> list[Any]:
    """The tokens of a statement that is one, of what can be seen, and not too deep."""
    unseen = {c for c in statement if c not in "\t\n\r" and unicodedata.category(c) in _UNSEEN}
    if unseen:
        names = ", ".join(f"U+{ord(c):04X}" for c in sorted(unseen))
        raise SqlRefused(rule="text", fault=f"the statement holds characters that cannot be seen: {names}")
    tokens = _tokens(statement, dialect)
    while tokens and tokens[-1].token_type.name == "SEMICOLON":
        tokens.pop()
    if not tokens:
        raise SqlRefused(rule="several", fault="there is no statement")
    if any(t.token_type.name == "SEMICOLON" for t in tokens):
        raise SqlRefused(rule="several", fault="there is more than one statement; send them one by one")
    depth = 0
    for token in tokens:
        depth += (token.token_type.name in _DEEPER) - (token.token_type.name in _HIGHER)
        if depth > MAX_DEPTH:
            raise SqlRefused(rule="depth", fault=f"the statement is nested more than {MAX_DEPTH} deep; take it apart")
    return tokens


def _parsed(statement: str, dialect: Dialect) -> exp.Expr:
    """The tree of one statement of any kind."""
    import sqlglot

    _words_of(statement, dialect)
    try:
        trees = sqlglot.parse(statement, dialect=_dialect(dialect))
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001 - as above
        raise _unread() from None
    if len(found := [t for t in trees if t is not None]) != 1:
        raise SqlRefused(rule="several", fault="there is not exactly one statement")
    return found[0]


def _written(statement: str, rules: Rules) -> Judged:
    # Before it is parsed: what the parser does not know, it would log.
    first = _words_of(statement, rules.dialect)[0].text.upper()
    if first not in ("SELECT", "WITH", "VALUES", "("):
        raise SqlRefused(rule="kind", fault=f"a statement that begins with {shown(first)} is no SELECT, WITH or VALUES")
    tree = _parsed(statement, rules.dialect)
    _check_kinds(tree, rules)
    places = _Tables(rules)
    places.visit(tree, {})
    names = _parameters(tree)
    called = _called(tree, rules)
    text = _rendered(tree, rules.dialect)
    _check_words(text, rules)
    driver = text if rules.dialect == "sqlite" else text.replace("%", "%%")
    return Judged(
        sql=_MARKED.sub(r":\1" if rules.dialect == "sqlite" else r"%(\1)s", driver),
        text=_MARKED.sub(r":\1", text),
        parameters=names,
        tables=frozenset(places.read),
        called=called,
    )


def _called(tree: exp.Expr, rules: Rules) -> frozenset[str]:
    """See `Judged.called`."""
    from sqlglot import exp

    if rules.dialect == "sqlite":
        return frozenset()
    qualified = (c.this for c in tree.find_all(exp.Column) if c.args.get("table") is not None)
    names = {i.name if i.args.get("quoted") else folded(i.name) for i in qualified if isinstance(i, exp.Identifier)}
    return frozenset(names - rules.known_functions)


def _check_kinds(tree: exp.Expr, rules: Rules) -> None:
    from sqlglot import exp

    functions = rules.known_functions
    if type(tree).__name__ not in _QUERIES:
        raise SqlRefused(rule="kind", fault=f"{type(tree).__name__} is no SELECT, WITH, VALUES or set operation")
    for node in tree.walk():
        kind = type(node).__name__
        # Functions that the parser knows are judged by the names that they have in the end, in `_check_words`.
        if kind not in SYNTAX and not isinstance(node, exp.Func):
            raise SqlRefused(rule="kind", fault=f"{kind} is not among what a query may hold")
        if isinstance(node, exp.Lateral) and not isinstance(node.this, exp.Subquery):
            raise SqlRefused(rule="function", fault="LATERAL takes a SELECT in parentheses, no functions")
        if isinstance(node, exp.Anonymous) and node.name.lower() not in functions:
            raise SqlRefused(rule="function", fault=f"a query may not call function {shown(node.name.lower())}")
        if isinstance(node, exp.DataType) and str(getattr(node.this, "name", node.this)) not in TYPES:
            raise SqlRefused(rule="type", fault=f"a value cannot be cast to {shown(node.sql())}")
        if isinstance(node, exp.Identifier) and not node.args.get("quoted") and not _NAME.fullmatch(node.name):
            raise SqlRefused(rule="syntax", fault=f"{shown(node.name)} is no plain name; quote it")
        # `x IN name` reads the table of that name in SQLite, and does not look like it.
        if isinstance(node, exp.In) and (node.args.get("field") or node.args.get("unnest")):
            raise SqlRefused(rule="syntax", fault="IN takes a list or a SELECT in parentheses")


def _parameters(tree: exp.Expr) -> frozenset[str]:
    """The names of the parameters."""
    from sqlglot import exp

    found = set()
    for node in tree.find_all(exp.Placeholder, exp.Parameter):
        # Of the other ways to write one, some name a position, and some nothing.
        name = node.this if isinstance(node, exp.Placeholder) else None
        if not isinstance(name, str) or not _PARAMETER.fullmatch(name):
            raise SqlRefused(rule="parameter", fault="a parameter is written as a colon and a name, like :id")
        found.add(name)
    return frozenset(found)


def _rendered(tree: exp.Expr, dialect: Dialect) -> str:
    from sqlglot import exp
    from sqlglot.errors import ErrorLevel

    for node in list(tree.find_all(exp.Placeholder)):
        node.replace(exp.Var(this=f"{_MARK}{node.name}{_MARK}"))
    try:
        return tree.sql(dialect=_dialect(dialect), comments=False, unsupported_level=ErrorLevel.RAISE)
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001 - as above
        raise SqlRefused(rule="syntax", fault="the statement uses what this database does not have") from None


def _check_words(text: str, rules: Rules) -> None:
    """Every name before a parenthesis is a function that may be called; no forbidden word stands anywhere."""
    tokens = _tokens(_MARKED.sub(r":\1", text), rules.dialect)
    known = rules.known_functions
    for i, token in enumerate(tokens):
        kind, word = token.token_type.name, token.text
        quoted = kind in ("IDENTIFIER", "STRING")
        if not quoted and word.upper() in FORBIDDEN[rules.dialect]:
            raise SqlRefused(rule="function", fault=f"{word.upper()} is not among what a query may hold")
        if kind == "STRING" or i + 1 == len(tokens) or tokens[i + 1].token_type.name != "L_PAREN":
            continue
        if not quoted and (word.upper() in OPENING or not _NAME.fullmatch(word) or _MADE.fullmatch(word)):
            continue
        # `AS name (...)` gives names to columns, and `AS type (...)` a size to a type.
        if i and tokens[i - 1].token_type.name == "ALIAS":
            continue
        if quoted or word.lower() not in known:
            raise SqlRefused(
                rule="function", fault=f"function {shown(word.lower())} is not among those a query may call"
            )


# -- tables ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Tables:
    """Finds what each table name stands for, checks it, and writes it so that it can stand for nothing else."""

    rules: Rules
    read: set[str] = field(default_factory=set)
    made: int = 0

    def visit(self, node: exp.Expr, known: Mapping[str, str]) -> None:
        """Rewrite `node` and all in it, where the common table expressions `known` can be seen under their new names.

        A scope taken too wide ends in a name that the database does not find, one taken too narrow in a real table,
        which is checked: either way nothing is read that may not be.
        """
        from sqlglot import exp

        own = next((c for c in node.iter_expressions() if isinstance(c, exp.With)), None)
        if own is not None:
            known = self._expressions(own, dict(known))
        if isinstance(node, exp.Table):
            self._table(node, known)
        for child in list(node.iter_expressions()):
            if child is not own:
                self.visit(child, known)

    def _expressions(self, own: exp.With, known: dict[str, str]) -> dict[str, str]:
        from sqlglot import exp

        # In SQLite the word RECURSIVE changes nothing.
        recursive = bool(own.args.get("recursive")) or self.rules.dialect == "sqlite"
        for expression in own.expressions:
            alias = expression.args.get("alias")
            if not isinstance(expression, exp.CTE) or alias is None or not isinstance(alias.this, exp.Identifier):
                raise SqlRefused(rule="syntax", fault="a common table expression needs a name")
            self.made += 1
            name, new = self._name(alias.this), f"edgewright_{self.made}"
            self.visit(expression.this, {**known, name: new} if recursive else known)
            known[name] = new
            alias.set("this", exp.to_identifier(new))
        return known

    def _table(self, node: exp.Table, known: Mapping[str, str]) -> None:
        from sqlglot import exp

        if not isinstance(node.this, exp.Identifier):
            raise SqlRefused(rule="function", fault="FROM takes tables and SELECTs, no functions")
        if extra := sorted(k for k, v in node.args.items() if v and k not in _TABLE_PARTS):
            raise SqlRefused(rule="table", fault=f"a table is named by itself, without {', '.join(extra)}")
        name, db = self._name(node.this), node.args.get("db")
        if db is None and name in known:
            if not node.args.get("alias"):
                node.set("alias", exp.TableAlias(this=node.this.copy()))
            node.set("this", exp.to_identifier(known[name]))
            return
        schema = self._name(db) if db is not None else self.rules.schema
        self._check(schema, name)
        self.read.add(f"{schema}.{name}")
        node.set("this", exp.to_identifier(name, quoted=True))
        node.set("db", exp.to_identifier(schema, quoted=True))

    def _check(self, schema: str, name: str) -> None:
        rules, whole = self.rules, f"{schema}.{name}"
        if rules.tables is not None:
            if whole not in rules.tables:
                listed = ", ".join(sorted(rules.tables))
                raise SqlRefused(rule="table", fault=f"table {shown(whole)} may not be read; these may: {listed}")
        elif schema != rules.schema or name.startswith(SYSTEM[rules.dialect]):
            raise SqlRefused(rule="table", fault=f"table {shown(whole)} may not be read; those of {rules.schema} may")

    def _name(self, identifier: exp.Expr) -> str:
        exact = identifier.args.get("quoted") and self.rules.dialect == "postgres"
        return identifier.name if exact else folded(identifier.name)
