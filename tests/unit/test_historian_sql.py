"""SQL files: queries with a sentence each, migrations that never change, and no SQL anywhere else."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from historian.copyformat import ARRIVAL_COPY, METER_EVENT_COPY, READING_COPY, SAMPLE_COPY, CopyLayout
from historian.migrate import Migration, MigrationError, migrations, outstanding
from historian.queries import parse_queries, query

ROOT = Path(__file__).parents[2]
PACKAGES = ("scada", "substations", "meters", "historian", "simulators")

FIRST = Migration("0001_first.sql", b"SELECT 1;")
SECOND = Migration("0002_second.sql", b"SELECT 2;")
THIRD = Migration("0003_third.sql", b"SELECT 3;")


def test_a_query_is_found_by_name_without_its_comments() -> None:
    queries = parse_queries(
        "-- Heading.\n\n-- name: one\n-- Says what.\nSELECT 1;\n\n-- name: two\n-- Says.\n-- More.\nSELECT\n2;\n"
    )
    assert queries == {"one": b"SELECT 1", "two": b"SELECT\n2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-- name: one\n-- Says.\nSELECT 1;\n-- name: one\n-- Says.\nSELECT 2;", "query one stands twice"),
        ("-- name: one\nSELECT 1;", "query one has no sentence"),
        ("-- name: one\n", "query one has no sentence"),
    ],
)
def test_a_query_file_with_a_fault_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_queries(text)


def test_every_query_is_used_and_every_used_query_exists() -> None:
    text = (ROOT / "historian/sql/queries.sql").read_text()
    written = set(parse_queries(text))
    sources = "\n".join(path.read_text() for path in (ROOT / "historian").glob("*.py"))
    assert {name for name in written if f'"{name}"' not in sources} == set()
    for name in re.findall(r'query\("(\w+)"\)', sources):
        assert query(name)


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("copy_samples", SAMPLE_COPY),
        ("sample_in_force", SAMPLE_COPY),
        ("samples_between", SAMPLE_COPY),
        ("copy_readings", READING_COPY),
        ("copy_arrivals", ARRIVAL_COPY),
        ("copy_event_arrivals", METER_EVENT_COPY),
    ],
)
def test_a_copy_names_its_columns_in_the_order_of_its_bytes(name: str, layout: CopyLayout) -> None:
    found = re.search(r"\(([a-z_, ]+)\)\s+FROM STDIN|SELECT ([a-z_, ]+) FROM", query(name).decode())
    assert found is not None
    assert tuple((found[1] or found[2]).split(", ")) == layout.columns


def _strings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            yield node.value if isinstance(node.value, str) else node.value.decode("latin-1")


def test_no_sql_stands_outside_the_sql_folder() -> None:
    statement = re.compile(r"^\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE|COPY|ALTER|DROP|WITH) +\S")
    found = [
        f"{path.relative_to(ROOT)}: {text.splitlines()[0]}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for text in _strings(path)
        if statement.match(text)
    ]
    assert found == []


def test_the_migrations_are_numbered_without_a_gap() -> None:
    assert [int(migration.name[:4]) for migration in migrations()] == list(range(1, len(migrations()) + 1))


def test_a_new_database_gets_everything_in_order() -> None:
    assert outstanding((FIRST, SECOND), {}) == (FIRST, SECOND)


def test_only_what_is_missing_is_applied() -> None:
    assert outstanding((FIRST, SECOND), {FIRST.name: FIRST.sha256}) == (SECOND,)
    assert outstanding((FIRST,), {FIRST.name: FIRST.sha256}) == ()


@pytest.mark.parametrize(
    ("files", "applied", "message"),
    [
        (
            (FIRST, Migration(SECOND.name, b"SELECT 22;")),
            {FIRST.name: FIRST.sha256, SECOND.name: SECOND.sha256},
            "0002_second.sql has changed since it was applied; undo the change and add a new migration",
        ),
        (
            (FIRST,),
            {FIRST.name: FIRST.sha256, SECOND.name: SECOND.sha256},
            "0002_second.sql was applied to this database, but this version of the program lacks it",
        ),
        (
            (FIRST, SECOND, THIRD),
            {FIRST.name: FIRST.sha256, THIRD.name: THIRD.sha256},
            "0002_second.sql is new but numbered before 0003_third.sql, which is applied already",
        ),
    ],
    ids=["changed", "gone", "inserted"],
)
def test_migrations_that_do_not_belong_to_the_database_are_refused_by_name(
    files: tuple[Migration, ...], applied: dict[str, str], message: str
) -> None:
    with pytest.raises(MigrationError, match=re.escape(message)):
        outstanding(files, applied)
