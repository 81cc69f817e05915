"""The words of SQL that a model's query may use: allow lists, read by `sql_reading.py`.

What stands here changes nothing, reads nothing beyond the tables that are named, and makes no large value out of a
small one: no sequences, locks, settings, files, large objects, other servers, SQL in texts, series, padding.
"""

from __future__ import annotations

# Nodes of sqlglot, by class, beside its functions: those are judged by name.
SYNTAX = frozenset(
    {
        # queries
        *("Select", "Union", "Intersect", "Except", "Values", "Subquery", "With", "CTE", "From", "Join", "Lateral"),
        *("Where", "Group", "Having", "Order", "Ordered", "Limit", "LimitOptions", "Offset", "Fetch", "Distinct"),
        *("Window", "WindowSpec", "GroupingSets", "Cube", "Rollup", "Table", "TableAlias", "Alias", "Star", "Column"),
        *("Identifier", "Tuple", "Paren", "Placeholder", "Literal", "Null", "Boolean", "Var", "Interval", "DataType"),
        "DataTypeParam",
        # expressions
        *("Not", "EQ", "NEQ", "GT", "GTE", "LT", "LTE", "Is", "NullSafeEQ", "NullSafeNEQ", "Between", "In", "Like"),
        *("ILike", "SimilarTo", "Glob", "Match", "Escape", "Add", "Sub", "Mul", "Div", "IntDiv", "Mod", "Neg"),
        *("DPipe", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "BitwiseLeftShift", "BitwiseRightShift"),
        *("Collate", "AtTimeZone", "Filter", "WithinGroup", "IgnoreNulls", "RespectNulls", "Any", "All", "Some"),
        *("Bracket", "Slice", "JSONKeyValue", "JSONPath", "JSONPathRoot", "JSONPathKey", "JSONPathSubscript"),
        *("JSONBExtract", "JSONBExtractScalar", "JSONBContains", "JSONBContainsTopKey", "ArrayContainsAll"),
        *("ArrayContainedBy", "ArrayOverlaps", "Overlaps"),
    }
)

TYPES = frozenset(
    {
        *("ARRAY", "BIGINT", "BLOB", "BOOLEAN", "CHAR", "DATE", "DATETIME", "DECIMAL", "DOUBLE", "FLOAT", "INET"),
        *("INT", "INTERVAL", "JSON", "JSONB", "SMALLINT", "TEXT", "TIME", "TIMESTAMP", "TIMESTAMPTZ", "TIMETZ"),
        *("TINYINT", "UUID", "VARCHAR"),
    }
)

# Keywords that open a parenthesis without being functions. Both databases read them so, wherever they stand.
OPENING = frozenset(
    {
        *("SELECT", "FROM", "WHERE", "HAVING", "BY", "ON", "USING", "AS", "IN", "AND", "OR", "NOT", "OVER", "VALUES"),
        *("FILTER", "GROUP", "JOIN", "UNION", "INTERSECT", "EXCEPT", "ALL", "DISTINCT", "CASE", "WHEN", "THEN"),
        *("ELSE", "LIMIT", "OFFSET", "BETWEEN", "LIKE", "ILIKE", "GLOB", "MATCH", "TO", "ESCAPE", "IS", "LATERAL"),
        *("CAST", "ARRAY", "CUBE", "ROLLUP", "SETS", "MATERIALIZED", "EXISTS", "ANY", "SOME", "ZONE"),
    }
)

# Words that may not stand anywhere. TABLE names a table where none is looked for; PostgreSQL's others tell who is
# connected to what; SQLite's REGEXP runs in this process, where nothing can stop it.
FORBIDDEN = {
    "postgres": frozenset(
        {
            *("CURRENT_CATALOG", "CURRENT_ROLE", "CURRENT_SCHEMA", "CURRENT_USER", "SESSION_USER", "SYSTEM_USER"),
            *("TABLE", "USER"),
        }
    ),
    "sqlite": frozenset({"REGEXP", "TABLE"}),
}

COMMON = frozenset(
    {
        *("abs", "avg", "ceil", "ceiling", "coalesce", "concat", "concat_ws", "count", "cume_dist", "date"),
        *("degrees", "dense_rank", "exp", "first_value", "floor", "lag", "last_value", "lead", "length", "ln", "log"),
        *("lower", "ltrim", "max", "min", "mod", "nth_value", "ntile", "nullif", "percent_rank", "pi", "power"),
        *("radians", "random", "rank", "replace", "round", "row_number", "rtrim", "sign", "sqrt", "substr"),
        *("substring", "sum", "time", "trim", "trunc", "upper"),
    }
)

SQLITE = frozenset(
    {
        *("char", "datetime", "group_concat", "hex", "ifnull", "iif", "instr", "json", "json_array"),
        *("json_array_length", "json_extract", "json_group_array", "json_group_object", "json_object", "json_quote"),
        *("json_type", "json_valid", "julianday", "likelihood", "likely", "octet_length", "quote", "strftime"),
        *("timediff", "total", "typeof", "unicode", "unixepoch", "unlikely"),
    }
)

POSTGRES = frozenset(
    {
        *("age", "array_agg", "array_length", "array_position", "array_to_string", "ascii", "bit_and", "bit_or"),
        *("bool_and", "bool_or", "btrim", "cardinality", "char_length", "chr", "corr", "covar_pop", "covar_samp"),
        *("date_part", "date_trunc", "encode", "every", "extract", "greatest", "grouping", "initcap", "json_agg"),
        *("json_array_length", "json_build_array", "json_build_object", "json_object_agg", "json_typeof"),
        *("jsonb_agg", "jsonb_array_length", "jsonb_build_array", "jsonb_build_object", "jsonb_object_agg"),
        *("jsonb_typeof", "least", "left", "make_date", "make_interval", "make_timestamp", "md5", "mode"),
        *("octet_length", "overlay", "percentile_cont", "percentile_disc", "plainto_tsquery", "position"),
        *("regexp_match", "regexp_replace", "reverse", "right", "row", "row_to_json", "split_part", "starts_with"),
        *("stddev", "stddev_pop", "stddev_samp", "string_agg", "string_to_array", "strpos", "to_char", "to_date"),
        *("to_json", "to_jsonb", "to_number", "to_timestamp", "to_tsquery", "to_tsvector", "translate", "ts_rank"),
        *("var_pop", "var_samp", "variance", "websearch_to_tsquery", "width_bucket"),
    }
)
