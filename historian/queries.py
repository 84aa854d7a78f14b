"""Reads the named queries of ``sql/*.sql``. All SQL of the system stands there and in ``sql/schema``.

A query starts with the line ``-- name: its_name``, then a comment that says what it is for, then one statement.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

QUERY_FILES = ("queries.sql", "contracts.sql", "meters.sql", "telemetry.sql", "control.sql")

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def parse_queries(text: str) -> Mapping[str, bytes]:
    """Text of a query file → statement by name.

    Raises ValueError for a name that stands twice or a query without its sentence.
    """
    queries: dict[str, bytes] = {}
    parts = _NAME.split(text)[1:]
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        lines = body.strip().splitlines()
        if name in queries:
            raise ValueError(f"query {name} stands twice")
        if not lines or not lines[0].startswith("-- "):
            raise ValueError(f"query {name} has no sentence that says what it is for")
        statement = "\n".join(line for line in lines if not line.startswith("--"))
        queries[name] = statement.strip().removesuffix(";").encode()
    return queries


@cache
def _queries() -> Mapping[str, bytes]:
    folder = files("historian") / "sql"
    return parse_queries("\n".join((folder / name).read_text(encoding="utf-8") for name in QUERY_FILES))


def query(name: str) -> bytes:
    """One statement by name, for psycopg to execute. Raises KeyError when there is none."""
    return _queries()[name]
