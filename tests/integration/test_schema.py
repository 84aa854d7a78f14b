"""The historian is brought up to date when it answers, and whoever asks can stop waiting."""

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import conninfo, sql

from historian.migrate import MigrationError, migrations
from scada.model.errors import StoreRejected
from scada.model.point import Point, PointKind
from scada.schema import bring_up_to_date
from scada.services.endpoints import Endpoints
from tests.cutting_proxy import CuttingProxy

pytestmark = pytest.mark.integration

NOWHERE = "postgresql://nobody:nothing@127.0.0.1:1/none"
POINTS = (
    Point(7 << 16 | 1 << 8 | 1, "TN07/171/171.position", PointKind.DOUBLE_POINT, "Máy cắt 171", "Breaker 171"),
    Point(7 << 16 | 1 << 8 | 9, "TN07/171/current_l1", PointKind.MEASURED_VALUE, "Dòng điện pha A", "Current L1", "A"),
)


@pytest.fixture
def empty_database(endpoints: Endpoints, superuser_dsn: str) -> Iterator[str]:
    """The owner's DSN of a database without any table."""
    name = f"empty_{uuid4().hex[:12]}"
    owner = str(conninfo.conninfo_to_dict(endpoints.postgres_dsn)["user"])
    with psycopg.connect(superuser_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(owner)))
    try:
        yield conninfo.make_conninfo(endpoints.postgres_dsn, dbname=name)
    finally:
        with psycopg.connect(superuser_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def rows(dsn: str, query: bytes) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()


async def test_an_empty_database_gets_every_migration_and_the_points(empty_database: str) -> None:
    assert await bring_up_to_date(empty_database, asyncio.Event(), POINTS)
    applied = rows(empty_database, b"SELECT name FROM schema_migration ORDER BY name")
    assert applied == [(migration.name,) for migration in migrations()]
    assert rows(empty_database, b"SELECT id, name, station, bay, kind, unit, title_vi FROM point ORDER BY id") == [
        (459_009, "TN07/171/171.position", "TN07", "171", "double_point", "", "Máy cắt 171"),
        (459_017, "TN07/171/current_l1", "TN07", "171", "measured_value", "A", "Dòng điện pha A"),
    ]


async def test_bringing_it_up_again_changes_nothing(database: str) -> None:
    for _ in range(2):
        assert await bring_up_to_date(database, asyncio.Event(), POINTS)
    assert rows(database, b"SELECT count(*) FROM point") == [(2,)]


async def test_while_the_database_is_away_it_is_tried_until_asked_to_stop(caplog: pytest.LogCaptureFixture) -> None:
    stop = asyncio.Event()
    bringing = asyncio.create_task(bring_up_to_date(NOWHERE, stop, POINTS))
    while not caplog.messages:  # noqa: ASYNC110  # a log record sets no event
        await asyncio.sleep(0.01)
    assert not bringing.done()
    stop.set()
    assert await bringing is False
    assert len(caplog.messages) == 1, "a transition is told once"
    assert caplog.messages[0].startswith("Historian not brought up to date yet: the database cannot be reached")


async def test_a_database_that_answers_at_last_is_brought_up_to_date(
    empty_database: str, endpoints: Endpoints, caplog: pytest.LogCaptureFixture
) -> None:
    known = conninfo.conninfo_to_dict(endpoints.postgres_dsn)
    away = CuttingProxy(int(str(known["port"])))
    port = away.port
    away.close()
    dsn = conninfo.make_conninfo(empty_database, port=port)
    bringing = asyncio.create_task(bring_up_to_date(dsn, asyncio.Event(), POINTS))
    while not caplog.messages:  # noqa: ASYNC110  # a log record sets no event
        await asyncio.sleep(0.01)
    server = await asyncio.start_server(_forward_to(int(str(known["port"]))), "127.0.0.1", port)
    try:
        assert await asyncio.wait_for(bringing, 30)
    finally:
        server.close()
        await server.wait_closed()
    assert rows(empty_database, b"SELECT count(*) FROM point") == [(2,)]


async def test_a_database_of_another_version_is_refused_by_name(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO schema_migration (name, sha256) VALUES ('9999_from_tomorrow.sql', 'x')")
    with pytest.raises(MigrationError, match=r"9999_from_tomorrow\.sql was applied to this database, but this version"):
        await bring_up_to_date(database, asyncio.Event())


async def test_tables_of_somebody_else_are_not_touched(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute("CREATE TABLE point (x int)")
        connection.execute("INSERT INTO point VALUES (42)")
    with pytest.raises(MigrationError, match='a migration failed and was undone: relation "point" already exists'):
        await bring_up_to_date(empty_database, asyncio.Event())
    assert rows(empty_database, b"SELECT x FROM point") == [(42,)]


async def test_a_name_that_belongs_to_another_id_is_refused(database: str) -> None:
    await bring_up_to_date(database, asyncio.Event(), POINTS)
    renumbered = Point(POINTS[0].id + 1, POINTS[0].name, PointKind.DOUBLE_POINT, "", "")
    with pytest.raises(StoreRejected):
        await bring_up_to_date(database, asyncio.Event(), (renumbered,))


def _forward_to(port: int):  # type: ignore[no-untyped-def]  # a stream callback, spelled out by asyncio
    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer), return_exceptions=True)

    return serve
